"""The impact of an edit over HTTP: a job on uploaded rankings, without a model call."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.service.test_constitutions import draft, publish

TWO = """\
  - id: rule
    family: style
    title: Few words
    weight: {weight}
    rule: {{kind: max_words, value: 3}}
"""


async def upload(client: httpx.AsyncClient, lines: list[dict[str, Any]]) -> str:
    content = "\n".join(map(json.dumps, lines)).encode()
    answer = await client.post(
        "/v1/files", data={"purpose": "rankings"}, files={"file": ("r.jsonl", content)}
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


async def ended(client: httpx.AsyncClient, name: str) -> dict[str, Any]:
    for _ in range(200):
        told: dict[str, Any] = (await client.get(f"/v1/impacts/{name}")).json()
        if told["status"] != "in_progress":
            return told
        await asyncio.sleep(0.02)
    raise AssertionError(told)


async def test_an_edited_weight_is_previewed_on_a_run(
    opened: Callable[..., Any], judges: Callable[[str], None]
) -> None:
    judges('[long]\ntransport = "fake"\nfake = {preferences = {brief = "longer"}}\n')
    async with opened(judges=("long",)) as client:
        old, new = draft() + TWO.format(weight=0.01), draft("2.0.0") + TWO.format(weight=100)
        assert (await publish(client, old)).status_code == 201
        items = [
            {"id": f"i{k}", "prompt": f"p{k}", "completions": ["one", "one two three four five"]}
            for k in range(12)
        ]
        ranked = await client.post("/v1/rank", json={"constitution": "brief@1.0.0", "items": items})
        file = await upload(client, [json.loads(line) for line in ranked.text.splitlines()])
        asked = {"before": "1.0.0", "yaml": new, "file_id": file}
        begun = await client.post("/v1/constitutions/brief/impact", json=asked)
        assert begun.status_code == 202, begun.text
        told = await ended(client, begun.json()["id"])
        assert told["error"] is None
        assert told["impact"]["pairs"] == 12
        assert told["impact"]["flips"]["turned"] == 12
        batch = [{"custom_id": "x", "response": {"body": json.loads(ranked.text.splitlines()[0])}}]
        asked["file_id"] = await upload(client, batch)
        again = await client.post("/v1/constitutions/brief/impact", json=asked)
        assert (await ended(client, again.json()["id"]))["impact"]["pairs"] == 1


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"before": "9.9.9"}, 404),
        ({"file_id": "file-none"}, 404),
        ({"yaml": "name: x"}, 422),
        ({"after": "1.0.0", "yaml": "name: x"}, 422),
    ],
    ids=["an unknown version", "an unknown file", "no constitution", "two edits"],
)
async def test_what_cannot_be_previewed_is_refused_at_once(
    client: httpx.AsyncClient, changed: dict[str, str], status: int
) -> None:
    file = await upload(client, [{"id": "x"}])
    asked = {"before": "1.0.0", "yaml": draft(), "file_id": file} | changed
    answer = await client.post("/v1/constitutions/plain-speech/impact", json=asked)
    assert answer.status_code == status, answer.text


async def test_a_file_without_rankings_fails_with_the_reason(client: httpx.AsyncClient) -> None:
    asked = {"before": "1.0.0", "after": "1.0.0", "file_id": await upload(client, [{"id": "x"}])}
    begun = await client.post("/v1/constitutions/plain-speech/impact", json=asked)
    told = await ended(client, begun.json()["id"])
    assert told["status"] == "failed"
    assert told["error"].startswith("rankings.jsonl:1:")
    assert (await client.get("/v1/impacts/none")).status_code == 404
