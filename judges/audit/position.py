"""What a completion gains, under each principle, from the place it was shown at."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from judges.audit.pairs import log_odds
from judges.calibration.estimates import Estimate, mean_estimate, share_estimate
from judges.records import Record


class OrderGap(Record):
    """How a principle's votes depend on order; means of both orders cancel the gap itself."""

    principle: str
    """Its id."""
    gap: Estimate
    """Log-odds that a completion gains by being shown first, over rankings."""
    size: Estimate
    """The same without its sign: a gap that goes either way cancels in `gap`."""
    flips: Estimate
    """Share of pairs whose winner changes with the order. A ranking keeps one mean gap for all
    its pairs, so that this is exact for two completions and near for more."""
    exact: int
    """Pairs of these that stand in rankings of two."""


def measure_position(rankings: Iterable[Mapping[str, Any]], seed: int = 0) -> list[OrderGap]:
    """The order gaps of each principle that was voted on in both orders."""
    gaps: dict[str, list[float]] = defaultdict(list)
    flips: dict[str, list[tuple[int, float]]] = defaultdict(list)
    exact: dict[str, int] = defaultdict(int)
    for number, line in enumerate(rankings):
        for name, votes in line["principles"].items():
            gap = votes.get("order_gap")
            if gap is None:
                continue
            gaps[name].append(gap)
            p = np.array(votes["p"], dtype=np.float64)
            logits = log_odds(p[np.triu_indices(len(p), 1)])
            turned = (np.abs(logits) < abs(gap))[~np.isnan(logits)]
            flips[name] += [(number, float(one)) for one in turned]
            exact[name] += len(turned) if len(p) == 2 else 0
    return [
        OrderGap(
            principle=name,
            gap=mean_estimate(np.array(values), seed=seed),
            size=mean_estimate(np.abs(values), seed=seed),
            flips=share_estimate(
                np.array([flip for _, flip in flips[name]]), [at for at, _ in flips[name]]
            ),
            exact=exact[name],
        )
        for name, values in gaps.items()
        if flips[name]
    ]


def all_flips(gaps: Iterable[OrderGap]) -> Estimate | None:
    """The flips of all principles together: their mean by pairs; ends likewise. None without."""
    given = list(gaps)
    n = sum(one.flips.n for one in given)
    if not n:
        return None

    def mean(end: str) -> float:
        return float(sum(getattr(one.flips, end) * one.flips.n for one in given) / n)

    return Estimate(value=mean("value"), low=mean("low"), high=mean("high"), n=n)
