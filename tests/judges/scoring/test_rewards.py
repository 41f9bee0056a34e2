"""Weights fitted to rankings order completions as these do, and say how sure that is."""

import json
from pathlib import Path
from typing import Any

import pytest

from charter import main
from judges.errors import DataError
from judges.scoring.rewards import fit_to_rankings


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHARTER_HOME", str(tmp_path / "home"))
    (tmp_path / "warm.yaml").write_text(
        """
name: warm
version: 1.0.0
title: Warm
licence: CC0-1.0
principles:
  - id: warm
    family: tone
    title: Warm
    text: The better completion mentions "tea".
    propositions:
      - {id: tea, text: It mentions "tea".}
      - {id: rain, text: It mentions "rain".}
"""
    )
    texts = ["tea and rain", "only rain", "tea alone", "nothing here"]
    write(
        tmp_path / "c.jsonl",
        [
            {"id": str(n), "prompt": f"Say {n}", "completions": [f"{t} {n}" for t in texts]}
            for n in range(30)
        ],
    )
    return tmp_path


def test_from_completions_to_rewards(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--constitution", "warm.yaml", "--input", "c.jsonl", "--judge", "fake"]
    assert main(["rank", *common, "--output", "r.jsonl"]) == 0
    assert main(["score", *common, "--output", "s.jsonl"]) == 0
    fit = ["fit-statements", "--scores", "s.jsonl", "--rankings", "r.jsonl"]
    assert main([*fit, "--output", "w.json"]) == 0
    seen = capsys.readouterr()
    weights = {name: float(weight) for weight, name in map(str.split, seen.out.splitlines())}
    assert weights["warm/tea"] > 5 * abs(weights["warm/rain"])
    assert "1.000 ranked right" in seen.err
    assert main(["score", *common, "--output", "s.jsonl", "--weights", "w.json"]) == 0
    for line in map(json.loads, (work / "s.jsonl").read_text().splitlines()):
        tea, rain, both, none = (line["rewards"][k] for k in (2, 1, 0, 3))
        assert min(tea, both) > max(rain, none) + 0.9
        assert line["digests"]["weights"]


def test_scores_of_other_completions_are_refused(work: Path) -> None:
    line: dict[str, Any] = {
        "id": "1",
        "completions": ["a"],
        "principles": {"p": {"statements": {"s": [0.5]}}},
    }
    scores = write(work / "s.jsonl", [line])
    rankings = write(work / "r.jsonl", [{**line, "completions": ["b"], "ranking": [0]}])
    with pytest.raises(DataError, match=r"s.jsonl:1: item '1' has other completions"):
        fit_to_rankings(scores, rankings, 0)
    write(work / "r.jsonl", [{**line, "id": "2"}])
    with pytest.raises(DataError, match="no item of"):
        fit_to_rankings(scores, rankings, 0)
