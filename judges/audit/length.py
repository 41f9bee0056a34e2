"""How far labels follow length: the share of longer completions chosen, and what is left without.

People choose the longer completion too, in 0.64 of pairs; judges in 0.66 to 0.79. So the question
is how far from people's share a set is, and whether principles agree with its labels on the pairs
where the shorter side was chosen.
"""

from itertools import pairwise

import numpy as np
from scipy.special import expit

from judges.audit.pairs import AuditPairs
from judges.calibration.estimates import Estimate, FloatArray, share_estimate
from judges.calibration.logistic import fit_logistic
from judges.intervals import Z_95
from judges.records import Record

HUMAN_SHARE = 0.64
"""Source: AlpacaEval's human annotations, Dubois et al. 2024."""
RATIOS = (1.0, 1.1, 1.25, 1.5, 2.0, 4.0, np.inf)
LEAST = 10
"""Fewest pairs of a kind that a share is told of."""


class LengthBand(Record):
    """Pairs in which one side is so many times as long as the other."""

    above: float
    """Times as long, at least."""
    below: float | None
    """Times as long, less than; None: any."""
    longer_chosen: Estimate
    """Share of them where the longer side was chosen."""


class ControlledAgreement(Record):
    """How a principle's own votes agree with the labels, length held equal."""

    principle: str
    """Its id."""
    plain: Estimate
    """Share of pairs where it prefers the chosen side; a tie is a half."""
    where_shorter_chosen: Estimate
    """The same, of pairs where the shorter side was chosen."""
    controlled: Estimate
    """Mean of the shares where the longer and where the shorter side was chosen: one half for a
    principle that follows nothing but length."""


class LengthReport(Record):
    """How far labels follow length, in words."""

    longer_chosen: Estimate | None
    """Share of pairs with a longer side where that side was chosen."""
    equal: int
    """Pairs of equal length, left out of the share."""
    reference: float
    """The share among people."""
    slope: Estimate | None
    """Log-odds of the longer side per doubling of length, from a logistic fit."""
    bands: list[LengthBand]
    """The share by how much longer the longer side is."""
    agreement: list[ControlledAgreement]
    """Each principle that voted on enough pairs of both kinds."""


def log_ratio_of(counts: FloatArray) -> FloatArray:
    """Log of chosen over rejected words, one added to each. Shapes: (2n,) → (n,)."""
    logs = np.log1p(counts)
    return np.asarray(logs[0::2] - logs[1::2])


def measure_length(pairs: AuditPairs, log_ratio: FloatArray) -> LengthReport:
    """How far the labels follow length. Shapes: (n,)."""
    apart = log_ratio != 0
    longer = (log_ratio > 0).astype(np.float64)
    groups = pairs.groups
    bands = []
    for above, below in pairwise(RATIOS):
        size = np.exp(np.abs(log_ratio))
        here = apart & (size >= above) & (size < below)
        if here.sum() >= LEAST:
            share = share_estimate(longer[here], groups[here])
            limit = None if below == np.inf else below
            bands.append(LengthBand(above=above, below=limit, longer_chosen=share))
    agreement = [_controlled(pairs, name, log_ratio) for name in pairs.principles]
    return LengthReport(
        longer_chosen=share_estimate(longer[apart], groups[apart]) if apart.any() else None,
        equal=int(len(pairs) - apart.sum()),
        reference=HUMAN_SHARE,
        slope=_slope(log_ratio, pairs) if apart.any() else None,
        bands=bands,
        agreement=[one for one in agreement if one is not None],
    )


def _slope(log_ratio: FloatArray, pairs: AuditPairs) -> Estimate:
    """The coefficient of log2 of the length ratio, with an interval robust to shared prompts."""
    x = log_ratio / np.log(2)
    value = float(fit_logistic(x[:, None], np.ones(len(x)), np.ones(len(x)), 1e-6)[0])
    p = expit(value * x)
    sums = np.bincount(pairs.groups, weights=(1 - p) * x)
    spread = float(np.sqrt(np.sum(sums**2)) / max(float(np.sum(p * (1 - p) * x**2)), 1e-12))
    reach = Z_95 * spread
    return Estimate(value=value, low=value - reach, high=value + reach, n=int((x != 0).sum()))


def _controlled(pairs: AuditPairs, name: str, log_ratio: FloatArray) -> ControlledAgreement | None:
    logits = pairs.principles[name]
    agrees = (1 + np.sign(logits)) / 2
    known = ~np.isnan(logits)
    of_longer, of_shorter = known & (log_ratio > 0), known & (log_ratio < 0)
    if min(of_longer.sum(), of_shorter.sum()) < LEAST:
        return None
    longer, shorter = (
        share_estimate(agrees[part], pairs.groups[part]) for part in (of_longer, of_shorter)
    )
    return ControlledAgreement(
        principle=name,
        plain=share_estimate(agrees[known], pairs.groups[known]),
        where_shorter_chosen=shorter,
        controlled=_halfway(longer, shorter),
    )


def _halfway(first: Estimate, second: Estimate) -> Estimate:
    """The mean of two shares of different pairs; distances to their ends add as squares."""
    value = (first.value + second.value) / 2
    below = np.hypot(first.value - first.low, second.value - second.low) / 2
    above = np.hypot(first.high - first.value, second.high - second.value) / 2
    return Estimate(
        value=value, low=value - float(below), high=value + float(above), n=first.n + second.n
    )
