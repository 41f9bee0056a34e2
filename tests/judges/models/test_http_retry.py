"""Which answers are waited for, for how long, and what becomes of those that never come."""

import asyncio
import email.utils
import socket
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from judges.model import Failure
from judges.models.http_retry import (
    HttpClient,
    RequestRefused,
    RetryPolicy,
    ServerUnavailable,
    in_batches,
    in_halves,
    refusal,
)
from tests.judges.models.scripted_server import IMPATIENT, Script, disconnect, serve, status
from tests.judges.models.tiny_model import byte_level_bpe, write_model

PATH = "/v1/chat/completions"
BODY = {"messages": [], "max_tokens": 1}


@pytest.fixture
async def script(tmp_path: Path) -> AsyncIterator[Script]:
    async with serve(write_model(tmp_path, byte_level_bpe())) as script:
        yield script


@pytest.fixture
async def client(script: Script) -> AsyncIterator[HttpClient]:
    async with HttpClient(script.url, "secret", IMPATIENT, reached=True) as client:
        yield client


async def seconds(client: HttpClient) -> float:
    start = time.monotonic()
    await client.json("POST", PATH, BODY)
    return time.monotonic() - start


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param("0.2", id="in seconds"),
        pytest.param("date", id="as a date"),
    ],
)
async def test_retry_after_is_waited_for(client: HttpClient, script: Script, asked: str) -> None:
    # A date has whole seconds only, so that it can be up to one second nearer than asked.
    wait = email.utils.formatdate(time.time() + 1.2, usegmt=True) if asked == "date" else asked
    script.faults.append(status(429, **{"Retry-After": wait}))
    assert await seconds(client) >= 0.15


@pytest.mark.parametrize("asked", ["soon", "-1", "", "nan"])
async def test_an_unreadable_retry_after_is_no_reason_to_wait(
    client: HttpClient, script: Script, asked: str
) -> None:
    script.faults.append(status(503, **{"Retry-After": asked}))
    assert await seconds(client) < 0.5


async def test_no_server_may_ask_for_more_than_the_timeout(
    client: HttpClient, script: Script
) -> None:
    script.faults.append(status(429, **{"Retry-After": "86400"}))
    assert 0.9 < await seconds(client) < 9


async def test_waits_grow_and_the_last_words_are_told(script: Script) -> None:
    policy = RetryPolicy(attempts=4, first_wait_s=0.05, longest_wait_s=10)
    script.faults.extend([status(500, "first"), disconnect, status(500), status(503, "at last")])
    start = time.monotonic()
    async with HttpClient(script.url, None, policy, reached=True) as client:
        with pytest.raises(ServerUnavailable, match=rf"{script.url}{PATH}.*503.*at last"):
            await client.json("POST", PATH, BODY)
    assert time.monotonic() - start >= (0.05 + 0.1 + 0.2) / 2
    assert len(script.asked) == 4


async def test_a_server_that_outlasted_all_patience_gets_one_attempt_until_it_answers(
    client: HttpClient, script: Script
) -> None:
    script.faults.extend([status(500)] * 4)
    for attempts in (3, 4):
        with pytest.raises(ServerUnavailable):
            await client.json("POST", PATH, BODY)
        assert len(script.asked) == attempts
    await client.json("POST", PATH, BODY)
    script.faults.extend([status(500)] * 2)
    await client.json("POST", PATH, BODY)
    assert len(script.asked) == 8


async def test_where_nothing_ever_listened_there_is_no_waiting() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    patient = RetryPolicy(attempts=9, first_wait_s=60)
    async with HttpClient(f"http://127.0.0.1:{port}", None, patient) as client:
        with pytest.raises(ServerUnavailable, match=str(port)):
            await asyncio.wait_for(client.json("GET", "/v1/models"), 5)


