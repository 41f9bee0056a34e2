"""From votes to verdicts to rankings: pure arithmetic over arrays, no model, no store.

Axis suffixes: `_R` rankings, `_P` principles, `_N` completions. A missing vote is NaN here and
never leaves this layer as a number.

Where design and arithmetic meet: a tier decides by |z| times the largest P(applies) in it, since
z is a mean and would else let a principle that hardly applies decide alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from judges.bradley_terry import fit_bradley_terry
from judges.constitutions.constitution import Constitution

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

TIERS = ("hard", "high", "normal", "style")
RULE_LOGIT = 4.0
"""Log-odds that a rule gives a completion which meets it over one which does not at all."""
SCOPE_FLOOR = 0.05
"""A principle whose P(applies) is lower is out of scope: it has no weight and needs no votes."""


@dataclass(frozen=True)
class Scheme:
    """What aggregation reads of a constitution, as arrays over its principles."""

    tier_P: npt.NDArray[np.int64]
    weight_P: Floats
    tie_margin: float
    decisive: float
    abstain_below: float
    min_weight: float


@dataclass(frozen=True)
class Verdicts:
    """What the votes say about every pair of every ranking."""

    p_RNN: Floats
    """P(row better than column) in [0, 1]; NaN where unscored; 0.5 on the diagonal."""
    missing_RNN: Bools
    """Pairs lacking a hard-tier vote or too much weight."""
    abstained_RNN: Bools
    """Pairs too near to 0.5 for the constitution's `abstain_below`."""
    tier_RNN: npt.NDArray[np.int64]
    """Index into TIERS of the tier that decided; -1 where the mean over all did."""


def scheme_of(constitution: Constitution) -> Scheme:
    """The numbers that turn a constitution's votes into verdicts."""
    settings = constitution.aggregate
    return Scheme(
        tier_P=np.array([TIERS.index(principle.tier) for principle in constitution.principles]),
        weight_P=np.array([principle.weight for principle in constitution.principles], float),
        tie_margin=settings.tie_margin,
        decisive=settings.decisive,
        abstain_below=settings.abstain_below,
        min_weight=settings.min_weight,
    )


def aggregate(logit_RPNN: Floats, applies_RP: Floats, scheme: Scheme) -> Verdicts:
    """The verdict on every pair, from each principle's logit and its P(applies).

    Shapes: logit (R, P, N, N), antisymmetric in N, NaN where a vote is missing; applies (R, P),
    NaN where the scope's vote is missing.
    Cost: none; swapping two completions negates every logit, so p[i,j] + p[j,i] = 1.
    """
    applies = np.where(np.isnan(applies_RP), 1.0, applies_RP)
    applies = np.where(applies < SCOPE_FLOOR, 0.0, applies)
    have = ~np.isnan(logit_RPNN) & ~np.isnan(applies_RP)[:, :, None, None]
    weight = (scheme.weight_P * applies)[:, :, None, None]
    held = weight * have
    weighted = held * np.nan_to_num(logit_RPNN)
    scope = applies[:, :, None, None] * have

    logit = _mean(weighted.sum(1), held.sum(1))
    decided = np.full(logit.shape, -1)
    for tier in reversed(range(len(TIERS))):
        of_tier = scheme.tier_P == tier
        if of_tier.any():
            z = _mean(weighted[:, of_tier].sum(1), held[:, of_tier].sum(1))
            decides = np.abs(z) * scope[:, of_tier].max(1) > scheme.decisive
            logit, decided = np.where(decides, z, logit), np.where(decides, tier, decided)

    missing = _missing(weight, held, have, scheme)
    p = sigmoid(logit)
    abstained = ~missing & (np.abs(2 * p - 1) < scheme.abstain_below)
    p = np.where(missing | abstained, np.nan, p)
    diagonal = np.arange(p.shape[-1])
    p[:, diagonal, diagonal] = 0.5
    missing[:, diagonal, diagonal] = abstained[:, diagonal, diagonal] = False
    return Verdicts(p, missing, abstained, decided)


def _mean(total: Floats, weight: Floats) -> Floats:
    """total / weight, and 0 where nothing weighs: no principle applies, so neither is better."""
    return np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)


def _missing(weight: Floats, held: Floats, have: Bools, scheme: Scheme) -> Bools:
    hard = scheme.tier_P == TIERS.index("hard")
    lacks_hard = ((weight > 0) & ~have)[:, hard].any(1)
    needed = np.broadcast_to(weight, held.shape).sum(1)
    lacks_weight = held.sum(1) < scheme.min_weight * needed - 1e-12
    return np.asarray(lacks_hard | lacks_weight)


