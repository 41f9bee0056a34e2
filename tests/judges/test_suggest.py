"""A guess is made when it helps, and not otherwise."""

from pathlib import Path

import pytest

from judges.suggest import did_you_mean, no_such_file


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


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        pytest.param("rankngs.jsonl", " (did you mean 'rankings.jsonl'?)", id="a letter missing"),
        pytest.param("rankings.json", " (did you mean 'rankings.jsonl'?)", id="the ending"),
        pytest.param("r.jsonl", "; check the path", id="nothing near but the ending"),
        pytest.param("lost/r.jsonl", "no folder '", id="no such folder"),
    ],
)
def test_what_lies_beside_a_file_that_does_not(tmp_path: Path, name: str, hint: str) -> None:
    (tmp_path / "rankings.jsonl").touch()
    said = no_such_file(tmp_path / name)
    assert said.startswith(f"{tmp_path / name}: no such file") and hint in said