@pytest.mark.parametrize(
    ("code", "for_all"),
    [(400, False), (413, False), (422, False), (401, True), (403, True), (404, True), (405, True)],
)
async def test_a_refusal_is_not_repeated(
    client: HttpClient, script: Script, code: int, for_all: bool
) -> None:
    script.faults.append(status(code, "no such thing"))
    with pytest.raises(RequestRefused, match=f"HTTP {code}: no such thing") as caught:
        await client.json("POST", PATH, BODY)
    assert caught.value.for_all is for_all
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        pytest.param('{"error": {"code": 7, "message": "m"}}', "7 m", id="as OpenAI"),
        pytest.param('{"detail": "d"}', "d", id="as FastAPI"),
        pytest.param('{"error": "e"}', "e", id="a text"),
        pytest.param('{"error": {"x": 1}}', "{'x': 1}", id="another shape"),
        pytest.param("<h1>Bad</h1>" * 99, "<h1>Bad</h1><h1>", id="no JSON"),
    ],
)
async def test_the_servers_words_are_shown(
    client: HttpClient, script: Script, content: str, shown: str
) -> None:
    script.faults.append(lambda _: web.Response(text=content, status=400))
    with pytest.raises(RequestRefused) as caught:
        await client.json("POST", PATH, BODY)
    assert caught.value.text.startswith(shown)
    assert len(caught.value.text) <= 300


async def test_the_key_travels_as_a_bearer_token(script: Script) -> None:
    def repeat_the_key(request: web.Request) -> web.Response:
        return web.Response(text=request.headers.get("Authorization", "none"))

    script.paths["/metrics"] = repeat_the_key
    for key, seen in (("secret", "Bearer secret"), (None, "none")):
        async with HttpClient(script.url, key, IMPATIENT) as client:
            assert await client.text("GET", "/metrics") == seen


@pytest.mark.parametrize(
    ("words", "status_of", "reason"),
    [
        ("This model's maximum context length is 4096 tokens", "unscored", "too_long"),
        ("prompt is longer than max_model_len", "unscored", "too_long"),
        ("code: content_filter", "unscored", "refused"),
        ("max_tokens is not supported", "error", "engine_error"),
    ],
)
def test_only_what_would_be_refused_again_is_unscored(
    words: str, status_of: str, reason: str
) -> None:
    failure = refusal(RequestRefused(400, words, "http://x"))
    assert (failure.status, failure.reason) == (status_of, reason)
    assert words in failure.detail


@given(
    parts=st.lists(st.integers(0, 99)),
    bad=st.sets(st.integers(0, 99)),
    away=st.sets(st.integers(0, 99), max_size=2),
    failed=st.sets(st.integers(0, 99)),
    size=st.integers(1, 9),
)
async def test_every_part_gets_its_own_result_in_order(
    parts: list[int], bad: set[int], away: set[int], failed: set[int], size: int
) -> None:
    sent: list[int] = []

    async def send(batch: Sequence[int]) -> list[int | Failure]:
        assert 1 <= len(batch) <= size
        if away & set(batch):
            raise ServerUnavailable("away")
        if bad & set(batch):
            raise RequestRefused(400, "bad", "http://x")
        sent.extend(batch)
        return [part * 10 for part in batch]

    known = Failure(status="unscored", reason="too_long")
    results = await in_batches([known if p in failed else p for p in parts], size, send)
    assert len(results) == len(parts)
    for part, result in zip(parts, results, strict=True):
        if part in failed:
            assert result is known
        elif part in bad | away:
            assert isinstance(result, Failure)
            assert result.reason == "engine_error"
        elif not away:
            assert result == part * 10
    assert not failed & set(sent)


async def test_a_fault_of_the_set_up_is_raised_not_recorded() -> None:
    async def send(_: Sequence[int]) -> list[int | Failure]:
        raise RequestRefused(401, "who are you", "http://x")

    with pytest.raises(RequestRefused, match=r"who are you.*key"):
        await in_halves([1, 2, 3], send)
