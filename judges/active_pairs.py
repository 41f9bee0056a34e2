"""Which pairs to judge when all are too many: a random ring, then always the most telling pair.

A judge's soft answer is a measurement, not the toss of a coin: the logit of a pair is read as
θᵢ - θⱼ plus Gaussian noise, whatever its size. So the posterior is that of least squares, and the
usual information of one comparison, p(1 - p), has no place in it: that weight holds for hard votes.
A round takes the pairs after which the expected number of misordered pairs is least, which is exact
here, since that is a bivariate normal orthant (Owen's T). Dropped after simulation (8 completions,
12 pairs, logit noise 1, Kendall τ to the truth; random pairs 0.843): p(1 - p)·Var(θᵢ - θⱼ) under
Bradley–Terry 0.856, the same under least squares 0.868, q(1 - q)·Var with q = P(i over j) 0.873;
this 0.874, and 0.899 against 0.895 at 16 pairs.

Everything is relative to the spread of the logits seen: a timid judge and a bold one that order
alike are asked alike. The noise of one item is estimated from what its own pairs contradict each
other (each closed cycle is one degree of freedom), held by a prior: never from other items, so that
a second run, with other items beside it, asks the same.

Axis suffixes: `_R` tournaments, `_N` players, `_K` pairs of players, `_C` candidates.
Source: Bradley and Terry 1952; Chen et al. 2013 (Crowd-BT) for asking by expected gain; Owen 1956.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, owens_t

from judges.bradley_terry import LARGEST_LOGIT, Floats

Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]
Pair = tuple[int, int]
Goal = Literal["order", "best"]

PAIRS_EACH = 1.5
"""Pairs a completion where no budget is given: N for the ring, half of that for what is open."""
NOISE_SHARE = 0.25
"""Noise expected before any is seen, as a share of the standard deviation of the strengths."""
NOISE_WEIGHT = 4.0
"""How many degrees of freedom that expectation is worth."""
LEAST_VARIANCE = 1e-6
"""Strengths' variance where a judge is indifferent to everything, in squared logits."""
SHORTLIST = 64
"""Candidates looked at closely: among up to 11 players, all of them."""
CELLS = 1_000_000
"""Pairs times candidates weighed at once: bounds memory."""
FUTILE = 3
"""Pairs of a completion without one verdict, after which it is asked about no more."""
DECIMALS = 9
"""Gains that agree so far are equal: which is taken must not hang on the order of a sum."""


@dataclass(frozen=True)
class Stop:
    """When asking ends before the budget is spent."""

    goal: Goal = "order"
    """The whole order is settled, ties left aside, or only which is the best."""
    doubt: float = 0.05
    """The chance of being wrong that is accepted."""
    tie_margin: float = 0.0
    """Completions whose p is within it of 0.5 may stand either way round."""


