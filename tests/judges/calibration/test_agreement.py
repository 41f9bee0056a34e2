"""Kappa and alpha of the textbooks, people's agreement, and preference for length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from judges.calibration.agreement import (
    cohen_kappa,
    human_agreement,
    krippendorff_alpha,
    length_preference,
    length_preferences,
)
from judges.errors import DataError

M = None
KRIPPENDORFF_2011 = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, M, M, M],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, M, 3],
    [M, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, M],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, M],
]


def test_kappa_of_the_textbook() -> None:
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    found = cohen_kappa(first, second, seed=0)
    assert found is not None
    assert found.value == pytest.approx(0.4)
    # Fleiss, Cohen and Everitt 1969 give a standard error of 0.127 for this table.
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.127, rel=0.1)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=2, max_size=30))
def test_kappa_as_scikit_learn_and_symmetric(rows: list[tuple[int, int]]) -> None:
    first, second = zip(*rows, strict=True)
    found = cohen_kappa(first, second, seed=0)
    if len({*first, *second}) == 1:
        assert found is None
        return
    assert found is not None
    assert found.value == pytest.approx(cohen_kappa_score(first, second))
    swapped = cohen_kappa(second, first, seed=0)
    assert swapped is not None
    assert swapped.value == pytest.approx(found.value)


def test_kappa_leaves_missing_ratings_out() -> None:
    whole = cohen_kappa([1, 2, 1, 2], [1, 2, 2, 2], seed=0)
    gaps = cohen_kappa([1, 2, 1, 2, None, 1], [1, 2, 2, 2, 1, None], seed=0)
    assert whole == gaps
    with pytest.raises(DataError, match="rated by both"):
        cohen_kappa([1, None], [None, 1], seed=0)


def test_alpha_of_krippendorffs_own_example() -> None:
    found = krippendorff_alpha(KRIPPENDORFF_2011, seed=0)
    assert found is not None
    assert found.value == pytest.approx(0.743, abs=5e-4)
    assert found.n == 11  # the twelfth item has one rating only
    assert found.low < 0.743 < found.high


def test_alpha_of_krippendorffs_binary_example() -> None:
    found = krippendorff_alpha(
        [[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]], seed=0
    )
    assert found is not None
    assert found.value == pytest.approx(0.095, abs=5e-4)


def test_alpha_of_full_agreement_is_one_and_of_one_category_nothing() -> None:
    same = [["a", "b", "a"]] * 3
    full = krippendorff_alpha(same, seed=0)
    assert full is not None
    assert full.value == 1
    assert krippendorff_alpha([["a", "a"]] * 2, seed=0) is None
    with pytest.raises(DataError, match="two ratings"):
        krippendorff_alpha([["a", None], [None, "a"]], seed=0)


def test_peoples_agreement_counted_by_hand() -> None:
    found = human_agreement([[1, 1, 1, 1], [1, 1, 2, None], [1, 2, 0, None]], seed=0)
    assert found.n == 3
    assert found.pairwise.value == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert found.unanimous.value == pytest.approx(1 / 3)
    assert found.against_majority is not None
    # 1,1,2: each 1 meets a tie of 1 and 2 (a half), the 2 meets two 1s (nothing). 1,2,0: nothing.
    assert found.against_majority.value == pytest.approx((1 + 1 / 3 + 0) / 3)


def test_two_people_have_no_majority() -> None:
    assert human_agreement([[1, 2], [1, 1]], seed=0).against_majority is None


def test_longer_wins_counted_by_hand() -> None:
    lengths = [(9, 1), (1, 9), (9, 1), (5, 5), (9, 1), (9, 1)]
    found = length_preference(lengths, [1, 0, 0, 1, 0.5, float("nan")])
    assert found.share.value == pytest.approx(2 / 3)
    assert (found.share.n, found.ties, found.unscored) == (3, 2, 1)


def test_a_judge_fonder_of_length_than_people_shows() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 500, (300, 2))
    longer = (lengths[:, 0] > lengths[:, 1]).astype(float)
    judge = np.where(rng.random(300) < 0.9, longer, 1 - longer)
    human = np.where(rng.random(300) < 0.6, longer, 1 - longer)
    found = length_preferences(lengths, judge, human, seed=0)
    assert found.difference is not None
    assert found.difference.low > 0.15
    assert found.difference.value == pytest.approx(
        found.judge.share.value - found.human.share.value
    )
    assert found.human.share.low < 0.6 < found.human.share.high


def test_lengths_come_in_twos() -> None:
    with pytest.raises(DataError, match=r"give \(n, 2\)"):
        length_preference([1, 2], [1, 0])
