"""Panel against best judge: gains where there are some, none where there are none."""

import numpy as np
import pytest

from judges.calibration.panel_comparison import best_judge, compare_panel
from judges.errors import DataError
from tests.judges.calibration.made_logits import judged_panel


def test_judges_with_their_own_errors_are_better_together() -> None:
    panel, labels = judged_panel(300, (3, 3, 3, 3, 3))
    found = compare_panel(panel, labels, tuple("abcde"), folds=5, seed=0)
    assert found.stacker.nll_gain is not None
    assert found.stacker.nll_gain.high < 0
    assert found.mean_logit.nll_gain is not None
    assert found.mean_logit.nll_gain.high < 0
    assert sum(found.chosen.values()) == found.folds == 5
    assert (found.n, found.unscored, found.judges) == (300, 0, 5)


def test_coins_gain_nothing_and_the_best_coin_is_not_flattered() -> None:
    rng = np.random.default_rng(3)
    panel, labels = rng.choice([-1.6, 1.6], (40, 150)), (rng.random(150) < 0.5).astype(float)
    flattered = max(np.mean((judge > 0) == labels) for judge in panel)
    found = compare_panel(panel, labels, tuple(map(str, range(40))), folds=5, seed=0)
    assert flattered > 0.58
    assert found.best_single.accuracy.value < flattered - 0.03
    assert found.stacker.nll_gain is not None
    assert found.stacker.nll_gain.low > -0.05
    assert found.stacker.accuracy.low < 0.5


def test_differences_are_of_the_same_pairs() -> None:
    panel, labels = judged_panel(120, (1, 3))
    panel[0, :7] = np.nan
    found = compare_panel(panel, labels, ("sharp", "dull"), folds=4, seed=0)
    assert found.chosen == {"sharp": 4}
    assert (found.n, found.unscored) == (113, 7)
    for contender in (found.stacker, found.mean_logit, found.majority):
        assert contender.accuracy_gain is not None
        assert contender.accuracy_gain.value == pytest.approx(
            contender.accuracy.value - found.best_single.accuracy.value
        )
    assert found.best_single.nll_gain is None
    assert found.majority.nll is None


def test_a_judge_that_answers_one_pair_rightly_is_not_the_best() -> None:
    panel = np.full((2, 10), np.nan)
    panel[0, 0] = 2
    panel[1] = [2.0] * 8 + [-2.0] * 2
    assert best_judge(panel, np.ones(10)) == 1


def test_equal_accuracy_is_decided_by_nll() -> None:
    labels = np.array([1.0, 1, 1, 0])
    assert best_judge(np.array([[1, 1, 1, 3.0], [1.0, 1, 1, 0.1]]), labels) == 1


def test_judges_with_one_record_are_told_apart_by_their_place_not_by_rounding() -> None:
    rng = np.random.default_rng(0)
    right = np.r_[np.full(70, 1.6), np.full(30, -1.6)]
    for _ in range(20):
        panel = np.stack([rng.permutation(right) for _ in range(4)])
        assert best_judge(panel.astype(np.float64), np.ones(100)) == 0


def test_names_must_fit_the_panel() -> None:
    with pytest.raises(DataError, match="for 1 judges, 3 pairs"):
        compare_panel(np.zeros((2, 3)), [1, 0, 1], ("a",), seed=0)