def budget_of(size: int, budget: int | None) -> int:
    """How many pairs of so many players may be asked: no more than there are, and enough to connect
    them."""
    wanted = int(np.ceil(PAIRS_EACH * size)) if budget is None else budget
    return min(size * (size - 1) // 2, max(size - 1, wanted))


def round_size(size: int) -> int:
    """Pairs of one round: fewer would be a little more telling, and take longer."""
    return -(-size // 4)


def opening_pairs(
    size: int, budget: int, seed: int, mode: Literal["active", "random"]
) -> list[Pair]:
    """The first pairs to ask, each with i < j: all where the budget allows it, else a random ring.

    `random` goes on with random other pairs to the end of the budget.
    """
    every = list(combinations(range(size), 2))
    if len(every) <= budget:
        return every
    rng = random.Random(seed)
    order = rng.sample(range(size), size)
    ring = [(min(i, j), max(i, j)) for i, j in zip(order, order[1:] + order[:1], strict=True)]
    if mode == "active":
        return sorted(ring[:budget])
    others = sorted(set(every) - set(ring))
    return sorted((ring + rng.sample(others, len(others)))[:budget])


def next_pairs(
    p_RNN: Floats,
    asked_RNN: Bools,
    budget: int,
    stop: Stop = Stop(),
) -> list[list[Pair]]:
    """The next round of each tournament; empty where it is settled or its budget is spent.

    Pure, and blind to pairs not marked as asked: a run that was killed and finds some answers of a
    later round in the store asks the same again.
    Shapes: p (R, N, N) with NaN for unscored pairs, asked (R, N, N), both with N the same for all.
    """
    size = p_RNN.shape[-1]
    pairs = _pairs_of(size)
    rows = max(1, CELLS // (len(pairs.i) * min(len(pairs.i), SHORTLIST)))
    made: list[list[Pair]] = []
    for start in range(0, len(p_RNN), rows):
        part = slice(start, start + rows)
        made += _next_round(p_RNN[part], asked_RNN[part], budget, stop, pairs)
    return made


@dataclass(frozen=True)
class Posterior:
    """What is believed of the strengths of each tournament's players, in logits."""

    mean_RN: Floats
    """Means, zero on average."""
    covariance_RNN: Floats
    """Their covariance."""
    noise_R: Floats
    """Variance of the noise on one pair's logit."""


def posterior_of(p_RNN: Floats, seen_RNN: Bools) -> Posterior:
    """The least-squares posterior from the scored pairs among those marked.

    Prior: θ ~ N(0, τ²), where 2τ² is the mean squared logit seen; noise variance by its posterior
    mean, given (NOISE_SHARE·τ)² worth NOISE_WEIGHT degrees of freedom and the residuals.
    """
    n = p_RNN.shape[-1]
    seen = seen_RNN & ~np.isnan(p_RNN) & ~np.eye(n, dtype=bool)
    logit_RNN = np.where(seen, _logit(np.where(seen, p_RNN, 0.5)), 0.0)
    count_R = seen.sum((1, 2)) / 2
    variance_R = np.maximum((logit_RNN**2).sum((1, 2)) / 4 / np.maximum(count_R, 1), LEAST_VARIANCE)
    expected_R = NOISE_SHARE**2 * variance_R
    free_R = np.maximum(count_R - (n - 1), 0)
    posterior = _least_squares(logit_RNN, seen, variance_R, expected_R)
    for _ in range(2):
        gap_RNN = posterior.mean_RN[:, :, None] - posterior.mean_RN[:, None, :]
        residual_R = (np.where(seen, logit_RNN - gap_RNN, 0.0) ** 2).sum((1, 2)) / 2
        noise_R = (NOISE_WEIGHT * expected_R + residual_R) / (NOISE_WEIGHT + free_R)
        posterior = _least_squares(logit_RNN, seen, variance_R, noise_R)
    return posterior


def doubt_of(posterior: Posterior, stop: Stop) -> Floats:
    """At most the chance that the order is wrong somewhere by more than a tie, or the best wrong.

    The sum over neighbours of the chance that the lower one leads by more than the tie margin; for
    `best`, over all others of the chance that they lead the first at all. Shapes: (R,)
    """
    order = np.argsort(-posterior.mean_RN, axis=1, kind="stable")
    upper = order[:, :1] if stop.goal == "best" else order[:, :-1]
    tie = 0.0 if stop.goal == "best" else _logit(np.array(0.5 + stop.tie_margin))
    lower = order[:, 1:]
    rows = np.arange(len(order))[:, None]
    gap = posterior.mean_RN[rows, upper] - posterior.mean_RN[rows, lower]
    c = posterior.covariance_RNN
    variance = c[rows, upper, upper] + c[rows, lower, lower] - 2 * c[rows, upper, lower]
    return np.asarray(ndtr(-(gap + tie) / np.sqrt(variance)).sum(1))


@dataclass(frozen=True)
class _Pairs:
    i: Integers
    j: Integers


def _pairs_of(size: int) -> _Pairs:
    i, j = np.triu_indices(size, 1)
    return _Pairs(i.astype(np.int64), j.astype(np.int64))


def _logit(p: Floats) -> Floats:
    bound = 1 / (1 + np.exp(LARGEST_LOGIT))
    p = np.clip(p, bound, 1 - bound)
    return np.asarray(np.log(p) - np.log1p(-p))


def _least_squares(
    logit_RNN: Floats, seen: Bools, variance_R: Floats, noise_R: Floats
) -> Posterior:
    n = seen.shape[-1]
    laplacian = seen.sum(2)[:, :, None] * np.eye(n) - seen
    precision = laplacian / noise_R[:, None, None] + np.eye(n) / variance_R[:, None, None]
    covariance = np.linalg.inv(precision)
    mean = (covariance @ (logit_RNN.sum(2) / noise_R[:, None])[..., None])[..., 0]
    return Posterior(mean, covariance, noise_R)


def _next_round(
    p_RNN: Floats, asked_RNN: Bools, budget: int, stop: Stop, pairs: _Pairs
) -> list[list[Pair]]:
    posterior = posterior_of(p_RNN, asked_RNN)
    room_R = budget - asked_RNN[:, pairs.i, pairs.j].sum(1)
    room_R = np.where(doubt_of(posterior, stop) < stop.doubt, 0, room_R)
    open_RK = _open(p_RNN, asked_RNN, pairs)
    error = _expected_errors(posterior, stop.goal, pairs)
    covariance = posterior.covariance_RNN
    made: list[list[Pair]] = [[] for _ in room_R]
    for turn in range(round_size(p_RNN.shape[-1])):
        chosen_R = _most_telling(covariance, posterior, open_RK, error, pairs)
        takes_R = (room_R > turn) & open_RK[np.arange(len(room_R)), chosen_R]
        for row in np.flatnonzero(takes_R).tolist():
            pair = int(chosen_R[row])
            made[row].append((int(pairs.i[pair]), int(pairs.j[pair])))
            open_RK[row, pair] = False
        covariance = _as_if_seen(covariance, posterior.noise_R, chosen_R, pairs)
    return made


def _open(p_RNN: Floats, asked_RNN: Bools, pairs: _Pairs) -> Bools:
    """Pairs not asked yet, without those of a completion on which every question was in vain."""
    off = ~np.eye(p_RNN.shape[-1], dtype=bool)
    scored_RN = (asked_RNN & off & ~np.isnan(p_RNN)).sum(2)
    futile_RN = ((asked_RNN & off).sum(2) >= FUTILE) & (scored_RN == 0)
    return np.asarray(
        ~asked_RNN[:, pairs.i, pairs.j] & ~futile_RN[:, pairs.i] & ~futile_RN[:, pairs.j]
    )


Errors = Callable[[Floats], Floats]


def _expected_errors(posterior: Posterior, goal: Goal, pairs: _Pairs) -> Errors:
    """How many pairs (of the best, where that is the goal) will stand the wrong way round, as a
    function of their variances once more is known. Shapes: (R, K, C) → (R, C).

    With now a gap m of variance v, of which new answers will explain r = v - v', the mean moves to
    m' ~ N(m, r), and P(sign m' ≠ sign of the true gap) = 2·T(m/√v, √(v'/r)), T being Owen's.
    """
    mean = posterior.mean_RN
    gap_RK = mean[:, pairs.i] - mean[:, pairs.j]
    now_RK = _variances(posterior.covariance_RNN, pairs)
    height_RK = np.abs(gap_RK) / np.sqrt(now_RK)
    best_R = mean.argmax(1)[:, None]
    counted_RK = (pairs.i == best_R) | (pairs.j == best_R) | (goal == "order")

    def expected(later_RKC: Floats) -> Floats:
        explained = np.maximum(now_RK[:, :, None] - later_RKC, 1e-12 * now_RK[:, :, None])
        slope = np.sqrt(np.maximum(later_RKC, 0.0) / explained)
        wrong = 2 * owens_t(np.broadcast_to(height_RK[:, :, None], slope.shape), slope)
        return np.asarray((wrong * counted_RK[:, :, None]).sum(1))

    return expected


def _variances(covariance_RNN: Floats, pairs: _Pairs) -> Floats:
    """Of the gap of every pair. (R, K)"""
    own_RN = np.diagonal(covariance_RNN, axis1=1, axis2=2)
    shared_RK = covariance_RNN[:, pairs.i, pairs.j]
    return np.asarray(own_RN[:, pairs.i] + own_RN[:, pairs.j] - 2 * shared_RK)


def _most_telling(
    covariance_RNN: Floats, posterior: Posterior, open_RK: Bools, error: Errors, pairs: _Pairs
) -> Integers:
    """The open pair whose answer leaves the fewest errors to expect. (R,)"""
    variance_RK = _variances(covariance_RNN, pairs)
    gap_RK = posterior.mean_RN[:, pairs.i] - posterior.mean_RN[:, pairs.j]
    sure_RK = ndtr(gap_RK / np.sqrt(variance_RK))
    rough_RK = np.where(open_RK, np.round(sure_RK * (1 - sure_RK), DECIMALS) + 1.0, 0.0)
    short_RC = np.argsort(-rough_RK, axis=1, kind="stable")[:, :SHORTLIST]
    rows = np.arange(len(short_RC))[:, None]
    difference_RNC = (
        covariance_RNN[rows, :, pairs.i[short_RC]] - covariance_RNN[rows, :, pairs.j[short_RC]]
    ).swapaxes(1, 2)
    shared_RKC = difference_RNC[:, pairs.i] - difference_RNC[:, pairs.j]
    total_RC = variance_RK[rows, short_RC] + posterior.noise_R[:, None]
    left_RC = error(variance_RK[:, :, None] - shared_RKC**2 / total_RC[:, None, :])
    left_RC = np.where(open_RK[rows, short_RC], np.round(left_RC, DECIMALS), np.inf)
    return np.asarray(short_RC[rows[:, 0], left_RC.argmin(1)])


def _as_if_seen(
    covariance_RNN: Floats, noise_R: Floats, chosen_R: Integers, pairs: _Pairs
) -> Floats:
    """The covariance once the chosen pair is answered: in this model any answer does the same."""
    rows = np.arange(len(chosen_R))
    i, j = pairs.i[chosen_R], pairs.j[chosen_R]
    shared_RN = covariance_RNN[rows, i] - covariance_RNN[rows, j]
    total_R = shared_RN[rows, i] - shared_RN[rows, j] + noise_R
    moved = shared_RN[:, :, None] * shared_RN[:, None, :] / total_R[:, None, None]
    return np.asarray(covariance_RNN - moved)
