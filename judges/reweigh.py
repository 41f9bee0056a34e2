"""Rankings as a pure function of stored votes and a constitution: no model is ever called.

`rank` asks for the votes it lacks and then calls this; `charter reweigh` calls only this. So
re-weighting and re-judging cannot differ.
"""

from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from functools import lru_cache
from itertools import combinations, compress
from typing import Any

import numpy as np

from judges.aggregate import (
    Order,
    Verdicts,
    aggregate,
    order_completions,
    scheme_of,
    sigmoid,
)
from judges.constitutions.constitution import Constitution
from judges.listwise import list_questions
from judges.records import Question, Reason
from judges.store.vote_store import VoteStore
from judges.tally import EMPTY, Ballot, Settings, Tally, filled, tally_votes
from judges.unranked import reason_of_all, why_unranked

CHUNK = 4096
"""Rankings aggregated at once: bounds memory, and keeps packed lookup keys within 64 bits."""
CELLS = 1_500_000
"""Pairs times principles aggregated at once: bounds memory where there are many completions."""
DECIMALS = 6


def rankings(
    ballots: Sequence[Ballot], constitution: Constitution, store: VoteStore
) -> Iterator[dict[str, Any]]:
    """The ranking line of each ballot, in order; `missing_vote` where the store lacks votes.

    Cost: no model call.
    """
    for start in range(0, len(ballots), CHUNK):
        chunk = ballots[start : start + CHUNK]
        kinds = [(len(ballot.completions), ballot.settings) for ballot in chunk]
        alike: dict[tuple[int, Settings], list[Ballot]] = defaultdict(list)
        for kind, ballot in zip(kinds, chunk, strict=True):
            alike[kind].append(ballot)
        lines = {kind: _rank_alike(same, constitution, store) for kind, same in alike.items()}
        yield from (next(lines[kind]) for kind in kinds)


