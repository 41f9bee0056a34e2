"""A reward for each completion: one model or several, the whole or a constitution's principles.

`Rewards.score` has the shape of TRL's reward functions. Where the model is does not matter: behind
a server (`ServedModel`) or in this process (`training.rewards.loaded`).
"""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from judges.aggregate import Floats, Scheme, scheme_of, sigmoid
from judges.canonical import text_digest
from judges.constitutions.constitution import Constitution, Principle
from judges.errors import ConfigError
from judges.model import Failure
from judges.records import Message
from judges.rewards.arithmetic import (
    Combine,
    combine_members,
    scalar_reward,
    standardise,
    take_length_off,
)
from judges.rewards.description import RewardDescription, read_description
from judges.rewards.encoding import RewardEncoder
from judges.rewards.server import Ids, Outputs, RewardServer

Turns = str | Sequence[Mapping[str, Any]] | Sequence[Message]
"""A text, or the messages of a conversation."""


class Reader(Protocol):
    """A reward model that can be asked for raw outputs."""

    description: RewardDescription
    encoder: RewardEncoder

    def outputs(self, texts: Sequence[Ids]) -> list[Outputs | Failure]:
        """The raw output of every head for each text, in order."""
        ...


class ServedModel:
    """A reward model behind a vLLM server, asked from ordinary, not asynchronous, code."""

    def __init__(self, folder: Path, url: str, model: str | None = None) -> None:
        """Raises: ConfigError, ModelError for a folder that is no exported reward model."""
        self.description = read_description(folder)
        self.encoder = RewardEncoder(folder)
        self.url, self.model = url, model

    def outputs(self, texts: Sequence[Ids]) -> list[Outputs | Failure]:
        """The raw outputs. Raises: ModelError when the server is away or runs something else."""

        async def ask() -> list[Outputs | Failure]:
            server = RewardServer(self.url, self.description, self.model)
            try:
                return await server.outputs(texts)
            finally:
                await server.close()

        with ThreadPoolExecutor(1) as pool:  # the caller may have an event loop of its own
            return pool.submit(asyncio.run, ask()).result()


@dataclass(frozen=True)
class Scored:
    """What some models think of some completions."""

    reward_S: Floats
    """The reward, all members together; NaN where a member has none."""
    member_MS: Floats
    """Each member's, in standard deviations from its reference mean."""

    @property
    def variance_S(self) -> Floats:
        """How far the members disagree."""
        return np.asarray(self.member_MS.var(0))


class Rewards:
    """Rewards by one model or an ensemble, under a constitution where models have its heads."""

    def __init__(
        self,
        readers: Sequence[Reader],
        constitution: Constitution | None = None,
        *,
        how: Combine = "mean",
        penalty: float = 0.5,
    ) -> None:
        """With a constitution, models must have a head for each of its principles.

        Raises: ConfigError when a model cannot give the reward asked for.
        """
        self.readers, self.how, self.penalty = list(readers), how, penalty
        if not self.readers:
            raise ConfigError("no reward model; name at least one")
        self._plans = [_plan(reader.description, constitution) for reader in self.readers]

    def score(
        self,
        prompts: Sequence[Turns],
        completions: Sequence[Turns],
        **_columns: Any,
    ) -> list[float | None]:
        """The reward of each completion of its prompt; None where it cannot be read.

        Other columns, as TRL hands them on, are left alone.
        """
        reward_S = self.judge(prompts, completions).reward_S
        return [None if np.isnan(reward) else float(reward) for reward in reward_S]

    def judge(self, prompts: Sequence[Turns], completions: Sequence[Turns]) -> Scored:
        """The rewards, and each member's part in them.

        Cost: one reading of each completion a member, and of each prompt where scopes matter.
        """
        asked = [_conversation(prompt, "user") for prompt in prompts]
        answers = [_conversation(completion, "assistant") for completion in completions]
        member_MS = np.stack(
            [
                plan.reward(reader, asked, answers)
                for plan, reader in zip(self._plans, self.readers, strict=True)
            ]
        )
        return Scored(combine_members(member_MS, self.how, self.penalty), member_MS)


