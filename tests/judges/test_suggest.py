"""A guess is made when it helps, and not otherwise."""

import pytest

from judges.suggest import did_you_mean


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        pytest.param("--constituton", " (did you mean '--constitution'?)", id="a letter missing"),
        pytest.param("--inptu", " (did you mean '--input'?)", id="letters swapped"),
        pytest.param("--xyz", "", id="nothing near, no guess"),
        pytest.param("", "", id="nothing written"),
    ],
)
def test_the_nearest_name(word: str, hint: str) -> None:
    assert did_you_mean(word, ["--constitution", "--input", "--output"]) == hint