def _rank_alike(
    ballots: Sequence[Ballot], constitution: Constitution, store: VoteStore
) -> Iterator[dict[str, Any]]:
    """The lines of ballots of one size and equal settings, so many aggregated at once as fit."""
    size = len(ballots[0].completions)
    if size < 2:
        yield from (unscored_line(ballot, constitution, "one_completion") for ballot in ballots)
        return
    at_once = max(1, CELLS // (size * size * len(constitution.principles)))
    for first in range(0, len(ballots), at_once):
        yield from _rank_at_once(ballots[first : first + at_once], constitution, store)


def _rank_at_once(
    ballots: Sequence[Ballot], constitution: Constitution, store: VoteStore
) -> Iterator[dict[str, Any]]:
    tally = tally_votes(ballots, ballots[0].settings, constitution, store)
    scheme = scheme_of(constitution)
    verdicts = aggregate(tally.logit_RPNN, tally.applies_RP, scheme)
    orders = order_completions(verdicts.p_RNN, scheme.tie_margin)
    lacking = [row for row, order in enumerate(orders) if None in order.scores]
    asked = {row: questions(ballots[row], constitution) for row in lacking}
    votes = store.get([question for row in lacking for question in asked[row]])
    for row, line in enumerate(_lines(ballots, constitution, tally, verdicts, orders)):
        if row in asked:
            about = [votes[question] for question in asked[row] if question in votes]
            p_NN, abstained_NN = verdicts.p_RNN[row], verdicts.abstained_RNN[row]
            reasons = why_unranked(ballots[row], orders[row].ranking, about, p_NN, abstained_NN)
            line["unranked"] = {str(index): reason for index, reason in reasons.items()}
            if not orders[row].ranking:
                line |= {"status": "unscored", "reason": reason_of_all(reasons)}
        yield line


def _lines(
    ballots: Sequence[Ballot],
    constitution: Constitution,
    tally: Tally,
    verdicts: Verdicts,
    orders: Sequence[Order],
) -> Iterator[dict[str, Any]]:
    """Ranking lines, all taken as scored; orjson writes the arrays as lists, and NaN as null.

    One line at a time: thousands of them together would be built, written and freed out of the
    processor's cache, at twice the time.
    """
    names = [principle.id for principle in constitution.principles]
    digests = _digests(ballots[0], constitution)  # ballots here have equal settings
    p_RNN = _rounded(verdicts.p_RNN)
    observed_RNN = np.triu(~np.isnan(p_RNN), 1)
    p_RPNN = _rounded(sigmoid(tally.logit_RPNN))
    p_RPNN[..., np.eye(p_RPNN.shape[-1], dtype=bool)] = 0.5
    gap_RP, applies_RP = _rounded(tally.gap_RP), _rounded(tally.applies_RP)
    pairs = list(combinations(range(p_RNN.shape[1]), 2))
    seen_RN = observed_RNN[:, [i for i, _ in pairs], [j for _, j in pairs]]
    for row, (ballot, order) in enumerate(zip(ballots, orders, strict=True)):
        by_principle = zip(
            names, p_RPNN[row], gap_RP[row].tolist(), applies_RP[row].tolist(), strict=True
        )
        yield {
            "id": ballot.id,
            "status": "scored",
            "reason": None,
            "digests": digests,
            "scores": order.scores,
            "ranking": order.ranking,
            "tie_groups": order.tie_groups,
            "cycles": order.cycles,
            "p": p_RNN[row],
            "observed": list(compress(pairs, seen_RN[row].tolist())),
            "unranked": {},
            "principles": {
                name: {"p": p_NN, "order_gap": gap, "applies": applies}
                for name, p_NN, gap, applies in by_principle
            },
            "votes": _reference(ballot),
        }


def _rounded(values: Any) -> Any:
    return np.round(values, DECIMALS)


def unscored_line(ballot: Ballot, constitution: Constitution, reason: Reason) -> dict[str, Any]:
    """The line of a ballot on which nothing was compared, and why."""
    size = len(ballot.completions)
    return {
        "id": ballot.id,
        "status": "unscored",
        "reason": reason,
        "digests": _digests(ballot, constitution),
        "scores": [None] * size,
        "ranking": [],
        "tie_groups": [],
        "cycles": [],
        "p": [[0.5 if i == j else None for j in range(size)] for i in range(size)],
        "observed": [],
        "unranked": {str(index): reason for index in range(size)},
        "principles": {},
        "votes": _reference(ballot),
    }


def _digests(ballot: Ballot, constitution: Constitution) -> dict[str, Any]:
    changes = [change or "none" for change in ballot.settings.adjustments]
    if ballot.settings.panel not in ("mean", "majority"):
        changes.append(ballot.settings.panel)
    return {
        "constitution": constitution.digest,
        "judge": "+".join(ballot.settings.under(constitution)),
        "calibration": "+".join(changes) or None,
    }


def _reference(ballot: Ballot) -> dict[str, Any]:
    """Where the votes lie: what `charter reweigh` needs to find them again in the store."""
    return {
        "conversation": ballot.conversation,
        "completions": ballot.completions,
        "settings": _written(ballot.settings),
    }


@lru_cache(maxsize=256)
def _written(settings: Settings) -> dict[str, Any]:
    """Settings as a line holds them: the usual way of asking is not said each time."""
    told = {"pair": settings.pair, "applies": settings.applies, "rule": settings.rule}
    return told | settings.model_dump(mode="json", exclude_defaults=True)


def questions(
    ballot: Ballot,
    constitution: Constitution,
    pairs: Sequence[tuple[int, int]] | None = None,
    only: Container[str] | None = None,
) -> list[Question]:
    """Every question whose vote a ballot needs: scopes, rules, and pairs in both orders.

    Some of them, where `only` holds the digests of what they ask.
    """
    indices = [i for i, completion in enumerate(ballot.completions) if completion != EMPTY]
    wanted = list(combinations(indices, 2)) if pairs is None else pairs
    wanted = [(i, j) for i, j in wanted if i in indices and j in indices]
    asked: dict[Question, None] = {}
    for principle in constitution.principles:
        if principle.applies_when is not None:
            digest = principle.question_digest("applies")
            if only is None or digest in only:
                asked |= {_question(ballot, s, digest): None for s in ballot.settings.applies}
        digest = principle.question_digest("rule" if principle.rule else ballot.settings.kind)
        if only is not None and digest not in only:
            continue
        if principle.rule is not None:
            setting = ballot.settings.rule
            asked |= {_question(ballot, setting, digest, index): None for index in indices}
            continue
        for setting in ballot.settings.of(principle):
            asked |= dict.fromkeys(_about_text(ballot, setting, digest, wanted))
    return list(asked)


def _about_text(
    ballot: Ballot, setting: str, digest: str, pairs: Sequence[tuple[int, int]]
) -> list[Question]:
    """The questions to one judge about one principle's text, each as often as there are samples."""
    kind, samples = ballot.settings.kind, ballot.settings.samples
    if kind == "list":
        return list_questions(setting, digest, ballot.conversation, filled(ballot), samples)
    shown: list[tuple[int, ...]] = [
        (index,) for index, text in enumerate(ballot.completions) if text != EMPTY
    ]
    if kind == "pair":
        differ = [(i, j) for i, j in pairs if ballot.completions[i] != ballot.completions[j]]
        shown = [order for i, j in differ for order in ((i, j), (j, i))]
    return [
        _question(ballot, setting, digest, *one, sample=sample)
        for sample in range(samples)
        for one in shown
    ]


def _question(
    ballot: Ballot, setting: str, principle: str, *shown: int, sample: int = 0
) -> Question:
    return Question(
        setting=setting,
        principle=principle,
        conversation=ballot.conversation,
        completions=tuple(ballot.completions[index] for index in shown),
        sample=sample,
    )
