"""Reweighing a file: what it carries over, what it makes anew, and lines it cannot use."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from judges.errors import DataError
from judges.jsonl import read_jsonl, write_jsonl
from judges.ranking_files import ballot_in, reweigh_file
from judges.store.vote_store import VoteStore
from tests.judges.planted import (
    HONEST,
    SHORTER,
    constitution,
    item,
    items,
    judge,
    rank_all,
    verdicts,
)

UNDER = constitution(SHORTER, HONEST)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VoteStore]:
    with VoteStore.open(f"sqlite:///{tmp_path}/votes.db") as opened:
        yield opened


async def ranked(tmp_path: Path, store: VoteStore) -> list[dict[str, Any]]:
    of = [*items(5, 3), item("odd", "é\u2028🌍 \x00", '"\\', "x" * 9), item("alone", "x")]
    lines = await rank_all(of, UNDER, [judge(noise=1.0)], store)
    rows = [{**line, "asked": "all", "metadata": {"k": [1, None, "ü"]}} for line in lines]
    write_jsonl(tmp_path / "r.jsonl", rows)
    return rows


async def test_unedited_every_line_comes_out_as_it_was(tmp_path: Path, store: VoteStore) -> None:
    before = await ranked(tmp_path, store)
    status = reweigh_file(tmp_path / "r.jsonl", UNDER, store, tmp_path / "out.jsonl")
    after = [row for _, row in read_jsonl(tmp_path / "out.jsonl")]
    assert status == {"scored": 6, "unscored": 1}
    assert [verdicts(row) for row in after] == [verdicts(row) for row in before]
    for key in ("prompt", "completions", "metadata", "asked"):
        assert [row[key] for row in after] == [row[key] for row in before]


async def test_in_place_is_fine(tmp_path: Path, store: VoteStore) -> None:
    before = await ranked(tmp_path, store)
    path = tmp_path / "r.jsonl"
    reweigh_file(path, constitution(SHORTER), store, path)
    after = [row for _, row in read_jsonl(path)]
    assert [row["id"] for row in after] == [row["id"] for row in before]
    assert set(after[0]["principles"]) == {"shorter"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"votes": None}, r":3: .*make .*with `charter rank`", id="no votes"),
        pytest.param({"votes": {"conversation": "c"}}, r":3: `votes` does not say", id="half"),
        pytest.param({"id": None}, r":3: ", id="no id"),
    ],
)
async def test_a_line_it_cannot_use_is_named_and_nothing_written(
    tmp_path: Path, store: VoteStore, change: dict[str, Any], message: str
) -> None:
    rows = await ranked(tmp_path, store)
    path = tmp_path / "r.jsonl"
    path.write_bytes(orjson.dumps(rows[0]) + b"\n\n" + orjson.dumps(rows[1] | change) + b"\n")
    with pytest.raises(DataError, match=message):
        reweigh_file(path, UNDER, store, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_broken_bytes_are_named(tmp_path: Path, store: VoteStore) -> None:
    for broken in (b'{"id": "a", ', b"\xff\xfe", b"[]", b'{"id": "a\xff"}'):
        (tmp_path / "r.jsonl").write_bytes(broken + b"\n")
        with pytest.raises(DataError, match=r"r\.jsonl:1: "):
            reweigh_file(tmp_path / "r.jsonl", UNDER, store, tmp_path / "out.jsonl")


@pytest.mark.parametrize("votes", [None, [], "x", {}, {"conversation": 1}], ids=repr)
def test_a_row_that_names_no_votes_has_no_ballot(votes: Any) -> None:
    assert ballot_in({"id": "a", "votes": votes}) is None


async def test_divided_among_processes_the_file_is_the_same(
    tmp_path: Path, store: VoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ranked(tmp_path, store)
    source, edited = tmp_path / "r.jsonl", constitution(SHORTER, {**HONEST, "weight": 9.0})
    whole = reweigh_file(source, edited, store, tmp_path / "whole.jsonl")
    monkeypatch.setattr("judges.ranking_files.CHUNK", 2)
    parts = reweigh_file(source, edited, store, tmp_path / "parts.jsonl")
    assert parts == whole
    assert (tmp_path / "parts.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


async def test_a_broken_line_in_another_process_is_named_and_nothing_is_written(
    tmp_path: Path, store: VoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ranked(tmp_path, store)
    source = tmp_path / "r.jsonl"
    lines = source.read_bytes().splitlines(keepends=True)
    source.write_bytes(b"".join([*lines[:5], b'{"id": "x"}\n', *lines[5:]]))
    monkeypatch.setattr("judges.ranking_files.CHUNK", 2)
    with pytest.raises(DataError, match=r"r\.jsonl:6: no ranking line"):
        reweigh_file(source, UNDER, store, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
