"""Samples a second of each framework's adapter, beside `/v1/rewards`, with the fake judge.

Each adapter is sent what its framework's client sends, from as many clients; no sample twice. All
take turns, forth and back, so that a machine that slows down slows all of them.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import orjson

from judges.errors import ModelError
from judges.progress import say
from service.benchmarks.batch_client import CONSTITUTION
from service.benchmarks.serving import open_session, serving, wait_ready

CLIENTS = 64
LIST = 32
"""Samples in a call of what takes many."""
ROUNDS = 4
Row = tuple[str, str]
Body = dict[str, Any]


def _chat(prompt: str) -> str:
    return f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"


def openrlhf_body(rows: Sequence[Row]) -> Body:
    """What OpenRLHF sends of prompts and completions."""
    prompts = [_chat(prompt) for prompt, _ in rows]
    queries = [f"{p}{text}<|im_end|>\n" for p, (_, text) in zip(prompts, rows, strict=True)]
    return {"query": queries, "prompts": prompts, "labels": [None] * len(rows)}


def _slime(rows: Sequence[Row]) -> Body:
    ((prompt, text),) = rows
    return {"prompt": prompt, "response": text, "label": None}


def _llamafactory(rows: Sequence[Row]) -> Body:
    return {"model": "m", "messages": [f"{_chat(p)}{text}<|im_end|>\n" for p, text in rows]}


def _nemo_gym(rows: Sequence[Row]) -> Body:
    ((prompt, text),) = rows
    said = {"type": "message", "content": [{"type": "output_text", "text": text}]}
    asked = {"input": [{"role": "user", "content": prompt}]}
    return {"responses_create_params": asked, "response": {"output": [said]}}


def rewards_body(rows: Sequence[Row]) -> Body:
    """What `/v1/rewards` takes of prompts and completions."""
    return {"samples": [{"prompt": prompt, "completion": text} for prompt, text in rows]}


Adapter = tuple[str, int, Callable[[Sequence[Row]], Body]]
ADAPTERS: dict[str, Adapter] = {
    "rewards": ("/v1/rewards", 1, rewards_body),
    "openrlhf": ("/adapters/openrlhf/get_reward", 1, openrlhf_body),
    "slime": ("/adapters/slime", 1, _slime),
    "nemo-gym": ("/adapters/nemo-gym/verify", 1, _nemo_gym),
    "rewards, lists": ("/v1/rewards", LIST, rewards_body),
    "llamafactory, lists": ("/adapters/llamafactory/v1/score/evaluation", LIST, _llamafactory),
}


def benchmark_adapters(samples: int) -> dict[str, Any]:
    """Samples a second by each adapter, and the ratio to `/v1/rewards`.

    Cost: no model call.
    """
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_benchmark(samples, Path(folder)))


async def _benchmark(samples: int, folder: Path) -> dict[str, Any]:
    spent = dict.fromkeys(ADAPTERS, 0.0)
    seconds: dict[str, list[float]] = {name: [] for name in ADAPTERS}
    done = dict.fromkeys(ADAPTERS, 0)
    with serving(folder, "fake", folder) as address:
        async with open_session() as session:
            await wait_ready(session, address)
            await _send(session, address, "rewards", "warm", 64)
            names = list(ADAPTERS)
            for number in range(ROUNDS):
                for name in names if number % 2 == 0 else reversed(names):
                    start = time.perf_counter()
                    seconds[name] += await _send(session, address, name, f"{number}", samples)
                    spent[name] += time.perf_counter() - start
                    done[name] += samples // ADAPTERS[name][1] * ADAPTERS[name][1]
                    say(f"{name}: {done[name]} samples in {spent[name]:.1f} s")
    rates = {name: done[name] / spent[name] for name in ADAPTERS}
    return {name: _told(name, done[name], rates, seconds[name]) for name in ADAPTERS}


def _told(name: str, n: int, rates: dict[str, float], seconds: Sequence[float]) -> dict[str, Any]:
    at_once = ADAPTERS[name][1]
    beside = "rewards" if at_once == 1 else "rewards, lists"
    p50, p99 = np.quantile(seconds, (0.5, 0.99))
    return {
        "samples": n,
        "samples_a_call": at_once,
        "samples_per_second": round(rates[name], 1),
        "ratio_to_rewards": round(rates[name] / rates[beside], 3),
        "latency_s": {"p50": round(float(p50), 4), "p99": round(float(p99), 4)},
    }


async def _send(
    session: aiohttp.ClientSession, address: str, name: str, part: str, samples: int
) -> list[float]:
    """Seconds of each call, from so many clients that each wait for their answer."""
    path, at_once, write = ADAPTERS[name]
    url = f"{address}{path}?constitution={CONSTITUTION}&run={name.split(',')[0]}"
    numbers = iter(range(0, samples // at_once * at_once, at_once))
    headers = {"Content-Type": "application/json"}

    async def client() -> list[float]:
        seconds = []
        for first in numbers:
            rows = [_row(f"{name} {part} {n}") for n in range(first, first + at_once)]
            body = orjson.dumps(write(rows))
            start = time.perf_counter()
            async with session.post(url, data=body, headers=headers) as answer:
                content = await answer.read()
            seconds.append(time.perf_counter() - start)
            if answer.status != 200 or b'"_ng_failure_class"' in content:
                raise ModelError(f"{path}: HTTP {answer.status}: {content[:300]!r}")
        return seconds

    own = await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return [second for one in own for second in one]


def _row(name: str) -> Row:
    return (
        f"What should a beginner know about {name}?",
        f"Start with the basics of {name}. Practise a little every day, and ask when stuck.",
    )
