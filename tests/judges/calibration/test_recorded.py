"""Reading recorded verdicts: gaps stay gaps; on the real ones, the published figures."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from judges.calibration.metrics import accuracy
from judges.calibration.recorded import (
    accuracy_over_orders,
    read_recorded,
    vote_logits,
)
from judges.errors import DataError

NAN = float("nan")
ROW = {"id": "a-natural-1", "judge": "J", "prompt_style": "Plain", "preferred": 1}


def written(folder: Path, *rows: dict[str, object]) -> Path:
    (folder / "llmbar").mkdir()
    with gzip.open(folder / "llmbar" / "recorded_verdicts.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return folder


def test_votes_are_smoothed_and_gaps_stay_gaps() -> None:
    votes = np.array([[1, 1], [0, 0], [1, 0], [1, NAN], [NAN, NAN]])
    np.testing.assert_allclose(vote_logits(votes), [np.log(5), -np.log(5), 0, np.log(3), NAN])
    np.testing.assert_allclose(vote_logits(1 - votes), -vote_logits(votes))


def test_null_is_unscored_and_no_guess(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        {**ROW, "winner": 1, "winner_swapped": None},
        {**ROW, "id": "a-natural-0", "preferred": 2, "winner": 1, "winner_swapped": 2},
        {**ROW, "judge": "K", "winner": 2, "winner_swapped": 2},
    )
    recorded = read_recorded(folder)
    assert recorded.judges == ("J/Plain", "K/Plain")
    assert recorded.ids == ("a-natural-0", "a-natural-1")
    assert recorded.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(recorded.votes, [[[1, 0], [1, NAN]], [[NAN, NAN], [0, 0]]])
    share, null = accuracy_over_orders(recorded.votes[0], recorded.labels)
    assert share.value == pytest.approx(2 / 3)
    assert (share.n, null) == (3, 1)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{**ROW, "winner": 3, "winner_swapped": 1}],
            ":1: winner is 3; use 1, 2 or",
        ),
        ([{**ROW, "winner": 1}], ":1: winner_swapped is 'lacking'; use"),
        ([{**ROW, "winner": 1, "winner_swapped": 1}] * 2, ":2: .* comes twice"),
        ([{**ROW, "winner": 1, "winner_swapped": 1, "preferred": None}], ":1: preferred is None"),
        (
            [{**ROW, "winner": 1, "winner_swapped": 1, "judge": 4}],
            ":1: judge is 4; it must be a text",
        ),
    ],
    ids=["winner", "lacking", "twice", "no label", "judge"],
)
def test_a_bad_line_is_named(tmp_path: Path, rows: list[dict[str, object]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_recorded(written(tmp_path, *rows))


def test_a_folder_without_verdicts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"recorded_verdicts\.jsonl\.gz"):
        read_recorded(tmp_path)


@pytest.mark.parametrize(("subset", "percent"), [("natural", 95.5), ("neighbor", 78.7)])
def test_gpt_4_has_its_published_accuracy(labelled_data: Path, subset: str, percent: float) -> None:
    recorded = read_recorded(labelled_data)
    inside = np.array([f"-{subset}-" in item for item in recorded.ids])
    votes = recorded.votes[recorded.judges.index("GPT-4/Vanilla")][inside]
    share, null = accuracy_over_orders(votes, recorded.labels[inside])
    assert (round(100 * share.value, 1), null) == (percent, 0)
    # With both orders there, a pair on which they differ is a tie: the same number.
    assert accuracy(vote_logits(votes), recorded.labels[inside]).value == pytest.approx(share.value)


def test_the_real_file_is_whole(labelled_data: Path) -> None:
    recorded = read_recorded(labelled_data)
    assert recorded.votes.shape == (65, 234, 2)
    assert int(np.isnan(recorded.votes).sum()) == 51
