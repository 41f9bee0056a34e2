"""Logistic regression with soft labels, weights, L2 and lower bounds, by Newton's method."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from judges.calibration.estimates import FloatArray

STEPS = 100
HALVINGS = 30
TOLERANCE = 1e-10
EVEN, TINY = 1e-9, 1e-12
"""Added to the curvature so that every step is defined; the optimum stays where it is."""


class _Problem(NamedTuple):
    features: FloatArray
    targets: FloatArray
    weights: FloatArray
    l2: FloatArray
    lowest: FloatArray


def fit_logistic(
    features: FloatArray,
    targets: FloatArray,
    weights: FloatArray,
    l2: npt.ArrayLike = 0.0,
    lowest: npt.ArrayLike = -np.inf,
) -> FloatArray:
    """The coefficients from `lowest` up that minimise Σ w·(softplus(z) − t·z) + Σ l2·β²/2.

    z = features·β; no intercept is added: give a column of ones, with l2 0, to have one. A step
    that would not lower the loss is halved, so that the descent never diverges.
    Shapes: (n, K), (n,), (n,), (K,) or one number, the same → (K,).
    Source: bounds by projected Newton steps, Bertsekas 1982.
    """
    columns = features.shape[1]
    l2_K, lowest_K = (np.broadcast_to(np.asarray(x, np.float64), columns) for x in (l2, lowest))
    problem = _Problem(features, targets, weights, l2_K, lowest_K)
    beta: FloatArray = np.maximum(np.zeros(columns), lowest_K)
    enough = TOLERANCE * max(1.0, float(weights.sum()))
    for _ in range(STEPS):
        step, steepness = _newton_step(problem, beta)
        lower = _descended(problem, beta, step) if steepness > enough else None
        if lower is None:
            return beta
        beta = lower
    return beta


def _newton_step(problem: _Problem, beta: FloatArray) -> tuple[FloatArray, float]:
    """The step among coefficients that are free to move, and the largest slope among them."""
    p = expit(problem.features @ beta)
    gradient = problem.features.T @ (problem.weights * (p - problem.targets)) + problem.l2 * beta
    free = (beta > problem.lowest) | (gradient < 0)
    moving = problem.features[:, free]
    curvature = (moving.T * (problem.weights * p * (1 - p))) @ moving
    pull = problem.l2[free] + EVEN * float(np.trace(curvature)) + TINY
    step = np.zeros(len(beta))
    step[free] = np.linalg.solve(curvature + np.diag(pull), gradient[free])
    return step, float(np.abs(gradient[free]).max(initial=0))


def _descended(problem: _Problem, beta: FloatArray, step: FloatArray) -> FloatArray | None:
    """The coefficients after the longest of the halved steps that lowers the loss, if any does."""
    loss = _loss(problem, beta)
    for halving in range(HALVINGS):
        tried: FloatArray = np.maximum(beta - step / 2**halving, problem.lowest)
        if _loss(problem, tried) < loss:
            return tried
    return None


def _loss(problem: _Problem, beta: FloatArray) -> float:
    z = problem.features @ beta
    likelihood = problem.weights * (np.logaddexp(0, z) - problem.targets * z)
    return float(np.sum(likelihood) + np.sum(problem.l2 * beta**2) / 2)
