"""Area under the ROC curve, with an interval that knows which items share a prompt."""

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from judges.calibration.estimates import Estimate, Groups, group_numbers, group_sums
from judges.intervals import wilson


def auroc(logits: npt.ArrayLike, labels: npt.ArrayLike, groups: Groups = None) -> Estimate | None:
    """P(a positive has the higher logit than a negative), ties a half; None without both.

    The interval is Wilson's at the effective number that gives the estimate's variance over
    groups; where the two are told apart without fault, at the smaller of their numbers.
    Source: DeLong et al. 1988; by groups, Obuchowski 1997.
    """
    x, y = (np.asarray(values, dtype=np.float64) for values in (logits, labels))
    positive = y == 1
    wins, losses = int(positive.sum()), int((~positive).sum())
    if not wins or not losses:
        return None
    # Among which share of the other side an item stands on the right side.
    placed = rankdata(x)
    placed[positive] = (placed[positive] - rankdata(x[positive])) / losses
    placed[~positive] = 1 - (placed[~positive] - rankdata(x[~positive])) / wins
    value = float(placed[positive].mean())
    influence = (placed - value) / np.where(positive, wins, losses)
    sums = group_sums(influence[:, None], group_numbers(groups, len(x)))[:, 0]
    variance = float(np.sum(sums**2)) * len(sums) / max(1, len(sums) - 1)
    spread = value * (1 - value)
    effective = int(spread / variance) if spread > 0 and variance > 0 else min(wins, losses)
    low, high = wilson(value * max(1, effective), max(1, effective))
    return Estimate(value=value, low=min(low, value), high=max(high, value), n=len(x))
