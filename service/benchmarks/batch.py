"""Batches measured: memory over many lines, bookkeeping a line, and votes a second against vLLM."""

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from judges.errors import ConfigError, ModelError
from judges.judge_files import open_judges
from judges.models.openai import OpenAIModel
from judges.progress import say
from judges.records import Item
from judges.store.schema import connect_database, database_url
from service.batches.folder import BatchFolder
from service.benchmarks.batch_client import (
    batch_line,
    call,
    finish_batch,
    read_batch,
    upload,
    write_lines,
)
from service.benchmarks.serving import (
    PRINCIPLES,
    Arms,
    comparison,
    open_session,
    serving,
    short_items,
    started_address,
    wait_ready,
    write_constitution,
)
from service.jobs.leases import claim, complete
from service.jobs.lifecycle import settle_plan, submit
from service.jobs.records import Counts, Done, Range, Submission
from service.storage.migrate import migrate

PARTS, PART_LINES = 200, 256
LONGEST_S = 3600.0
ONE_PRINCIPLE = """\
name: one
version: 1.0.0
title: One principle
licence: CC0-1.0
description: For the benchmark.
principles:
  - id: shorter
    family: style
    title: Shorter
    text: The shorter completion is better.
    tier: normal
    weight: 1.0
"""


def benchmark_batch(lines: int, engine_lines: int, database: str | None) -> dict[str, Any]:
    """Memory and lines a second with the fake, bookkeeping a line, and the ratio to plain vLLM.

    Cost: for `engine_lines` comparisons, 32 votes each, and one engine start; none for 0.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        told: dict[str, Any] = {"bookkeeping": measure_bookkeeping(folder, database)}
        say(f"bookkeeping: {told['bookkeeping']}")
        if lines:
            told["memory"] = measure_memory(folder, lines)
            say(f"memory: {told['memory']}")
        if engine_lines:
            told["engine"] = asyncio.run(_against_plain(engine_lines, folder))
        return told


def measure_bookkeeping(folder: Path, database: str | None, parts: int = PARTS) -> dict[str, Any]:
    """What claiming, writing and committing cost, beside the judging: no judge is asked."""
    engine = connect_database(database_url(database or f"sqlite:///{folder}/jobs.db"))
    migrate(engine)
    submission = Submission(
        id=f"batch_{os.urandom(8).hex()}", tenant="t", queue="measured", spec={}
    )
    job, _ = submit(engine, submission)
    plan = claim(engine, "me", ["measured"], 60.0)
    assert plan is not None
    ranges = [Range(start=n, stop=n + 1, first_line=n + 1, lines=1) for n in range(parts)]
    settle_plan(engine, plan, ranges, parts)
    batch = BatchFolder(folder / job.id)
    rows = [batch_line(number) for number in range(PART_LINES)]
    seconds = []
    for _ in range(parts):
        start = time.perf_counter()
        held = claim(engine, "me", ["measured"], 60.0)
        assert held is not None
        size = batch.write_part(f"{held.number}.1.output", rows)
        told = {"output": f"{held.number}.1.output", "output_bytes": size}
        complete(engine, held, Done(told, Counts(completed=PART_LINES)))
        seconds.append(time.perf_counter() - start)
    engine.dispose()
    p50, p99 = np.quantile(seconds, (0.5, 0.99))
    return {
        "database": engine.dialect.name,
        "parts": parts,
        "lines_a_part": PART_LINES,
        "ms_a_part": {"p50": round(float(p50) * 1e3, 2), "p99": round(float(p99) * 1e3, 2)},
        "us_a_line": round(float(np.mean(seconds)) / PART_LINES * 1e6, 1),
    }


def measure_memory(folder: Path, lines: int) -> dict[str, Any]:
    """The service's resident memory while a batch of so many lines runs on the fake judge."""
    place = folder / "memory" / "constitutions" / "one"
    place.mkdir(parents=True)
    (place / "1.0.0.yaml").write_text(ONE_PRINCIPLE)
    source = folder / "memory" / "input.jsonl"
    write_lines(source, range(lines), "one@1.0.0")
    with _fake_service(folder / "memory") as (address, pid):
        file = upload(address, source)
        start = time.monotonic()
        batch = str(call(address, "/v1/batches", {"input_file_id": file})["id"])
        samples: list[tuple[int, float]] = []
        over = threading.Event()
        watching = threading.Thread(target=_watch, args=(address, batch, pid, samples, over))
        watching.start()
        try:
            ended = finish_batch(address, batch, LONGEST_S, every_s=1.0)
        finally:
            over.set()
            watching.join()
        seconds = time.monotonic() - start
    if ended["request_counts"]["completed"] != lines:
        raise ModelError(f"not all lines were judged: {ended['request_counts']}")
    return {
        "lines": lines,
        "input_mb": round(source.stat().st_size / 1e6, 1),
        "seconds": round(seconds, 1),
        "lines_per_second": round(lines / seconds, 1),
    } | _trend(samples, lines)


