"""Judging over HTTP: the same lines as the command line's, one for each item, always."""

import json
from typing import Any

import httpx
import pytest

TWO = {"prompt": "What is tea?", "completions": ["A drink.", "Tea is a hot drink made of leaves."]}
PLAIN = {"constitution": "plain-speech@1.0.0"}


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.text.splitlines()]


@pytest.mark.parametrize("verb", ["rank", "compare", "score", "critique", "revise"])
async def test_each_verb_judges_one_and_many(client: httpx.AsyncClient, verb: str) -> None:
    asked = {"constitution": "helpful-harmless"}
    one = await client.post(f"/v1/{verb}", json=asked | TWO | {"id": "t"})
    assert one.status_code == 200, one.text
    assert one.json()["id"] == "t"
    assert one.json()["status"] in ("scored", "unscored")
    items = [TWO | {"id": f"i{k}", "prompt": f"Number {k}"} for k in range(5)]
    many = await client.post(f"/v1/{verb}", json=asked | {"items": items})
    assert many.headers["content-type"] == "application/x-ndjson"
    assert {line["id"] for line in lines(many)} == {f"i{k}" for k in range(5)}
