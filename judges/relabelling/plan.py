"""What each line of a rankings file lacks under a constitution, counted before it is asked."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import orjson

from judges.aggregate import Bools
from judges.ballots import compares_answers, judged_pairs
from judges.constitutions.constitution import Constitution
from judges.constitutions.diff import Diff
from judges.errors import DataError
from judges.jsonl import read_lines
from judges.judge import rule_setting
from judges.lacking import Lacking, Pairs, Topic, lacking_once, lacking_votes
from judges.ranking_files import Part, ReadRanking, in_processes, parts_of, read_part
from judges.store.vote_store import VoteStore
from judges.tally import Ballot, Settings
from judges.vote_table import Integers


def edit_digests(after: Constitution, diff: Diff) -> frozenset[str]:
    """The questions that an edit asks, with the scopes that say where they are asked."""
    wanted = diff.wanted_digests
    scopes = [
        principle.question_digest("applies")
        for principle in after.principles
        if principle.applies_when is not None
        and any(principle.question_digest(kind) in wanted for kind in principle.question_kinds)
    ]
    return wanted | frozenset(scopes)


@dataclass(frozen=True)
class Plan:
    """What a run lacks under a constitution. Axis suffixes: `_R` lines, `_T` topics."""

    source: Path
    settings: Settings
    """Of the first line."""
    lacking: Lacking
    """Votes that each line lacks."""
    votes_TJ: Integers
    """Votes to cast, by judge: what several lines lack counts once."""
    topics_counted: Container[str] | None
    """Digests of the topics looked up; None: all."""

    def only(self, digests: Container[str]) -> "Plan":
        """The same of some topics."""
        lacking = self.lacking.only(digests)
        votes_TJ = np.where(lacking.counted_T[:, None], self.votes_TJ, 0)
        return replace(self, lacking=lacking, votes_TJ=votes_TJ, topics_counted=digests)

    @property
    def topics(self) -> tuple[Topic, ...]:
        """What votes are about."""
        return self.lacking.topics

    @property
    def judged_T(self) -> Bools:
        """Which topics a judge is asked about."""
        return self.lacking.judged_T

    @cached_property
    def votes_RT(self) -> Integers:
        """Votes that each line lacks, of all judges."""
        return np.asarray(self.lacking.votes_RTJ.sum(2))

    @property
    def needed_R(self) -> Integers:
        """Votes that each line's ranking is made of."""
        return self.lacking.votes_R

    @property
    def stored_J(self) -> Integers:
        """Votes of each judge that are there."""
        return self.lacking.stored_J

    @property
    def votes(self) -> int:
        """Votes of judges to cast."""
        return int(self.votes_TJ[self.judged_T].sum())

    @property
    def asked(self) -> frozenset[str]:
        """Topics that lack votes on some line."""
        lacks_T = np.asarray(self.votes_RT.sum(0)).tolist()
        return frozenset(t.digest for t, votes in zip(self.topics, lacks_T, strict=True) if votes)

    @property
    def stored(self) -> int:
        """Votes of judges that are there."""
        return int(self.stored_J.sum())

    @property
    def checks(self) -> int:
        """Checks by code to make."""
        return int(self.votes_TJ[~self.judged_T].sum())


@dataclass(frozen=True)
class _PartPlan:
    lacking: Lacking
    prompts: list[str]
    settings: Settings


def plan_relabel(
    source: Path, constitution: Constitution, store: VoteStore, only: Container[str] | None = None
) -> Plan:
    """What every line of a rankings file lacks under a constitution; `only` of some topics.

    Cost: no model call; one pass over the file and its votes. Raises: DataError naming the line.
    """
    work = partial(_plan_part, source=str(source), constitution=constitution, only=only)
    parts = list(in_processes(parts_of(source), store, work))
    if not parts:
        raise DataError(f"{source}: no line in it; rank some prompts with `charter rank`")
    kinds = {part.settings.kind for part in parts}
    if len(kinds) > 1:
        raise DataError(
            f"{source}: asked in several ways, {', '.join(sorted(kinds))}; keep them in files of "
            "their own"
        )
    found = Lacking(
        parts[0].lacking.topics,
        np.concatenate([part.lacking.votes_RTJ for part in parts]),
        np.concatenate([part.lacking.needed_RT for part in parts]),
        parts[0].lacking.counted_T,
    )
    plan = Plan(source, parts[0].settings, found, found.votes_RTJ.sum(0), only)
    return _counted_once(
        plan, [name for part in parts for name in part.prompts], constitution, store
    )


def _plan_part(
    part: Part,
    store: VoteStore,
    *,
    source: str,
    constitution: Constitution,
    only: Container[str] | None,
) -> _PartPlan:
    ballots, pairs = ballots_of(part, source, constitution)
    found = lacking_votes(ballots, pairs, constitution, store, only=only)
    prompts = [ballot.conversation[:16] for ballot in ballots]
    return _PartPlan(found, prompts, ballots[0].settings)


def ballots_of(
    part: Part, source: str, constitution: Constitution
) -> tuple[list[Ballot], list[Pairs | None]]:
    """The ballots of some lines, and the pairs that each was judged on; None for all."""
    read = read_part(part, source)
    ballots = [ballot_under(constitution, one) for one in read]
    return ballots, [pairs_of(one) for one in read]


def ballot_under(constitution: Constitution, line: ReadRanking) -> Ballot:
    """A line's ballot, its rules compared with the line's answer where this constitution does."""
    compares = line.answer is not None and compares_answers(constitution)
    rule = rule_setting(line.answer if compares else None).digest
    if rule == line.ballot.settings.rule:
        return line.ballot
    settings = line.ballot.settings.model_copy(update={"rule": rule})
    return line.ballot.model_copy(update={"settings": settings})


def pairs_of(line: ReadRanking) -> Pairs | None:
    """The pairs that a line was judged on; None for all.

    Where few pairs were chosen by the answers, they stay those that were: another choice would cost
    votes on what no edit touched.
    """
    asked = orjson.loads(line.asked) if line.asked else "all"
    if asked == "all":
        return None
    if isinstance(asked, str):
        return tuple(judged_pairs(line.ballot, asked))  # type: ignore[arg-type]
    return tuple((i, j) for i, j in orjson.loads(line.observed))


def _counted_once(
    plan: Plan, prompts: Sequence[str], constitution: Constitution, store: VoteStore
) -> Plan:
    """The plan with what lines of one prompt share counted once."""
    _, which, times = np.unique(prompts, return_inverse=True, return_counts=True)
    repeated = (times[which] > 1) & (plan.votes_RT.sum(1) > 0)
    if not repeated.any():
        return plan
    part = [line for line, one in zip(read_lines(plan.source), repeated, strict=True) if one]
    ballots, pairs = ballots_of(part, str(plan.source), constitution)
    some = lacking_votes(ballots, pairs, constitution, store, only=plan.topics_counted)
    once = lacking_once(some, ballots, pairs, store)
    return replace(plan, votes_TJ=plan.votes_TJ - some.votes_RTJ.sum(0) + once)
