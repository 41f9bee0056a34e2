"""Agreement beyond chance, of judges with people and of people with each other; length bias."""

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from judges.calibration.estimates import (
    Estimate,
    FloatArray,
    Groups,
    bootstrap_estimate,
    group_numbers,
    mean_estimate,
    share_estimate,
)
from judges.errors import DataError
from judges.records import Record

Category = Hashable | None


class HumanAgreement(Record):
    """How far several annotators agree: the ceiling for a judge."""

    n: int
    """Items with at least two annotations."""
    pairwise: Estimate
    """Chance that two annotators of one item say the same."""
    unanimous: Estimate
    """Share of items on which all say the same."""
    against_majority: Estimate | None
    """One annotator against the majority of the others, a tied majority a half; needs three."""
    alpha: Estimate | None
    """Krippendorff's, nominal; None where it is undefined."""


class LengthPreference(Record):
    """How often the longer completion wins."""

    share: Estimate
    """Of pairs with a winner and a longer side; 0.5 is no preference."""
    ties: int
    """Pairs left out: no winner, or equal lengths."""
    unscored: int
    """Pairs left out: not judged."""


class LengthPreferences(Record):
    """The judge's preference for length next to people's, on the same pairs."""

    judge: LengthPreference
    """All pairs the judge decided."""
    human: LengthPreference
    """All pairs people decided."""
    difference: Estimate | None
    """Judge minus people on pairs that both decided, paired bootstrap; None without such."""


def cohen_kappa(
    first: Sequence[Category], second: Sequence[Category], groups: Groups = None, *, seed: int
) -> Estimate | None:
    """Agreement beyond chance of two raters, bootstrap interval; items either left out are out.

    None where both only ever use one category: chance alone then agrees, kappa is 0/0.
    Raises: DataError when no item has both. Source: Cohen 1960.
    """
    if len(first) != len(second):
        raise DataError(f"{len(first)} and {len(second)} ratings; give both raters the same items")
    both = [i for i in range(len(first)) if first[i] is not None and second[i] is not None]
    if not both:
        raise DataError("no item has been rated by both; kappa needs shared items")
    number = {c: i for i, c in enumerate(dict.fromkeys([*first, *second]))}
    a, b = (np.array([number[rater[i]] for i in both]) for rater in (first, second))
    if len(np.unique(np.r_[a, b])) == 1:
        return None
    size = len(number)
    columns = np.eye(size * size)[a * size + b]

    def kappa(totals: FloatArray) -> FloatArray:
        table = totals.reshape(*totals.shape[:-1], size, size)
        n = table.sum(axis=(-1, -2))
        observed = np.trace(table, axis1=-2, axis2=-1) / n
        chance = (table.sum(axis=-1) * table.sum(axis=-2)).sum(axis=-1) / n**2
        return _ratio(observed - chance, 1 - chance)

    numbers = group_numbers(groups, len(first))[both]
    return bootstrap_estimate(columns, kappa, group_numbers(numbers, len(both)), seed)


def krippendorff_alpha(ratings: Sequence[Sequence[Category]], *, seed: int) -> Estimate | None:
    """Agreement beyond chance of any number of raters, nominal, None where a rating is missing.

    Items with fewer than two ratings count for nothing. Interval: bootstrap over items. None where
    only one category is used. Shapes: (raters, items).
    Raises: DataError when no item has two ratings. Source: Krippendorff 2011.
    """
    counts = _category_counts(ratings)
    if (counts.sum(axis=0) > 0).sum() == 1:
        return None
    rated = counts.sum(axis=1, keepdims=True)
    disagreement = (counts * (rated - counts) / (rated - 1)).sum(axis=1, keepdims=True)

    def alpha(totals: FloatArray) -> FloatArray:
        each, n = totals[..., 1:], totals[..., 1:].sum(axis=-1)
        found: FloatArray = 1 - _ratio((n - 1) * totals[..., 0], n**2 - (each**2).sum(axis=-1))
        return found

    columns = np.hstack([disagreement, counts])
    return bootstrap_estimate(columns, alpha, np.arange(len(columns)), seed)


