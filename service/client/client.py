"""The client for asyncio: judging, rewards, runs, files and batches, one method each."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from secrets import token_hex
from typing import Any, Literal, Self
from urllib.parse import quote

import aiohttp
import orjson

from service.client.requests import Patience, Requests

Verb = Literal["rank", "compare", "score", "critique", "revise"]
Line = dict[str, Any]
Prompt = str | Sequence[Mapping[str, Any]]
OVER = ("completed", "failed", "expired", "cancelled")


class AsyncClient:
    """A service. Use it from any event loop; `close` within the one that is to be left."""

    def __init__(
        self, url: str | None = None, key: str | None = None, patience: Patience | None = None
    ) -> None:
        """Without a URL and key, those of `CHARTER_URL` and `CHARTER_API_KEY`."""
        self.requests = Requests(url, key, patience or Patience())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close this event loop's connections."""
        await self.requests.close()

    async def judge(self, verb: Verb, constitution: str, **item: Any) -> Line:
        """One item's line: `prompt`, `completions`, and what else the verb takes."""
        told = await self.requests.json(
            "POST", f"/v1/{verb}", {"constitution": constitution, **item}
        )
        return dict(told)

    async def rank(
        self, constitution: str, prompt: Prompt, completions: Sequence[str], **how: Any
    ) -> Line:
        """Completions put in order."""
        return await self.judge(
            "rank", constitution, prompt=prompt, completions=list(completions), **how
        )

    async def compare(
        self, constitution: str, prompt: Prompt, first: str, second: str, **how: Any
    ) -> Line:
        """Which of two completions is better, how surely, and by which principles."""
        return await self.judge(
            "compare", constitution, prompt=prompt, completions=[first, second], **how
        )

    async def score(
        self, constitution: str, prompt: Prompt, completions: Sequence[str], **how: Any
    ) -> Line:
        """Completions scored without an opponent."""
        return await self.judge(
            "score", constitution, prompt=prompt, completions=list(completions), **how
        )

    async def stream(
        self,
        verb: Verb,
        constitution: str,
        items: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]],
        **how: Any,
    ) -> AsyncGenerator[Line]:
        """A line for each item, as each is done; items without an id get their number.

        Memory: a thousand items. A stream that breaks off is asked again for what is missing.
        """
        number = 0
        async for part in _parts(items, self.requests.patience.items_at_once):
            named = [{"id": str(number + k), **item} for k, item in enumerate(part)]
            number += len(part)
            async for line in self._stream_part(verb, constitution, named, how):
                yield line

    async def _stream_part(
        self, verb: Verb, constitution: str, items: list[dict[str, Any]], how: Mapping[str, Any]
    ) -> AsyncGenerator[Line]:
        left = {str(item["id"]): item for item in items}
        for attempt in range(self.requests.patience.attempts):
            body = orjson.dumps({"constitution": constitution, "items": list(left.values()), **how})
            try:
                async with self.requests.opened("POST", f"/v1/{verb}", body) as answer:
                    async for line in _lines(answer):
                        if left.pop(str(line["id"]), None) is not None:
                            yield line
            except (aiohttp.ClientError, TimeoutError):
                if attempt + 1 == self.requests.patience.attempts:
                    raise
            if not left:
                return

    async def rewards(
        self, samples: Sequence[Mapping[str, Any]], constitution: str, **address: Any
    ) -> Line:
        """`rewards`, `stop` and `run_mean` for samples of `prompt` and `completion`."""
        query = {"constitution": constitution, **address}
        told = await self.requests.json(
            "POST", "/v1/rewards", {"samples": list(samples)}, query=query
        )
        return dict(told)

    async def run(self, name: str) -> Line:
        """How a watched training run stands."""
        return dict(await self.requests.json("GET", f"/v1/runs/{quote(name)}"))

    async def watch_run(self, name: str, **settings: Any) -> Line:
        """Say how a training run is watched."""
        return dict(await self.requests.json("PUT", f"/v1/runs/{quote(name)}", settings))

    async def upload(self, path: Path) -> str:
        """The id of a file of batch lines, sent from the disk piece by piece."""

        def form() -> aiohttp.FormData:
            fields = aiohttp.FormData()
            fields.add_field("purpose", "batch")
            fields.add_field("file", path.open("rb"), filename=path.name)
            return fields

        async with self.requests.opened("POST", "/v1/files", form) as answer:
            return str((await answer.json())["id"])

    async def create_batch(
        self, file_id: str, endpoint: str, *, idempotency_key: str | None = None, **more: Any
    ) -> Line:
        """A batch of an uploaded file; however often it has to be sent, there is one."""
        body = {"input_file_id": file_id, "endpoint": endpoint, "completion_window": "24h", **more}
        headers = {"Idempotency-Key": idempotency_key or token_hex(16)}
        return dict(await self.requests.json("POST", "/v1/batches", body, headers=headers))

    async def batch(self, batch_id: str) -> Line:
        """A batch as it stands."""
        return dict(await self.requests.json("GET", f"/v1/batches/{batch_id}"))

    async def cancel_batch(self, batch_id: str) -> Line:
        """Cancel a batch; what is done stays."""
        return dict(await self.requests.json("POST", f"/v1/batches/{batch_id}/cancel"))

    async def wait(self, batch_id: str, every_s: float = 2.0) -> Line:
        """A batch once it is over: completed, failed, expired or cancelled."""
        while (held := await self.batch(batch_id))["status"] not in OVER:
            await asyncio.sleep(every_s)
        return held

    async def lines(self, file_id: str) -> AsyncGenerator[Line]:
        """The lines of a file, as they arrive."""
        async with self.requests.opened("GET", f"/v1/files/{file_id}/content") as answer:
            async for line in _lines(answer):
                yield line

    async def run_batch(
        self, path: Path, endpoint: str, *, every_s: float = 2.0, **more: Any
    ) -> AsyncGenerator[Line]:
        """Upload, create, wait, and then every line: results first, what failed after them."""
        made = await self.create_batch(await self.upload(path), endpoint, **more)
        over = await self.wait(made["id"], every_s)
        for file_id in (over.get("output_file_id"), over.get("error_file_id")):
            if file_id:
                async for line in self.lines(file_id):
                    yield line


async def _parts(
    items: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]], at_once: int
) -> AsyncGenerator[list[Mapping[str, Any]]]:
    if isinstance(items, AsyncIterable):
        part: list[Mapping[str, Any]] = []
        async for item in items:
            part.append(item)
            if len(part) == at_once:
                yield part
                part = []
        if part:
            yield part
        return
    source = iter(items)
    while part := list(islice(source, at_once)):
        yield part


async def _lines(answer: aiohttp.ClientResponse) -> AsyncGenerator[Line]:
    """JSON lines of any length: aiohttp's own line reader ends at 128 KiB."""
    held = b""
    async for piece in answer.content.iter_any():
        *whole, held = (held + piece).split(b"\n")
        for line in whole:
            if line:
                yield orjson.loads(line)
    if held.strip():
        yield orjson.loads(held)
