"""Rankings files in bulk: only the keys that matter are read, and reweighing streams.

A ranking line is mostly matrices that reweighing replaces; parsing them would cost more than the
reweighing itself. What is carried over unchanged is copied as bytes.
"""

import gc
import multiprocessing
import os
import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

import msgspec
import orjson

from judges.constitutions.constitution import Constitution
from judges.errors import DataError
from judges.jsonl import dump_line, read_lines, replacing
from judges.reweigh import CHUNK, rankings
from judges.store.vote_store import VoteStore
from judges.tally import Ballot, Settings

CARRIED = ("prompt", "completions", "metadata", "asked")
"""What a reweighed line takes over as it stands."""


class _Votes(msgspec.Struct, forbid_unknown_fields=True):
    """A ballot as it is written."""

    conversation: str
    completions: tuple[str, ...]
    settings: msgspec.Raw


class _RankingLine(msgspec.Struct):
    id: str
    votes: msgspec.Raw
    prompt: msgspec.Raw = msgspec.Raw()
    completions: msgspec.Raw = msgspec.Raw()
    metadata: msgspec.Raw = msgspec.Raw()
    asked: msgspec.Raw = msgspec.Raw()


Part = list[tuple[int, bytes]]
"""Numbered lines of a rankings file."""
WORKERS = 4
"""Processes at most: beyond it, the one file that all are written to holds them up."""


def reweigh_file(
    source: Path, constitution: Constitution, store: VoteStore, output: Path
) -> Counter[str]:
    """Rank a rankings file again from stored votes; returns how many have each status.

    Cost: no model call. A large file is divided among processes, as many as there are processors
    up to four, each with memory for a few thousand rankings at a time.
    Raises: DataError naming file and line.
    """
    status: Counter[str] = Counter()
    with replacing(output) as file:
        for text, counted in _reweighed(source, constitution, store):
            file.write(text)
            status += counted
    return status


def _reweighed(
    source: Path, constitution: Constitution, store: VoteStore
) -> Iterator[tuple[bytes, Counter[str]]]:
    lines = read_lines(source)
    parts = iter(lambda: list(islice(lines, CHUNK)), [])
    begun = list(islice(parts, 2))
    if len(begun) < 2:  # starting processes would take longer than the work
        yield from (_reweigh_part(part, str(source), constitution, store) for part in begun)
        return
    url = store.engine.url.render_as_string(hide_password=False)
    workers = min(WORKERS, os.cpu_count() or 1)
    # A fork starts at once, but may stop for ever where other threads held a lock.
    way = "fork" if threading.active_count() == 1 else "spawn"
    with ProcessPoolExecutor(workers, multiprocessing.get_context(way)) as pool:
        flying: deque[Future[tuple[bytes, Counter[str]]]] = deque()
        for part in chain(begun, parts):
            flying.append(pool.submit(_reweigh_there, part, str(source), constitution, url))
            if len(flying) > 2 * workers:
                yield flying.popleft().result()
        while flying:
            yield flying.popleft().result()


def _reweigh_there(
    part: Part, source: str, constitution: Constitution, url: str
) -> tuple[bytes, Counter[str]]:
    """As `_reweigh_part`, in a process of its own, with a connection of its own."""
    with VoteStore.open(url) as store:
        return _reweigh_part(part, source, constitution, store)


def _reweigh_part(
    part: Part, source: str, constitution: Constitution, store: VoteStore
) -> tuple[bytes, Counter[str]]:
    """The reweighed lines, as they are written, and their status."""
    status: Counter[str] = Counter()
    with _without_collector():
        parsed = [_read(text, f"{source}:{number}") for number, text in part]
        made = rankings([ballot for ballot, _ in parsed], constitution, store)
        written = []
        for (_, carried), line in zip(parsed, made, strict=True):
            status[line["status"]] += 1
            written.append(dump_line(line | carried))
    return b"".join(written), status


def ballot_in(row: Mapping[str, Any]) -> Ballot | None:
    """The ballot a ranking line was made from; None when it does not say."""
    try:
        return Ballot.model_validate({"id": str(row["id"]), **row["votes"]})
    except (KeyError, TypeError, ValueError):
        return None


def _read(text: bytes, where: str) -> tuple[Ballot, dict[str, Any]]:
    """A line's ballot, and what is carried over from it."""
    try:
        line = _decode_line(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataError(
            f"{where}: no ranking line ({error}); make it with `charter rank`"
        ) from None
    try:
        ballot = _ballot(line)
    except (msgspec.MsgspecError, ValueError):
        raise DataError(
            f"{where}: `votes` does not say where the votes lie; make the file with `charter rank`"
        ) from None
    carried = {key: orjson.Fragment(bytes(raw)) for key in CARRIED if (raw := getattr(line, key))}
    return ballot, carried


def _ballot(line: _RankingLine) -> Ballot:
    votes = _decode_votes(line.votes)
    return Ballot(
        id=line.id,
        conversation=votes.conversation,
        completions=votes.completions,
        settings=_settings(bytes(votes.settings)),
    )


_decode_line = msgspec.json.Decoder(_RankingLine).decode
_decode_votes = msgspec.json.Decoder(_Votes).decode


@lru_cache(maxsize=256)
def _settings(text: bytes) -> Settings:
    """Settings as written: the same few stand in every line of a file."""
    return Settings.model_validate_json(text)


@contextmanager
def _without_collector() -> Iterator[None]:
    """No cyclic garbage collection: it would go over millions of small live lists, in vain."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
