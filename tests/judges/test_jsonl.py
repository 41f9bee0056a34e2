"""Lines survive the disk; broken ones are named; a kill or a full disk loses nothing finished."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.errors import DataError
from judges.jsonl import Journal, dump_line, parse_line, read_jsonl, read_text, write_jsonl

ROOT = Path(__file__).resolve().parents[2]
strings = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | strings,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(strings, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(strings, values, max_size=4))
def test_any_row_comes_back_from_its_line(row: dict[str, Any]) -> None:
    line = dump_line(row)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert parse_line(line, "here") == row
    assert json.loads(line) == row


@given(st.text(st.characters()))
def test_lone_surrogates_become_the_replacement_character_and_no_more(text: str) -> None:
    back = parse_line(dump_line({"text": [text]}), "here")["text"][0]
    pairs_joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert back == pairs_joined
    assert [c for c in back if c != "\ufffd"] == [
        c for c in pairs_joined if not "\ud800" <= c <= "\udfff" and c != "\ufffd"
    ]


def test_numbers_that_json_lacks_are_written_as_null() -> None:
    row = {"p": np.array([[0.5, np.nan]]), "\ud800": "\udfff", "x": float("nan")}
    assert parse_line(dump_line(row), "here") == {"p": [[0.5, None]], "\ufffd": "\ufffd", "x": None}


def test_blank_lines_are_passed_over_and_numbers_stay_true(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a":1}\n\n  \r\n{"a":2}')
    assert list(read_jsonl(path)) == [(1, {"a": 1}), (4, {"a": 2})]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param(b'{"a": 1', r":2: not JSON at column 8: .*complete JSON object", id="torn"),
        pytest.param(b"{'a': 1}", r":2: not JSON at column 2", id="single quotes"),
        pytest.param(b"[1, 2]", r":2: a list, not a JSON object", id="a list"),
        pytest.param(b'"text"', r":2: a str, not a JSON object", id="a bare string"),
        pytest.param(
            b'{"a": "caf\xe9"}', r":2: byte 11 .* \(0xe9\); convert .*iconv", id="Latin-1"
        ),
        pytest.param('{"a": 1}'.encode("utf-16"), r":2: byte 1 .*0xff", id="UTF-16"),
        pytest.param(b'{"a": "\\ud800"}', r":2: not JSON", id="an escaped lone surrogate"),
        pytest.param(b"[" * 5000, r":2: not JSON", id="nested without end"),
    ],
)
def test_a_broken_line_is_named_with_the_remedy(tmp_path: Path, line: bytes, message: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 0}\n' + line + b"\n")
    with pytest.raises(DataError, match=message) as caught:
        list(read_jsonl(path))
    assert str(caught.value).startswith(str(path))


def test_a_file_that_is_absent_or_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no-such\.jsonl: no such file"):
        list(read_jsonl(tmp_path / "no-such.jsonl"))
    with pytest.raises(DataError, match="a folder; name a file in it"):
        list(read_jsonl(tmp_path))
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match="not UTF-8"):
        read_text(tmp_path / "latin")


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "rows.jsonl"
    assert write_jsonl(path, [{"a": 1}]) == 1

    def rows() -> Any:
        yield {"a": 2}
        raise DataError("bad row")

    with pytest.raises(DataError, match="bad row"):
        write_jsonl(path, rows())
    assert path.read_text() == '{"a":1}\n'
    assert [p.name for p in path.parent.iterdir()] == ["rows.jsonl"]


@pytest.mark.parametrize("device", ["/dev/full", "/dev/null"])
def test_a_device_is_refused_not_replaced(device: str) -> None:
    with pytest.raises(DataError, match=f"{device}: is a folder or a device"):
        write_jsonl(Path(device), [{"a": 1}])
    with pytest.raises(DataError, match=f"{device}: is a folder or a device"):
        Journal(Path(device), lambda _: True)
    assert Path(device).is_char_device()


def test_a_folder_is_refused_and_a_link_stays_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder"):
        write_jsonl(tmp_path, [{"a": 1}])
    link = tmp_path / "link.jsonl"
    link.symlink_to(tmp_path / "real.jsonl")
    write_jsonl(link, [{"a": 1}])
    assert link.is_symlink()
    assert (tmp_path / "real.jsonl").read_text() == '{"a":1}\n'


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_jsonl(tmp_path / "file" / "rows.jsonl", [{"a": 1}])


LIMITED = """
import resource, sys
from pathlib import Path
from judges.errors import DataError
from judges.jsonl import Journal, write_jsonl
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # as a full disk: EFBIG
path = Path(sys.argv[2])
rows = [{"id": str(i), "text": "x" * 700} for i in range(9)]
try:
    if sys.argv[1] == "write":
        write_jsonl(path, rows)
    else:
        with Journal(path, lambda row: True) as journal:
            for row in rows:
                if row["id"] not in journal:
                    journal.append([row])
