"""What only a panel has: each judge alone, how far they differ, and whether combining them pays."""

import numpy as np

from judges.calibration.estimates import FloatArray
from judges.calibration.panel import Disagreement, Stacker, choose_l2, disagreement, fit_stacker
from judges.calibration.panel_comparison import PanelComparison, compare_panel
from judges.calibration.scaling import Calibration
from judges.cards.breakdown import Breakdown, Truth, breakdown, known
from judges.cards.confidence import temperature_of
from judges.cards.voting import Judged
from judges.records import Record

FEWEST_PROMPTS = 20
"""With fewer, weights fitted on nine tenths of them say nothing about the rest."""


class PanelReport(Record):
    """Several judges, from the same votes."""

    judges: tuple[Breakdown, ...]
    """Each judge alone."""
    temperatures: dict[str, Calibration]
    """Each judge's own, of its votes within principles, fitted on all pairs it scored."""
    disagreement: Disagreement | None
    """How far the judges differ; None where no pair has two votes."""
    comparison: PanelComparison | None
    """Ways of combining their whole verdicts against the best judge, cross-validated; None: too few
    prompts. `charter rank` combines judges within each principle instead, so its numbers differ."""
    stacker: Stacker | None
    """Weights fitted on all pairs and raw logits; worth using where `comparison` shows a gain."""


def panel_report(
    judged: Judged, truth: Truth, weights: FloatArray, *, tie_margin: float, seed: int
) -> PanelReport | None:
    """The judges one by one and combined; None for a single judge."""
    if len(judged.judges) < 2:
        return None
    logits_JB = np.stack([view.logit_B for view in judged.judges.values()])
    fitted = {name: temperature_of(view, truth, weights) for name, view in judged.judges.items()}
    there = np.asarray(~np.isnan(logits_JB).all(axis=0))
    seen, panel_JB = truth.only(there), logits_JB[:, there]
    y, groups, names = seen.label_B, seen.group_B, tuple(judged.judges)
    enough = len(np.unique(groups)) >= FEWEST_PROMPTS

    def stacker() -> Stacker:
        l2 = choose_l2(panel_JB, y, groups, seed=seed)
        return fit_stacker(panel_JB, y, weights[there], l2=l2)

    return PanelReport(
        judges=tuple(
            breakdown(name, view, truth, tie_margin, seed=seed)
            for name, view in judged.judges.items()
        ),
        temperatures={name: found for name, found in fitted.items() if found is not None},
        disagreement=known(lambda: disagreement(panel_JB, groups, seed=seed)),
        comparison=known(lambda: compare_panel(panel_JB, y, names, groups, seed=seed))
        if enough
        else None,
        stacker=known(stacker) if enough else None,
    )
