"""How many labels are wrong, told without anyone's labels: by labels that contradict each other.

Two readings that err alike and alone, each with chance e, contradict each other with chance
2·e·(1 − e); three comparisons of a triple that has an order run in a circle with chance e·(1 − e).
Errors that all readings share, a bias, show in neither: these estimates are of noise only.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from judges.calibration.estimates import Estimate, FloatArray, IntArray, share_estimate
from judges.intervals import Z_95, wilson
from judges.records import Record

TIE_MARGIN = 0.05


class NoiseEstimate(Record):
    """One way to tell how many labels are wrong."""

    source: str
    """`orders`, of the judged principles' votes; `copies` or `cycles`, of the labels."""
    contradictions: Estimate
    """Share of comparisons that contradict each other."""
    noise: Estimate
    """Share of wrong ones that would make so many contradictions."""


class RankingFacts(Record):
    """What only rankings know."""

    rankings: int
    """Lines read."""
    unscored: int
    """Lines without a ranking."""
    pairs: int
    """Pairs with a probability."""
    ties: Estimate | None
    """Share of pairs within 0.05 of one half."""
    cycles: Estimate | None
    """Share of decided triples that run in a circle; a quarter for a judge that draws lots."""


def noise_of_readings(source: str, contradictions: Estimate) -> NoiseEstimate:
    """The noise behind contradictions between two readings of the same pair."""
    return _solved(source, contradictions, 2.0)


def noise_of_cycles(cycles: Estimate) -> NoiseEstimate:
    """The noise behind circles of three."""
    return _solved("cycles", cycles, 4.0)


def _solved(source: str, seen: Estimate, factor: float) -> NoiseEstimate:
    def error(share: float) -> float:
        return (1 - math.sqrt(max(0.0, 1 - factor * share))) / 2

    noise = Estimate(value=error(seen.value), low=error(seen.low), high=error(seen.high), n=seen.n)
    return NoiseEstimate(source=source, contradictions=seen, noise=noise)


def expected_noise(p_chosen: FloatArray, groups: IntArray) -> Estimate | None:
    """The share of wrong labels that the probabilities themselves admit, were they calibrated.

    None where none is known. The interval is of a mean over conversations. Shapes: (n,), (n,).
    """
    known = ~np.isnan(p_chosen)
    if not known.any():
        return None
    wrong = 1 - p_chosen[known]
    value = float(wrong.mean())
    sums = np.bincount(groups[known], weights=wrong - value)
    reach = Z_95 * float(np.sqrt(np.sum(sums**2))) / len(wrong)
    return Estimate(
        value=value, low=max(0.0, value - reach), high=min(1.0, value + reach), n=len(wrong)
    )


def measure_rankings(rankings: Iterable[Mapping[str, Any]]) -> RankingFacts:
    """Ties and circles of some ranking lines."""
    read = unscored = pairs = ties = 0
    circles: list[tuple[int, int]] = []
    for line in rankings:
        read += 1
        if line["status"] != "scored":
            unscored += 1
            continue
        p = np.array(line["p"], dtype=np.float64)
        upper = p[np.triu_indices(len(p), 1)]
        known = upper[~np.isnan(upper)]
        pairs += len(known)
        ties += int((np.abs(known - 0.5) < TIE_MARGIN).sum())
        circles.append(_triples(p))
    found = np.array(circles, dtype=np.float64).reshape(-1, 2)
    return RankingFacts(
        rankings=read,
        unscored=unscored,
        pairs=pairs,
        ties=_share(ties, pairs) if pairs else None,
        cycles=_clustered(found[found[:, 1] > 0]),
    )


def _triples(p: npt.NDArray[np.float64]) -> tuple[int, int]:
    """Triples that run in a circle, and triples with three decided pairs."""
    with np.errstate(invalid="ignore"):
        beats = (p > 0.5).astype(np.int64)
        decided = ((p != 0.5) & ~np.isnan(p)).astype(np.int64)
    np.fill_diagonal(beats, 0)
    np.fill_diagonal(decided, 0)
    circle, triple = np.trace(beats @ beats @ beats), np.trace(decided @ decided @ decided)
    return int(circle) // 3, int(triple) // 6


def _clustered(counts: FloatArray) -> Estimate | None:
    """A share of counted triples, those of one ranking taken together. Shapes: (R, 2)."""
    if not len(counts):
        return None
    sizes = counts[:, 1].astype(np.int64)
    hits = np.concatenate(
        [np.arange(size) < hit for hit, size in zip(counts[:, 0], sizes, strict=True)]
    )
    return share_estimate(hits.astype(np.float64), np.repeat(np.arange(len(sizes)), sizes))


def _share(successes: int, n: int) -> Estimate:
    low, high = wilson(successes, n)
    value = successes / n
    return Estimate(value=value, low=min(low, value), high=max(high, value), n=n)