def _watch(
    address: str, batch: str, pid: int, samples: list[tuple[int, float]], over: threading.Event
) -> None:
    while not over.wait(1.0):
        if told := read_batch(address, batch):
            samples.append((told["request_counts"]["completed"], _resident_mb(pid)))


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _trend(samples: Sequence[tuple[int, float]], lines: int) -> dict[str, Any]:
    """Memory at shares of the batch, and how it grows over its last four fifths."""
    at: dict[str, float] = {}
    for share in (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0):
        reached = [mb for done, mb in samples if done >= share * lines * 0.999]
        at[f"{share:.0%}"] = round(reached[0] if reached else samples[-1][1], 1)
    late = np.array([(done, mb) for done, mb in samples if done >= lines / 5])
    slope = np.polyfit(late[:, 0], late[:, 1], 1)[0] if len(late) > 2 else float("nan")
    return {
        "rss_mb_at": at,
        "rss_end_to_20%": round(at["100%"] / at["20%"], 3),
        "rss_mb_most": round(max(mb for _, mb in samples), 1),
        "rss_mb_growth_per_100000_lines": round(float(slope) * 1e5, 2),
    }


@contextmanager
def _fake_service(home: Path) -> Iterator[tuple[str, int]]:
    """The address and process number of a service with the fake judge."""
    environment = os.environ | {
        "CHARTER_HOME": str(home / "home"),
        "CHARTER_CONSTITUTIONS": str(home / "constitutions"),
    }
    command = [sys.executable, "-m", "charter", "serve", "--port", "0", "--judge", "fake"]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stderr=log)
    try:
        address = started_address(home / "log", process)
        asyncio.run(_ready(address))
        yield address, process.pid
    finally:
        process.terminate()
        process.wait(60)


async def _ready(address: str) -> None:
    async with open_session() as session:
        await wait_ready(session, address)


async def _against_plain(lines: int, folder: Path) -> dict[str, Any]:
    """Votes a second of batches and of plain vLLM, halves in the order ours, plain, plain, ours."""
    write_constitution(folder / "constitutions")
    async with AsyncExitStack() as stack:
        (judge,) = await open_judges([], stack)
        if not isinstance(judge.model, OpenAIModel) or judge.model.encoder is None:
            raise ConfigError("the benchmark needs a vLLM judge whose tokenizer is at hand")
        address = stack.enter_context(serving(folder, "default"))
        session = await stack.enter_async_context(open_session())
        arms = Arms(session, address, judge)
        await wait_ready(session, address)
        spent = {"batch": 0.0, "plain": 0.0}
        for number, arm in enumerate(("batch", "plain", "plain", "batch")):
            items = short_items(lines // 2, f"batch-{number}")
            ids, path = arms.ids(items), folder / f"{number}.jsonl"
            path.write_bytes(b"".join(_line(n, item) for n, item in enumerate(items)))
            if arm == "batch":
                spent[arm] += await asyncio.to_thread(_one_batch, address, path)
            else:
                start = time.perf_counter()
                await arms.plain_list(ids)
                spent[arm] += time.perf_counter() - start
    votes = lines // 2 * 2 * 2 * PRINCIPLES
    return {
        "lines_an_arm": lines // 2 * 2,
        "votes_an_arm": votes,
        "votes_per_second": {arm: round(votes / spent[arm], 2) for arm in spent},
        "ratio_to_plain": round(spent["plain"] / spent["batch"], 3),
    }


def _line(number: int, item: Item) -> bytes:
    row = {"custom_id": str(number), "method": "POST", "url": "/v1/compare"}
    return orjson.dumps(row | {"body": comparison(item)}) + b"\n"


def _one_batch(address: str, path: Path) -> float:
    """Seconds from the request for a batch until its output is there. Raises: ModelError."""
    file = upload(address, path)
    start = time.perf_counter()
    batch = str(call(address, "/v1/batches", {"input_file_id": file})["id"])
    ended = finish_batch(address, batch, LONGEST_S, every_s=0.02)
    seconds = time.perf_counter() - start
    if ended["request_counts"]["failed"]:
        raise ModelError(f"lines failed: {ended['request_counts']}")
    return seconds