except DataError as error:
    print(f"DataError: {error}")
"""


def limited(how: str, path: Path) -> str:
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, how, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == ""
    return run.stdout


def test_a_full_disk_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id":"old"}\n')
    assert f"DataError: {path}: the disk is full; free some space" in limited("write", path)
    assert path.read_text() == '{"id":"old"}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_full_disk_keeps_the_journal_and_the_next_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert f"DataError: {path}: the disk is full" in limited("journal", path)
    with Journal(path, lambda _: True) as journal:
        assert [row["id"] for row in journal.rows()] == ["0", "1", "2", "3", "4"]
        journal.append({"id": str(i)} for i in range(5, 9))
        journal.finish(map(str, range(9)))
    assert [row["id"] for _, row in read_jsonl(path)] == list(map(str, range(9)))


class TestJournal:
    """Lines are kept as made, found again after a kill, and put in order at the end."""

    def keep_all(self, _: dict[str, Any]) -> bool:
        return True

    def test_lines_of_a_killed_run_are_found_but_not_the_torn_one(self, tmp_path: Path) -> None:
        path = tmp_path / "out.jsonl"
        partial = tmp_path / "out.jsonl.partial"
        partial.write_bytes(b'{"id":"b"}\n{"id":"a"}\n{"no":"id"}\n{"id":"c","text":"half')
        with Journal(path, self.keep_all) as journal:
            assert len(journal) == 2
            assert "c" not in journal
            journal.append([{"id": "c"}])
            journal.finish(["a", "b", "c"])
        assert [row["id"] for _, row in read_jsonl(path)] == ["a", "b", "c"]
        assert not partial.exists()

    def test_a_whole_last_line_without_its_newline_is_torn(self, tmp_path: Path) -> None:
        (tmp_path / "out.jsonl.partial").write_bytes(b'{"id":"a","n":1}')
        with Journal(tmp_path / "out.jsonl", self.keep_all) as journal:
            assert len(journal) == 0

    def test_finished_lines_are_kept_when_they_still_fit(self, tmp_path: Path) -> None:
        path = tmp_path / "out.jsonl"
        write_jsonl(path, [{"id": "a", "n": 1}, {"id": "b", "n": 2}])
        with Journal(path, lambda row: row["n"] > 1) as journal:
            assert ("a" in journal, "b" in journal) == (False, True)
            journal.append([{"id": "a", "n": 3}])
            journal.finish(["a", "b"])
        assert [row["n"] for _, row in read_jsonl(path)] == [3, 2]

    def test_the_old_output_stays_until_the_new_one_is_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "out.jsonl"
        write_jsonl(path, [{"id": "a"}])
        with Journal(path, lambda _: False) as journal:
            journal.append([{"id": "b"}])
            assert path.read_text() == '{"id":"a"}\n'

    def test_a_row_that_cannot_be_written_keeps_none_of_its_batch(self, tmp_path: Path) -> None:
        with Journal(tmp_path / "out.jsonl", self.keep_all) as journal:
            journal.append([{"id": "a"}])
            with pytest.raises(TypeError):
                journal.append([{"id": "b"}, {"id": "c", "x": object()}])
            assert [row["id"] for row in journal.rows()] == ["a"]

    def test_the_later_of_two_lines_with_one_id_counts(self, tmp_path: Path) -> None:
        path = tmp_path / "out.jsonl"
        write_jsonl(path, [{"id": "a", "n": 1}])
        (tmp_path / "out.jsonl.partial").write_bytes(b'{"id":"a","n":2}\n')
        with Journal(path, self.keep_all) as journal:
            assert [row["n"] for row in journal.rows()] == [2]
