"""Labelled pairs: every format is read, every broken line says file, line and remedy."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from judges.cards.labelled import LabelledPair, drawn, parse_labelled, read_labelled
from judges.errors import DataError

TEXTS = {"prompt": "Tea?", "completion_1": "Yes.", "completion_2": "No."}
CHARTER = {"prompt": "Tea?", "completions": ["Yes.", "No."]}
HH = {
    "chosen": "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Tea?\n\nAssistant: Yes.",
    "rejected": "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Tea?\n\nAssistant: No.",
}


def written(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def preferred_text(pair: LabelledPair) -> str:
    return pair.item.completions[0 if pair.preferred == 1 else 1].text


@pytest.mark.parametrize(
    ("row", "preferred", "annotations"),
    [
        ({**CHARTER, "preferred_index": 0}, 1.0, ()),
        ({**CHARTER, "preferred_index": 1}, 0.0, ()),
        ({**CHARTER, "preferred_index": None}, 0.5, ()),
        ({**CHARTER, "preferred_index": 1, "annotators": [1, None, 0]}, 0.0, (0.0, 0.5, 1.0)),
        ({**TEXTS, "preferred": 1}, 1.0, ()),
        ({**TEXTS, "preferred": 2}, 0.0, ()),
        ({**TEXTS, "annotators": [2, 2, 0]}, 0.0, (0.0, 0.0, 0.5)),
        ({**TEXTS, "annotators": [0, 1, 2]}, 0.5, (0.5, 1.0, 0.0)),
    ],
    ids=["first", "second", "tie", "annotated", "llmbar 1", "llmbar 2", "majority", "none"],
)
def test_each_format_gives_its_label(
    row: dict[str, Any], preferred: float, annotations: tuple[float, ...]
) -> None:
    pair = parse_labelled(row, "here")
    assert (pair.preferred, pair.annotations) == (preferred, annotations)
    assert [one.text for one in pair.item.completions] == ["Yes.", "No."]


def test_a_transcript_becomes_turns_and_the_chosen_side_keeps_its_label() -> None:
    pair = parse_labelled(HH, "here")
    roles = [(message.role, message.content) for message in pair.item.prompt]
    assert roles == [("user", "Hi"), ("assistant", "Hello"), ("user", "Tea?")]
    assert preferred_text(pair) == "Yes."


def test_the_place_of_the_chosen_completion_tells_nothing(tmp_path: Path) -> None:
    rows = [{"prompt": f"Tea {k}?", "chosen": "Yes.", "rejected": "No."} for k in range(200)]
    pairs = read_labelled(written(tmp_path / "p.jsonl", *rows))
    assert 70 < sum(pair.preferred == 1 for pair in pairs) < 130
    assert {preferred_text(pair) for pair in pairs} == {"Yes."}


def test_slices_weights_and_gzip(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl.gz"
    rows = [
        {**TEXTS, "id": "a", "preferred": 1, "subset": "natural", "weight": 2},
        {**TEXTS, "id": "b", "preferred": 1, "metadata": {"subset": "hard"}},
        {**TEXTS, "id": "c", "preferred": 1},
    ]
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    pairs = read_labelled(path)
    assert [pair.slice for pair in pairs] == ["natural", "hard", ""]
    assert [pair.weight for pair in pairs] == [2.0, 1.0, 1.0]


def test_lines_without_an_id_may_repeat_and_lines_with_one_may_not(tmp_path: Path) -> None:
    row = {**TEXTS, "preferred": 1}
    first, second = read_labelled(written(tmp_path / "p.jsonl", row, row))
    assert first.item.id != second.item.id
    with pytest.raises(DataError, match=r"q.jsonl:2: id 'a' stands on line 1 too"):
        read_labelled(written(tmp_path / "q.jsonl", {**row, "id": "a"}, {**row, "id": "a"}))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**CHARTER, "preferred_index": 2}, "preferred_index is 2; use one of 0, 1, null"),
        ({**CHARTER, "preferred_index": True}, "preferred_index is True"),
        ({**CHARTER, "prefered_index": 1}, "prefered_index.*preferred_index"),
        (CHARTER, "no label; use `completions` with `preferred_index`"),
        ({**CHARTER, "completions": ["a"], "preferred_index": 0}, "1 completions; a labelled pair"),
        ({**CHARTER, "completions": list("abc"), "preferred_index": 0}, "make a line for each"),
        ({"completions": ["a", "b"], "preferred_index": 0}, "`prompt` is missing"),
        ({**TEXTS, "preferred": 0}, "preferred is 0; use one of 1, 2"),
        ({**TEXTS, "annotators": []}, "annotators is"),
        ({**TEXTS, "annotators": [1, 3]}, "annotators is 3; use one of 1, 2, 0"),
        ({**TEXTS, "preferred": 1, "weight": 0}, "weight is 0; use a number above 0"),
        ({"chosen": "Yes.", "rejected": "No."}, "no `prompt`"),
        ({"chosen": HH["chosen"], "rejected": "\n\nHuman: Else\n\nAssistant: x"}, "do not share"),
        ([1], "a list, not a JSON object"),
    ],
)
def test_a_broken_line_names_file_line_and_remedy(
    tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    path = written(tmp_path / "p.jsonl", {**TEXTS, "preferred": 1}, row)
    with pytest.raises(DataError, match=rf"p\.jsonl:2: .*{message}"):
        read_labelled(path)


def test_a_file_that_is_no_gzip_or_not_there_or_empty_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(DataError, match="cannot be unpacked"):
        read_labelled(tmp_path / "a.jsonl.gz")
    for name in ("b.jsonl.gz", "b.jsonl"):
        with pytest.raises(DataError, match="no such file"):
            read_labelled(tmp_path / name)
    with pytest.raises(DataError, match="no line in it"):
        read_labelled(written(tmp_path / "c.jsonl"))


def test_a_draw_keeps_order_and_follows_its_seed(tmp_path: Path) -> None:
    rows = [{**TEXTS, "id": f"{k:02}", "preferred": 1} for k in range(50)]
    pairs = read_labelled(written(tmp_path / "p.jsonl", *rows))
    some = [pair.item.id for pair in drawn(pairs, 10, 0)]
    assert some == sorted(some) and len(some) == 10
    assert some == [pair.item.id for pair in drawn(pairs, 10, 0)]
    assert some != [pair.item.id for pair in drawn(pairs, 10, 1)]
    assert drawn(pairs, None, 0) == drawn(pairs, 99, 0) == pairs


def test_the_open_data_is_read_whole(labelled_data: Path) -> None:
    counts = {
        "llmbar/pairs.jsonl": 234,
        "pandalm/pairs.jsonl": 500,
        "hh_rlhf/harmless.jsonl.gz": 1500,
    }
    for name, n in counts.items():
        assert len(read_labelled(labelled_data / name)) == n
