"""Is the panel better than its best judge? Cross-validated, and without flattering either."""

import numpy as np
import numpy.typing as npt

from judges.calibration.cross_validation import FOLDS, grouped_folds, splits
from judges.calibration.estimates import (
    Estimate,
    FloatArray,
    Groups,
    group_numbers,
    mean_estimate,
    share_estimate,
)
from judges.calibration.metrics import correctness, losses
from judges.calibration.panel import choose_l2, fit_stacker, majority, mean_logit
from judges.calibration.scaling import fit_temperature
from judges.errors import DataError
from judges.records import Record

STACKERS = {"stacker": True, "stacker_not_contrary": False}


class Contender(Record):
    """One way of judging, out of fold, next to the best single judge."""

    accuracy: Estimate
    """Share right, ties a half; Wilson interval."""
    nll: Estimate | None
    """Nats a pair, calibrated within the fold; None for a majority, which has no probability."""
    accuracy_gain: Estimate | None
    """Accuracy minus the best single judge's, paired bootstrap; None for that judge itself."""
    nll_gain: Estimate | None
    """NLL minus the best single judge's: negative is better; None where either has none."""


class PanelComparison(Record):
    """Panel against best single judge on the same pairs."""

    n: int
    """Pairs on which all contenders are scored."""
    unscored: int
    """Pairs left out, because the single judge chosen, or the whole panel, left them."""
    judges: int
    """Size of the panel."""
    folds: int
    """All choices (judge, temperature, weights, penalty) are made on the other folds."""
    best_single: Contender
    """The judge most accurate on the other folds, at its temperature."""
    chosen: dict[str, int]
    """In how many folds each single judge was the best."""
    stacker: Contender
    """Logistic regression on all judges' logits; contrary judges may have negative weights."""
    stacker_not_contrary: Contender
    """The same with no weight below 0."""
    mean_logit: Contender
    """Mean of all judges' logits, at its temperature."""
    majority: Contender
    """One vote a judge."""


def compare_panel(
    logits: npt.ArrayLike,
    labels: npt.ArrayLike,
    names: tuple[str, ...],
    groups: Groups = None,
    *,
    folds: int = FOLDS,
    seed: int,
) -> PanelComparison:
    """Accuracy and NLL of a panel's combinations against its best judge, cross-validated.

    The intervals are over pairs drawn anew; that the folds could have been cut otherwise is not in
    them. Shapes: (J, n), (n,), (J,). Raises: DataError when nothing is scored by all contenders.
    """
    panel, y = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if panel.shape != (len(names), len(y)):
        raise DataError(f"logits of shape {panel.shape} for {len(names)} judges, {len(y)} pairs")
    numbers = group_numbers(groups, len(y))
    judged, chosen = _out_of_fold(panel, y, numbers, folds, seed)
    scored = np.all([~np.isnan(x) for x in judged.values()], axis=0)
    again = group_numbers(numbers[scored], int(scored.sum()))
    kept = {name: x[scored] for name, x in judged.items()}
    contenders = {name: _contender(name, kept, y[scored], again, seed) for name in kept}
    return PanelComparison(
        n=len(again),
        unscored=len(y) - len(again),
        judges=len(names),
        folds=folds,
        chosen={names[j]: chosen.count(j) for j in sorted(set(chosen), key=chosen.index)},
        **contenders,
    )


def best_judge(panel: FloatArray, labels: FloatArray) -> int:
    """The judge of highest accuracy, unscored pairs a half; equal ones by NLL at temperature.

    A half for unscored pairs, in the choice only: else a judge that answers one pair and is right
    would be the best.
    """
    right = np.nan_to_num(correctness(panel, labels), nan=0.5).mean(axis=1)
    equal = np.flatnonzero(right == right.max())

    def loss(judge: np.int64) -> float:
        x = panel[judge]
        there = ~np.isnan(x)
        if not there.any():
            return float("inf")
        scaled = fit_temperature(x[there], labels[there]).apply(x[there])
        # Rounded, or judges with the same record would be ranked by the last bit of a sum.
        return round(float(losses(scaled, labels[there]).mean()), 9)

    return int(min(equal, key=loss))


def _out_of_fold(
    panel: FloatArray, y: FloatArray, groups: npt.NDArray[np.int64], folds: int, seed: int
) -> tuple[dict[str, FloatArray], list[int]]:
    """Each contender's logits, fitted without the pair's fold, and the judge chosen in each."""
    mean = mean_logit(panel)
    judged = {name: np.full(len(y), np.nan) for name in ("best_single", "mean_logit", *STACKERS)}
    chosen = []
    for fit, judge in splits(grouped_folds(groups, len(y), folds=folds, seed=seed)):
        best = best_judge(panel[:, fit], y[fit])
        chosen.append(best)
        for name, logits in (("best_single", panel[best]), ("mean_logit", mean)):
            known = fit & ~np.isnan(logits)
            judged[name][judge] = fit_temperature(logits[known], y[known]).apply(logits[judge])
        for name, contrary in STACKERS.items():
            l2 = choose_l2(panel[:, fit], y[fit], groups[fit], seed=seed, contrary=contrary)
            stacker = fit_stacker(panel[:, fit], y[fit], l2=l2, contrary=contrary)
            judged[name][judge] = stacker.apply(panel[:, judge])
    judged["majority"] = majority(panel) - 0.5
    return judged, chosen


def _contender(
    name: str, judged: dict[str, FloatArray], y: FloatArray, groups: Groups, seed: int
) -> Contender:
    right, single_right = (correctness(judged[key], y) for key in (name, "best_single"))
    loss, single_loss = (losses(judged[key], y) for key in (name, "best_single"))
    voted, single = name == "majority", name == "best_single"
    return Contender(
        accuracy=share_estimate(right, groups),
        nll=None if voted else mean_estimate(loss, groups, seed=seed),
        accuracy_gain=None if single else mean_estimate(right - single_right, groups, seed=seed),
        nll_gain=None if voted or single else mean_estimate(loss - single_loss, groups, seed=seed),
    )
