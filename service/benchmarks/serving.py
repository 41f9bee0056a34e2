"""The service against plain vLLM: the same engine, the same token ids, the same run.

Plain vLLM gets, from as many clients, each comparison's prompts as one request of token ids to its
own OpenAI server. Halves of both arms alternate, every comparison on texts that nobody judged
before, so that neither arm finds the other's prompts in the cache. The service's own time is
measured with the fake judge, which answers at once.
"""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import orjson

from judges.ballots import ballot_maker
from judges.benchmarks.made_up import made_up_constitution, made_up_items
from judges.errors import ConfigError, ModelError
from judges.judge import Judge, Method
from judges.judge_files import open_judges
from judges.layout import PREFILL
from judges.matter import Matter
from judges.models.openai import OpenAIModel
from judges.progress import say
from judges.records import CompletionText, Item
from judges.reweigh import questions

PRINCIPLES = 4
CLIENTS = (1, 16, 64)
WORDS = 25
"""Words of each completion: short, so that the service's own work weighs more, not less."""
OVERHEAD_CALLS = 1000
PLAIN_BATCH, PLAIN_IN_FLIGHT = 32, 4
START_S = 300.0
PATIENCE_S = 600.0
"""For one answer: 64 clients wait minutes for a slow engine, of either arm."""
Call = Callable[[Item], Awaitable[float]]


def benchmark_service(calls: int, clients: Sequence[int] = CLIENTS) -> dict[str, Any]:
    """Votes a second and latency at so many clients and in a list, with ratios to plain vLLM.

    Cost: 16 votes for each comparison: `calls` by one client, else four times as many or two by
    each client, and four times as many in the list. One engine start.
    """
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_benchmark(calls, clients, Path(folder)))


async def _benchmark(calls: int, clients: Sequence[int], folder: Path) -> dict[str, Any]:
    write_constitution(folder / "constitutions")
    async with AsyncExitStack() as stack:
        own = await _own_time(folder)
        say(f"the service's own time: {own}")
        (judge,) = await open_judges([], stack)
        if not isinstance(judge.model, OpenAIModel) or judge.model.encoder is None:
            raise ConfigError("the benchmark needs a vLLM judge whose tokenizer is at hand")
        address = stack.enter_context(serving(folder, "default"))
        session = await stack.enter_async_context(open_session())
        arms = Arms(session, address, judge)
        await wait_ready(session, address)
        told = [await _compare_at(count, calls, arms) for count in clients]
        return {"own_time": own, "clients": told, "list": await _compare_lists(calls * 4, arms)}


class Arms:
    """The two ways to have the same comparisons voted on."""

    def __init__(self, session: aiohttp.ClientSession, service: str, judge: Judge) -> None:
        self._session, self._service, self._judge = session, service, judge
        self._constitution = made_up_constitution(PRINCIPLES)
        assert isinstance(judge.model, OpenAIModel) and judge.model.encoder is not None
        self._model = judge.model
        options = judge.setting("pair").options
        self._options = list(judge.model.encoder.option_ids(PREFILL, options))

    async def service(self, item: Item) -> float:
        """Seconds of one comparison by the service."""
        start = time.perf_counter()
        asked = comparison(item) | {"deadline_s": PATIENCE_S}
        line = orjson.loads(await self._post(f"{self._service}/v1/compare", asked))
        _refuse_lost([line])
        return time.perf_counter() - start

    async def service_list(self, items: Sequence[Item]) -> None:
        """Many comparisons by the service, in one request."""
        rows = [comparison(item) for item in items]
        for row in rows:
            del row["constitution"]
        answer = await self._post(
            f"{self._service}/v1/compare", {"constitution": "benchmark", "items": rows}
        )
        _refuse_lost([orjson.loads(line) for line in answer.splitlines()])

    async def plain(self, item: Item) -> float:
        """Seconds of the same comparison's prompts by plain vLLM; rendered before the clock."""
        ids = self.ids([item])
        start = time.perf_counter()
        await self._ask(ids)
        return time.perf_counter() - start

    async def plain_list(self, ids: Sequence[list[int]]) -> None:
        """Many prompts by plain vLLM, in requests as large and as many as ours."""
        slots = asyncio.Semaphore(PLAIN_IN_FLIGHT)

        async def ask(part: Sequence[list[int]]) -> None:
            async with slots:
                await self._ask(part)

        parts = [ids[i : i + PLAIN_BATCH] for i in range(0, len(ids), PLAIN_BATCH)]
        await asyncio.gather(*map(ask, parts))

    def ids(self, items: Sequence[Item]) -> list[list[int]]:
        """The token ids of the votes on items, as the transport renders them."""
        ballot = ballot_maker([self._judge], self._constitution, Method())
        matter = Matter.of(items, self._constitution, [self._judge])
        asked = [q for item in items for q in questions(ballot(item), self._constitution)]
        return [self._model.render(matter.prompt(question)) for question in asked]

    async def _ask(self, ids: Sequence[list[int]]) -> None:
        body = {
            "model": self._model.model,
            "prompt": ids,
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": 0,
            "logprob_token_ids": self._options,
            "return_tokens_as_token_ids": True,
        }
        answer = orjson.loads(await self._post(f"{self._model.url}/v1/completions", body))
        if len(answer["choices"]) != len(ids):
            raise ModelError(f"{len(answer['choices'])} answers to {len(ids)} prompts")

    async def _post(self, address: str, body: Any) -> bytes:
        async with self._session.post(
            address, data=orjson.dumps(body), headers={"Content-Type": "application/json"}
        ) as answer:
            content = await answer.read()
            if answer.status != 200:
                raise ModelError(f"{address}: HTTP {answer.status}: {content[:300]!r}")
            return content


