"""The client, against a running service and against one that fails in every way it can."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from service.client.client import AsyncClient
from service.client.requests import CharterApiError, Patience, ServiceAway
from service.client.sync import Client

QUICK = Patience(attempts=4, first_wait_s=0.01)
PLAIN = "plain-speech@1.0.0"
ITEMS = [
    {"prompt": f"Number {k}?", "completions": ["One.", "It is two, I think."]} for k in range(9)
]
Handler = Callable[[web.Request], Any]


async def failing(*handlers: Handler) -> TestServer:
    """A server that answers each request by the next handler, and the last ones by the last."""
    left = list(handlers)

    async def handle(request: web.Request) -> web.StreamResponse:
        await request.read()
        answer: web.StreamResponse = await (left.pop(0) if len(left) > 1 else left[0])(request)
        return answer

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    server = TestServer(app)
    await server.start_server()
    return server


async def busy(_: web.Request) -> web.Response:
    body = {"error": {"code": "queue_full", "message": "full", "hint": "wait"}}
    return web.json_response(body, status=429, headers={"Retry-After": "0.2"})


async def good(_: web.Request) -> web.Response:
    return web.json_response({"id": "1", "status": "scored"})


async def hung_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def bad(_: web.Request) -> web.Response:
    body = {"error": {"code": "invalid_data", "message": "prompt is missing", "hint": "add it"}}
    return web.json_response(body, status=422)


def test_without_asyncio_it_judges_one_and_many(address: str) -> None:
    with Client(address) as charter:
        line = charter.rank(PLAIN, "What is tea?", ["A drink.", "Tea is hot " * 30])
        assert line["ranking"][0] == 0
        assert charter.compare(PLAIN, "Tea?", "A drink.", "No " * 90)["preferred"] == 0
        lines = list(charter.stream("score", PLAIN, ITEMS))
        assert sorted(line["id"] for line in lines) == [str(k) for k in range(9)]
        first = next(iter(charter.stream("score", PLAIN, ITEMS)))  # and leave the rest
        assert first["status"] == "scored"
        told = charter.rewards([{"prompt": "Tea?", "completion": "A drink."}], PLAIN, run="r")
        assert told["rewards"][0]["value"] is not None
        assert charter.watch_run("r", gold_share=0.5)["settings"]["gold_share"] == 0.5
        assert charter.run("r")["stop"] == []
        with pytest.raises(CharterApiError, match=r"404 unknown_constitution: .*no-such"):
            charter.rank("no-such", "Tea?", ["a", "b"])


async def test_one_client_serves_several_loops_and_streams_what_is_made_on_the_way(
    address: str,
) -> None:
    async def made() -> AsyncIterator[dict[str, Any]]:
        for item in ITEMS:
            await asyncio.sleep(0)
            yield item

    client = AsyncClient(address, patience=Patience(items_at_once=4))

    async def stream() -> list[str]:
        lines = [line["id"] async for line in client.stream("score", PLAIN, made())]
        await client.close()
        return sorted(lines)

    expected = [str(k) for k in range(9)]
    assert await stream() == expected
    assert await asyncio.to_thread(lambda: asyncio.run(stream())) == expected


async def test_a_full_service_is_asked_again_when_it_says() -> None:
    server = await failing(busy, hung_up, good)
    async with AsyncClient(str(server.make_url("")), patience=QUICK) as client:
        start = time.monotonic()
        assert (await client.rank("x", "p", ["a", "b"]))["status"] == "scored"
        assert time.monotonic() - start >= 0.2
    await server.close()


async def test_what_no_repetition_changes_is_raised_at_once() -> None:
    server = await failing(bad, good)
    async with AsyncClient(str(server.make_url("")), patience=QUICK) as client:
        with pytest.raises(CharterApiError, match="prompt is missing") as raised:
            await client.rank("x", "p", ["a", "b"])
        assert (raised.value.status, raised.value.hint) == (422, "add it")
    await server.close()


async def test_a_service_that_stays_busy_or_away_is_given_up_with_its_reason() -> None:
    server = await failing(busy)
    patience = Patience(attempts=2, first_wait_s=0.01)
    async with AsyncClient(str(server.make_url("")), patience=patience) as client:
        with pytest.raises(CharterApiError, match="queue_full"):
            await client.rank("x", "p", ["a", "b"])
    await server.close()
    async with AsyncClient("http://127.0.0.1:9", patience=patience) as client:
        with pytest.raises(ServiceAway, match="asked 2 times"):
            await client.rank("x", "p", ["a", "b"])


async def test_a_stream_that_breaks_off_is_asked_again_for_what_is_missing() -> None:
    asked: list[list[str]] = []

    async def broken(request: web.Request) -> web.StreamResponse:
        ids = [item["id"] for item in json.loads(await request.read())["items"]]
        asked.append(ids)
        answer = web.StreamResponse()
        await answer.prepare(request)
        for name in ids[:3]:
            await answer.write(json.dumps({"id": name, "long": "x" * 200_000}).encode() + b"\n")
        if len(ids) > 3:
            assert request.transport is not None
            request.transport.close()
        return answer

    server = await failing(broken)
    async with AsyncClient(str(server.make_url("")), patience=QUICK) as client:
        lines = [line["id"] async for line in client.stream("rank", "x", ITEMS)]
    assert sorted(lines) == [str(k) for k in range(9)]
    assert [len(ids) for ids in asked] == [9, 6, 3]
    await server.close()


async def test_a_batch_is_made_once_however_often_it_is_sent(tmp_path: Path) -> None:
    keys: list[str] = []
    polls: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        path = request.path
        if path == "/v1/files":
            body = await request.read()
            assert b'name="purpose"' in body and b'{"custom_id"' in body
            return web.json_response({"id": "file-1"})
        if path == "/v1/batches":
            keys.append(request.headers["Idempotency-Key"])
            return await (hung_up(request) if len(keys) < 2 else _json({"id": "batch-1"}))
        if path == "/v1/batches/batch-1":
            polls.append(path)
            over = len(polls) > 2
            status = "completed" if over else "in_progress"
            return await _json({"status": status, "output_file_id": "out", "error_file_id": "bad"})
        name = path.split("/")[3]
        return web.Response(text=f'{{"custom_id": "{name}-1"}}\n{{"custom_id": "{name}-2"}}\n')

    async def _json(value: dict[str, Any]) -> web.Response:
        return web.json_response(value)

    server = await failing(handle)
    file = tmp_path / "in.jsonl"
    file.write_text('{"custom_id": "1"}\n')
    async with AsyncClient(str(server.make_url("")), patience=QUICK) as client:
        ran = client.run_batch(file, "/v1/rank", every_s=0.01)
        assert [line["custom_id"] async for line in ran] == ["out-1", "out-2", "bad-1", "bad-2"]
    assert len(keys) == 2 and len(set(keys)) == 1
    await server.close()


def test_a_batch_runs_on_the_service_itself(address: str, tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    rows = [
        {
            "custom_id": str(k), "method": "POST", "url": "/v1/rank",
            "body": {"constitution": PLAIN, **ITEMS[k % 9], "id": f"i{k}"},
        }
        for k in range(20)
    ]  # fmt: skip
    rows[7]["body"] = {"constitution": "no-such", "prompt": "x", "completions": ["a", "b"]}
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with Client(address) as charter:
        lines = list(charter.run_batch(file, "/v1/rank", every_s=0.05))
    assert sorted(int(line["custom_id"]) for line in lines) == list(range(20))
    failed = [line for line in lines if line["error"] or line["response"]["status_code"] != 200]
    assert [line["custom_id"] for line in failed] == ["7"]
