"""Preference rows: which are trained on, and what is said of those that cannot be."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from judges.errors import DataError
from training.data.preferences import _label, read_preferences
from training.data.sources import DataSource


def row(**changes: Any) -> dict[str, Any]:
    """A sound preference row, with some columns changed; None removes one."""
    whole = {
        "id": "q1:0>1",
        "prompt": [{"role": "user", "content": "What is tea?"}],
        "chosen": [{"role": "assistant", "content": "A drink."}],
        "rejected": [{"role": "assistant", "content": "No idea."}],
        "p_chosen": 0.8,
        "logit_gap": 1.4,
        "principles": {"honest": 0.8},
        "digests": {"constitution": "c" * 64, "judge": "j" * 64, "calibration": None},
        **changes,
    }
    return {key: value for key, value in whole.items() if value is not None}


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


def test_rows_keep_their_line_label_and_digests(tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", row(), row(p_chosen=1, digests={"constitution": "d" * 64}))
    found = read_preferences(file, "soft")
    assert [pair.p_chosen for pair in found.rows] == [0.8, 1.0]
    assert found.rows[0].chosen == ({"role": "assistant", "content": "A drink."},)
    assert found.used.digests == {"constitution": ("c" * 64, "d" * 64), "judge": ("j" * 64,)}
    assert found.used.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert [pair.place for pair in found.rows] == [f"{file}:1", f"{file}:2"]


def test_folder_stands_for_its_train_file(tmp_path: Path) -> None:
    file = write(tmp_path / "train.jsonl", row())
    assert read_preferences(tmp_path, "soft").used.path == str(file)


def test_hard_labels_need_no_probability_and_take_it_as_certain(tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", row(p_chosen=None), row(p_chosen=0.6))
    assert [pair.p_chosen for pair in read_preferences(file, "hard").rows] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("faulty", "message"),
    [
        pytest.param(row(p_chosen=1.2), "p_chosen is 1.2; use a probability", id="above 1"),
        pytest.param(row(p_chosen=-0.1), "p_chosen is -0.1", id="below 0"),
        pytest.param(row(p_chosen="0.8"), "p_chosen is '0.8'", id="text"),
        pytest.param(row(p_chosen=True), "p_chosen is True", id="a truth value"),
        pytest.param(row(p_chosen=None), "no `p_chosen`", id="no label"),
        pytest.param(row(chosen=None), "no `chosen` beside", id="no chosen"),
        pytest.param(row(prompt=3), "use text, or a list of messages", id="a number"),
        pytest.param(row(rejected=[]), "rejected is []", id="no message"),
        pytest.param(row(rejected=["No."]), "use {role, content} objects", id="a bare string"),
        pytest.param(row(prompt=[{"role": "usr", "content": "a"}]), "role is 'usr'", id="role"),
        pytest.param(
            row(chosen=[{"role": "assistant", "content": 3}]),
            "content is 3; use text",
            id="content",
        ),
        pytest.param(row(digests=["c"]), "use an object of digests", id="digests as a list"),
    ],
)
def test_faults_name_file_and_line(tmp_path: Path, faulty: dict[str, Any], message: str) -> None:
    file = write(tmp_path / "p.jsonl", row(), faulty)
    with pytest.raises(DataError) as caught:
        read_preferences(file, "soft")
    assert str(caught.value).startswith(f"{file}:2: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b'{"prompt": [\n', ":1: not JSON", id="broken line"),
        pytest.param(b"\xff\n", ":1: .* not UTF-8", id="not UTF-8"),
        pytest.param(b"\n", "no row to learn from in it; make some", id="no row"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "p.jsonl"
    file.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_preferences(file, "soft")


def test_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_preferences(tmp_path / "absent.jsonl", "soft")


def said(role: str, content: str | None, **more: Any) -> list[dict[str, Any]]:
    return [{"role": role, "content": content, **more}]


CALL = [{"type": "function", "function": {"name": "brew", "arguments": "{}"}}]


@pytest.mark.parametrize(
    ("lost", "reason"),
    [
        pytest.param(row(chosen=said("assistant", " ")), "empty", id="an empty turn"),
        pytest.param(row(rejected=said("assistant", None)), "empty", id="a turn without content"),
        pytest.param(
            {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: "},
            "empty", id="a transcript that ends in nothing",
        ),
        pytest.param(row(rejected=row()["chosen"]), "chosen equals rejected", id="equal sides"),
        pytest.param(
            row(chosen=said("assistant", "Wait.", tool_calls=CALL)), "tool calls", id="tool calls"
        ),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_used_is_counted_and_the_file_is_read_on(
    tmp_path: Path, lost: dict[str, Any], reason: str
) -> None:
    file = write(tmp_path / "p.jsonl", row(), lost, row(p_chosen=0.7))
    found = read_preferences(file, "soft")
    assert [pair.place for pair in found.rows] == [f"{file}:1", f"{file}:3"]
    (told,) = found.left_out.check(str(file), 2, 0.5)
    assert told == (f"{file}: 1 of 3 rows cannot be used, and are dropped: {reason} 1 ({file}:2)")
    with pytest.raises(DataError, match=r"more than max_dropped = 0.3 allows: mend the data"):
        found.left_out.check(str(file), 2, 0.3)


def test_ties_are_no_fault_and_the_first_few_of_them_are_named(tmp_path: Path) -> None:
    tie = {"prompt": "a", "completions": ["x", "y"], "preferred_index": None}
    file = write(tmp_path / "p.jsonl", row(), *[{**tie, "prompt": f"a {n}"} for n in range(5)])
    (told,) = read_preferences(file, "soft").left_out.check(str(file), 1, 0.0)
    assert told == (f"{file}: left out while reading: tie 5 ({file}:2, {file}:3, {file}:4, …)")


def test_null_tool_calls_are_none(tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", row(chosen=said("assistant", "Tea.", tool_calls=None)))
    assert read_preferences(file, "soft").rows[0].chosen == tuple(said("assistant", "Tea."))


def test_columns_may_have_other_names_and_files_other_kinds(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"question": "What is tea?", "good": "A drink.", "bad": "No idea.", "margin": 3}]
    names = {"prompt": "question", "chosen": "good", "rejected": "bad"}
    (tmp_path / "a.json").write_text(json.dumps(rows))
    (tmp_path / "a.jsonl").write_text(json.dumps(rows[0]) + "\n")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    for name in ("a.json", "a.jsonl", "a.parquet"):
        source = DataSource(path=tmp_path / name, columns=names)
        found = read_preferences(source, "hard")
        assert found.rows[0].prompt == ({"role": "user", "content": "What is tea?"},)
        assert found.rows[0].place == f"{tmp_path / name}:1"
    with pytest.raises(DataError, match="no column 'answer', which `columns` calls 'chosen'"):
        read_preferences(source.model_copy(update={"columns": {"chosen": "answer"}}), "hard")


def test_clamped_labels_keep_their_side() -> None:
    assert [_label(p, "clamped", (0.4, 0.6), None, "f:1") for p in (0.99, 0.5, 0.1)] == [
        0.6,
        0.5,
        0.4,
    ]
