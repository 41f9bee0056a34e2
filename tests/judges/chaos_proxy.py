"""A proxy that fails as servers do, in front of a scripted one; and ranking in its own process.

What befalls a request is told by its content, by how often that content came before, and by a
seed: never by the order in which concurrent requests arrive.
"""

import asyncio
import hashlib
import json
import math
import random
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.judges.models.scripted_server import Script, serve

FAULTS = ("500", "503", "429", "reset", "lost", "slow", "cut", "truncated", "drop", "no_logprobs")
"""Errors before the server is asked; `reset` hangs up before it, `lost` once it has answered; its
answer late, cut off in transfer, cut off and declared whole, or without a choice or log-
probabilities."""
WAIT_ASKED_S = "0.05"
CHAT = "/v1/chat/completions"
PROBE_TOKENS = 48
"""More than any probe at first contact has, fewer than any judge's prompt."""
Question = str


@dataclass
class Chaos:
    """What the proxy does to requests, and what it has let through."""

    script: Script
    shares: dict[str, float] = field(default_factory=dict)
    """Share of the requests that each fault befalls."""
    owed: list[str] = field(default_factory=list)
    """Faults that befall the next requests, one each, so that all come up in a short run."""
    seed: int = 0
    spared: int = 0
    """Requests still let through unharmed: first contact, where a test is about later."""
    slow_s: float = 0.1
    """Delay of a slow answer."""
    held_after: int | None = None
    """Once so many questions were asked, later requests are held until this is None."""
    url: str = ""
    befallen: Counter[str] = field(default_factory=Counter)
    asked: Counter[Question] = field(default_factory=Counter)
    """Judge's questions that reached the server, each with how often."""
    flying: Counter[Question] = field(default_factory=Counter)
    """Of these, the ones not answered yet."""
    _seen: Counter[str] = field(default_factory=Counter)

    def fault(self, path: str, body: bytes) -> str | None:
        """What befalls this request; None when nothing does."""
        if self.spared > 0 or not path.endswith("completions"):
            self.spared -= path.endswith("completions")
            return None
        if self.owed:
            self.befallen[self.owed[-1]] += 1
            return self.owed.pop()
        name = hashlib.sha256(body).hexdigest()
        self._seen[name] += 1
        luck = random.Random(f"{self.seed} {path} {name} {self._seen[name]}").random()
        for fault, share in self.shares.items():
            if luck < share:
                self.befallen[fault] += 1
                return fault
            luck -= share
        return None

    @property
    def total(self) -> int:
        """Judge's questions asked in all, repetitions too."""
        return sum(self.asked.values())


def questions_in(path: str, body: Mapping[str, Any] | None) -> list[Question]:
    """The judge's questions in a request: none in a probe."""
    if body is None:
        return []
    if path == "/v1/completions":
        return [json.dumps(ids) for ids in body["prompt"] if len(ids) > PROBE_TOKENS]
    if path == CHAT and len(body["messages"]) > 1:
        return [json.dumps([body["messages"], body.get("seed")])]
    return []


