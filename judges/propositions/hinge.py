"""The hinge ranking problem, solved to a stated gap: min mean relu(t − D·w) + l2·|w|²/2.

The kink is rounded ever less and each round starts where the last one ended. The dual problem
bounds how far the answer is from the best there is, so that a fit that did not converge shows.
"""

from typing import NamedTuple

import numpy as np

from judges.calibration.estimates import FloatArray

ROUNDINGS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
"""Coarser sequences cost more steps: each start is then further from its end."""
STEPS = 100
HALVINGS = 30
ENOUGH = 1e-10


class HingeFit(NamedTuple):
    """The weights that a fit ended with, and how good they are."""

    weights_F: FloatArray
    """One a feature, within its bounds."""
    loss: float
    """Mean hinge loss, without the penalty."""
    gap: float
    """At most this far above the least possible objective."""


class _Problem(NamedTuple):
    differences_PF: FloatArray
    targets_P: FloatArray
    l2: float
    lowest_F: FloatArray
    highest_F: FloatArray


def fit_hinge(
    differences_PF: FloatArray, targets_P: FloatArray, l2: float, signs_F: FloatArray
) -> HingeFit:
    """The weights that minimise the hinge loss over pairs, better minus worse.

    `signs_F`: 1 keeps a weight from 0 up, −1 from 0 down, 0 leaves it free. l2 is above 0: it
    makes the answer unique, and the smallest among those that rank alike.
    """
    lowest = np.where(signs_F > 0, 0.0, -np.inf)
    highest = np.where(signs_F < 0, 0.0, np.inf)
    problem = _Problem(differences_PF, targets_P, l2, lowest, highest)
    w = np.zeros(differences_PF.shape[1])
    for rounding in ROUNDINGS:
        w = _descended(problem, w, rounding)
    short_P = targets_P - differences_PF @ w
    loss = float(np.maximum(short_P, 0).mean())
    alpha_P = np.clip(short_P / ROUNDINGS[-1], 0, 1) / len(short_P)
    pull_F = alpha_P @ differences_PF
    against = np.clip(pull_F / l2, lowest, highest)
    dual = alpha_P @ targets_P + l2 * (against @ against) / 2 - pull_F @ against
    return HingeFit(w, loss, max(0.0, loss + l2 * float(w @ w) / 2 - float(dual)))


def _descended(problem: _Problem, w: FloatArray, rounding: float) -> FloatArray:
    """Newton's steps from w, halved until they lower the objective, until they no longer do.

    A weight at its bound that would leave it is held there for the step.
    Source: Bertsekas 1982, projected Newton.
    """
    differences_PF, targets_P, l2, lowest, highest = problem
    value = _objective(problem, w, rounding)
    for _ in range(STEPS):
        short_P = targets_P - differences_PF @ w
        slope_P = np.clip(short_P / rounding, 0, 1) / len(short_P)
        gradient = l2 * w - slope_P @ differences_PF
        held = ((w <= lowest) & (gradient > 0)) | ((w >= highest) & (gradient < 0))
        curved = differences_PF[(short_P > 0) & (short_P < rounding)][:, ~held]
        hessian = l2 * np.eye(int((~held).sum())) + curved.T @ curved / (rounding * len(short_P))
        step = np.zeros_like(w)
        step[~held] = -np.linalg.solve(hessian, gradient[~held])
        for halving in range(HALVINGS):
            tried = np.clip(w + step / 2**halving, lowest, highest)
            lower = _objective(problem, tried, rounding)
            if lower <= value + 1e-4 * float(gradient @ (tried - w)):
                break
        else:
            return w
        gain, w, value = value - lower, tried, lower
        if gain <= ENOUGH * max(1.0, value):
            return w
    return w


def _objective(problem: _Problem, w: FloatArray, rounding: float) -> float:
    """The loss with its kink replaced by a parabola of this width, and the penalty."""
    short = np.maximum(problem.targets_P - problem.differences_PF @ w, 0)
    inside = np.minimum(short, rounding)
    loss = (inside**2 / (2 * rounding) + short - inside).mean()
    return float(loss + problem.l2 * (w @ w) / 2)
