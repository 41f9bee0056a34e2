"""Which features the labels favour, beyond chance and beyond a least effect, and what is behind."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from judges.audit.asymmetry import (
    Asymmetries,
    Bools,
    at_equal_length,
    has_signature,
    measure_asymmetries,
    q_values,
    weights_of,
)
from judges.audit.explain import explain
from judges.audit.features import Signs
from judges.audit.pairs import AuditPairs
from judges.audit.report import AuditSettings, FeatureReport
from judges.calibration.estimates import Estimate, FloatArray, IntArray

LENGTHS = ("words", "characters")
MOST_PHRASES = 40
CONSIDERED = 400
COVERED = 0.8
"""A phrase inside a longer favoured one that accounts for so much of it is not told apart."""


class Against(NamedTuple):
    """What features are tested against."""

    pairs: AuditPairs
    settings: AuditSettings
    log_ratio: FloatArray
    """Log of chosen over rejected length. Shapes: (n,)."""

    def tests(self, signs: Signs) -> Asymmetries:
        """The test of each feature."""
        weights = weights_of(self.pairs, self.settings.weighted)
        return measure_asymmetries(signs, self.pairs, weights, self.log_ratio)


def _favoured(tests: Asymmetries, p: FloatArray, settings: AuditSettings) -> Bools:
    q = q_values(p, settings.control)
    return (q <= settings.false_discoveries) & (np.abs(tests.log_odds) >= settings.least_effect)


def favoured_style(signs: Signs, against: Against) -> list[FeatureReport]:
    """Every style feature, or topic, and which of them are favoured."""
    tests = against.tests(signs)
    return _reports(signs, tests, tests.p, np.arange(len(signs.names)), against)


def favoured_phrases(signs: Signs, against: Against) -> tuple[list[FeatureReport], int, int]:
    """The favoured phrases told, and how many were tested and favoured.

    Phrases must be favoured at equal length too: a longer text has more of every phrase.
    """
    tests = against.tests(signs)
    found = np.flatnonzero(_favoured(tests, tests.p_at_length, against.settings))
    order = np.lexsort((-tests.effective[found], tests.p_at_length[found]))
    first = found[order][:CONSIDERED]
    keep = first[_apart(first, signs.names, tests)][:MOST_PHRASES]
    told = _reports(signs, tests, tests.p_at_length, keep, against)
    return told, len(signs.names), len(found)


def _apart(found: IntArray, names: Sequence[str], tests: Asymmetries) -> Bools:
    """Which phrases are no part of a longer one that accounts for them, nor a mere extension."""
    count = tests.chosen + tests.rejected
    padded = {int(k): f" {names[k]} " for k in found}
    keep = dict.fromkeys(padded, True)
    for part, text in padded.items():
        for whole, longer in padded.items():
            if part == whole or text not in longer:
                continue
            if count[whole] >= COVERED * count[part]:
                keep[part] = False
            elif abs(tests.log_odds[part]) >= abs(tests.log_odds[whole]):
                keep[whole] = False
    return np.array([keep[int(k)] for k in found], bool)


def _reports(
    signs: Signs, tests: Asymmetries, p: FloatArray, keep: IntArray, against: Against
) -> list[FeatureReport]:
    n = len(against.pairs)
    q = q_values(p, against.settings.control)
    favoured = _favoured(tests, p, against.settings)
    signature = has_signature(tests, n) & favoured
    reports = []
    for k in keep.tolist():
        report = _plain(signs, tests, k, n, float(p[k]), float(q[k]))
        if favoured[k]:
            told = _told(signs, k, 1 if tests.log_odds[k] > 0 else -1, against)
            report = report.model_copy(update={**told, "signature": bool(signature[k])})
        reports.append(report)
    return reports


def _told(signs: Signs, k: int, direction: int, against: Against) -> dict[str, Any]:
    """What is asked of favoured features only: do they hold at equal length, and who wants them."""
    pairs = against.pairs
    here = slice(*np.searchsorted(signs.feature, (k, k + 1)))
    sign_n = np.zeros(len(pairs), np.int64)
    sign_n[signs.pair[here]] = signs.sign[here]
    why = explain(pairs, sign_n, direction)
    at_length = None
    if signs.names[k] not in LENGTHS:
        weights = weights_of(pairs, against.settings.weighted)
        at_length = at_equal_length(sign_n, against.log_ratio, weights, pairs.groups)
    return {
        "favours": "chosen" if direction > 0 else "rejected",
        "at_equal_length": at_length,
        "explained": why.explained,
        "principles": why.pulls,
    }


def _plain(signs: Signs, tests: Asymmetries, k: int, n: int, p: float, q: float) -> FeatureReport:
    """What the test of one feature says, before anything is said of favour."""
    chosen, rejected = int(tests.chosen[k]), int(tests.rejected[k])
    value, low, high = (float(x[k]) for x in (tests.log_odds, tests.low, tests.high))
    share = float(tests.share[k])
    return FeatureReport(
        feature=signs.names[k],
        kind=signs.kinds[k],
        chosen_only=chosen,
        rejected_only=rejected,
        chosen_share=chosen / n,
        rejected_share=rejected / n,
        share=Estimate(
            value=share,
            low=min(share, float(expit(low))),
            high=max(share, float(expit(high))),
            n=chosen + rejected,
        ),
        log_odds=Estimate(
            value=value, low=min(low, value), high=max(high, value), n=chosen + rejected
        ),
        p_value=p,
        q_value=q,
        favours=None,
        signature=False,
        at_equal_length=None,
        explained=None,
        principles=[],
    )
