"""Rankings files in bulk: only the keys that matter are read, and reweighing streams.

A ranking line is mostly matrices that reweighing replaces; parsing them would cost more than the
reweighing itself. What is carried over unchanged is copied as bytes.
"""

import gc
import multiprocessing
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import orjson

from judges.constitutions.constitution import Constitution
from judges.errors import DataError
from judges.jsonl import dump_line, read_lines, replacing
from judges.reweigh import CHUNK, rankings
from judges.store.vote_store import VoteStore
from judges.tally import Ballot, Settings

CARRIED = ("prompt", "completions", "metadata", "answer", "asked")
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
    answer: msgspec.Raw = msgspec.Raw()
    asked: msgspec.Raw = msgspec.Raw()
    observed: msgspec.Raw = msgspec.Raw()


Job = TypeVar("Job")
Result = TypeVar("Result")
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
    work = partial(_reweigh_part, source=str(source), constitution=constitution)
    with replacing(output) as file:
        for text, counted in in_processes(parts_of(source), store, work):
            file.write(text)
            status += counted
    return status


def parts_of(source: Path) -> Iterator[Part]:
    """A file's lines with their numbers, a few thousand at a time."""
    lines = read_lines(source)
    return iter(lambda: list(islice(lines, CHUNK)), [])


def in_processes(
    jobs: Iterator[Job], store: VoteStore, work: Callable[[Job, VoteStore], Result]
) -> Iterator[Result]:
    """What becomes of each job, in order; of more than one, in processes with stores of their own.

    `work` and the jobs are pickled.
    """
    begun = list(islice(jobs, 2))
    if len(begun) < 2:  # starting processes would take longer than the work
        yield from (work(job, store) for job in begun)
        return
    url = store.engine.url.render_as_string(hide_password=False)
    workers = min(WORKERS, os.cpu_count() or 1)
    # A fork starts at once, but may stop for ever where other threads held a lock.
    way = "fork" if threading.active_count() == 1 else "spawn"
    with ProcessPoolExecutor(workers, multiprocessing.get_context(way)) as pool:
        flying: deque[Future[Result]] = deque()
        for job in chain(begun, jobs):
            flying.append(pool.submit(_work_there, job, url, work))
            if len(flying) > 2 * workers:
                yield flying.popleft().result()
        while flying:
            yield flying.popleft().result()


def _work_there(job: Job, url: str, work: Callable[[Job, VoteStore], Result]) -> Result:
    """One job in a process of its own, with a connection of its own."""
    with VoteStore.open(url) as store:
        return work(job, store)


def _reweigh_part(
    part: Part, store: VoteStore, *, source: str, constitution: Constitution
) -> tuple[bytes, Counter[str]]:
    """The reweighed lines, as they are written, and their status."""
    with without_collector():
        read = [(one.ballot, one.carried) for one in read_part(part, source)]
        return write_part(read, constitution, store)


def read_part(part: Part, source: str) -> list["ReadRanking"]:
    """Numbered lines of a rankings file, read. Raises: DataError naming file and line."""
    return [read_ranking(text, f"{source}:{number}") for number, text in part]


def write_part(
    rows: Sequence[tuple[Ballot, dict[str, Any]]], constitution: Constitution, store: VoteStore
) -> tuple[bytes, Counter[str]]:
    """The rankings of ballots as they are written, each with what else its line says; statuses."""
    status: Counter[str] = Counter()
    made = rankings([ballot for ballot, _ in rows], constitution, store)
    written = []
    for (_, more), line in zip(rows, made, strict=True):
        line |= more
        status[line["status"]] += 1
        written.append(dump_line(line))
    return b"".join(written), status


def ballot_in(row: Mapping[str, Any]) -> Ballot | None:
    """The ballot a ranking line was made from; None when it does not say."""
    try:
        return Ballot.model_validate({"id": str(row["id"]), **row["votes"]})
    except (KeyError, TypeError, ValueError):
        return None


@dataclass(frozen=True)
class ReadRanking:
    """What is read of a ranking line."""

    ballot: Ballot
    """Where its votes lie."""
    carried: dict[str, Any]
    """What a line made anew takes over, as it stands."""
    asked: bytes
    """JSON: which pairs were to be judged."""
    observed: bytes
    """JSON: which pairs have a verdict."""
    answer: str | None
    """The right answer, for rules that compare with one."""


def read_ranking(text: bytes, where: str) -> ReadRanking:
    """A ranking line. Raises: DataError."""
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
    answer = orjson.loads(bytes(line.answer)) if line.answer else None
    return ReadRanking(ballot, carried, bytes(line.asked), bytes(line.observed), answer)


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
def without_collector() -> Iterator[None]:
    """No cyclic garbage collection: it would go over millions of small live lists, in vain."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
