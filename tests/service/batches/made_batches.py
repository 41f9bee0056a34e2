"""Batches made over HTTP, and waited for."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import httpx


def line(number: int, **changed: Any) -> str:
    """A line that asks for a comparison."""
    body = {
        "constitution": "plain-speech@1",
        "prompt": f"What is number {number}?",
        "completions": ["A number.", "It is a number that follows another one."],
    }
    row = {"custom_id": f"r{number}", "method": "POST", "url": "/v1/compare", "body": body}
    return json.dumps(row | changed)


async def uploaded(client: httpx.AsyncClient, text: str, purpose: str = "batch") -> str:
    """The id of an uploaded file."""
    answer = await client.post(
        "/v1/files", data={"purpose": purpose}, files={"file": ("in.jsonl", text.encode())}
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


async def made(client: httpx.AsyncClient, lines: Iterable[str], **asked: Any) -> dict[str, Any]:
    """A batch of these lines."""
    file = await uploaded(client, "\n".join(lines))
    answer = await client.post("/v1/batches", json={"input_file_id": file} | asked)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def finished(client: httpx.AsyncClient, batch: dict[str, Any]) -> dict[str, Any]:
    """The batch once it is over."""
    for _ in range(1000):
        told: dict[str, Any] = (await client.get(f"/v1/batches/{batch['id']}")).json()
        if told["status"] in ("completed", "failed", "expired", "cancelled"):
            return told
        await asyncio.sleep(0.02)
    raise AssertionError(told)


async def rows_of(client: httpx.AsyncClient, file: str | None) -> list[dict[str, Any]]:
    """The rows of a file; none: no rows."""
    if file is None:
        return []
    answer = await client.get(f"/v1/files/{file}/content")
    assert answer.status_code == 200
    return [json.loads(text) for text in answer.text.splitlines()]
