"""Which votes a run still lacks under a constitution, counted in bulk: what an edit will cost.

The same questions as `judges.reweigh.questions` makes one by one, here as arrays of a few thousand
ballots: a hundred thousand prompts under a dozen principles take seconds.
"""

from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from judges.aggregate import SCOPE_FLOOR, Bools, sigmoid
from judges.constitutions.constitution import Constitution, Principle
from judges.listwise import list_questions
from judges.records import Kind, Question
from judges.reweigh import CELLS, CHUNK, questions
from judges.store.vote_store import VoteStore
from judges.tally import EMPTY, Ballot, Settings, filled, wanted_votes
from judges.vote_table import Integers, VoteTable

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Topic:
    """One text, scope or rule that votes are about."""

    principle: Principle
    """Whose it is; of several with the same words, the last."""
    kind: Kind
    """How it is asked."""
    digest: str
    """The principle's part of the vote key."""


@dataclass(frozen=True)
class Lacking:
    """The votes that ballots lack. Axis suffixes: `_R` ballots, `_T` topics, `_J` judges."""

    topics: tuple[Topic, ...]
    """What votes are about, in the constitution's order."""
    votes_RTJ: Integers
    """Votes that the store lacks; a scope that nobody voted on is taken to apply. Rules are the
    first judge's."""
    needed_RT: Integers
    """Votes that a ranking needs of each judge, stored or not; of a rule, of code."""
    counted_T: Bools
    """Topics that were looked up; the others are taken to be stored."""

    def only(self, digests: Container[str]) -> "Lacking":
        """The same of some topics; the others are taken to be stored."""
        counted = np.array([topic.digest in digests for topic in self.topics], bool)
        votes_RTJ = np.where(counted[:, None], self.votes_RTJ, 0)
        return replace(self, votes_RTJ=votes_RTJ, counted_T=counted)

    def but(self, digests: Container[str]) -> "Lacking":
        """The same without some topics."""
        kept = [topic.digest not in digests for topic in self.topics]
        return Lacking(
            tuple(topic for topic, one in zip(self.topics, kept, strict=True) if one),
            self.votes_RTJ[:, kept],
            self.needed_RT[:, kept],
            self.counted_T[kept],
        )

    @property
    def judged_T(self) -> Bools:
        """Which topics judges are asked about."""
        return np.array([topic.kind != "rule" for topic in self.topics], bool)

    @property
    def votes_R(self) -> Integers:
        """Votes that each ranking is made of when none is lacking."""
        times = np.where(self.judged_T, self.votes_RTJ.shape[2], 1)
        return np.asarray((self.needed_RT * times).sum(1))

    @property
    def stored_J(self) -> Integers:
        """Votes of each judge that were looked up and are stored."""
        asked = self.judged_T & self.counted_T
        return np.asarray(self.needed_RT[:, asked].sum() - self.votes_RTJ[:, asked].sum((0, 1)))


def topics_of(constitution: Constitution, kind: Kind) -> tuple[Topic, ...]:
    """Everything that a constitution asks about, once each, where judges are asked in one way."""
    found: dict[str, Topic] = {}
    for principle in constitution.principles:
        for one in principle.question_kinds:
            asked = kind if one == "pair" else one
            digest = principle.question_digest(asked)
            found[digest] = Topic(principle, asked, digest)
    return tuple(found.values())


def lacking_votes(
    ballots: Sequence[Ballot],
    pairs: Sequence[Pairs | None],
    constitution: Constitution,
    store: VoteStore,
    *,
    only: Container[str] | None = None,
) -> Lacking:
    """The votes that ballots lack under a constitution; pairs of each to judge, None for all.

    `only` holds digests of texts, scopes and rules: the others are taken to be stored.
    Ballots that put the same question each count it; `lacking_once` does not. All ballots are asked
    in one kind. Cost: no model call; one pass over the stored votes of these conversations.
    """
    kind: Kind = ballots[0].settings.kind if ballots else "pair"
    topics = topics_of(constitution, kind)
    judges = len(ballots[0].settings.pair) if ballots else 0
    votes_RTJ = np.zeros((len(ballots), len(topics), max(1, judges)), np.int64)
    needed_RT = np.zeros((len(ballots), len(topics)), np.int64)
    counted = np.array([only is None or topic.digest in only for topic in topics], bool)
    for rows, shape in _alike(ballots, pairs, len(constitution.principles)):
        count = _Count([ballots[row] for row in rows], shape, constitution, store, only)
        for t, topic in enumerate(topics):
            inside = count.inside(topic)
            needed_RT[rows, t] = inside * count.most(topic)
            if counted[t]:
                lacking = count.most(topic) - count.stored(topic)
                votes_RTJ[rows, t, : len(lacking)] = (inside * lacking).T
    return Lacking(topics, votes_RTJ, needed_RT, counted)


def lacking_once(
    lacking: Lacking, ballots: Sequence[Ballot], pairs: Sequence[Pairs | None], store: VoteStore
) -> Integers:
    """The votes to cast on each topic: of ballots that put the same question, one counts. (T, J)

    Only prompts that several ballots share are looked at one question at a time.
    """
    sharing: dict[str, list[int]] = defaultdict(list)
    for row, ballot in enumerate(ballots):
        sharing[ballot.conversation].append(row)
    repeated = [row for rows in sharing.values() if len(rows) > 1 for row in rows]
    total = lacking.votes_RTJ.sum(0) - lacking.votes_RTJ[repeated].sum(0)
    for t, topic in enumerate(lacking.topics):
        under = constitution_of(topic.principle)
        asked: dict[Question, int] = {}
        for row in (row for row in repeated if lacking.votes_RTJ[row, t].any()):
            settings = ballots[row].settings
            judges = {"applies": settings.applies, "rule": (settings.rule,)}
            place = {
                s: j for j, s in enumerate(judges.get(topic.kind, settings.of(topic.principle)))
            }
            for question in questions(ballots[row], under, pairs[row]):
                if question.principle == topic.digest:
                    asked[question] = place[question.setting]
        stored = store.get(list(asked))
        for question, judge in asked.items():
            total[t, judge] += question not in stored
    return np.asarray(total)


