import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.batches.made_batches import finished, line, made, rows_of, uploaded
from tests.service.conftest import Open

SLOW = '[slow]\ntransport = "fake"\nfake = {latency_s = 0.05}\n'


async def test_a_batch_gives_each_line_its_result_in_order(client: httpx.AsyncClient) -> None:
    batch = await made(client, map(line, range(300)), endpoint="/v1/compare", metadata={"a": "b"})
    assert batch["status"] in ("validating", "in_progress")
    ended = await finished(client, batch)
    assert ended["status"] == "completed"
    assert ended["request_counts"] == {"total": 300, "completed": 300, "failed": 0}
    assert ended["error_file_id"] is None
    assert ended["metadata"] == {"a": "b"}
    assert ended["usage"]["output_tokens"] > 0
    rows = await rows_of(client, ended["output_file_id"])
    assert [row["custom_id"] for row in rows] == [f"r{number}" for number in range(300)]
    body = rows[0]["response"]["body"]
    alone = await client.post("/v1/compare", json=json.loads(line(0))["body"])
    assert {key: body[key] for key in ("p", "preferred", "status", "principles")} == {
        key: alone.json()[key] for key in ("p", "preferred", "status", "principles")
    }


async def test_bad_lines_are_reported_by_number_and_spoil_no_other(
    client: httpx.AsyncClient,
) -> None:
    lines = [
        line(1),
        "{no json",
        "",
        line(1),
        line(5, url="/v1/chat/completions"),
        line(6, body={"constitution": "no-such", "prompt": "a", "completions": ["b", "c"]}),
        line(7, body={"constitution": "plain-speech", "prompt": "a", "completions": ["b"]}),
        line(8, body={"constitution": "plain-speech", "prompt": "a", "completion": ["b"]}),
        line(9, body={"prompt": "a", "completions": ["b", "c"]}),
        line(10, body={"constitution": "plain-speech", "items": []}),
        line(11, url="/v1/rank"),
        line(12, body={"constitution": "plain-speech", "prompt": "a", "completions": ["b", "c"],
                       "judge": "stranger"}),
    ]  # fmt: skip
    ended = await finished(client, await made(client, lines))
    assert ended["request_counts"] == {"total": 11, "completed": 2, "failed": 9}
    rows = await rows_of(client, ended["output_file_id"])
    assert [row["custom_id"] for row in rows] == ["r1", "r11"]
    faults = {row["error"]["line"]: row for row in await rows_of(client, ended["error_file_id"])}
    assert {number: row["error"]["code"] for number, row in faults.items()} == {
        2: "invalid_json_line",
        4: "duplicate_custom_id",
        5: "invalid_url",
        6: "unknown_constitution",
        7: "invalid_item",
        8: "invalid_item",
        9: "invalid_item",
        10: "invalid_item",
        12: "unknown_judge",
    }
    assert all(row["response"] is None for row in faults.values())
    assert all(f"line {n}" in row["error"]["message"] for n, row in faults.items())
    assert "completion" in faults[8]["error"]["message"]


