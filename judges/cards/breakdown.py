"""One row of a card: the same numbers for all pairs, a slice, a principle, or one judge of a panel.

`nulls` are judges that read nothing. A judge that does not beat the best of them has shown nothing
that a ruler could not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt

from judges.calibration.agreement import cohen_kappa
from judges.calibration.estimates import (
    Estimate,
    FloatArray,
    IntArray,
    group_numbers,
    mean_estimate,
    share_estimate,
)
from judges.calibration.metrics import correctness, ece, nll
from judges.cards.labelled import LabelledPair
from judges.cards.voting import View
from judges.errors import DataError
from judges.records import Record

NULLS = ("first", "longest", "shortest", "random")
SIDES = {1.0: "first", 0.0: "second", 0.5: "tie"}
Found = TypeVar("Found")


@dataclass(frozen=True)
class Truth:
    """What is known of the pairs without any judge."""

    label_B: FloatArray
    """1 the first is preferred, 0 the second, 0.5 a tie."""
    length_B2: FloatArray
    """Characters of each completion."""
    group_B: IntArray
    """Which pairs share a prompt."""

    @classmethod
    def of(cls, pairs: Sequence[LabelledPair]) -> Self:
        """The truth about some pairs."""
        sizes = [[len(one.text) for one in pair.item.completions] for pair in pairs]
        return cls(
            label_B=np.array([pair.preferred for pair in pairs], float),
            length_B2=np.array(sizes, float).reshape(-1, 2),
            group_B=group_numbers([pair.item.conversation_text for pair in pairs], len(pairs)),
        )

    def only(self, kept: npt.NDArray[np.bool_]) -> "Truth":
        """The pairs that are kept; prompts are numbered anew."""
        groups = self.group_B[kept]
        return Truth(self.label_B[kept], self.length_B2[kept], group_numbers(groups, len(groups)))


class Breakdown(Record):
    """How one judge, or panel, did on one set of labelled pairs."""

    name: str
    """What the set, the principle or the judge is called."""
    n: int
    """Pairs with a verdict: what all numbers rest on but where they say otherwise."""
    unscored: int
    """Pairs without a verdict: counted here, and in nothing else."""
    ties: int
    """Of the n, pairs that people call a tie: they count half right whatever the verdict."""
    accuracy: Estimate | None
    """Share judged as people did; None where nothing is scored."""
    nulls: dict[str, Estimate]
    """Accuracy of judges that read nothing, on the same pairs; `random` in expectation."""
    best_null: str | None
    """The most accurate of them."""
    above_best_null: Estimate | None
    """Accuracy minus the best null's, paired over prompts."""
    flip_rate: Estimate | None
    """Share of pairs whose winner changes with the order shown, where both orders are scored."""
    order_gap: Estimate | None
    """Log-odds a completion gains by being shown first, mean."""
    inversion: Estimate | None
    """Share of verdicts that turn round under the negated principle; None where not measured."""
    kappa: Estimate | None
    """Cohen's, of verdict and label as first, second or tie; None where undefined."""
    ece: Estimate | None
    """Expected calibration error of the raw probabilities, bins of equal mass."""
    nll: Estimate | None
    """Negative log-likelihood of the raw probabilities, nats a pair; 0.693 knows nothing."""


def known(make: Callable[[], Found]) -> Found | None:
    """What `make` finds, or None where its items are too few or too alike to say."""
    try:
        return make()
    except DataError:
        return None


def breakdown(
    name: str,
    view: View,
    truth: Truth,
    tie_margin: float = 0.0,
    inversion: Estimate | None = None,
    *,
    seed: int,
) -> Breakdown:
    """All numbers of one row. A verdict nearer to 0.5 than the tie margin is a tie for kappa."""
    scored = ~np.isnan(view.logit_B)
    x, seen = view.logit_B[scored], truth.only(scored)
    y, groups = seen.label_B, seen.group_B
    right = correctness(x, y)
    nulls = null_correctness(seen)
    best = max(NULLS, key=lambda null: float(nulls[null].mean())) if len(x) else None
    return Breakdown(
        name=name,
        n=len(x),
        unscored=int((~scored).sum()),
        ties=int((y == 0.5).sum()),
        accuracy=known(lambda: share_estimate(right, groups)),
        nulls={null: share_estimate(nulls[null], groups) for null in NULLS} if best else {},
        best_null=best,
        above_best_null=known(lambda: mean_estimate(right - nulls[best or ""], groups, seed=seed))
        if best
        else None,
        flip_rate=flip_rate(view, truth),
        order_gap=_order_gap(view, truth, seed),
        inversion=inversion,
        kappa=known(lambda: cohen_kappa(sides(x, tie_margin), _labels(y), groups, seed=seed)),
        ece=known(lambda: ece(x, y, groups, seed=seed)),
        nll=known(lambda: nll(x, y, groups, seed=seed)),
    )


def null_correctness(truth: Truth) -> dict[str, FloatArray]:
    """How right each judge that reads nothing is on each pair."""
    longer = truth.length_B2[:, 0] - truth.length_B2[:, 1]
    verdicts = {
        "first": np.ones(len(longer)),
        "longest": longer,
        "shortest": -longer,
        "random": np.zeros(len(longer)),
    }
    return {name: correctness(verdicts[name], truth.label_B) for name in NULLS}


def flips(order_B2: FloatArray) -> FloatArray:
    """1 where the two orders name different winners, a half where one ties, NaN where one lacks."""
    first, second = np.sign(order_B2[:, 0]), np.sign(order_B2[:, 1])
    return np.asarray(np.abs(first - second) / 2)


def flip_rate(view: View, truth: Truth) -> Estimate | None:
    """The share of pairs whose winner hangs on the order shown."""
    turned = flips(view.order_B2)
    both = ~np.isnan(turned)
    return known(lambda: share_estimate(turned[both], truth.only(both).group_B))


def sides(logits: FloatArray, tie_margin: float) -> list[str]:
    """The verdicts as first, second or tie."""
    near = np.abs(np.tanh(logits / 2)) / 2 < tie_margin
    return [SIDES[side] for side in np.where(near, 0.5, 0.5 + 0.5 * np.sign(logits)).tolist()]


def _labels(labels: FloatArray) -> list[str]:
    return [SIDES[label] for label in labels.tolist()]


def _order_gap(view: View, truth: Truth, seed: int) -> Estimate | None:
    gap = (view.order_B2[:, 0] - view.order_B2[:, 1]) / 2
    both = ~np.isnan(gap)
    return known(lambda: mean_estimate(gap[both], truth.only(both).group_B, seed=seed))
