"""The one seam to a language model: what a judge or a policy must be able to do.

`judges.models.fake` is the deterministic model that ships; `judges.models.openai` speaks to vLLM
and to any OpenAI-compatible server. Nothing else in charter talks to a model.
"""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from judges.records import Message, Probability, Reason, Record


class Capabilities(Record):
    """What a model's server can do, found out once."""

    transport: Literal["token_ids", "chat_logprobs", "sampled", "reward", "fake"]
    """How questions travel."""
    fingerprint: str
    """The judge's identity in vote keys."""
    max_tokens: int
    """Longest prompt plus answer the server takes, in tokens."""
    provenance: str
    """Engine, version, dtype: recorded with votes, never in their key."""


class ModelPrompt(Record):
    """A prompt for a model, with what the transport needs to share prefixes and stay inert."""

    messages: tuple[Message, ...]
    """The conversation; every content is data: it can never become a special token."""
    breaks: tuple[int, ...] = ()
    """Character offsets into the last message where prompts part ways: padding may go there."""
    prefill: str = ""
    """What the answer begins with, written for the model where the transport can."""


class Sampling(Record):
    """How completions are drawn."""

    n: int = 1
    """Completions for each prompt."""
    max_tokens: int = 256
    """Longest completion, in tokens."""
    temperature: float = 1.0
    """0 is greedy."""
    top_p: Probability = 1.0
    """Nucleus mass."""
    seed: int | None = None
    """With a seed, the same prompts give the same completions on the same engine."""
    logprobs: bool = False
    """Whether to return the log-probability of each sampled token."""
    json_schema: dict[str, Any] | None = None
    """Every completion is JSON of this schema, as far as the server can hold a model to it."""


class Completion(Record):
    """One sampled completion."""

    text: str
    """Decoded text, special tokens left out."""
    finish_reason: Literal["stop", "length"]
    """Ended by itself, or cut off at `max_tokens`."""
    tokens: int
    """Its length."""
    token_ids: tuple[int, ...] = ()
    """The sampled ids, where the transport knows them."""
    logprobs: tuple[float, ...] = ()
    """Log-probability of each id under the sampling model, where asked for."""


class Choice(Record):
    """How a model's probability fell on the options."""

    logprobs: tuple[float, ...]
    """Natural-log probability of each option, in the order given, raw."""
    label_mass: Probability
    """Their sum as probability."""
    prompt_tokens: int
    """Tokens of the prompt as sent."""
    cached_tokens: int = 0
    """Of these, read from the server's prefix cache."""
    altered: int = 0
    """How many special-token strings in the data had to be broken up (chat transport only)."""


class Failure(Record):
    """Why one prompt has no answer. Never a number."""

    status: Literal["unscored", "error"]
    """`unscored`: the answer is unusable and would be again. `error`: worth another try."""
    reason: Reason
    """The kind of failure."""
    detail: str = ""
    """What was seen, for people."""


class ChatModel(Protocol):
    """A model that completes and chooses, many prompts at a time, failures as records."""

    def capabilities(self) -> Capabilities:
        """What this model's server can do."""
        ...

    async def complete(
        self, prompts: Sequence[ModelPrompt], sampling: Sampling
    ) -> list[tuple[Completion, ...] | Failure]:
        """`sampling.n` completions for each prompt, in order."""
        ...

    async def choose(
        self, prompts: Sequence[ModelPrompt], options: tuple[str, ...]
    ) -> list[Choice | Failure]:
        """How each prompt's answer spreads over the options, in order; one token each."""
        ...

    async def close(self) -> None:
        """Release connections and leases."""
        ...
