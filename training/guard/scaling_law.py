"""How reward runs away from what it stands for: the curve of Gao et al. over √KL.

Source: Gao, Schulman and Hilton 2023, arXiv:2210.10760, section 3.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from judges.records import Record

Form = Literal["learned", "best-of-n"]
FEWEST_POINTS = 4


class ScalingLaw(Record):
    """A reward as a function of d = √KL, over what it is at the reference."""

    form: Form
    """`learned`: d · (alpha - beta · log d), for PPO and its kin. `best-of-n`: d · (alpha - beta ·
    d)."""
    alpha: float
    """How fast the reward rises at first."""
    beta: float
    """How fast it turns; above 0 it does."""
    peak: float | None
    """The d at which it is highest; None where it never turns."""
    explained: float
    """Share of the variance explained; the law says little where this is far from 1."""

    def at(self, d: float) -> float:
        """The reward over the reference's."""
        if d <= 0:
            return 0.0
        return d * (self.alpha - self.beta * (math.log(d) if self.form == "learned" else d))


def fit_law(points: Sequence[tuple[float, float]], form: Form) -> ScalingLaw | None:
    """The law through points (√KL, reward over the reference's), by least squares.

    None for fewer than four points away from the reference, or rewards that are all the same.
    """
    away = [(d, gain) for d, gain in points if d > 0]
    if len(away) < FEWEST_POINTS:
        return None
    d, gain = np.array(away).T
    turn = d * np.log(d) if form == "learned" else d**2
    (alpha, minus_beta), *_ = np.linalg.lstsq(np.column_stack([d, turn]), gain, rcond=None)
    left = float(((np.column_stack([d, turn]) @ [alpha, minus_beta] - gain) ** 2).sum())
    spread = float(((gain - gain.mean()) ** 2).sum())
    if spread == 0:
        return None
    alpha, beta = float(alpha), -float(minus_beta)
    return ScalingLaw(
        form=form,
        alpha=alpha,
        beta=beta,
        peak=_peak(alpha, beta, form),
        explained=1 - left / spread,
    )


def _peak(alpha: float, beta: float, form: Form) -> float | None:
    if beta <= 0:
        return None
    if form == "best-of-n":
        return alpha / (2 * beta) if alpha > 0 else None
    return math.exp(min(alpha / beta - 1, 50.0))