def human_agreement(annotations: Sequence[Sequence[Category]], *, seed: int) -> HumanAgreement:
    """How far annotators agree, over items with at least two of them. Shapes: (raters, items).

    Raises: DataError when no item has two annotations.
    """
    counts = _category_counts(annotations)
    rated = counts.sum(axis=1)
    pairwise = (counts * (counts - 1)).sum(axis=1) / (rated * (rated - 1))
    three = counts[rated >= 3]
    return HumanAgreement(
        n=len(counts),
        pairwise=mean_estimate(pairwise, seed=seed),
        unanimous=share_estimate((counts.max(axis=1) == rated).astype(np.float64)),
        against_majority=mean_estimate(_left_out_agreement(three), seed=seed)
        if len(three)
        else None,
        alpha=krippendorff_alpha(annotations, seed=seed),
    )


def length_preference(lengths: npt.ArrayLike, winners: npt.ArrayLike) -> LengthPreference:
    """Share of pairs in which the longer completion wins, with its Wilson interval.

    Winners are 1 (first), 0 (second), 0.5 (tie), NaN (unscored), or any probability of the first.
    Raises: DataError when every pair is a tie. Shapes: (n, 2), (n,).
    """
    longer, won = _longer_and_won(lengths, winners)
    decided = (longer != 0) & (won != 0) & ~np.isnan(won)
    unscored = int(np.isnan(won).sum())
    return LengthPreference(
        share=share_estimate((longer[decided] == won[decided]).astype(np.float64)),
        ties=len(won) - int(decided.sum()) - unscored,
        unscored=unscored,
    )


def length_preferences(
    lengths: npt.ArrayLike,
    judge: npt.ArrayLike,
    human: npt.ArrayLike,
    groups: Groups = None,
    *,
    seed: int,
) -> LengthPreferences:
    """The judge's preference for length next to people's; people like length too, by themselves."""
    longer, by_judge = _longer_and_won(lengths, judge)
    _, by_human = _longer_and_won(lengths, human)
    both = (longer != 0) & np.isin(by_judge, (-1, 1)) & np.isin(by_human, (-1, 1))
    difference = None
    if both.any():
        gap = (by_judge[both] == longer[both]) * 1.0 - (by_human[both] == longer[both])
        numbers = group_numbers(groups, len(longer))[both]
        difference = mean_estimate(gap, group_numbers(numbers, len(gap)), seed=seed)
    return LengthPreferences(
        judge=length_preference(lengths, judge),
        human=length_preference(lengths, human),
        difference=difference,
    )


def _longer_and_won(
    lengths: npt.ArrayLike, winners: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Which side is longer and which side won: 1 the first, −1 the second, 0 neither."""
    sizes = np.asarray(lengths, dtype=np.float64)
    won = np.asarray(winners, dtype=np.float64)
    if sizes.shape != (len(won), 2):
        raise DataError(f"lengths of shape {sizes.shape} for {len(won)} pairs; give (n, 2)")
    return np.sign(sizes[:, 0] - sizes[:, 1]), np.sign(won - 0.5)


def _category_counts(ratings: Sequence[Sequence[Category]]) -> FloatArray:
    """How many raters gave an item each category, items with two or more. Shapes: → (n, K)."""
    if len({len(rater) for rater in ratings}) > 1:
        raise DataError("raters have different numbers of items; put None where one is missing")
    given = dict.fromkeys(value for rater in ratings for value in rater if value is not None)
    number = {category: i for i, category in enumerate(given)}
    counts = np.zeros((len(ratings[0]) if ratings else 0, len(number)))
    for rater in ratings:
        for item, value in enumerate(rater):
            if value is not None:
                counts[item, number[value]] += 1
    twice: FloatArray = counts[counts.sum(axis=1) >= 2]
    if not len(twice):
        raise DataError("no item has two ratings; agreement needs at least two raters an item")
    return twice


def _left_out_agreement(counts: FloatArray) -> FloatArray:
    """Mean over an item's annotators of agreement with the others' majority, ties shared."""
    rated = counts.sum(axis=1)
    agreed = np.zeros(len(counts))
    for category in range(counts.shape[1]):
        others = counts.copy()
        others[:, category] -= 1
        most = others.max(axis=1, keepdims=True)
        at_top = others == most
        share = at_top[:, category] / at_top.sum(axis=1)
        agreed += counts[:, category] / rated * share
    return agreed


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(below > 1e-12, above / below, np.nan))
