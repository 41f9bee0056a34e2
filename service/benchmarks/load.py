"""Load held while processes are killed and the engine falls ill: does every call get its answer?

Clients ask, each for texts that nobody asked for before, and repeat a call until it is answered;
batches run beside them. In the end everything is asked once more: what an answer told of must be
stored, so that it costs no vote.
"""

import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import orjson

from judges.errors import ModelError
from judges.progress import say
from service.benchmarks.adapters import Body, Row, openrlhf_body, rewards_body
from service.benchmarks.batch_client import CONSTITUTION, finish_batch, read_rows, start_batch
from service.benchmarks.fake_engine import ILLS
from service.benchmarks.faults import find_victims, kill
from service.benchmarks.fleet import Fleet
from service.benchmarks.serving import open_session

DEADLINE_S, GRACE_S = 20.0, 10.0
"""For a call; and how much later than that its answer may come before it counts as hung."""
BETWEEN_FAULTS_S = (4.0, 10.0)
ILL_S = (0.5, 4.0)
BATCH_LINES = 400
SETTLE_S = 5.0
AFTER_S = 120.0
"""After the last fault, everything is answered within this time, or is lost."""
ASKED_AGAIN = 1000


@dataclass
class Tally:
    """What the calls came to."""

    attempts: Counter[str] = field(default_factory=Counter)
    """Of every attempt, what was answered."""
    seconds: list[float] = field(default_factory=list)
    """From the first attempt of a call to its answer."""
    answers: list[tuple[str, Body, Body]] = field(default_factory=list)
    """Path, request and answer of each call."""
    lost: int = 0
    """Calls that were never answered."""


