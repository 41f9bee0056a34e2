"""Few-shot examples are read with their principle's requests, or refused by line."""

from pathlib import Path
from typing import Any

import pytest

from judges.critiques.examples import CRITIQUE_REQUEST, load_shots, shots_digest
from judges.errors import DataError
from judges.jsonl import write_jsonl
from tests.judges.critiques.made_requests import NO_TEA, requests

GOOD: dict[str, Any] = {
    "prompt": "What is good?",
    "completion": "Some tea is.",
    "principle": "no-tea",
    "critique": {"quote": "tea", "comment": "It says so.", "severity": "major"},
    "revision": "Some water is.",
}


def written(path: Path, *rows: dict[str, Any]) -> Path:
    write_jsonl(path / "shots.jsonl", rows)
    return path / "shots.jsonl"


def test_an_example_carries_its_principles_requests_or_general_ones(tmp_path: Path) -> None:
    general = {key: value for key, value in GOOD.items() if key != "principle"}
    own, other = load_shots(written(tmp_path, GOOD, general), requests())
    assert own.critique_request == NO_TEA["critique"]
    assert own.revision_request == NO_TEA["revise"]
    assert own.prompt[0].content == "What is good?"
    assert other.critique_request == CRITIQUE_REQUEST


def test_the_digest_moves_with_what_is_shown(tmp_path: Path) -> None:
    first = shots_digest(load_shots(written(tmp_path, GOOD), requests()))
    again = shots_digest(load_shots(written(tmp_path, GOOD), requests()))
    other = shots_digest(load_shots(written(tmp_path, GOOD | {"revision": "x"}), requests()))
    assert first == again != other
    reworded = requests(NO_TEA | {"critique": "Other words."})
    assert shots_digest(load_shots(written(tmp_path, GOOD), reworded)) != first
    assert load_shots(None, requests()) == ()
    assert shots_digest(()) is None


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        pytest.param({"principle": "no-teas"}, r":1: .*no-teas.*did you mean 'no-tea'", id="id"),
        pytest.param({"critiques": 1}, r":1: unknown key 'critiques' \(did you mean", id="key"),
        pytest.param({"critique": "bad"}, r":1: critique", id="a critique in prose"),
        pytest.param({"prompt": 3}, r":1: `prompt`", id="a prompt that is none"),
        pytest.param({"revision": None}, r":1: revision", id="no revision"),
        pytest.param(
            {"critique": {"quote": "coffee", "comment": "x", "severity": "minor"}},
            r":1: the critique quotes 'coffee'",
            id="an invented quote",
        ),
    ],
)
def test_a_broken_example_is_refused(tmp_path: Path, changed: dict[str, Any], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        load_shots(written(tmp_path, GOOD | changed), requests())


def test_a_lacking_key_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="`completion` is missing"):
        load_shots(
            written(tmp_path, {k: v for k, v in GOOD.items() if k != "completion"}), requests()
        )
    with pytest.raises(DataError, match="no line in it"):
        load_shots(written(tmp_path), requests())
