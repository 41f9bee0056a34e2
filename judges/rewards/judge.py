"""A reward model as a judge: the log-odds that a is better than b are r(a) - r(b).

It votes in both orders like any judge, and its votes are exact opposites. A model of the whole
answers under whatever principle is asked; one with a head for each principle answers only the
words it was trained for, and scopes likewise: any other question is unscored, never guessed.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from judges.canonical import text_digest
from judges.engine.lease import acquire
from judges.errors import ConfigError
from judges.layout import Case
from judges.model import Capabilities, Choice, Completion, Failure, ModelPrompt, Sampling
from judges.progress import say
from judges.records import Message
from judges.rewards.arithmetic import take_length_off
from judges.rewards.description import read_description
from judges.rewards.encoding import RewardEncoder
from judges.rewards.served import reward_engine
from judges.rewards.server import Outputs, RewardServer

Text = tuple[tuple[Message, ...], str | None]
"""A prompt with its completion, or alone."""


@dataclass(frozen=True)
class Known:
    """What is known of a text."""

    tokens: int
    """Its length, as sent."""
    outputs: Outputs
    """Its log-odds by head, length taken off where the description says so."""


Asked = tuple["asyncio.Task[list[Known | Failure]]", int]
"""A request for the outputs of many texts, and which of them this text is."""
KEPT = 65_536
"""Texts whose outputs are remembered: each stands in many pairs, in two orders."""
NO_PROMPTS = (
    "a reward model scores completions, it answers no prompts; use it for `charter rank` in pairs, "
    "and another judge for this"
)


class RewardModel:
    """A `ChatModel` by name, for the one kind of question it can answer: `choose_cases`."""

    def __init__(self, server: RewardServer, encoder: RewardEncoder) -> None:
        self.server, self.encoder = server, encoder
        self.description = server.description
        self._asked: OrderedDict[Text, Asked] = OrderedDict()

    def capabilities(self) -> Capabilities:
        """What it can do; its votes are keyed by its weights and the length it takes off."""
        return Capabilities(
            transport="reward",
            fingerprint=self.description.fingerprint,
            max_tokens=self.description.max_length,
            provenance=f"{self.server.engine} reward",
        )

    async def choose_cases(self, cases: Sequence[Case]) -> list[Choice | Failure]:
        """How each case is decided, in order.

        Cost: one reading of each completion, however many pairs and principles it stands in.
        """
        heads = [self._head(case) for case in cases]
        texts = [
            _texts(case) if head is not None else ()
            for case, head in zip(cases, heads, strict=True)
        ]
        known, new = await self._learn([text for some in texts for text in some])
        return [
            _unknown(case) if head is None else _decide([known[t] for t in some], head, some, new)
            for case, head, some in zip(cases, heads, texts, strict=True)
        ]

    async def choose(
        self,
        prompts: Sequence[ModelPrompt],  # noqa: ARG002
        options: tuple[str, ...],  # noqa: ARG002
    ) -> list[Choice | Failure]:
        """Raises: ConfigError, always."""
        raise ConfigError(NO_PROMPTS)

    async def complete(
        self,
        prompts: Sequence[ModelPrompt],  # noqa: ARG002
        sampling: Sampling,  # noqa: ARG002
    ) -> list[tuple[Completion, ...] | Failure]:
        """Raises: ConfigError, always."""
        raise ConfigError(NO_PROMPTS)

    async def close(self) -> None:
        """Release the connections."""
        await self.server.close()

    def _head(self, case: Case) -> int | None:
        """Which output answers a case, if one does."""
        if case.kind not in ("pair", "applies"):
            raise ConfigError(f"asked by {case.kind!r}: {NO_PROMPTS}")
        words = text_digest(case.words)
        if case.kind == "applies":
            return self.description.index("applies", words=words)
        whole = self.description.index("reward")
        return whole if whole is not None else self.description.index("principle", words=words)

    async def _learn(
        self, texts: Sequence[Text]
    ) -> tuple[dict[Text, Known | Failure], dict[Text, None]]:
        """What is known of each text, and which of them nobody had asked for."""
        new = {text: None for text in texts if text not in self._asked}
        if new:
            task = asyncio.create_task(self._read(list(new)))
            self._asked |= {text: (task, place) for place, text in enumerate(new)}
        asked = {text: self._asked[text] for text in texts}
        known: dict[Text, Known | Failure] = {}
        for text, (task, place) in asked.items():
            try:
                # Shielded: who gives up waiting does not take the answer from others.
                known[text] = (await asyncio.shield(task))[place]
            except BaseException:
                self._asked.pop(text, None)
                raise
            if isinstance(known[text], Failure):
                self._asked.pop(text, None)
        while len(self._asked) > KEPT:
            self._asked.popitem(last=False)
        return known, new

    async def _read(self, texts: Sequence[Text]) -> list[Known | Failure]:
        encoded = [self._encode(*text) for text in texts]
        answers = await self.server.outputs(encoded)
        return [
            answer if isinstance(answer, Failure) else self._known(text, ids, answer)
            for text, ids, answer in zip(texts, encoded, answers, strict=True)
        ]

    def _known(self, text: Text, ids: Sequence[int], outputs: Outputs) -> Known:
        _prompt, completion = text
        if completion is None:
            return Known(len(ids), outputs)
        tokens = self.encoder.answer_tokens((_answer(completion),))
        adjusted = take_length_off(np.array([outputs]), np.array([tokens]), self.description)
        return Known(len(ids), tuple(adjusted[0].tolist()))

    def _encode(self, prompt: tuple[Message, ...], completion: str | None) -> list[int]:
        if completion is None:
            return self.encoder.prompt(prompt)
        return self.encoder.completion(prompt, (_answer(completion),))


def _answer(completion: str) -> Message:
    return Message(role="assistant", content=completion)


def _texts(case: Case) -> tuple[Text, ...]:
    """What has to be read to decide a case: both completions, or the prompt alone."""
    if case.kind == "applies":
        return ((case.conversation, None),)
    return tuple((case.conversation, completion) for completion in case.completions)


def _decide(
    known: Sequence[Known | Failure], head: int, texts: Sequence[Text], new: dict[Text, None]
) -> Choice | Failure:
    """The vote: log-odds of the first option over the second, with its whole mass on the two."""
    found: list[Known] = []
    for one in known:
        if isinstance(one, Failure):
            return one
        found.append(one)
    gains = [one.outputs[head] for one in found]
    log_odds = gains[0] - gains[1] if len(gains) == 2 else gains[0]
    # A text is read once, and counted as cached wherever else it stands.
    cached = 0
    for text, one in zip(texts, found, strict=True):
        if text in new:
            del new[text]
        else:
            cached += one.tokens
    return Choice(
        logprobs=(-_softplus(-log_odds), -_softplus(log_odds)),
        label_mass=1.0,
        prompt_tokens=sum(one.tokens for one in found),
        cached_tokens=cached,
    )


def _softplus(x: float) -> float:
    """log(1 + exp(x)), without overflow."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _unknown(case: Case) -> Failure:
    seen = f"no head of the reward model was trained on these words: {case.words[:120]!r}"
    return Failure(status="unscored", reason="cannot_check", detail=seen)


async def open_reward_model(
    folder: Path,
    stack: AsyncExitStack,
    *,
    url: str | None = None,
    model: str | None = None,
    api_key: str | None = None,
) -> RewardModel:
    """The reward model of a folder, at the server that runs it, tried out.

    Without an address charter starts vLLM itself, or finds the one it started; the stack releases
    it. Raises: ModelError when the server is away or runs something else, or for a folder that is
    no exported reward model; ConfigError.
    """
    description = read_description(folder)
    encoder = RewardEncoder(folder)
    if url is None:
        lease = await asyncio.to_thread(acquire, reward_engine(folder, description), say)
        stack.callback(lease.release)
        url, model = lease.url, lease.model_name
    server = RewardServer(url, description, model, api_key=api_key)
    await server.connect()
    return RewardModel(server, encoder)