def constitution_of(principle: Principle) -> Constitution:
    """A constitution of one principle."""
    about = {"name": "one", "version": "0.0.0", "title": "-", "licence": "-"}
    return Constitution(**about, principles=(principle,))


@dataclass(frozen=True)
class _Shape:
    """What ballots have in common: how they are asked, and which completions are equal or empty."""

    settings: Settings
    first: tuple[int, ...]
    """For each completion the first that has its text; -1 for an empty one."""
    pairs: Pairs | None

    @property
    def filled(self) -> list[int]:
        """The completions that are asked about, one for each text."""
        return sorted({place for place in self.first if place >= 0})

    @property
    def shown(self) -> list[tuple[int, int]]:
        """Every pair to judge, in both orders."""
        wanted = combinations(range(len(self.first)), 2) if self.pairs is None else self.pairs
        both = {(self.first[i], self.first[j]) for pair in wanted for i, j in (pair, pair[::-1])}
        return sorted((i, j) for i, j in both if i != j and min(i, j) >= 0)


def _alike(
    ballots: Sequence[Ballot], pairs: Sequence[Pairs | None], principles: int
) -> Iterator[tuple[list[int], _Shape]]:
    """Places of ballots of one shape, so many together as fit in memory."""
    alike: dict[_Shape, list[int]] = defaultdict(list)
    for row, (ballot, some) in enumerate(zip(ballots, pairs, strict=True)):
        if len(ballot.completions) > 1:
            known: dict[str, int] = {EMPTY: -1}
            first = (known.setdefault(text, i) for i, text in enumerate(ballot.completions))
            alike[_Shape(ballot.settings, tuple(first), some)].append(row)
    for shape, rows in alike.items():
        most = max(1, min(CHUNK, CELLS // (len(shape.first) ** 2 * max(1, principles))))
        for start in range(0, len(rows), most):
            yield rows[start : start + most], shape


class _Count:
    """Counting on ballots of one shape."""

    def __init__(
        self,
        ballots: Sequence[Ballot],
        shape: _Shape,
        constitution: Constitution,
        store: VoteStore,
        only: Container[str] | None,
    ) -> None:
        self.ballots, self.shape, self.only, self.store = ballots, shape, only, store
        wanted = wanted_votes(ballots, shape.settings, constitution)
        if only is not None:
            scopes = [digest for p in constitution.principles if (digest := scope_of(p))]
            wanted = replace(
                wanted, questions=[d for d in wanted.questions if d in only or d in scopes]
            )
        self.table = VoteTable(wanted, store, counted=True)

    def inside(self, topic: Topic) -> Bools:
        """Where a topic is asked about: its scope may apply, or is not known. (R,)"""
        scope = scope_of(topic.principle)
        if scope is None or topic.kind in ("applies", "rule"):
            return np.ones(len(self.ballots), bool)
        inside = np.zeros(len(self.ballots), bool)
        for setting in self.shape.settings.applies:
            stored = self.table.stored_on_prompts(setting, scope) > 0
            applies = sigmoid(self.table.on_prompts([setting], scope))
            inside |= ~stored | np.isnan(applies) | (applies >= SCOPE_FLOOR)
        return inside

    def most(self, topic: Topic) -> int:
        """Votes on a topic that one ballot needs of each judge, or of code."""
        settings, shape = self.shape.settings, self.shape
        if topic.kind == "applies":
            return 1
        if topic.kind == "rule":
            return len(shape.filled)
        each = {"pair": len(shape.shown), "list": int(len(shape.filled) > 1)}
        return settings.samples * each.get(settings.kind, len(shape.filled))

    def stored(self, topic: Topic) -> Integers:
        """Votes of each judge on a topic that the store holds, or of code. (J, R)"""
        settings, table, digest = self.shape.settings, self.table, topic.digest
        filled_N, pair = self.shape.filled, settings.of(topic.principle)
        if topic.kind == "applies":
            found = [table.stored_on_prompts(one, digest) for one in settings.applies]
        elif topic.kind == "rule":
            found = [table.stored_on_completions(settings.rule, digest)[:, filled_N].sum(1)]
        elif topic.kind == "list":
            found = [self._stored_of_groups(one, digest) for one in pair]
        elif topic.kind == "pair":
            i, j = np.array(self.shape.shown, int).reshape(-1, 2).T
            found = [table.stored_on_pairs(one, digest)[:, i, j].sum(1) for one in pair]
        else:
            found = [table.stored_on_completions(one, digest)[:, filled_N].sum(1) for one in pair]
        return np.array(found, np.int64).reshape(-1, len(self.ballots))

    def _stored_of_groups(self, setting: str, digest: str) -> Integers:
        samples = self.shape.settings.samples
        asked = [
            list_questions(setting, digest, ballot.conversation, filled(ballot), samples)
            for ballot in self.ballots
        ]
        stored = self.store.get([question for some in asked for question in some])
        return np.array([sum(question in stored for question in some) for some in asked])


def scope_of(principle: Principle) -> str | None:
    """The digest of a principle's scope, if it has one."""
    return None if principle.applies_when is None else principle.question_digest("applies")
