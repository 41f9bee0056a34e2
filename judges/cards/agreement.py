"""The judge's agreement with people, next to people's agreement with each other."""

from collections.abc import Sequence

import numpy as np

from judges.calibration.agreement import HumanAgreement, human_agreement, krippendorff_alpha
from judges.calibration.estimates import Estimate, FloatArray, mean_estimate
from judges.cards.breakdown import SIDES, Truth, known, sides
from judges.cards.labelled import LabelledPair
from judges.records import Record


class AgreementReport(Record):
    """Agreement beyond chance; verdicts and labels are first, second or tie."""

    alpha: Estimate | None
    """Krippendorff's, of the judge and the label; None where only one side is ever named."""
    human: HumanAgreement | None
    """Annotators among themselves, on pairs that have several; None where none has."""
    with_one_annotator: Estimate | None
    """Chance that the judge says what one annotator says; compare with `human.pairwise`."""
    alpha_with_annotators: Estimate | None
    """Krippendorff's of all annotators and the judge; compare with `human.alpha`."""


def agreement_report(
    pairs: Sequence[LabelledPair],
    logits: FloatArray,
    truth: Truth,
    *,
    tie_margin: float,
    seed: int,
) -> AgreementReport:
    """How far the judge agrees with labels and annotators, over the scored pairs."""
    scored = np.flatnonzero(~np.isnan(logits)).tolist()
    verdicts = sides(logits[scored], tie_margin)
    labels = [SIDES[pairs[index].preferred] for index in scored]
    several = [row for row, index in enumerate(scored) if len(pairs[index].annotations) > 1]
    given = [[SIDES[one] for one in pairs[scored[row]].annotations] for row in several]
    raters: list[list[str | None]] = [
        [one[k] if k < len(one) else None for one in given]
        for k in range(max(map(len, given), default=0))
    ]
    judge = [verdicts[row] for row in several]
    same = [one.count(verdict) / len(one) for one, verdict in zip(given, judge, strict=True)]
    groups = truth.group_B[[scored[row] for row in several]]
    return AgreementReport(
        alpha=known(lambda: krippendorff_alpha([verdicts, labels], seed=seed)),
        human=known(lambda: human_agreement(raters, seed=seed)),
        with_one_annotator=known(lambda: mean_estimate(np.array(same), groups, seed=seed)),
        alpha_with_annotators=known(lambda: krippendorff_alpha([*raters, judge], seed=seed))
        if several
        else None,
    )
