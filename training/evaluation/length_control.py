"""What a win rate would be if both sides' answers were equally long.

The win of a pair follows a logistic curve: logit P(win) = θ + φ·tanh(Δ/s), Δ the characters by
which the policy's answer is longer, s their standard deviation. The length-controlled rate is σ(θ):
the curve where Δ is 0. This is AlpacaEval 2's regression for one pair of policies; its third term,
how hard each instruction is, is learnt there from many models' answers and is left out here.

Pairs of the earlier policy with itself are fitted beside, with θ = 0: any difference of length
there is one of length alone, so that a policy whose answers are all longer is not excused, nor
blamed, by a guess. Source: Dubois et al. 2024, arXiv:2404.04475, section 3.
"""

import numpy as np
from scipy.special import expit

from judges.calibration.estimates import Estimate, FloatArray, IntArray, group_numbers

RESAMPLES = 1000
NUMBERS_AT_ONCE = 500_000
STEPS = 50
ACCURACY = 1e-6
LONGEST_STEP = 2.0
PRIOR_2 = np.array([1 / 25, 1 / 2500])
"""Precision of the normal priors of θ and φ. They bind only where all is won, or where length alone
tells each winner: then φ may grow, and takes the win with it."""


def length_controlled(
    wins_N: FloatArray, longer_N: FloatArray, policies_N: FloatArray, clusters: list[str], seed: int
) -> Estimate | None:
    """The win rate at equal length with its interval over clusters; n counts pairs of policies.

    `wins_N` are 1, 0.5 or 0, `longer_N` characters, `policies_N` 1 for a pair of the two policies
    and 0 for one of the earlier with itself. None where no pair differs in length: there is
    nothing to control.
    """
    spread = float(np.std(longer_N[policies_N > 0])) if np.any(policies_N > 0) else 0.0
    scale = spread or float(np.abs(longer_N).max(initial=0.0))
    if scale == 0:
        return None
    x_N2 = np.column_stack([policies_N, np.tanh(longer_N / scale)])
    groups_N = group_numbers(clusters, len(clusters))
    whole_2 = fit_curves(x_N2, wins_N, np.ones((1, len(wins_N))))[0]
    low, high = np.quantile(_resampled(x_N2, wins_N, groups_N, whole_2, seed), (0.025, 0.975))
    value = _sigmoid(whole_2[0])
    return Estimate(
        value=float(value),
        low=float(min(value, _sigmoid(low))),
        high=float(max(value, _sigmoid(high))),
        n=int(policies_N.sum()),
    )


def _resampled(
    x_N2: FloatArray, wins_N: FloatArray, groups_N: IntArray, whole_2: FloatArray, seed: int
) -> FloatArray:
    """θ when whole clusters are drawn with replacement. Shapes: → (resamples,)."""
    rng = np.random.default_rng(seed)
    count = int(groups_N.max()) + 1
    step = max(1, NUMBERS_AT_ONCE // len(wins_N))
    found = []
    for start in range(0, RESAMPLES, step):
        size = min(step, RESAMPLES - start)
        times_RC = rng.multinomial(count, np.full(count, 1 / count), size=size).astype(float)
        found.append(fit_curves(x_N2, wins_N, times_RC[:, groups_N], whole_2)[:, 0])
    return np.concatenate(found)


def fit_curves(
    x_N2: FloatArray, wins_N: FloatArray, weights_RN: FloatArray, start_2: FloatArray | None = None
) -> FloatArray:
    """θ and φ of each weighting of the same pairs, by Newton's method. Shapes: → (R, 2)."""
    found_R2 = np.tile(np.zeros(2) if start_2 is None else start_2, (len(weights_RN), 1))
    won_R2 = weights_RN @ (wins_N[:, None] * x_N2)
    squares_N3 = np.column_stack([x_N2[:, 0] ** 2, x_N2[:, 0] * x_N2[:, 1], x_N2[:, 1] ** 2])
    for _ in range(STEPS):
        p_RN = _sigmoid(found_R2 @ x_N2.T)
        weighed_RN = weights_RN * p_RN
        slope_R2 = won_R2 - weighed_RN @ x_N2 - PRIOR_2 * found_R2
        weighed_RN *= 1 - p_RN
        bend_R3 = weighed_RN @ squares_N3 + [PRIOR_2[0], 0, PRIOR_2[1]]
        move_R2 = _solved(bend_R3, slope_R2)
        found_R2 += np.clip(move_R2, -LONGEST_STEP, LONGEST_STEP)
        if np.abs(move_R2).max() < ACCURACY:
            break
    return found_R2


def _solved(bend_R3: FloatArray, slope_R2: FloatArray) -> FloatArray:
    """The solutions of symmetric systems of two equations, given as (xx, xy, yy)."""
    xx, xy, yy = bend_R3.T
    first, second = slope_R2.T
    determinant = xx * yy - xy * xy
    return np.column_stack(
        [(yy * first - xy * second) / determinant, (xx * second - xy * first) / determinant]
    )


def _sigmoid(x: FloatArray) -> FloatArray:
    return np.asarray(expit(x))