async def _compare_at(clients: int, calls: int, arms: Arms) -> dict[str, Any]:
    """Both arms at so many clients, in the order ours, plain, plain, ours."""
    half = max(clients, calls * min(clients, 4) // 2)
    seconds: dict[str, list[float]] = {"service": [], "plain": []}
    spent = {"service": 0.0, "plain": 0.0}
    for number, arm in enumerate(("service", "plain", "plain", "service")):
        items = short_items(half, f"{clients}-{number}")
        call: Call = arms.service if arm == "service" else arms.plain
        start = time.perf_counter()
        seconds[arm] += await from_clients(clients, items, call)
        spent[arm] += time.perf_counter() - start
    votes = 2 * half * 2 * PRINCIPLES
    told = {
        "clients": clients,
        "comparisons_an_arm": 2 * half,
        "votes_an_arm": votes,
        "votes_per_second": {arm: round(votes / spent[arm], 2) for arm in spent},
        "ratio_to_plain": round(spent["plain"] / spent["service"], 3),
        "latency_s": {arm: _quantiles(values) for arm, values in seconds.items()},
    }
    say(f"{clients} clients: {told}")
    return told


async def _compare_lists(count: int, arms: Arms) -> dict[str, Any]:
    spent = {"service": 0.0, "plain": 0.0}
    for number, arm in enumerate(("service", "plain", "plain", "service")):
        items = short_items(count // 2, f"list-{number}")
        ids = arms.ids(items)
        start = time.perf_counter()
        await (arms.service_list(items) if arm == "service" else arms.plain_list(ids))
        spent[arm] += time.perf_counter() - start
    votes = count // 2 * 2 * 2 * PRINCIPLES
    return {
        "comparisons_an_arm": count // 2 * 2,
        "votes_an_arm": votes,
        "votes_per_second": {arm: round(votes / spent[arm], 2) for arm in spent},
        "ratio_to_plain": round(spent["plain"] / spent["service"], 3),
    }


async def _own_time(folder: Path) -> dict[str, Any]:
    """Latency of comparisons by one client, with a judge that answers at once."""
    with serving(folder / "fake", "fake", folder / "constitutions") as address:
        async with open_session() as session:
            await wait_ready(session, address)

            async def call(item: Item) -> float:
                start = time.perf_counter()
                async with session.post(f"{address}/v1/compare", json=comparison(item)) as answer:
                    _refuse_lost([await answer.json()])
                return time.perf_counter() - start

            await from_clients(1, short_items(20, "warm"), call)
            alone = await from_clients(1, short_items(OVERHEAD_CALLS, "own"), call)
            start = time.perf_counter()
            await from_clients(64, short_items(OVERHEAD_CALLS, "own-64"), call)
            rate = OVERHEAD_CALLS * 2 * PRINCIPLES / (time.perf_counter() - start)
    return {"n": OVERHEAD_CALLS, "latency_s": _quantiles(alone), "votes_per_second_64": round(rate)}


async def from_clients(clients: int, items: Sequence[Item], call: Call) -> list[float]:
    """Seconds of each call, made by so many clients that each wait for their answer."""
    waiting = iter(items)

    async def one() -> list[float]:
        return [await call(item) for item in waiting]

    return [
        second for own in await asyncio.gather(*(one() for _ in range(clients))) for second in own
    ]


def short_items(count: int, name: str) -> list[Item]:
    """Made-up items with short completions."""
    return [
        item.model_copy(
            update={
                "completions": tuple(
                    CompletionText(text=" ".join(c.text.split()[:WORDS])) for c in item.completions
                )
            }
        )
        for item in made_up_items(count, name)
    ]


def comparison(item: Item) -> dict[str, Any]:
    """The request that compares an item's two completions."""
    texts = [completion.text for completion in item.completions]
    return {"constitution": "benchmark", "prompt": item.prompt[0].content, "completions": texts}


def _refuse_lost(lines: Sequence[dict[str, Any]]) -> None:
    """Raises: ModelError when not all were scored by votes cast just now."""
    for line in lines:
        if line["status"] != "scored" or line["usage"]["new_votes"] != 2 * PRINCIPLES:
            raise ModelError(f"the service answered {line}")


def _quantiles(seconds: Sequence[float]) -> dict[str, float]:
    p50, p99 = np.quantile(seconds, (0.5, 0.99))
    return {"p50": round(float(p50), 4), "p99": round(float(p99), 4), "n": len(seconds)}


def write_constitution(folder: Path) -> None:
    """The made-up constitution as a file, for the service to find."""
    place = folder / "benchmark"
    place.mkdir(parents=True)
    value = made_up_constitution(PRINCIPLES).model_dump(mode="json", exclude_defaults=True)
    value["version"] = "1.0.0"
    (place / "1.0.0.yaml").write_bytes(orjson.dumps(value))


@contextmanager
def serving(home: Path, judge: str, constitutions: Path | None = None) -> Iterator[str]:
    """The address of a service of its own, in a process of its own."""
    environment = os.environ | {
        "CHARTER_HOME": str(home / "home"),
        "CHARTER_CONSTITUTIONS": str(constitutions or home / "constitutions"),
    }
    run = "import sys, charter; sys.exit(charter.main(sys.argv[1:]))"
    command = [sys.executable, "-c", run, "serve", "--port", "0", "--judge", judge]
    root = Path(__file__).resolve().parents[2]
    home.mkdir(parents=True, exist_ok=True)
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=root, env=environment, stderr=log)
    try:
        yield started_address(home / "log", process)
    finally:
        process.terminate()
        process.wait(60)


def started_address(log: Path, process: "subprocess.Popen[bytes]") -> str:
    """Where a service that was just begun listens, by its log. Raises: ModelError."""
    ends = time.monotonic() + START_S
    while time.monotonic() < ends and process.poll() is None:
        if found := re.search(r"charter serves on (\S+);", log.read_text("utf-8")):
            return found[1]
        time.sleep(0.1)
    raise ModelError(f"the service did not start: {log.read_text('utf-8')[-500:]}")


async def wait_ready(session: aiohttp.ClientSession, address: str) -> None:
    """Wait until a service is ready. Raises: ModelError when that takes too long."""
    ends = time.monotonic() + START_S
    while time.monotonic() < ends:
        with suppress(aiohttp.ClientConnectorError):  # bound, but not listening yet
            async with session.get(f"{address}/ready") as answer:
                if answer.status == 200:
                    return
        await asyncio.sleep(0.2)
    raise ModelError(f"{address} is not ready after {START_S:.0f} s")


@asynccontextmanager
async def open_session() -> AsyncIterator[aiohttp.ClientSession]:
    """A client of as many connections as needed."""
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        yield session
