"""Folds that keep prompts whole, and calibration that helps where it should."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.calibration.cross_validation import before_after, grouped_folds, out_of_fold
from judges.calibration.scaling import fit_temperature
from judges.errors import DataError
from tests.judges.calibration.made_logits import judged_pairs


@given(st.lists(st.integers(0, 12), min_size=2, max_size=60), st.integers(2, 5), st.integers(0, 9))
def test_a_prompt_is_whole_in_one_fold_and_no_fold_is_empty(
    groups: list[int], folds: int, seed: int
) -> None:
    if len(set(groups)) < folds:
        with pytest.raises(DataError, match="prompts cannot make"):
            grouped_folds(groups, len(groups), folds=folds, seed=seed)
        return
    fold_of = grouped_folds(groups, len(groups), folds=folds, seed=seed)
    assert len({(g, f) for g, f in zip(groups, fold_of, strict=True)}) == len(set(groups))
    assert set(fold_of) == set(range(folds))


def test_folds_are_about_equal_and_follow_the_seed() -> None:
    fold_of = grouped_folds(None, 103, folds=10, seed=1)
    assert set(np.bincount(fold_of)) == {10, 11}
    assert (fold_of != grouped_folds(None, 103, folds=10, seed=2)).any()
    assert (fold_of == grouped_folds(None, 103, folds=10, seed=1)).all()


def test_each_item_is_judged_by_a_fit_that_never_saw_its_prompt() -> None:
    x, y = judged_pairs(60, 2.0)
    groups = np.arange(60) // 3
    fold_of = grouped_folds(groups, 60, folds=4, seed=0)
    judged = out_of_fold("temperature", x, y, groups, folds=4, seed=0)
    for fold in range(4):
        rest = fold_of != fold
        expected = fit_temperature(x[rest], y[rest]).apply(x[~rest])
        np.testing.assert_array_equal(judged[~rest], expected)


def test_unscored_pairs_stay_unscored_and_teach_nothing() -> None:
    x, y = judged_pairs(60, 2.0)
    x[::7] = np.nan
    judged = out_of_fold("temperature", x, y, folds=4, seed=0)
    assert (np.isnan(judged) == np.isnan(x)).all()
    found = before_after("temperature", x, y, folds=4, seed=0)
    assert (found.before.unscored, found.after.n, found.nll.n) == (9, 51, 51)


@pytest.mark.parametrize("kind", ["temperature", "platt", "isotonic"])
def test_calibration_mends_an_overconfident_judge(kind: str) -> None:
    found = before_after(kind, *judged_pairs(500, 4.0), seed=0)  # type: ignore[arg-type]
    assert found.ece.high < 0
    assert found.brier.high < 0
    assert found.nll.high < 0
    assert found.ece.value == pytest.approx(found.after.ece.value - found.before.ece.value)
    assert found.nll.value == pytest.approx(found.after.nll.value - found.before.nll.value)


def test_calibration_cannot_mend_a_calibrated_judge() -> None:
    found = before_after("temperature", *judged_pairs(1000, 1.0), seed=0)
    assert found.nll.low < 0 < found.nll.high + 0.002
    assert abs(found.nll.value) < 0.005
    assert found.before.accuracy.value == found.after.accuracy.value
