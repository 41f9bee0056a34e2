"""Under load: bounded queues, deadlines, disconnects, draining, and stores that go away."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from judges.models.fake import FakeModel
from service.judging.desk import WINDOW

Open = Callable[..., Any]
ASKED = {"constitution": "plain-speech", "prompt": "p", "completions": ["a b c", "d"]}
SLOW = '[slow]\ntransport = "fake"\nfake = {latency_s = 0.2}\n'


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.text.splitlines()]


def items(count: int) -> list[dict[str, Any]]:
    return [
        {"id": f"i{k}", "prompt": f"Number {k}", "completions": [f"one {k}", "two words more"]}
        for k in range(count)
    ]


def desk(client: Any) -> Any:
    return client.app.state.service.desk


def fake(client: Any) -> FakeModel:
    (judge,) = client.app.state.service.pool.judges([])
    model = judge.model.inner
    assert isinstance(model, FakeModel)
    return model


async def test_a_full_desk_answers_429_and_takes_again_when_it_is_not(
    opened: Open, judges: Callable[[str], None]
) -> None:
    judges(SLOW)
    async with opened(judges=("slow",), max_waiting=2) as client:
        asked = [ASKED | {"prompt": f"p{k}"} for k in range(5)]
        answers = await asyncio.gather(*(client.post("/v1/compare", json=one) for one in asked))
        assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429, 429]
        full = next(answer for answer in answers if answer.status_code == 429)
        assert full.json()["error"]["code"] == "queue_full"
        assert int(full.headers["retry-after"]) >= 1
        assert desk(client).inside == 0
        assert (await client.post("/v1/compare", json=ASKED)).status_code == 200


async def test_past_the_deadline_an_item_is_a_record_and_the_rest_goes_on(
    opened: Open, judges: Callable[[str], None]
) -> None:
    judges('[quick]\ntransport = "fake"\n[stuck]\ntransport = "fake"\nfake = {latency_s = 3600}\n')
    body: dict[str, Any] = {"constitution": "plain-speech", "items": items(3)}
    async with opened(judges=("quick",)) as client:
        await client.post("/v1/compare", json=body)
    async with opened(judges=("stuck",)) as client:  # the same judge, but for the time it takes
        one = await client.post("/v1/compare", json=ASKED | {"deadline_s": 0.05})
        assert (one.status_code, one.json()["status"], one.json()["reason"]) == (
            200, "error", "deadline_passed",
        )  # fmt: skip
        header = {"X-Deadline-S": "0.05"}
        told = await client.post("/v1/rank", json=ASKED | {"prompt": "other"}, headers=header)
        assert told.json()["reason"] == "deadline_passed"
        body |= {"items": items(500), "deadline_s": 2.0}
        many = lines(await client.post("/v1/compare", json=body))
        assert sorted(line["id"] for line in many if line["status"] == "scored") == [
            "i0", "i1", "i2",
        ]  # fmt: skip
        assert [line["reason"] for line in many].count("deadline_passed") == 497
        assert desk(client).inside == 0


async def test_bad_items_are_lines_of_their_own(client: httpx.AsyncClient) -> None:
    rows: list[Any] = items(3)
    rows += [
        {"id": "i0", "prompt": "again", "completions": ["a", "b"]},
        {"id": "half", "prompt": "p"},
        "no object",
        {"id": "three", "prompt": "p", "completions": ["a", "b", "c"]},
        {"prompt": "p", "completions": ["a", "b"]},
        {"prompt": "p", "completions": ["a", "b"]},
    ]
    body = {"constitution": "plain-speech", "items": rows}
    told = lines(await client.post("/v1/compare", json=body))
    assert len(told) == len(rows)
    bad = {line["id"]: line for line in told if line["status"] == "error"}
    assert set(bad) == {"i0", "half", "items[5]", "three"}
    assert "items[4]: `completions` is missing" in bad["half"]["detail"]
    assert {line["reason"] for line in bad.values()} == {"invalid_item"}
    assert len({line["id"] for line in told if line["status"] != "error"}) == 5


async def test_an_engine_that_fails_is_503_for_one_and_a_line_each_for_many(
    opened: Open, judges: Callable[[str], None]
) -> None:
    judges('[bad]\ntransport = "fake"\nfake = {failure_rates = {engine_error = 1.0}}\n')
    async with opened(judges=("bad",)) as client:
        one = await client.post("/v1/compare", json=ASKED)
        assert one.json()["status"] == "error" and one.json()["reason"] == "engine_error"
        body = {"constitution": "helpful-harmless", "items": items(8)}
        told = lines(await client.post("/v1/compare", json=body))
        assert [line["reason"] for line in told] == ["engine_error"] * 8
        assert (await client.get("/ready")).status_code == 503


async def test_equal_and_concurrent_requests_share_reads_and_engine_requests(
    client: httpx.AsyncClient,
) -> None:
    model = fake(client)
    asked = [ASKED | {"prompt": f"n {k}"} for k in range(48)]
    answers = await asyncio.gather(*(client.post("/v1/compare", json=one) for one in asked))
    assert all(answer.json()["status"] == "scored" for answer in answers)
    assert model.calls < model.prompts / 4
    before = model.prompts
    again = await asyncio.gather(*(client.post("/v1/compare", json=one) for one in asked))
    assert [a.json()["p"] for a in again] == [a.json()["p"] for a in answers]
    assert model.prompts == before


async def test_a_list_that_nobody_reads_is_not_worked_through(
    opened: Open, judges: Callable[[str], None]
) -> None:
    """A client that goes away, or reads nothing, costs at most a window of items."""
    judges('[slow]\ntransport = "fake"\nfake = {latency_s = 0.01}\n')
    async with opened(judges=("slow",)) as client:
        body = json.dumps({"constitution": "plain-speech", "items": items(4 * WINDOW)}).encode()
        read = 0
        gone = asyncio.Event()
        sent = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if sent:
                return sent.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal read
            read += len(message.get("body", b"").splitlines())
            if read >= 3:  # reads no more, then is gone
                await asyncio.sleep(0.5)
                gone.set()
                raise OSError("client disconnected")

        scope = {
            "type": "http", "method": "POST", "path": "/v1/compare", "raw_path": b"/v1/compare",
            "query_string": b"", "root_path": "", "scheme": "http", "http_version": "1.1",
            "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
            "server": ("localhost", 80), "client": ("127.0.0.1", 1), "asgi": {"version": "3.0"},
        }  # fmt: skip
        with pytest.raises(BaseException):  # noqa: B017 - the framework's own kind
            await client.app(scope, receive, send)
        assert fake(client).prompts <= 2 * 2 * (WINDOW + 64)
        assert desk(client).inside == 0
        assert (await client.post("/v1/compare", json=ASKED)).status_code == 200


async def test_a_body_that_does_not_arrive_is_408(opened: Open) -> None:
    async with opened(body_s=0.1) as client:

        async def dribble() -> Any:
            yield b'{"constitution": '
            await asyncio.sleep(1)
            yield b'"plain-speech"}'

        answer = await client.post(
            "/v1/rank", content=dribble(), headers={"Content-Type": "application/json"}
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (408, "too_slow")


async def test_ready_tells_the_truth(opened: Open, tmp_path: Path) -> None:
    async with opened() as client:
        assert (await client.get("/ready")).json()["ready"]
        service = client.app.state.service
        service.draining = True
        told = await client.get("/ready")
        assert (told.status_code, told.json()["checks"]["draining"]) == (
            503, "the service is stopping",
        )  # fmt: skip
        service.draining = False
        service.database.dispose()
        for file in (tmp_path / "home").glob("service.db*"):
            file.unlink()
        told = await client.get("/ready")
        assert told.status_code == 503 and told.json()["checks"]["votes"] == "ok"
        assert "no such table" in told.json()["checks"]["database"]
        assert (await client.get("/health")).json() == {"status": "ok"}


async def test_a_lost_vote_store_is_503_and_work_goes_on_when_it_is_back(
    opened: Open, tmp_path: Path
) -> None:
    async with opened() as client:
        votes = client.app.state.service.votes
        votes.engine.dispose()
        kept = {f: f.read_bytes() for f in (tmp_path / "home").glob("votes.db*")}
        for file in kept:
            file.unlink()
        answer = await client.post("/v1/compare", json=ASKED)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
        assert str(tmp_path) not in answer.text
        votes.engine.dispose()
        for file, content in kept.items():
            file.write_bytes(content)
        assert (await client.post("/v1/compare", json=ASKED)).json()["status"] == "scored"


async def test_judges_that_are_not_there_yet_are_503_until_they_are(
    opened: Open, judges: Callable[[str], None]
) -> None:
    judges('[later]\nurl = "http://127.0.0.1:9"\nmodel = "m"\n')
    async with opened(judges=("later",)) as client:
        answer = await client.post("/v1/compare", json=ASKED)
        assert answer.status_code == 503 and answer.headers["retry-after"]
        assert (await client.get("/ready")).json()["ready"] is False
        other = await client.post("/v1/compare", json=ASKED | {"judge": "latr"})
        assert other.status_code == 422 and "did you mean 'later'" in other.text