@dataclass(frozen=True)
class _Plan:
    """Which outputs make the reward."""

    heads: tuple[int, ...]
    """The whole, or one for each principle."""
    scopes: tuple[int | None, ...] = ()
    """For each principle the output that tells its scope; None where it always applies."""
    scheme: Scheme | None = None
    """Weights and tiers; None where the whole is asked for."""

    def reward(
        self,
        reader: Reader,
        prompts: Sequence[tuple[Message, ...]],
        completions: Sequence[tuple[Message, ...]],
    ) -> Floats:
        encoder, description = reader.encoder, reader.description
        texts = [encoder.completion(p, c) for p, c in zip(prompts, completions, strict=True)]
        tokens_S = np.array([encoder.answer_tokens(c) for c in completions])
        raw_SH = _array(reader.outputs(texts), len(description.heads))
        standard_SH = standardise(take_length_off(raw_SH, tokens_S, description), description)
        if self.scheme is None:
            return standard_SH[:, self.heads[0]]
        applies_SP = self._applies(reader, prompts)
        reward_S = scalar_reward(standard_SH[:, list(self.heads)], applies_SP, self.scheme)
        return np.where(np.isnan(raw_SH).any(1) | np.isnan(applies_SP).any(1), np.nan, reward_S)

    def _applies(self, reader: Reader, prompts: Sequence[tuple[Message, ...]]) -> Floats:
        applies_SP = np.ones((len(prompts), len(self.scopes)))
        if all(scope is None for scope in self.scopes):
            return applies_SP
        distinct = list(dict.fromkeys(prompts))
        texts = [reader.encoder.prompt(prompt) for prompt in distinct]
        output_SH = _array(reader.outputs(texts), len(reader.description.heads))
        place = {prompt: row for row, prompt in enumerate(distinct)}
        rows = [place[prompt] for prompt in prompts]
        for column, scope in enumerate(self.scopes):
            if scope is not None:
                applies_SP[:, column] = sigmoid(output_SH[rows, scope])
        return applies_SP


def _plan(description: RewardDescription, constitution: Constitution | None) -> _Plan:
    whole = description.index("reward")
    if constitution is None:
        if whole is None:
            raise ConfigError(
                "this reward model has a head for each principle; name the constitution that "
                "weighs them"
            )
        return _Plan((whole,))
    if whole is not None:
        raise ConfigError(
            f"this reward model has one head, so {constitution.reference} cannot weigh it; leave "
            'the constitution out, or train with heads = "principles"'
        )
    principles = constitution.principles
    heads = tuple(_head(description, "principle", p, words_of(p)) for p in principles)
    scopes = tuple(
        None if p.applies_when is None else _head(description, "applies", p, scope_words(p))
        for p in principles
    )
    return _Plan(heads, scopes, scheme_of(constitution))


def _head(description: RewardDescription, kind: str, principle: Principle, words: str) -> int:
    found = description.index(kind, words=words)
    if found is None:
        had = ", ".join(head.name for head in description.heads if head.kind == kind)
        raise ConfigError(
            f"principle {principle.id!r}: the reward model has no {kind} head trained on its "
            f"present wording (it has {had or 'none'}); train it on rankings under this one, or "
            "drop the principle"
        )
    return found


def words_of(principle: Principle) -> str:
    """What names the head of a principle: the digest of its text as judged, or of its rule."""
    if principle.text is not None:
        return text_digest(principle.text)
    return principle.question_digest("rule")


def scope_words(principle: Principle) -> str:
    """What names the head that tells a principle's scope."""
    return text_digest(principle.applies_when or "")


def _array(outputs: Sequence[Outputs | Failure], heads: int) -> Floats:
    missing = (np.nan,) * heads
    rows = [missing if isinstance(one, Failure) else one for one in outputs]
    return np.array(rows, float).reshape(len(rows), heads)


def _conversation(turns: Turns, role: str) -> tuple[Message, ...]:
    if isinstance(turns, str):
        turns = [{"role": role, "content": turns}]
    return tuple(
        turn
        if isinstance(turn, Message)
        else Message.model_validate({key: turn.get(key) for key in ("role", "content")})
        for turn in turns
    )