@contextmanager
def chaotic(folder: Path, **settings: Any) -> Iterator[Chaos]:
    """A proxy on a free port, before a server for the model in a folder; in a thread of its own.

    For first contact may block the event loop of whoever makes it.
    """
    started: Future[tuple[Chaos, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run() -> None:
        async with _serving(folder, **settings) as chaos:
            stop = asyncio.Event()
            started.set_result((chaos, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    thread.start()
    chaos, loop, stop = started.result(10)
    try:
        yield chaos
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


@asynccontextmanager
async def _serving(folder: Path, **settings: Any) -> AsyncIterator[Chaos]:
    async with serve(folder) as script, aiohttp.ClientSession(read_bufsize=2**20) as session:
        script.paths[CHAT] = judge_by_chat(script)
        chaos = Chaos(script, **settings)
        app = web.Application(client_max_size=2**26)

        async def handle(request: web.Request) -> web.StreamResponse:
            return await _pass_on(chaos, session, request)

        app.router.add_route("*", "/{path:.*}", handle)
        server = TestServer(app)
        await server.start_server()
        chaos.url = str(server.make_url("")).rstrip("/")
        try:
            yield chaos
        finally:
            await server.close()


async def _pass_on(
    chaos: Chaos, session: aiohttp.ClientSession, request: web.Request
) -> web.StreamResponse:
    body = await request.read()
    fault = chaos.fault(request.path, body)
    if fault in ("500", "503", "429"):
        headers = {"Retry-After": WAIT_ASKED_S} if fault == "429" else {}
        return web.json_response({"error": {"message": fault}}, status=int(fault), headers=headers)
    if fault == "reset":
        return _hang_up(request)
    asked = questions_in(request.path, json.loads(body) if body else None)
    held = chaos.held_after is not None and chaos.total >= chaos.held_after
    chaos.asked.update(asked)
    chaos.flying.update(asked)
    try:
        await _hold(chaos, fault == "slow", held)
        url = chaos.script.url + request.path
        type_ = {"Content-Type": request.content_type}
        async with session.request(request.method, url, data=body, headers=type_) as answer:
            content = await answer.read()
        return await _answer(request, fault, answer.status, content)
    finally:
        chaos.flying.subtract(asked)


async def _hold(chaos: Chaos, slow: bool, held: bool) -> None:
    await asyncio.sleep(chaos.slow_s if slow else 0.0)
    while held and chaos.held_after is not None:
        await asyncio.sleep(0.01)


async def _answer(
    request: web.Request, fault: str | None, code: int, content: bytes
) -> web.StreamResponse:
    if fault == "lost":
        return _hang_up(request)
    if fault == "cut":
        cut = web.StreamResponse(headers={"Content-Length": str(len(content))})
        await cut.prepare(request)
        await cut.write(content[: len(content) // 2])
        return _hang_up(request)
    if fault == "truncated":
        content = content[: len(content) // 2]
    if fault in ("drop", "no_logprobs") and code == 200:
        content = _spoilt(content, fault)
    return web.Response(body=content, status=code, content_type="application/json")


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _spoilt(content: bytes, fault: str) -> bytes:
    parsed = json.loads(content)
    choices = parsed["choices"]
    if fault == "drop":
        del choices[len(choices) // 2]
    for choice in choices if fault == "no_logprobs" else []:
        choice["logprobs"] = None
    return json.dumps(parsed).encode()


def judge_by_chat(script: Script) -> Any:
    """A chat endpoint that prefers one completion of a pair by a share that its text decides."""

    async def answer(request: web.Request) -> web.Response:
        body = await request.json()
        text = body["messages"][-1]["content"]
        for sign, (code, words) in script.refused.items():
            if sign in text:
                return web.json_response({"error": {"message": words}}, status=code)
        share = 0.1 + 0.8 * random.Random(text).random()
        top = {"A": math.log(share), "B": math.log(1 - share)}
        if script.option_missing in text:
            top = {"A": math.log(share), "C": math.log(1 - share)}
        choices = [
            {
                "index": i,
                "message": {"content": _said(script, body, i, share)},
                "finish_reason": "stop",
                "logprobs": None if script.no_logprobs else {"content": [_token(top)]},
            }
            for i in range(body.get("n", 1))
        ]
        return web.json_response({"choices": choices, "usage": {"prompt_tokens": 50}})

    return answer


def _token(top: Mapping[str, float]) -> dict[str, Any]:
    given = [{"token": token, "logprob": logprob} for token, logprob in top.items()]
    return {**given[0], "top_logprobs": given}


def _said(script: Script, body: Mapping[str, Any], i: int, share: float) -> str:
    text = body["messages"][-1]["content"]
    luck = random.Random(f"{body.get('seed')} {i} {text}").random()
    if len(body["messages"]) == 1:
        return str(luck) if "number" in text else "A"
    if script.option_missing in text:
        return "Neither"
    return "A" if luck < share else "B"


async def rank_made_up(count: int, judge: str, database: str, output: str) -> Counter[str]:
    """What `charter rank` does, on items and a constitution made up here."""
    from judges.ranking_verbs import rank_file
    from judges.store.vote_store import VoteStore
    from tests.judges.planted import HONEST, KIND, SHORTER, WORDS, constitution, item, items

    odd = [item("missing", "NO OPTION at all", "fine"), item("long", "LONG " * 9, "fine")]
    with VoteStore.open(database) as store:
        return await rank_file(
            [*items(count - 2), *odd],
            constitution(SHORTER, HONEST, KIND, WORDS),
            [judge],
            store,
            Path(output),
        )


if __name__ == "__main__":
    asyncio.run(rank_made_up(int(sys.argv[1]), *sys.argv[2:]))
