"""The transport `token_ids`: prompts as token ids, many in a request, to a vLLM server.

The ids are ours, so only the control tokens that we put in are control tokens; and the server
returns exactly the log-probabilities of the options' tokens.
"""

import asyncio
import math
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from judges.canonical import digest
from judges.errors import ConfigError
from judges.model import Choice, Completion, Failure, ModelPrompt, Sampling
from judges.models.chat_template import PromptEncoder
from judges.models.http_retry import HttpClient, in_batches
from judges.models.openai_answers import broken, read_choices

_NO_PROBABILITY = -9999.0
"""What vLLM writes for a log-probability of minus infinity."""
_NOTHING_ELSE = {
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
"""Of sampling: vLLM takes what a request leaves out from the model's own generation settings, and
its completions would not be drawn by the probabilities that are learned from."""
Ids = Sequence[int]


class _Logprobs(BaseModel):
    token_logprobs: list[float | None] = []
    top_logprobs: list[dict[str, float | None] | None] | None = None


class _Answer(BaseModel):
    """One entry of `choices`, as far as it is read here."""

    index: int
    text: str = ""
    finish_reason: str | None = None
    token_ids: tuple[int, ...] | None = None
    logprobs: _Logprobs | None = None
    prompt_logprobs: list[dict[str, dict[str, Any]] | None] | None = None


class TokenTransport:
    """Asks a vLLM server by token ids."""

    def __init__(
        self,
        client: HttpClient,
        model: str,
        encoder: PromptEncoder,
        max_tokens: int,
        *,
        pad_to: int = 32,
        prompts_per_request: int = 32,
        requests_in_flight: int = 4,
        singles_in_flight: int = 128,
    ) -> None:
        self.encoder = encoder
        self._client, self._model, self._max_tokens = client, model, max_tokens
        self._pad_to, self._prompts_per_request = pad_to, prompts_per_request
        self._batches = asyncio.Semaphore(requests_in_flight)
        # Of two at once, a vLLM 0.32 that can load adapters dies (its CPU kernels mix up sizes).
        self._whole_prompts = asyncio.Semaphore(1)
        self._singles_in_flight = singles_in_flight

    async def choose(
        self, prompts: Sequence[ModelPrompt], options: tuple[str, ...]
    ) -> list[Choice | Failure]:
        """How each prompt's answer spreads over the options, in order.

        Cost: one token for each prompt. Raises: ConfigError for options of several tokens.
        """
        prefills = {prompt.prefill for prompt in prompts}
        options_of = {prefill: self.encoder.option_ids(prefill, options) for prefill in prefills}
        wanted = sorted({i for ids in options_of.values() for i in ids})

        async def send(batch: Sequence[tuple[Ids, Ids]]) -> list[Choice | Failure]:
            body = {
                "max_tokens": 1,
                "temperature": 0,
                "logprobs": 0,
                "logprob_token_ids": wanted,
                "return_tokens_as_token_ids": True,
            }
            async with self._batches:
                answer = await self._ask([ids for ids, _ in batch], body)
            choices = _choices(answer, len(batch))
            cached = _cached_tokens(answer) if len(batch) == 1 else 0
            return [
                _choice(choice, ids, option_ids, cached)
                for choice, (ids, option_ids) in zip(choices, batch, strict=True)
            ]

        encoded = [self._encode(prompt, 1, self._pad_to) for prompt in prompts]
        parts: list[tuple[Ids, Ids] | Failure] = [
            ids if isinstance(ids, Failure) else (ids, options_of[prompt.prefill])
            for ids, prompt in zip(encoded, prompts, strict=True)
        ]
        return await in_batches(parts, self._prompts_per_request, send)

    async def complete(
        self, prompts: Sequence[ModelPrompt], sampling: Sampling
    ) -> list[tuple[Completion, ...] | Failure]:
        """`sampling.n` completions for each prompt, in order.

        One prompt to a request: a seed holds for a request, and prompts that shared one would
        share their luck, token by token, so that their completions were no independent samples.
        """
        # The server takes no n above 1 where all n would be the same.
        n = sampling.n if sampling.temperature > 0 else 1
        slots = asyncio.Semaphore(max(1, self._singles_in_flight // n))

        async def send(batch: Sequence[Ids]) -> list[tuple[Completion, ...] | Failure]:
            async with slots:
                answer = await self._ask(batch, _sampling_body(batch[0], sampling, n))
            completions = [_completion(choice, sampling) for choice in _choices(answer, n)]
            failed = next((c for c in completions if isinstance(c, Failure)), None)
            whole = tuple(c for c in completions if not isinstance(c, Failure))
            return [failed or whole * (sampling.n // n)]

        encoded = [self._encode(prompt, sampling.max_tokens) for prompt in prompts]
        return await in_batches(encoded, 1, send)

    async def prompt_logprobs(
        self, prompts: Sequence[Ids], starts: Sequence[int], model: str | None = None
    ) -> list[tuple[float, ...] | Failure]:
        """The log-probability of each token of each prompt from its start on, given those before.

        A start counts from 1: the first token of all has none. With `model`, under that adapter.
        One prompt at a time; ask nothing else meanwhile of an engine that can load adapters.
        Units: natural logarithms, at temperature 1.
        """

        async def send(batch: Sequence[tuple[Ids, int]]) -> list[tuple[float, ...] | Failure]:
            body = {"max_tokens": 1, "temperature": 0, "prompt_logprobs": 0}
            async with self._whole_prompts:
                answer = await self._ask([ids for ids, _ in batch], body, model)
            choices = _choices(answer, len(batch))
            return [
                _prompt_logprobs(choice, ids, start)
                for choice, (ids, start) in zip(choices, batch, strict=True)
            ]

        parts = [
            self._too_long(len(ids), 1) or (ids, max(1, start))
            for ids, start in zip(prompts, starts, strict=True)
        ]
        return await in_batches(parts, 1, send)

    async def _ask(
        self, prompts: Sequence[Ids], body: dict[str, Any], model: str | None = None
    ) -> dict[str, Any]:
        sent = {"model": model or self._model, "prompt": [list(ids) for ids in prompts], **body}
        return await self._client.json("POST", "/v1/completions", sent)

    def _encode(self, prompt: ModelPrompt, answer: int, pad_to: int = 0) -> Ids | Failure:
        """The ids of a prompt, or why it cannot be sent."""
        try:
            ids = self.encoder.encode(prompt, pad_to)
        except ConfigError as error:
            return broken(str(error))
        return self._too_long(len(ids), answer) or ids

    def _too_long(self, tokens: int, answer: int) -> Failure | None:
        if tokens + answer <= self._max_tokens:
            return None
        seen = f"{tokens} tokens and {answer} to answer; the server takes {self._max_tokens}"
        return Failure(status="unscored", reason="too_long", detail=seen)


def _sampling_body(ids: Ids, sampling: Sampling, n: int) -> dict[str, Any]:
    body: dict[str, Any] = {
        "n": n,
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "return_token_ids": True,
        **_NOTHING_ELSE,
    }
    if sampling.seed is not None:
        body["seed"] = int(digest([sampling.seed, list(ids)])[:12], 16)
    if sampling.logprobs:
        body["logprobs"] = 0
    if sampling.json_schema is not None:
        body["structured_outputs"] = {"json": sampling.json_schema}
    return body


def _choices(answer: dict[str, Any], count: int) -> list[_Answer | Failure]:
    return read_choices(answer, count, _Answer, "the server's answer has no choice for this prompt")


def _cached_tokens(answer: dict[str, Any]) -> int:
    """Tokens read from the prefix cache; of several prompts vLLM reports only the last one's."""
    usage = answer.get("usage")
    details = usage.get("prompt_tokens_details") if isinstance(usage, dict) else None
    return int(details.get("cached_tokens") or 0) if isinstance(details, dict) else 0


def _choice(answer: _Answer | Failure, ids: Ids, options: Ids, cached: int) -> Choice | Failure:
    if isinstance(answer, Failure):
        return answer
    top = (answer.logprobs.top_logprobs if answer.logprobs else None) or [None]
    given = top[0]
    if given is None:
        return broken("no log-probabilities in the server's answer")
    found = [given.get(f"token_id:{option}") for option in options]
    logprobs = tuple(min(0.0, p) for p in found if p is not None and p > _NO_PROBABILITY)
    if len(logprobs) < len(options):
        seen = f"the server gave {given}, the options are tokens {list(options)}"
        return Failure(status="unscored", reason="option_missing", detail=seen)
    return Choice(
        logprobs=logprobs,
        label_mass=min(1.0, sum(math.exp(logprob) for logprob in logprobs)),
        prompt_tokens=len(ids),
        cached_tokens=cached,
    )


def _completion(answer: _Answer | Failure, sampling: Sampling) -> Completion | Failure:
    if isinstance(answer, Failure):
        return answer
    if answer.finish_reason not in ("stop", "length") or answer.token_ids is None:
        return broken(f"generation ended with {answer.finish_reason!r}, ids {answer.token_ids}")
    logprobs = answer.logprobs.token_logprobs if sampling.logprobs and answer.logprobs else []
    known = tuple(logprob for logprob in logprobs if logprob is not None)
    if sampling.logprobs and len(known) < len(answer.token_ids):
        return broken(f"{len(known)} log-probabilities for {len(answer.token_ids)} tokens")
    return Completion(
        text=answer.text,
        finish_reason="stop" if answer.finish_reason == "stop" else "length",
        tokens=len(answer.token_ids),
        token_ids=answer.token_ids,
        logprobs=known,
    )


def _prompt_logprobs(
    answer: _Answer | Failure, ids: Ids, start: int
) -> tuple[float, ...] | Failure:
    if isinstance(answer, Failure):
        return answer
    given = answer.prompt_logprobs or []
    found = [
        (given[i] or {}).get(str(ids[i]), {}).get("logprob") if i < len(given) else None
        for i in range(start, len(ids))
    ]
    logprobs = tuple(float(logprob) for logprob in found if logprob is not None)
    if len(logprobs) < len(found):
        return broken(f"log-probabilities of {len(logprobs)} of {len(found)} tokens in the answer")
    return logprobs