@pytest.mark.parametrize("verb", ["rank", "compare", "score", "critique", "revise"])
async def test_each_judging_endpoint_can_be_a_line(client: httpx.AsyncClient, verb: str) -> None:
    body = json.loads(line(1))["body"] | {"constitution": "helpful-harmless"}
    one = line(1, url=f"/v1/{verb}", body=body)
    ended = await finished(client, await made(client, [one], endpoint=f"/v1/{verb}"))
    rows = await rows_of(client, ended["output_file_id"])
    assert [row["response"]["body"]["id"] for row in rows] == ["r1"]


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({"endpoint": "/v1/chat/completions"}, 422, "invalid_endpoint"),
        ({"completion_window": "soon"}, 422, "invalid_data"),
        ({"completion_window": "99d"}, 422, "invalid_data"),
        ({"input_file_id": "file-none"}, 404, "not_found"),
        ({"input_file_id": "../../etc/passwd"}, 404, "not_found"),
        ({"endpont": "/v1/rank"}, 422, "invalid_request"),
        ({"metadata": {"k": "v" * 600}}, 422, "invalid_request"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_no_batch_can_be_made_of_is_refused(
    client: httpx.AsyncClient, asked: dict[str, Any], status: int, code: str
) -> None:
    file = await uploaded(client, line(1))
    answer = await client.post("/v1/batches", json={"input_file_id": file} | asked)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_an_empty_file_fails_and_says_so(client: httpx.AsyncClient) -> None:
    ended = await finished(client, await made(client, ["", "  "]))
    assert ended["status"] == "failed"
    assert ended["errors"]["data"][0]["code"] == "empty_file"
    assert ended["failed_at"] is not None


async def test_a_file_for_training_is_no_batch(client: httpx.AsyncClient) -> None:
    file = await uploaded(client, line(1), purpose="training")
    answer = await client.post("/v1/batches", json={"input_file_id": file})
    assert answer.json()["error"]["code"] == "invalid_purpose"


async def test_an_idempotency_key_makes_one_batch(client: httpx.AsyncClient) -> None:
    file, other = await uploaded(client, line(1)), await uploaded(client, line(2))
    key = {"Idempotency-Key": "once"}
    first, again = [
        (await client.post("/v1/batches", json={"input_file_id": file}, headers=key)).json()
        for _ in range(2)
    ]
    assert first["id"] == again["id"]
    clash = await client.post("/v1/batches", json={"input_file_id": other}, headers=key)
    assert (clash.status_code, clash.json()["error"]["code"]) == (409, "idempotency_conflict")
    assert len((await client.get("/v1/batches")).json()["data"]) == 1


async def test_batches_are_listed_in_pages(client: httpx.AsyncClient) -> None:
    ids = [(await made(client, [line(n)]))["id"] for n in range(3)]
    page = (await client.get("/v1/batches", params={"limit": 2})).json()
    assert [batch["id"] for batch in page["data"]] == ids[:0:-1]
    assert page["has_more"]
    rest = (await client.get("/v1/batches", params={"after": page["last_id"]})).json()
    assert [batch["id"] for batch in rest["data"]] == ids[:1]
    assert not rest["has_more"]


async def test_deleting_the_input_takes_nothing_from_a_batch(client: httpx.AsyncClient) -> None:
    batch = await made(client, map(line, range(10)))
    gone = await client.delete(f"/v1/files/{batch['input_file_id']}")
    assert gone.json()["deleted"] is True
    assert (await finished(client, batch))["request_counts"]["completed"] == 10


async def test_cancelling_keeps_what_was_done(opened: Open, judges: Callable[[str], None]) -> None:
    judges(SLOW)
    async with opened(judges=("slow",), workers=1) as client:
        batch = await made(client, map(line, range(1500)))
        while not (await client.get(f"/v1/batches/{batch['id']}")).json()["request_counts"][
            "completed"
        ]:
            await asyncio.sleep(0.05)
        told = (await client.post(f"/v1/batches/{batch['id']}/cancel")).json()
        assert told["status"] in ("cancelling", "cancelled")
        ended = await finished(client, batch)
        assert ended["status"] == "cancelled"
        done = ended["request_counts"]["completed"]
        assert 0 < done < 1500
        rows = await rows_of(client, ended["output_file_id"])
        assert [row["custom_id"] for row in rows] == [f"r{number}" for number in range(done)]
        again = await client.post(f"/v1/batches/{batch['id']}/cancel")
        assert again.json() == ended


async def test_what_an_expired_batch_did_not_come_to_is_in_the_error_file(
    opened: Open, judges: Callable[[str], None]
) -> None:
    judges(SLOW)
    async with opened(judges=("slow",), workers=1) as client:
        batch = await made(client, map(line, range(1500)), completion_window="1s")
        ended = await finished(client, batch)
        assert ended["status"] == "expired"
        rows = await rows_of(client, ended["output_file_id"])
        faults = await rows_of(client, ended["error_file_id"])
        names = [row["custom_id"] for row in rows + faults]
        assert sorted(names) == sorted(f"r{number}" for number in range(1500))
        assert {row["error"]["code"] for row in faults} == {"batch_expired"}
        assert ended["request_counts"]["failed"] == len(faults)


async def test_output_is_there_while_a_batch_runs(
    opened: Open, judges: Callable[[str], None]
) -> None:
    judges(SLOW)
    async with opened(judges=("slow",), workers=2) as client:
        batch = await made(client, map(line, range(768)))
        path = f"/v1/batches/{batch['id']}/output"
        early, most = b"", 0
        while not early:
            most = max(most, client.app.state.service.parts_in_work())  # type: ignore[attr-defined]
            early = (await client.get(path, params={"follow": False})).content
            await asyncio.sleep(0.02)
        assert (await client.get(f"/v1/batches/{batch['id']}")).json()["status"] == "in_progress"
        assert most == 2
        rest = await client.get(path, params={"offset": len(early)})
        ended = await finished(client, batch)
        whole = await client.get(f"/v1/files/{ended['output_file_id']}/content")
        assert early + rest.content == whole.content


async def test_nothing_is_left_on_disk_but_the_files(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    await finished(client, await made(client, map(line, range(5))))
    await asyncio.sleep(0.1)
    assert list((tmp_path / "home" / "batches").iterdir()) == []


async def test_the_votes_of_one_batch_serve_the_next(client: httpx.AsyncClient) -> None:
    first = await finished(client, await made(client, map(line, range(20))))
    again = await finished(client, await made(client, map(line, range(20))))
    assert first["usage"]["output_tokens"] > 0
    assert again["usage"]["output_tokens"] == 0
    assert again["request_counts"]["completed"] == 20


async def test_another_batch_goes_on_after_a_restart(opened: Open) -> None:
    async with opened(workers=0) as client:
        batch = await made(client, map(line, range(30)))
        assert (await client.get(f"/v1/batches/{batch['id']}")).json()["status"] == "validating"
    async with opened() as client:
        ended = await finished(client, batch)
        assert ended["request_counts"]["completed"] == 30


async def test_a_disk_that_takes_nothing_is_waited_for(opened: Open, tmp_path: Path) -> None:
    async with opened(workers=0) as client:
        batch = await made(client, map(line, range(10)))
    # Where parts are to be written there is a file: as good as no room.
    obstacle = tmp_path / "home" / "batches" / batch["id"] / "parts"
    obstacle.touch()
    async with opened() as client:
        path = f"/v1/batches/{batch['id']}"
        while (told := (await client.get(path)).json())["note"] is None:
            await asyncio.sleep(0.02)
        assert "parts" in told["note"]
        assert told["status"] == "in_progress"
        obstacle.unlink()
        ended = await finished(client, batch)
        assert (ended["status"], ended["note"]) == ("completed", None)
        assert ended["request_counts"]["completed"] == 10


async def test_a_judge_that_is_away_is_waited_for(
    opened: Open, judges: Callable[[str], None]
) -> None:
    judges('[away]\nurl = "http://127.0.0.1:9"\nmodel = "none"\n')
    async with opened(judges=("away",)) as client:
        batch = await made(client, [line(1)])
        path = f"/v1/batches/{batch['id']}"
        while (told := (await client.get(path)).json())["note"] is None:
            await asyncio.sleep(0.02)
        assert "away" in told["note"]
        assert told["request_counts"]["failed"] == 0
    judges('[away]\ntransport = "fake"\n')
    async with opened(judges=("away",)) as client:
        assert (await finished(client, batch))["request_counts"]["completed"] == 1
