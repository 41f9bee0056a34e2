"""Which pairs become preferences, which do not and why, and what the rows hold."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.errors import DataError
from judges.items import load_items
from judges.jsonl import read_jsonl, write_jsonl
from judges.preferences import (
    PairingSettings,
    preference_rows,
    read_rankings,
    write_preferences,
)

PROMPT = [{"role": "user", "content": "hi"}]


def ranking(
    p: dict[tuple[int, int], float | None], completions: list[str], **changed: Any
) -> dict[str, Any]:
    """A ranking line with p given for some pairs; all others are unscored."""
    n = len(completions)
    matrix: list[list[float | None]] = [[None] * n for _ in range(n)]
    for i in range(n):
        matrix[i][i] = 0.5
    for (i, j), value in p.items():
        matrix[i][j], matrix[j][i] = value, None if value is None else 1 - value
    return {
        "id": "r",
        "status": "scored",
        "prompt": PROMPT,
        "completions": completions,
        "p": matrix,
        "ranking": list(range(n)),
        "principles": {"kind": {"p": matrix}},
        "digests": {"constitution": "c" * 64, "judge": "j", "calibration": None},
        **changed,
    }


def rows(*lines: dict[str, Any], **settings: Any) -> tuple[list[dict[str, Any]], dict[str, int]]:
    dropped: Counter[str] = Counter()
    made = list(preference_rows(lines, PairingSettings(**settings), dropped))
    return made, dict(dropped)


def test_a_row_has_the_columns_trainers_read_and_none_called_margin() -> None:
    (row,), dropped = rows(ranking({(0, 1): 0.2}, ["worse", "better"]))
    assert dropped == {}
    assert set(row) == {
        "id",
        "prompt",
        "chosen",
        "rejected",
        "p_chosen",
        "logit_gap",
        "principles",
        "digests",
    }
    assert row["id"] == "r:1>0"
    assert row["prompt"] == PROMPT
    assert row["chosen"] == [{"role": "assistant", "content": "better"}]
    assert row["rejected"] == [{"role": "assistant", "content": "worse"}]
    assert row["p_chosen"] == pytest.approx(0.8)
    assert row["logit_gap"] == pytest.approx(math.log(4), abs=1e-5)
    assert row["principles"] == {"kind": pytest.approx(0.8)}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param(ranking({(0, 1): 0.5}, ["a", "b"]), "tie", id="an exact tie"),
        pytest.param(ranking({(0, 1): 0.54}, ["a", "b"]), "tie", id="a near tie"),
        pytest.param(ranking({(0, 1): None}, ["a", "b"]), "unscored", id="an unscored pair"),
        pytest.param(ranking({(0, 1): 0.9}, ["a", "a"]), "identical", id="equal completions"),
        pytest.param(
            ranking({(0, 1): 0.9}, ["a", " a\n"]), "identical", id="equal but for space around"
        ),
        pytest.param(ranking({(0, 1): 0.9}, ["a", " \n"]), "empty", id="an empty completion"),
        pytest.param(
            ranking({(0, 1): 0.9}, ["a", "b"], status="unscored"), "unscored_item", id="unscored"
        ),
        pytest.param(
            ranking({(0, 1): 0.9}, ["a", "b"], status="error"), "unscored_item", id="an error"
        ),
    ],
)
def test_what_is_left_out_is_counted_by_reason(line: dict[str, Any], reason: str) -> None:
    assert rows(line) == ([], {reason: 1})


def test_a_pair_met_again_is_left_out_in_either_order() -> None:
    first = ranking({(0, 1): 0.9}, ["a", "b"])
    turned = ranking({(0, 1): 0.3}, ["b", "a"], id="again")
    made, dropped = rows(first, turned)
    assert [row["id"] for row in made] == ["r:0>1"]
    assert dropped == {"duplicate": 1}


def test_the_same_pair_under_another_prompt_is_another_pair() -> None:
    other = [{"role": "user", "content": "bye"}]
    first, second = (ranking({(0, 1): 0.9}, ["a", "b"], prompt=p) for p in (PROMPT, other))
    assert len(rows(first, second)[0]) == 2


def test_margin_zero_keeps_near_ties_but_not_exact_ones() -> None:
    lines = [
        ranking({(0, 1): p}, ["a", f"b{k}"], id=str(k))
        for k, p in enumerate((0.5, 0.500001, 0.499999))
    ]
    made, dropped = rows(*lines, minimum_margin=0)
    assert [row["id"] for row in made] == ["1:0>1", "2:1>0"]
    assert dropped == {"tie": 1}


def test_best_against_worst_takes_the_ends_of_the_ranking_only() -> None:
    line = ranking({(0, 1): 0.9, (1, 2): 0.3, (0, 2): 0.8}, ["a", "b", "c"], ranking=[0, 2, 1])
    assert [row["id"] for row in rows(line, pairing="best-worst")[0]] == ["r:0>1"]
    assert [row["id"] for row in rows(line)[0]] == ["r:0>1", "r:0>2", "r:2>1"]


probability = st.none() | st.floats(0, 1)


@given(st.lists(probability, min_size=6, max_size=6), st.floats(0, 0.5))
def test_kept_and_dropped_add_up_and_chosen_is_always_the_likelier(
    drawn: list[float | None], margin: float
) -> None:
    pairs = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    line = ranking(dict(zip(pairs, drawn, strict=True)), ["a", "b", "a", "d"])
    made, dropped = rows(line, minimum_margin=margin)
    assert len(made) + sum(dropped.values()) == 6
    for row in made:
        assert row["chosen"] != row["rejected"]
        assert row["p_chosen"] > 0.5
        assert row["p_chosen"] - 0.5 >= margin
        assert row["logit_gap"] >= 0
        assert math.isfinite(row["logit_gap"])


def write(tmp_path: Path, *lines: dict[str, Any]) -> Path:
    path = tmp_path / "rankings.jsonl"
    write_jsonl(path, lines)
    return path


def test_a_folder_gets_its_rows_and_its_card(tmp_path: Path) -> None:
    source = write(
        tmp_path,
        ranking({(0, 1): 0.9}, ["a", "b"]),
        ranking({(0, 1): 0.5}, ["a", "c"], id="s"),
    )
    counts = write_preferences(read_rankings(source), tmp_path / "set", PairingSettings())
    assert counts.model_dump() == {"kept": 1, "dropped": {"tie": 1}, "rankings": 2}
    assert sorted(p.name for p in (tmp_path / "set").iterdir()) == ["README.md", "train.jsonl"]
    card = (tmp_path / "set" / "README.md").read_text()
    for part in (
        "path: train.jsonl",
        "1 preference pairs from 2 rankings",
        "| tie | 1 |",
        "c" * 64,
    ):
        assert part in card
    (item,) = load_items(tmp_path / "set" / "train.jsonl")
    assert [completion.text for completion in item.completions] == ["a", "b"]


def test_a_file_gets_its_card_beside_it(tmp_path: Path) -> None:
    lines = [ranking({(0, 1): 0.9}, ["a", "b"])]
    write_preferences(lines, tmp_path / "set.jsonl", PairingSettings())
    assert len(list(read_jsonl(tmp_path / "set.jsonl"))) == 1
    assert "path: set.jsonl" in (tmp_path / "set.card.md").read_text()


def test_another_suffix_is_refused_unless_it_is_a_folder(tmp_path: Path) -> None:
    lines = [ranking({(0, 1): 0.9}, ["a", "b"])]
    with pytest.raises(DataError, match=r"a folder or a \.jsonl file, not '\.csv'"):
        write_preferences(lines, tmp_path / "set.csv", PairingSettings())
    (tmp_path / "set-1.0").mkdir()
    write_preferences(lines, tmp_path / "set-1.0", PairingSettings())
    assert (tmp_path / "set-1.0" / "train.jsonl").exists()


def test_nothing_left_is_an_error_that_leaves_the_earlier_set(tmp_path: Path) -> None:
    good, bad = ranking({(0, 1): 0.9}, ["a", "b"]), ranking({(0, 1): 0.5}, ["a", "b"])
    write_preferences([good], tmp_path / "set", PairingSettings())
    before = (tmp_path / "set" / "train.jsonl").read_bytes()
    with pytest.raises(DataError, match=r"no preference is left of 1 rankings .*'tie': 1.*lower"):
        write_preferences([bad], tmp_path / "set", PairingSettings())
    assert (tmp_path / "set" / "train.jsonl").read_bytes() == before


@pytest.mark.parametrize("key", ["p", "completions", "principles"])
def test_a_line_that_is_no_ranking_is_named(tmp_path: Path, key: str) -> None:
    line = {k: v for k, v in ranking({(0, 1): 0.9}, ["a", "b"]).items() if k != key}
    path = tmp_path / "r.jsonl"
    path.write_text("\n" + json.dumps(line) + "\n")
    with pytest.raises(DataError, match=rf":2: no `{key}`; this is no ranking line, make it with"):
        list(read_rankings(path))


@pytest.mark.parametrize("margin", [-0.1, 0.6, float("nan")])
def test_a_margin_out_of_range_is_refused(margin: float) -> None:
    with pytest.raises(ValueError, match="minimum_margin"):
        PairingSettings(minimum_margin=margin)
