"""Rankings as a pure function of stored votes and a constitution: no model is ever called.

`rank` asks for the votes it lacks and then calls this; `charter reweigh` calls only this. So
re-weighting and re-judging cannot differ.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from judges.aggregate import (
    Floats,
    Order,
    Verdicts,
    aggregate,
    order_completions,
    scheme_of,
    sigmoid,
)
from judges.constitutions.constitution import Constitution
from judges.records import Question
from judges.store.vote_store import VoteStore
from judges.tally import EMPTY, Ballot, Settings, Tally, tally_votes
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
        groups: dict[tuple[int, Settings], list[int]] = defaultdict(list)
        for index, ballot in enumerate(chunk):
            groups[len(ballot.completions), ballot.settings].append(index)
        lines: dict[int, dict[str, Any]] = {}
        for (size, settings), indices in groups.items():
            same = [chunk[index] for index in indices]
            if size < 2:
                made = [_alone(ballot, constitution) for ballot in same]
            else:
                at_once = max(1, CELLS // (size * size * len(constitution.principles)))
                made = [
                    line
                    for first in range(0, len(same), at_once)
                    for line in _rank_same_size(
                        same[first : first + at_once], settings, constitution, store
                    )
                ]
            lines.update(zip(indices, made, strict=True))
        yield from (lines[index] for index in range(len(chunk)))


def _rank_same_size(
    ballots: Sequence[Ballot], settings: Settings, constitution: Constitution, store: VoteStore
) -> list[dict[str, Any]]:
    tally = tally_votes(ballots, settings, constitution, store)
    scheme = scheme_of(constitution)
    verdicts = aggregate(tally.logit_RPNN, tally.applies_RP, scheme)
    orders = order_completions(verdicts.p_RNN, scheme.tie_margin)
    lines = _lines(ballots, constitution, tally, verdicts, orders)
    lacking = [row for row, order in enumerate(orders) if None in order.scores]
    asked = {row: questions(ballots[row], constitution) for row in lacking}
    votes = store.get([question for row in lacking for question in asked[row]])
    for row in lacking:
        about = [votes[question] for question in asked[row] if question in votes]
        p_NN, abstained_NN = verdicts.p_RNN[row], verdicts.abstained_RNN[row]
        reasons = why_unranked(ballots[row], orders[row].ranking, about, p_NN, abstained_NN)
        lines[row]["unranked"] = {str(index): reason for index, reason in reasons.items()}
        if not orders[row].ranking:
            lines[row] |= {"status": "unscored", "reason": reason_of_all(reasons)}
    return lines


def _lines(
    ballots: Sequence[Ballot],
    constitution: Constitution,
    tally: Tally,
    verdicts: Verdicts,
    orders: Sequence[Order],
) -> list[dict[str, Any]]:
    """Ranking lines, all taken as scored; the arrays in them are written by orjson as lists."""
    names = [principle.id for principle in constitution.principles]
    digests = _digests(ballots[0], constitution)  # ballots here have equal settings
    p_RNN = _rounded(verdicts.p_RNN)
    observed_RNN = np.triu(~np.isnan(p_RNN), 1)
    p_RPNN = _rounded(sigmoid(tally.logit_RPNN))
    p_RPNN[..., np.eye(p_RPNN.shape[-1], dtype=bool)] = 0.5
    gap_RP, applies_RP = _or_none(tally.gap_RP), _or_none(tally.applies_RP)
    pairs = list(combinations(range(p_RNN.shape[1]), 2))
    seen_RN = observed_RNN[:, [i for i, _ in pairs], [j for _, j in pairs]].tolist()
    return [
        {
            "id": ballot.id,
            "status": "scored",
            "reason": None,
            "digests": digests,
            "scores": order.scores,
            "ranking": order.ranking,
            "tie_groups": order.tie_groups,
            "cycles": order.cycles,
            "p": p_RNN[row],
            "observed": [pair for pair, seen in zip(pairs, seen_RN[row], strict=True) if seen],
            "unranked": {},
            "principles": {
                name: {
                    "p": p_RPNN[row, k],
                    "order_gap": gap_RP[row][k],
                    "applies": applies_RP[row][k],
                }
                for k, name in enumerate(names)
            },
            "votes": _reference(ballot),
        }
        for row, (ballot, order) in enumerate(zip(ballots, orders, strict=True))
    ]


def _rounded(values: Any) -> Any:
    return np.round(values, DECIMALS)


def _or_none(values: Floats) -> list[list[float | None]]:
    return [[x if x == x else None for x in row] for row in _rounded(values).tolist()]


def _alone(ballot: Ballot, constitution: Constitution) -> dict[str, Any]:
    """The line of a ballot with one completion: nothing to compare."""
    size = len(ballot.completions)
    return {
        "id": ballot.id,
        "status": "unscored",
        "reason": "one_completion",
        "digests": _digests(ballot, constitution),
        "scores": [None] * size,
        "ranking": [],
        "tie_groups": [],
        "cycles": [],
        "p": [[0.5]] * size,
        "observed": [],
        "unranked": {str(index): "one_completion" for index in range(size)},
        "principles": {},
        "votes": _reference(ballot),
    }


def _digests(ballot: Ballot, constitution: Constitution) -> dict[str, Any]:
    return {
        "constitution": constitution.digest,
        "judge": "+".join(ballot.settings.pair),
        "calibration": None,
    }


def _reference(ballot: Ballot) -> dict[str, Any]:
    """Where the votes lie: what `charter reweigh` needs to find them again in the store."""
    return {
        "conversation": ballot.conversation,
        "completions": ballot.completions,
        "settings": {
            "pair": ballot.settings.pair,
            "applies": ballot.settings.applies,
            "rule": ballot.settings.rule,
        },
    }


def questions(
    ballot: Ballot, constitution: Constitution, pairs: Sequence[tuple[int, int]] | None = None
) -> list[Question]:
    """Every question whose vote a ballot needs: scopes, rules, and pairs in both orders."""
    indices = [i for i, completion in enumerate(ballot.completions) if completion != EMPTY]
    wanted = list(combinations(indices, 2)) if pairs is None else pairs
    wanted = [(i, j) for i, j in wanted if i in indices and j in indices]
    asked: dict[Question, None] = {}
    for principle in constitution.principles:
        if principle.applies_when is not None:
            for setting in ballot.settings.applies:
                asked[_question(ballot, setting, principle.question_digest("applies"))] = None
        if principle.rule is not None:
            for index in indices:
                digest = principle.question_digest("rule")
                asked[_question(ballot, ballot.settings.rule, digest, index)] = None
            continue
        for setting in ballot.settings.pair:
            digest = principle.question_digest("pair")
            for i, j in wanted:
                if ballot.completions[i] != ballot.completions[j]:
                    asked[_question(ballot, setting, digest, i, j)] = None
                    asked[_question(ballot, setting, digest, j, i)] = None
    return list(asked)


def _question(ballot: Ballot, setting: str, principle: str, *shown: int) -> Question:
    return Question(
        setting=setting,
        principle=principle,
        conversation=ballot.conversation,
        completions=tuple(ballot.completions[index] for index in shown),
    )
