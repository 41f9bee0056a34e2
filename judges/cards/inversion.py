"""Does the judge read the principle? Under its negation, a judge that does turns round.

A judge that goes by length, place or fluency says the same under a principle and its opposite:
its inversion is near 0, whatever its accuracy. One that draws lots for each wording is at one half.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from judges.calibration.estimates import Estimate, FloatArray, share_estimate
from judges.cards.labelled import LabelledPair, drawn
from judges.constitutions.constitution import Constitution, Principle
from judges.judge import Judge, Method
from judges.rank import Progress, rank
from judges.records import Record
from judges.store.vote_store import VoteStore

NEGATED = "Prefer the completion that violates this: {text}"


class Inversion(Record):
    """How often verdicts turn round when every judged principle is negated."""

    n: int
    """Pairs with a winner under the principles and a verdict under their negation."""
    undecided: int
    """Pairs left out: exactly tied under the principles, so that nothing can turn round."""
    unscored: int
    """Pairs left out: no verdict under the principles, or under their negation."""
    turned: Estimate | None
    """Share of the n whose winner changes; a tie under the negation is a half."""
    principles: dict[str, Estimate | None]
    """The same for each judged principle alone."""
    reason: str
    """Empty, or why there is no number."""


def texts_only(constitution: Constitution) -> Constitution | None:
    """The constitution without its rules; None when nothing is left to judge."""
    judged = tuple(p for p in constitution.principles if p.text is not None)
    return constitution.model_copy(update={"principles": judged}) if judged else None


def negated(constitution: Constitution) -> Constitution:
    """The constitution with every judged text turned into its opposite; scopes stay."""
    turned = tuple(_negated(p) for p in constitution.principles if p.text is not None)
    return constitution.model_copy(update={"principles": turned})


def _negated(principle: Principle) -> Principle:
    text = NEGATED.format(text=principle.text)
    return principle.model_copy(update={"text": text, "tests": (), "propositions": ()})


async def measure_inversion(
    pairs: list[LabelledPair],
    constitution: Constitution,
    judges: Sequence[Judge],
    store: VoteStore,
    method: Method,
    *,
    at_most: int,
    seed: int,
    progress: Progress | None = None,
) -> Inversion:
    """How often verdicts turn round under the negated constitution, rules aside.

    Cost: two votes for each of `at_most` pairs, judged principle and judge; those on the
    principles as they stand are in the store once the card's pairs are judged.
    """
    plain = texts_only(constitution)
    if plain is None or not at_most:
        reason = "no pairs were asked for" if plain else "the constitution has rules only"
        return Inversion(n=0, undecided=0, unscored=0, turned=None, principles={}, reason=reason)
    items = [pair.item for pair in drawn(pairs, at_most, seed)]
    lines: list[list[dict[str, Any]]] = []
    for under in (plain, negated(plain)):
        judged = rank(
            items, under, judges, store, method=method, progress=progress if lines else None
        )
        lines.append([line async for part in judged for line in part])
    groups = [item.conversation_text for item in items]
    names = [principle.id for principle in plain.principles]
    return _inversion(lines[0], lines[1], names, groups)


def _inversion(
    before: Sequence[Mapping[str, Any]],
    after: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    groups: Sequence[str],
) -> Inversion:
    old, new = (np.array([_side(line["p"]) for line in lines]) for lines in (before, after))
    scored = ~np.isnan(old) & ~np.isnan(new)
    n = int((scored & (old != 0)).sum())
    return Inversion(
        n=n,
        undecided=int((scored & (old == 0)).sum()),
        unscored=int((~scored).sum()),
        turned=_turned(old, new, groups),
        principles={
            name: _turned(_sides(before, name), _sides(after, name), groups) for name in names
        },
        reason="" if n else "no pair has a winner under the principles and a verdict without",
    )


def _sides(lines: Sequence[Mapping[str, Any]], name: str) -> FloatArray:
    """Which side each line's principle prefers: 1, 0 for none, -1; NaN where not judged."""
    return np.array(
        [_side(line["principles"][name]["p"]) if line["principles"] else np.nan for line in lines]
    )


def _side(p: Any) -> float:
    value = p[0][1]
    return float("nan") if value is None else float(np.sign(float(value) - 0.5))


def _turned(old: FloatArray, new: FloatArray, groups: Sequence[str]) -> Estimate | None:
    decided = ~np.isnan(new) & ~np.isnan(old) & (old != 0)
    if not decided.any():
        return None
    turned = 0.5 - 0.5 * old[decided] * new[decided]
    return share_estimate(turned, [g for g, kept in zip(groups, decided, strict=True) if kept])
