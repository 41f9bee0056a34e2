"""The model behind an address: vLLM by token ids, any OpenAI-compatible server by chats.

What the server can do is found out once, at first contact, and said by `capabilities`.
"""

import asyncio
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from judges.errors import ConfigError, ModelError
from judges.model import Capabilities, Choice, Completion, Failure, ModelPrompt, Sampling
from judges.models.chat_template import PromptEncoder
from judges.models.http_retry import HttpClient, RetryPolicy
from judges.models.inert_tokenizer import control_tokens, read_tokenizer_json
from judges.models.openai_chat import ChatTransport
from judges.models.openai_discovery import Transport, discover, list_models
from judges.models.openai_sampled import SAMPLES, SampledTransport, SampledWay
from judges.models.openai_tokens import TokenTransport
from judges.records import Record


class TokenCounts(Record):
    """Prompt tokens a vLLM server has worked through since it started."""

    computed: int
    """Read afresh."""
    cached: int
    """Found in the prefix cache."""


class OpenAIModel:
    """A `ChatModel` at an OpenAI-compatible server. Use it from one event loop."""

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        tokenizer: Path | None = None,
        fingerprint: str,
        transport: Transport = "auto",
        api_key: str | None = None,
        pad_to: int = 32,
        prompts_per_request: int = 32,
        requests_in_flight: int = 4,
        singles_in_flight: int = 128,
        samples: int = SAMPLES,
        retry: RetryPolicy | None = None,
    ) -> None:
        """Without a model's name, the first that the server lists; `samples` for `sampled` only.

        Raises: ConfigError for a tokenizer folder that cannot be used, or one that is lacking.
        """
        if transport == "token_ids" and tokenizer is None:
            raise ConfigError(
                f"transport token_ids needs the model's tokenizer · {url} · "
                "name the folder with its tokenizer.json, or use chat_logprobs"
            )
        self.url = re.sub(r"/v1/?$|/$", "", url)
        self.model = model
        self.encoder = (
            PromptEncoder(tokenizer) if tokenizer and transport in ("auto", "token_ids") else None
        )
        self._control_names = control_tokens(read_tokenizer_json(tokenizer)) if tokenizer else []
        self._fingerprint, self._transport, self._api_key = fingerprint, transport, api_key
        self._pad_to, self._prompts_per_request = pad_to, prompts_per_request
        self._requests_in_flight, self._singles_in_flight = requests_in_flight, singles_in_flight
        self.samples = samples
        self._sampled_way: SampledWay | None = None
        self._retry = retry or RetryPolicy()
        self._found: Capabilities | None = None
        self._client: HttpClient | None = None
        self._way: TokenTransport | ChatTransport | None = None

    def capabilities(self) -> Capabilities:
        """What the server can do. Blocks on first contact, unless `connect` was awaited before.

        Raises: ModelError when the server is away or does not have the model.
        """
        if self._found is None:
            with ThreadPoolExecutor(1) as pool:
                self._found = pool.submit(asyncio.run, self._find_out()).result()
        return self._found

    async def connect(self) -> Self:
        """Make first contact, if not done yet. Raises: as `capabilities`."""
        if self._found is None:
            self._found = await self._find_out()
        return self

    def vote_sampling(self) -> dict[str, Any]:
        """How a choice is drawn, as its vote's key must say; nothing where none is drawn.

        Blocks and raises as `capabilities`.
        """
        if self.capabilities().transport != "sampled":
            return {}
        assert self._sampled_way is not None
        constraint = self._sampled_way.constraint
        return {"samples": self.samples, "temperature": 1.0, "constraint": constraint}

    async def choose(
        self, prompts: Sequence[ModelPrompt], options: tuple[str, ...]
    ) -> list[Choice | Failure]:
        """How each prompt's answer spreads over the options, in order; one token each."""
        return await (await self._ready()).choose(prompts, options)

    async def complete(
        self, prompts: Sequence[ModelPrompt], sampling: Sampling
    ) -> list[tuple[Completion, ...] | Failure]:
        """`sampling.n` completions for each prompt, in order."""
        return await (await self._ready()).complete(prompts, sampling)

    async def close(self) -> None:
        """Release the connections; the next use opens new ones."""
        if self._client is not None:
            await self._client.close()
        self._client = self._way = None

    def render(self, prompt: ModelPrompt) -> list[int]:
        """The token ids that a vote's prompt travels as.

        Raises: ConfigError without a tokenizer.
        """
        if self.encoder is None:
            raise ConfigError(f"no tokenizer at hand · {self.url} · name the model's folder")
        return self.encoder.encode(prompt, self._pad_to)

    async def prompt_logprobs(
        self, prompts: Sequence[Sequence[int]], starts: Sequence[int], model: str | None = None
    ) -> list[tuple[float, ...] | Failure]:
        """The log-probability of each token of each prompt from its start on, given those before.

        A start counts from 1: the first token of all has none. With `model`, under that adapter.
        One prompt at a time; ask nothing else meanwhile of an engine that can load adapters.
        Units: natural logarithms, at temperature 1. Raises: ConfigError by chat transport.
        """
        way = await self._ready()
        if not isinstance(way, TokenTransport):
            raise ConfigError(
                f"log-probabilities of given tokens need the transport token_ids · {self.url} · "
                "use a vLLM server, and name the model's tokenizer folder"
            )
        return await way.prompt_logprobs(prompts, starts, model)

    async def load_adapter(self, name: str, folder: Path) -> None:
        """Have the vLLM server offer a LoRA adapter, as it now is in its folder, under a name.

        Raises: ModelError with the server's words.
        """
        body: dict[str, Any] = {"lora_name": name, "lora_path": str(folder.resolve())}
        listed = await list_models(self._connection())
        if any(entry.get("id") == name for entry in listed):
            body["load_inplace"] = True
        await self._connection().text("POST", "/v1/load_lora_adapter", body)

    async def unload_adapter(self, name: str) -> None:
        """Have the vLLM server forget an adapter. Raises: ModelError with the server's words."""
        await self._connection().text("POST", "/v1/unload_lora_adapter", {"lora_name": name})

    async def token_counts(self) -> TokenCounts:
        """Prompt tokens computed and cached so far, by all users of a vLLM server.

        Its answers tell of cached tokens for single prompts only.
        Raises: ModelError when the server does not count.
        """
        metrics = await self._connection().text("GET", "/metrics")
        return TokenCounts(
            computed=self._counter(metrics, "local_compute"),
            cached=self._counter(metrics, "local_cache_hit"),
        )

    def _counter(self, metrics: str, source: str) -> int:
        found = re.findall(
            rf'^vllm:prompt_tokens_by_source_total{{[^}}]*source="{source}"[^}}]*}} (\S+)$',
            metrics,
            re.MULTILINE,
        )
        if not found:
            raise ModelError(f"no count of {source} tokens · {self.url}/metrics · use vLLM 0.32")
        return int(sum(map(float, found)))

    def _connection(self) -> HttpClient:
        if self._client is None:
            known = self._found is not None
            self._client = HttpClient(self.url, self._api_key, self._retry, reached=known)
        return self._client

    async def _ready(self) -> TokenTransport | ChatTransport:
        await self.connect()
        if self._way is None:
            assert self._found is not None
            self._way = self._make_way(self._connection(), self._found)
        return self._way

    def _make_way(self, client: HttpClient, found: Capabilities) -> TokenTransport | ChatTransport:
        assert self.model is not None
        singles = self._singles_in_flight
        if self._sampled_way is not None:
            return SampledTransport(
                client,
                self.model,
                self._sampled_way,
                self.samples,
                self._control_names,
                singles_in_flight=singles,
            )
        if found.transport == "chat_logprobs" or self.encoder is None:
            return ChatTransport(client, self.model, self._control_names, singles_in_flight=singles)
        return TokenTransport(
            client,
            self.model,
            self.encoder,
            found.max_tokens,
            pad_to=self._pad_to,
            prompts_per_request=self._prompts_per_request,
            requests_in_flight=self._requests_in_flight,
            singles_in_flight=singles,
        )

    async def _find_out(self) -> Capabilities:
        """First contact: the model, its limit, the transport. On a connection of its own."""
        async with HttpClient(self.url, self._api_key, self._retry) as client:
            found = await discover(client, self.model, self.encoder, self._transport)
        self.model, self._sampled_way = found.model, found.way
        if found.transport == "chat_logprobs":
            self.encoder = None
        return Capabilities(
            transport=found.transport,
            fingerprint=self._fingerprint,
            max_tokens=found.max_tokens,
            provenance=f"{found.engine} {found.transport}",
        )
