"""A reward model behind a vLLM server: raw outputs by token ids, many texts a request.

Two traps are looked for at first contact, by texts whose outputs are known: vLLM puts outputs
through a sigmoid unless told not to, and a server may run other weights than the folder at hand.
"""

import asyncio
import math
from collections.abc import Sequence
from typing import Any, Self

from judges.errors import ModelError
from judges.model import Failure
from judges.models.http_retry import (
    HttpClient,
    RequestRefused,
    RetryPolicy,
    ServerUnavailable,
    in_batches,
)
from judges.models.openai_answers import broken
from judges.models.openai_discovery import list_models
from judges.rewards.description import RewardDescription

Ids = Sequence[int]
Outputs = tuple[float, ...]
TOLERANCE = 0.25
"""How far a canary may be off, in the head's standard deviations: number formats, not weights."""


class RewardServer:
    """Asks a vLLM server for a reward model's outputs. Use it from one event loop."""

    def __init__(
        self,
        url: str,
        description: RewardDescription,
        model: str | None = None,
        *,
        api_key: str | None = None,
        texts_per_request: int = 32,
        requests_in_flight: int = 4,
        retry: RetryPolicy | None = None,
    ) -> None:
        """Without a model's name, the first that the server lists."""
        self.url = url.rstrip("/").removesuffix("/v1")
        self.model = model
        self.description = description
        self.engine = "vllm"
        self._api_key, self._retry = api_key, retry or RetryPolicy()
        self._texts_per_request = texts_per_request
        self._slots = asyncio.Semaphore(requests_in_flight)
        self._client: HttpClient | None = None

    async def connect(self) -> Self:
        """Find the model and try the canaries, once.

        Raises: ModelError when the server is away, is none of vLLM's for rewards, or answers as
        other weights would.
        """
        if self._client is not None:
            return self
        client = HttpClient(self.url, self._api_key, self._retry)
        self._client = client
        try:
            self.model = self.model or await self._first_model(client)
            self.engine = await self._engine(client)
            await self._try_canaries()
        except BaseException:
            await self.close()
            raise
        return self

    async def close(self) -> None:
        """Release the connections; `connect` opens new ones."""
        if self._client is not None:
            await self._client.close()
        self._client = None

    async def outputs(self, texts: Sequence[Ids | Failure]) -> list[Outputs | Failure]:
        """The raw output of every head for each text, in order; failures stay failures."""
        await self.connect()
        longest = self.description.max_length
        fit = [
            text if isinstance(text, Failure) or len(text) <= longest else too_long(text, longest)
            for text in texts
        ]
        return await in_batches(fit, self._texts_per_request, self._send)

    async def _send(self, batch: Sequence[Ids]) -> list[Outputs | Failure]:
        assert self._client is not None
        body = {
            "model": self.model,
            "input": [list(ids) for ids in batch],
            "use_activation": False,
        }
        async with self._slots:
            answer = await self._client.json("POST", "/classify", body)
        return _read(answer, len(batch), len(self.description.heads))

    async def _first_model(self, client: HttpClient) -> str:
        try:
            listed = await list_models(client)
        except ServerUnavailable as error:
            raise ModelError(
                f"no usable answer: {error} · start the reward model's server by the command in "
                "its folder, or correct its address"
            ) from error
        if not listed:
            raise ModelError(f"no model listed · {self.url}/v1/models · name the model")
        return str(listed[0].get("id"))

    async def _engine(self, client: HttpClient) -> str:
        try:
            return f"vllm {(await client.json('GET', '/version')).get('version', '')}".strip()
        except (RequestRefused, ServerUnavailable):
            return "vllm"

    async def _try_canaries(self) -> None:
        canaries = self.description.canaries
        try:
            answers = await in_batches(
                [canary.ids for canary in canaries], self._texts_per_request, self._send
            )
        except RequestRefused as error:
            raise ModelError(
                f"no rewards here: {error} · {self.url} · serve the model by the command in its "
                "folder: `--runner pooling --convert classify`"
            ) from error
        for canary, answer in zip(canaries, answers, strict=True):
            if isinstance(answer, Failure):
                raise ModelError(f"no reward: {answer.detail} · {self.url} · see the server's log")
            if fault := self._difference(canary.outputs, answer):
                raise ModelError(
                    f"{fault} · {self.url} · it runs other weights, another template or a sigmoid; "
                    "serve the folder that reward.json lies in, by the command in it"
                )

    def _difference(self, known: Outputs, given: Outputs) -> str | None:
        """What is wrong with a canary's outputs, if anything is."""
        for head, ours, theirs in zip(self.description.heads, known, given, strict=True):
            if abs(ours - theirs) > TOLERANCE * head.std:
                return f"head {head.name!r} gives {theirs:.3f} for a text that has {ours:.3f}"
        return None


def too_long(ids: Ids, longest: int) -> Failure:
    """The record of a text that is longer than any the model was trained on."""
    seen = f"{len(ids)} tokens; the reward model was trained on at most {longest}"
    return Failure(status="unscored", reason="too_long", detail=seen)


def _read(answer: dict[str, Any], count: int, heads: int) -> list[Outputs | Failure]:
    """The outputs in an answer of vLLM's `/classify`, which calls them `probs` raw or not."""
    data = answer.get("data")
    found: dict[int, Any] = {}
    for entry in data if isinstance(data, list) else []:
        if isinstance(entry, dict):
            found[entry.get("index", -1)] = entry.get("probs")
    read: list[Outputs | Failure] = []
    for index in range(count):
        given = found.get(index)
        if not isinstance(given, list) or len(given) != heads:
            read.append(broken(f"{given!r} for {heads} heads in the server's answer"))
        elif not all(isinstance(one, int | float) and math.isfinite(one) for one in given):
            read.append(broken(f"an output that is no number in the server's answer: {given!r}"))
        else:
            read.append(tuple(map(float, given)))
    return read
