"""Real judges' recorded verdicts: a published figure again, and the panel against the best."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from judges.calibration.estimates import Estimate, FloatArray
from judges.calibration.metrics import accuracy, correctness, nll
from judges.calibration.panel import choose_l2, disagreement, fit_stacker
from judges.calibration.panel_comparison import STACKERS, best_judge, compare_panel
from judges.calibration.recorded import accuracy_over_orders, read_recorded, vote_logits
from judges.calibration.scaling import fit_temperature

JUDGE = "GPT-4/Vanilla"
PUBLISHED = {"natural": 95.5, "neighbor": 78.7}
COUNTING = (
    "accuracy of single verdicts, both orders pooled, two a pair; a null is unscored and outside "
    "the denominator (this judge has none, so that any handling gives the same)"
)
CAUTION = (
    "neighbor's pairs were chosen to fool judges: a stacker that may weigh judges negatively "
    "learns that choice, and is wrong elsewhere; gains hold for pairs like those fitted on, see "
    "transfer"
)


def benchmark_recorded_verdicts(folder: Path, seed: int = 0) -> dict[str, Any]:
    """The published accuracy of GPT-4 recounted, and all recorded judges as a calibrated panel.

    Cost: no model call; some seconds. Raises: DataError when the folder has no recorded verdicts.
    """
    recorded = read_recorded(folder)
    logits = vote_logits(recorded.votes)
    subset = np.array([item.split("-")[1] for item in recorded.ids])
    judge = recorded.votes[recorded.judges.index(JUDGE)]
    recount = {}
    for name, published in PUBLISHED.items():
        inside = subset == name
        share, null = accuracy_over_orders(judge[inside], recorded.labels[inside])
        recount[name] = {
            "published_percent": published,
            "ours_percent": round(100 * share.value, 1),
            "accuracy": rounded(share),
            "pairs": int(inside.sum()),
            "null_verdicts": null,
        }
    panels = {
        name: _panel(logits[:, inside], recorded.labels[inside], recorded.judges, seed)
        for name, inside in (
            ("all", np.full(len(subset), True)),
            *((name, subset == name) for name in PUBLISHED),
        )
    }
    natural = subset == "natural"
    transfer = {
        "natural_to_neighbor": _transfer(logits, recorded.labels, natural, seed),
        "neighbor_to_natural": _transfer(logits, recorded.labels, ~natural, seed),
    }
    return {
        "counting": COUNTING,
        JUDGE: recount,
        "caution": CAUTION,
        "panel": panels,
        "transfer": transfer,
    }


def rounded(estimate: Estimate) -> dict[str, float]:
    """An estimate to four decimals, for reading."""
    return {key: round(value, 4) for key, value in estimate.model_dump().items()}


def _panel(
    logits: FloatArray, labels: FloatArray, names: tuple[str, ...], seed: int
) -> dict[str, Any]:
    found = compare_panel(logits, labels, names, seed=seed).model_dump()
    spread = disagreement(logits, seed=seed)
    return {
        **_rounded(found),
        "judges_below_half": int((mean_correctness(logits, labels) < 0.5).sum()),
        "differ": rounded(spread.differ),
        "vote_entropy_bits": rounded(spread.entropy),
    }


def _transfer(
    logits: FloatArray, labels: FloatArray, fit: npt.NDArray[np.bool_], seed: int
) -> dict[str, Any]:
    """Best single judge and stackers, all fitted on some pairs and judged on all the others."""
    panel, y = logits[:, fit], labels[fit]
    single = logits[best_judge(panel, y)]
    known = fit & ~np.isnan(single)
    judged = {"best_single": fit_temperature(single[known], labels[known]).apply(single)}
    for name, contrary in STACKERS.items():
        l2 = choose_l2(panel, y, seed=seed, contrary=contrary)
        judged[name] = fit_stacker(panel, y, l2=l2, contrary=contrary).apply(logits)
    scored = ~fit & np.all([~np.isnan(x) for x in judged.values()], axis=0)
    return {
        name: {
            "accuracy": rounded(accuracy(x[scored], labels[scored])),
            "nll": rounded(nll(x[scored], labels[scored], seed=seed)),
        }
        for name, x in judged.items()
    }


def mean_correctness(logits: FloatArray, labels: FloatArray) -> FloatArray:
    """Each judge's share right over the pairs it scored, a tie a half. Shapes: (J, n) → (J,)."""
    return np.asarray(np.nanmean(correctness(logits, labels), axis=1))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return round(value, 4) if isinstance(value, float) else value
