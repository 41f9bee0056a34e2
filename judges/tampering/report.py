"""What tampered pairs tell of a judge and of a critic: recall per principle, critique precision.

No person labels anything: the principle that was violated, and where, is known.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from judges.calibration.estimates import Estimate, share_estimate
from judges.constitutions.constitution import Constitution
from judges.critiques.critique import Subject, critique
from judges.errors import DataError
from judges.judge import Judge
from judges.model import ChatModel, Sampling
from judges.rank import rank
from judges.records import Record
from judges.store.vote_store import VoteStore
from judges.tampering.pairs import TamperedPair, alone


class PrincipleRecall(Record):
    """How often a judge sees that a principle was violated."""

    principle: str
    """Its id."""
    n: int
    """Pairs with a verdict."""
    recall: Estimate | None
    """Share of them on which the original is preferred under this principle; a tie is a half."""
    unscored: int
    """Pairs without a verdict."""


class CritiqueSpan(Record):
    """Where a critique of a tampered copy points."""

    pair: str
    """The id of the tampered pair."""
    principle: str
    """The id of the principle the critique is about."""
    start: Annotated[int, Field(ge=0)]
    """First character of its quote, in the pair's `rejected`."""
    end: Annotated[int, Field(ge=0)]
    """One past the last character of its quote."""


class CritiqueScores(Record):
    """How well critiques find what was tampered with."""

    principle: str | None
    """The principle, or None for all together."""
    critiques: int
    """Critiques of the copies under the principle each violates."""
    precision: Estimate | None
    """Share of them whose quote overlaps the tampered span. Faults that the original had count
    as misses, so it is a lower bound."""
    copies: int
    """Tampered copies."""
    recall: Estimate | None
    """Share of them with at least one such critique."""
    set_aside: int
    """Critiques under other principles than the violated one: nobody knows whether they hold."""


async def measure_recall(
    pairs: Sequence[TamperedPair],
    constitution: Constitution,
    judges: Sequence[Judge],
    store: VoteStore,
) -> list[PrincipleRecall]:
    """Each principle's recall, in the constitution's order; both orders averaged.

    Cost: two votes for each judged pair and judge, none for a rule, less what is stored already.
    Raises: ConstitutionError for a pair whose principle the constitution lacks.
    """
    by_principle = _by_principle(pairs)
    for principle in by_principle:
        alone(constitution, principle)
    return [
        await _recall(principle.id, by_principle[principle.id], constitution, judges, store)
        for principle in constitution.principles
        if principle.id in by_principle
    ]


async def _recall(
    principle: str,
    pairs: Sequence[TamperedPair],
    constitution: Constitution,
    judges: Sequence[Judge],
    store: VoteStore,
) -> PrincipleRecall:
    items = [pair.item for pair in pairs]
    under = alone(constitution, principle)
    lines = [line async for part in rank(items, under, judges, store) for line in part]
    p = np.array([line["p"][0][1] for line in lines if line["status"] == "scored"], dtype=float)
    return PrincipleRecall(
        principle=principle,
        n=len(p),
        recall=share_estimate((1 + np.sign(p - 0.5)) / 2) if len(p) else None,
        unscored=len(lines) - len(p),
    )


async def critique_copies(
    pairs: Sequence[TamperedPair],
    constitution: Constitution,
    critic: ChatModel,
    sampling: Sampling,
    *,
    attempts: int = 3,
) -> tuple[list[CritiqueSpan], Counter[str]]:
    """The faults a critic finds in the copies, each asked about the principle it violates.

    Also counts what became of each request: `found`, `nothing found`, `no critique request` (of
    principles that have none), or why there is no critique.

    Cost: one completion for each copy, up to `attempts` where it is unusable.
    """
    requests = {principle.id: principle.critique for principle in constitution.principles}
    asked = [pair for pair in pairs if requests.get(pair.principle)]
    outcomes = Counter({"no critique request": len(pairs) - len(asked)})
    subjects = [
        Subject(pair.prompt, pair.rejected, pair.principle, requests[pair.principle] or "")
        for pair in asked
    ]
    spans = []
    for pair, made in zip(
        asked, await critique(subjects, critic, sampling, attempts=attempts), strict=True
    ):
        if made.span is not None:
            start, end = made.span
            spans.append(CritiqueSpan(pair=pair.id, principle=pair.principle, start=start, end=end))
        outcomes["found" if made.span else made.reason or "nothing found"] += 1
    return spans, +outcomes


def measure_critiques(
    pairs: Sequence[TamperedPair], critiques: Sequence[CritiqueSpan]
) -> list[CritiqueScores]:
    """Precision and recall of critiques of the tampered copies: all together, then by principle.

    Raises: DataError for a critique of a pair that is not given.
    """
    known = {pair.id: pair for pair in pairs}
    for told in critiques:
        if told.pair not in known:
            raise DataError(
                f"a critique names pair {told.pair!r}, which is not among the "
                f"{len(known)} tampered pairs; give the critiques of these pairs only"
            )
    return [_scores(None, pairs, critiques)] + [
        _scores(principle, copies, [c for c in critiques if known[c.pair].principle == principle])
        for principle, copies in _by_principle(pairs).items()
    ]


def _scores(
    principle: str | None, pairs: Sequence[TamperedPair], critiques: Sequence[CritiqueSpan]
) -> CritiqueScores:
    known = {pair.id: pair for pair in pairs}
    told = [c for c in critiques if c.principle == known[c.pair].principle]
    hits = np.array([overlaps(known[c.pair], c) for c in told], dtype=float)
    found = {c.pair for c, hit in zip(told, hits, strict=True) if hit}
    caught = np.array([pair.id in found for pair in pairs], dtype=float)
    return CritiqueScores(
        principle=principle,
        critiques=len(told),
        precision=share_estimate(hits, [c.pair for c in told]) if told else None,
        copies=len(pairs),
        recall=share_estimate(caught) if pairs else None,
        set_aside=len(critiques) - len(told),
    )


def overlaps(pair: TamperedPair, critique: CritiqueSpan) -> bool:
    """Whether a quote shares a character with what was tampered with."""
    start, end = pair.span
    return max(start, critique.start) < min(end, critique.end)


def _by_principle(pairs: Sequence[TamperedPair]) -> dict[str, list[TamperedPair]]:
    groups: dict[str, list[TamperedPair]] = {}
    for pair in pairs:
        groups.setdefault(pair.principle, []).append(pair)
    return groups