def rule_logit(score_RPN: Floats) -> Floats:
    """The pairwise logits of rules scored 0 to 1: RULE_LOGIT times the difference.

    Shapes: (R, P, N) → (R, P, N, N).
    """
    return RULE_LOGIT * (score_RPN[..., :, None] - score_RPN[..., None, :])


def sigmoid(logit: npt.ArrayLike) -> Floats:
    """1 / (1 + exp(-logit)), without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(logit))))


@dataclass(frozen=True)
class Order:
    """The order of one prompt's completions."""

    scores: tuple[float | None, ...]
    """Zero-mean Bradley–Terry logits; None for a completion that could not be ranked."""
    ranking: tuple[int, ...]
    """Indices of the ranked completions, best first."""
    tie_groups: tuple[tuple[int, ...], ...]
    """Neighbours in the ranking whose p is 0.5 or within the tie margin of it, two or more each."""
    cycles: tuple[tuple[int, int, int], ...]
    """Triples i, j, k with i over j, j over k and k over i, each outside the tie margin."""


def order_completions(p_RNN: Floats, tie_margin: float) -> list[Order]:
    """The order of the completions of each ranking, by Bradley–Terry over the scored pairs.

    Only the largest set of completions connected by scored pairs is ranked.
    """
    member_RN = largest_component(~np.isnan(p_RNN))
    inside = member_RN[:, :, None] & member_RN[:, None, :]
    score_RN = fit_bradley_terry(np.where(inside, p_RNN, np.nan))
    position_RN = np.argsort(np.where(member_RN, -score_RN, np.inf), axis=1, kind="stable")
    counts = member_RN.sum(1).tolist()
    rankings = [row[:count] for row, count in zip(position_RN.tolist(), counts, strict=True)]
    scores = np.round(score_RN, 6).tolist()
    p = p_RNN.tolist()
    cycles = _cycles(_beats(p_RNN, member_RN, tie_margin))
    return [
        Order(
            scores=tuple(s if m else None for s, m in zip(score, member, strict=True)),
            ranking=tuple(ranking),
            tie_groups=_tie_groups(ranking, matrix, tie_margin),
            cycles=triples,
        )
        for score, member, ranking, matrix, triples in zip(
            scores, member_RN.tolist(), rankings, p, cycles, strict=True
        )
    ]


def largest_component(observed_RNN: Bools) -> Bools:
    """Which completions belong to the largest set connected by scored pairs; the first if equal.

    Shapes: (R, N, N) → (R, N); nobody belongs where no pair is scored.
    """
    n = observed_RNN.shape[-1]
    reach = observed_RNN | np.eye(n, dtype=bool)
    for _ in range(max(1, int(np.ceil(np.log2(max(n, 2)))))):
        reach = np.matmul(reach.astype(np.int32), reach.astype(np.int32)) > 0
    size_RN = reach.sum(2)
    best = size_RN.argmax(1)
    rows = np.arange(len(best))
    return np.asarray(reach[rows, best] & (size_RN[rows, best] > 1)[:, None])


def _tie_groups(
    ranking: Sequence[int], p: Sequence[Sequence[float]], margin: float
) -> tuple[tuple[int, ...], ...]:
    groups: list[list[int]] = []
    for upper, lower in pairwise(ranking):
        gap = abs(p[upper][lower] - 0.5)
        if gap == 0 or gap < margin:
            if groups and groups[-1][-1] == upper:
                groups[-1].append(lower)
            else:
                groups.append([upper, lower])
    return tuple(map(tuple, groups))


def _beats(p_RNN: Floats, member_RN: Bools, margin: float) -> Bools:
    """Whether the row is over the column, outside the tie margin and both ranked."""
    over = (p_RNN - 0.5 >= margin) & (p_RNN > 0.5)
    return np.asarray(over & member_RN[:, :, None] & member_RN[:, None, :])


def _cycles(beats_RNN: Bools) -> list[tuple[tuple[int, int, int], ...]]:
    """Each ranking's cycles of three, the lowest index first."""
    paths = np.matmul(beats_RNN.astype(np.int32), beats_RNN.astype(np.int32))
    has_R = (paths * np.swapaxes(beats_RNN, 1, 2)).any((1, 2))
    return [
        _triples(beats) if has else () for beats, has in zip(beats_RNN, has_R.tolist(), strict=True)
    ]


def _triples(beats_NN: Bools) -> tuple[tuple[int, int, int], ...]:
    closed = beats_NN[:, :, None] & beats_NN[None, :, :] & beats_NN.T[:, None, :]
    return tuple((i, j, k) for i, j, k in np.argwhere(closed).tolist() if i < j and i < k)
