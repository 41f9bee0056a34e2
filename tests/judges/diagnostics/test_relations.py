"""Relations between principles, and that no number depends on who stands first."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from judges.diagnostics.column_estimates import BUNDLES, mean_estimates
from judges.diagnostics.relations import Margins, relations
from tests.judges.diagnostics.test_contributions import made_votes

MARGINS = Margins(tie_margin=0.05, decisive=1.0)


def _logits() -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    rng = np.random.default_rng(7)
    first = rng.normal(0, 2, 80)
    made = np.column_stack([first, first + rng.normal(0, 1, 80), rng.normal(1, 1, 80).round()])
    made[:5, 2] = np.nan
    return made


def test_correlation_is_spearmans_over_both_directions() -> None:
    logit = _logits()[:, :2]
    (one,) = relations(made_votes(logit), MARGINS, seed=1)
    expected = spearmanr(*np.vstack([logit, -logit]).T).statistic
    assert one.correlation and one.correlation.value == pytest.approx(expected, abs=1e-9)
    assert one.correlation.low < expected < one.correlation.high and one.correlation.n == 80


def test_swapping_completions_changes_no_relation() -> None:
    logit = _logits()
    swapped = logit * np.where(np.arange(80) % 3 == 0, -1, 1)[:, None]
    assert relations(made_votes(logit), MARGINS, seed=1) == relations(
        made_votes(swapped), MARGINS, seed=1
    )


def test_missing_votes_are_in_no_n() -> None:
    found = relations(made_votes(_logits()), MARGINS, seed=1)
    assert [one.n for one in found] == [80, 75, 75]


def test_contradiction_needs_both_to_be_decisive() -> None:
    logit = np.array([[2.0, -2.0], [2.0, -0.5], [2.0, 2.0], [0.0, 3.0]])
    (one,) = relations(made_votes(logit), MARGINS, seed=1)
    assert one.contradiction and one.contradiction.value == 0.25
    assert one.sign_agreement and one.sign_agreement.value == pytest.approx(1 / 3)


def test_means_leave_unknown_values_out_and_say_their_n() -> None:
    values = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]])
    first, second = mean_estimates(values, np.array([5, 5, 9]), seed=0)
    assert first and (first.value, first.n) == (2.0, 2)
    assert second is None


def test_bundling_many_prompts_keeps_the_interval_as_wide() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(0, 1, (2 * BUNDLES, 1)).repeat(2, 0)  # two pairs a prompt, alike
    (one,) = mean_estimates(values, np.arange(2 * BUNDLES).repeat(2), seed=0)
    assert one and one.n == 4 * BUNDLES
    assert one.high - one.low == pytest.approx(2 * 1.96 / np.sqrt(2 * BUNDLES), rel=0.15)