def benchmark_load(
    minutes: float,
    clients: int,
    rate: float,
    database: str | None,
    seed: int,
    *,
    kill_database: bool = False,
) -> dict[str, Any]:
    """Calls answered, lost and failed under `rate` a second from so many clients, with faults.

    Cost: no model call; about half a core at 10 calls a second.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        fleet = Fleet(folder, database, 2 if database else 0, 0.02)
        victims = find_victims(fleet, kill_database=kill_database)
        stack.callback(fleet.stop)
        fleet.start_all()
        return asyncio.run(_hold(fleet, victims, minutes * 60, clients, rate, seed))


async def _hold(
    fleet: Fleet, victims: list[str], seconds: float, clients: int, rate: float, seed: int
) -> dict[str, Any]:
    tally, draw = Tally(), random.Random(seed)
    ends = time.monotonic() + seconds
    async with open_session() as session:
        calls = [
            asyncio.create_task(_ask_on(session, fleet.address, k, clients / rate, ends, tally))
            for k in range(clients)
        ]
        batches = asyncio.create_task(asyncio.to_thread(_run_batches, fleet, ends))
        faults = await _hurt(fleet, victims, ends, draw, tally)
        await asyncio.gather(*calls)
        batch = await batches
        kept = await _ask_again(session, fleet.address, tally, draw)
    p50, p99 = np.quantile(tally.seconds, (0.5, 0.99))
    failed = {name: n for name, n in tally.attempts.items() if _is_defect(name)}
    return {
        "seconds": round(seconds),
        "clients": clients,
        "faults": dict(faults),
        "calls_answered": len(tally.answers),
        "calls_lost": tally.lost,
        "attempts": dict(tally.attempts.most_common()),
        "attempts_hung_or_5xx_but_503": sum(failed.values()),
        "seconds_to_answer": {"p50": round(float(p50), 3), "p99": round(float(p99), 3)},
        "asked_again": kept,
        "batches": batch,
    }


def _is_defect(outcome: str) -> bool:
    return outcome == "hung" or (outcome.startswith("5") and not outcome.startswith("503"))


async def _hurt(
    fleet: Fleet, victims: list[str], ends: float, draw: random.Random, tally: Tally
) -> Counter[str]:
    """A fault every few seconds; returns how many there were of each."""
    faults: Counter[str] = Counter()
    while (left := ends - time.monotonic()) > 0:
        await asyncio.sleep(min(left, draw.uniform(*BETWEEN_FAULTS_S)))
        faults.update(f"{name.split()[0]} without database" for name in fleet.revive())
        fault = draw.choice([*victims, *ILLS])
        if fault in ILLS:
            fleet.sicken(fault)
            await asyncio.sleep(draw.uniform(*ILL_S))
            fleet.sicken(None)
        else:
            await asyncio.to_thread(kill, fleet, fault)
            if fault in fleet.running:
                await asyncio.sleep(draw.uniform(0, 2))
                fleet.start(fault)
        name = f"engine {fault}" if fault in ILLS else f"{fault.split()[0]} killed"
        faults[name] += 1
        say(f"{name}; {len(tally.answers)} calls are answered")
    await asyncio.sleep(SETTLE_S)
    fleet.revive()
    return faults


async def _ask_on(
    session: aiohttp.ClientSession, address: str, client: int, every_s: float, ends: float,
    tally: Tally,
) -> None:  # fmt: skip
    """One client: a call every so often, each repeated until it is answered."""
    draw, number = random.Random(client), 0
    while time.monotonic() < ends:
        path, body = draw.choice(CALLS)(f"{client}/{number}")
        start, number = time.monotonic(), number + 1
        answer = None
        while answer is None and time.monotonic() < max(ends, start) + AFTER_S:
            outcome, answer = await _attempt(session, address, path, body)
            tally.attempts[outcome] += 1
            if answer is None:
                await asyncio.sleep(draw.uniform(0.2, 1.0))
        if answer is None:
            tally.lost += 1
            continue
        tally.seconds.append(time.monotonic() - start)
        tally.answers.append((path, body, answer))
        await asyncio.sleep(draw.uniform(0, 2 * every_s))


async def _attempt(
    session: aiohttp.ClientSession, address: str, path: str, body: Body
) -> tuple[str, Body | None]:
    """What came of one attempt, and the answer if it is one to keep."""
    headers = {"X-Deadline-S": str(DEADLINE_S)} if path in JUDGING else {}
    try:
        async with asyncio.timeout(DEADLINE_S + GRACE_S):
            async with session.post(address + path, json=body, headers=headers) as answer:
                content, status = await answer.read(), answer.status
    except TimeoutError:
        return "hung", None
    except (aiohttp.ClientError, OSError):
        return "no connection", None
    told = orjson.loads(content)
    if status != 200:
        return f"{status} {told.get('error', {}).get('code')}", None
    if "rewards" in told:
        rewards = [one["value"] if isinstance(one, dict) else one for one in told["rewards"]]
        return ("200 scored", told) if None not in rewards else ("200 no reward", None)
    kept = told["status"] == "scored"
    return f"200 {told['status'] if kept else told['reason']}", told if kept else None


def _judging(path: str, completions: int) -> Callable[[str], tuple[str, Body]]:
    def make(name: str) -> tuple[str, Body]:
        texts = [f"Answer {k} to call {name}, in a few plain words." for k in range(completions)]
        asked = {"constitution": CONSTITUTION, "prompt": f"Call {name}?", "completions": texts}
        return path, asked

    return make


def _rewarding(path: str, write: Callable[[Sequence[Row]], Body]) -> Callable[..., Any]:
    def make(name: str) -> tuple[str, Body]:
        return path, write([(f"Call {name}?", f"The answer to call {name}.")])

    return make


JUDGING = ("/v1/compare", "/v1/rank", "/v1/score")
ADDRESS = f"constitution={CONSTITUTION}&run=load&deadline_s={DEADLINE_S}"
REWARDS = f"/v1/rewards?{ADDRESS}"
OPENRLHF = f"/adapters/openrlhf/get_reward?{ADDRESS}"
CALLS = (
    *(_judging(path, n) for path, n in zip(JUDGING, (2, 3, 1), strict=True)),
    _rewarding(REWARDS, rewards_body),
    _rewarding(OPENRLHF, openrlhf_body),
)


def _run_batches(fleet: Fleet, ends: float) -> dict[str, int]:
    """One batch after the other, and what became of their lines."""
    told: Counter[str] = Counter()
    while time.monotonic() < ends:
        batch = start_batch(fleet.address, fleet.folder, BATCH_LINES, told["lines"])
        ended = finish_batch(fleet.address, batch, ends - time.monotonic() + AFTER_S, every_s=1.0)
        files = (ended["output_file_id"], ended["error_file_id"])
        rows = [row for file in files for row in read_rows(fleet.address, file)]
        found = Counter(row["custom_id"] for row in rows)
        told += Counter(
            batches=1,
            lines=BATCH_LINES,
            lines_failed=ended["request_counts"]["failed"],
            lines_lost=BATCH_LINES - len(found),
            lines_twice=sum(n - 1 for n in found.values()),
        )
    names = ("batches", "lines", "lines_failed", "lines_lost", "lines_twice")
    return {name: told[name] for name in names}


async def _ask_again(
    session: aiohttp.ClientSession, address: str, tally: Tally, draw: random.Random
) -> dict[str, int]:
    """Answers that cost votes a second time, or differ from what was told before."""
    judged = [one for one in tally.answers if one[0] in JUDGING]
    told: Counter[str] = Counter()
    for path, body, before in draw.sample(judged, min(ASKED_AGAIN, len(judged))):
        outcome, now = await _attempt(session, address, path, body)
        if now is None:
            raise ModelError(f"{path}, asked again when all was well: {outcome}")
        told["calls"] += 1
        told["votes_lost"] += now["usage"]["new_votes"]
        told["differ"] += any(now[k] != before[k] for k in ("p", "scores") if k in before)
    return {name: told[name] for name in ("calls", "votes_lost", "differ")}
