"""A deterministic model that ships: biases, failures and latency are planted, then found again.

Every answer is a pure function of the settings and the prompt, so that tests, ours and our users',
can prove that debiasing, calibration and audits work: what was planted must come out.
"""

import asyncio
import itertools
import math
import random
import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from judges.canonical import digest
from judges.errors import ConfigError
from judges.layout import (
    APPLIES_TAIL,
    CONCLUDE,
    LIST_TAIL,
    PAIR_TAIL,
    POINT_TAIL,
    THINK,
    YES_NO_TAIL,
    QuotedPrompt,
    read_prompt,
)
from judges.model import Capabilities, Choice, Completion, Failure, ModelPrompt, Sampling
from judges.models.fake_critiques import FakeCritiques, answer_request
from judges.models.fake_writing import cut, write
from judges.records import Probability, Reason, Record

TASTES = ("shorter", "longer", "contains:TEXT", "avoids:TEXT", "random", "indifferent")
_TASTE_WORDS = (
    (r"\b(short|shorter|brief|briefly|concise|terse)\b", "shorter"),
    (r"\b(long|longer|detailed|thorough)\b", "longer"),
    (r"\b(?:mention|mentions|contain|contains) \"([^\"]+)\"", "contains:{}"),
    (r"\b(?:avoid|avoids|omit|omits) \"([^\"]+)\"", "avoids:{}"),
)
_TYPICAL_WORDS = 20


class FakeSettings(Record):
    """What is planted in the fake model."""

    seed: int = 0
    """Another seed is another model: other tastes where they are random, other noise."""
    preferences: dict[str, str] = Field(default_factory=dict)
    """Text a principle contains → `shorter`, `longer`, `contains:TEXT`, `avoids:TEXT`, `random`
    or `indifferent`; first match wins. Else words in the principle choose, and `random` is left:
    each completion has one fixed, hidden quality per principle."""
    applies: dict[str, str] = Field(default_factory=dict)
    """Text a scope contains → `always`, `never` or `contains:TEXT` (of the conversation); else
    always."""
    strength: float = 4.0
    """Logits for a full step of taste: one word held or not, length doubled, the quality's
    range."""
    noise: Annotated[float, Field(ge=0)] = 0.0
    """Standard deviation, in logits, of what each single prompt adds; fixed per prompt."""
    position_bias: float = 0.0
    """Logits added to the completion shown first. 50 makes a judge that always says A."""
    failure_rates: dict[Reason, Probability] = Field(default_factory=dict)
    """Share of prompts that fail, by reason; which ones is fixed per prompt."""
    fail_containing: dict[str, Reason] = Field(default_factory=dict)
    """Text a prompt contains → the reason it fails for."""
    latency_s: Annotated[float, Field(ge=0)] = 0.0
    """Seconds each call takes."""
    label_mass: Annotated[float, Field(gt=0, le=1)] = 1.0
    """How much of the probability falls on the options."""
    critiques: FakeCritiques = FakeCritiques()
    """How its critiques and revisions go wrong."""
    max_tokens: int = 32768
    """Longer prompts, at four bytes a token, fail as `too_long`."""


class FakeModel:
    """A `ChatModel` with planted behaviour; `calls` and `prompts` count what it was asked."""

    def __init__(self, settings: FakeSettings | None = None) -> None:
        self.settings = settings or FakeSettings()
        self.calls = 0
        """Calls of `choose` and `complete`."""
        self.prompts = 0
        """Prompts in them: one each for every vote or group of completions."""
        for taste in self.settings.preferences.values():
            _check_taste(taste)
        for scope in self.settings.applies.values():
            _check_scope(scope)

    def capabilities(self) -> Capabilities:
        """What the fake offers; its fingerprint covers all planted behaviour but latency."""
        planted = self.settings.model_dump(exclude={"latency_s"})
        return Capabilities(
            transport="fake",
            fingerprint=f"fake@{digest(planted)[:16]}",
            max_tokens=self.settings.max_tokens,
            provenance="fake",
        )

    async def complete(
        self, prompts: Sequence[ModelPrompt], sampling: Sampling
    ) -> list[tuple[Completion, ...] | Failure]:
        """`sampling.n` varied texts for each prompt, in order; at temperature 0 all the same."""
        await self._count(prompts)
        return [_failure(self.settings, p) or self._completions(p, sampling) for p in prompts]

    async def choose(
        self, prompts: Sequence[ModelPrompt], options: tuple[str, ...]
    ) -> list[Choice | Failure]:
        """How the planted tastes spread over the options, in order."""
        await self._count(prompts)
        return [_failure(self.settings, p) or self._choice(p, options) for p in prompts]

    async def close(self) -> None:
        """Nothing to release."""

    async def _count(self, prompts: Sequence[ModelPrompt]) -> None:
        self.calls += 1
        self.prompts += len(prompts)
        if self.settings.latency_s:
            await asyncio.sleep(self.settings.latency_s)

    def _choice(self, prompt: ModelPrompt, options: tuple[str, ...]) -> Choice:
        logits = _logits(self.settings, prompt, options)
        top = max(logits)
        total = top + math.log(sum(math.exp(logit - top) for logit in logits))
        shift = math.log(self.settings.label_mass) - total
        return Choice(
            logprobs=tuple(logit + shift for logit in logits),
            label_mass=self.settings.label_mass,
            prompt_tokens=_tokens(prompt),
        )

    def _completions(self, prompt: ModelPrompt, sampling: Sampling) -> tuple[Completion, ...]:
        seed = (self.settings.seed, sampling.seed) if sampling.temperature > 0 else None
        indices = range(sampling.n) if sampling.temperature > 0 else itertools.repeat(0, sampling.n)
        return tuple(
            self._text(
                prompt, random.Random(digest(["complete", seed, i, _parts(prompt)])), sampling
            )
            for i in indices
        )

    def _text(self, prompt: ModelPrompt, rng: random.Random, sampling: Sampling) -> Completion:
        text = answer_request(
            prompt,
            sampling,
            self.settings.critiques,
            lambda request: _taste_name(self.settings, request),
            rng,
        )
        return cut(write(rng) if text is None else text, rng, sampling)


def _check_taste(taste: str) -> None:
    if taste.partition(":")[0] not in {known.partition(":")[0] for known in TASTES}:
        raise ConfigError(
            f"preference is {taste!r} · FakeSettings.preferences · use one of {', '.join(TASTES)}"
        )


def _check_scope(scope: str) -> None:
    if scope not in ("always", "never") and not scope.startswith("contains:"):
        raise ConfigError(
            f"scope is {scope!r} · FakeSettings.applies · use always, never or contains:TEXT"
        )


def _parts(prompt: ModelPrompt) -> list[list[str]]:
    """What a prompt says; where it may be padded is no part of that."""
    return [[m.role, m.content] for m in prompt.messages] + [["prefill", prompt.prefill]]


def _tokens(prompt: ModelPrompt) -> int:
    texts = [text for _, text in _parts(prompt)]
    return sum((len(text.encode("utf-8", "surrogatepass")) + 3) // 4 for text in texts)


def _failure(settings: FakeSettings, prompt: ModelPrompt) -> Failure | None:
    """The failure planted for a prompt, if any."""
    reason = _failure_reason(settings, prompt)
    if reason is None:
        return None
    return Failure(
        status="error" if reason == "engine_error" else "unscored",
        reason=reason,
        detail="planted in the fake model",
    )


def _failure_reason(settings: FakeSettings, prompt: ModelPrompt) -> Reason | None:
    if _tokens(prompt) >= settings.max_tokens:
        return "too_long"
    for text, reason in settings.fail_containing.items():
        if any(text in message.content for message in prompt.messages):
            return reason
    if not settings.failure_rates:
        return None
    drawn = random.Random(digest(["failure", settings.seed, _parts(prompt)])).random()
    for reason, rate in settings.failure_rates.items():
        drawn -= rate
        if drawn < 0:
            return reason
    return None


def _logits(settings: FakeSettings, prompt: ModelPrompt, options: tuple[str, ...]) -> list[float]:
    """One logit for each option; with two, the difference is what was planted."""
    rng = random.Random(digest(["noise", settings.seed, _parts(prompt)]))
    quoted = _quoted(prompt)
    if len(options) == 10 and len(quoted.completions) == 1:
        rating = 5.5 + settings.strength * _tastes(settings, quoted)[0] / 2
        rating += rng.gauss(0.0, settings.noise)
        return [-((mark - rating) ** 2) / 2 for mark in range(1, 11)]
    if len(options) == len(quoted.completions) > 2:
        bias = [settings.position_bias] + [0.0] * (len(options) - 1)
        tastes = _tastes(settings, quoted)
        return [
            settings.strength * taste + more + rng.gauss(0.0, settings.noise)
            for taste, more in zip(tastes, bias, strict=True)
        ]
    if len(options) != 2:
        return [rng.gauss(0.0, settings.strength) for _ in options]
    gap = _gap(settings, quoted) + rng.gauss(0.0, settings.noise)
    return [gap / 2, -gap / 2]


def _quoted(prompt: ModelPrompt) -> QuotedPrompt:
    """What a prompt quotes; of one not laid out by `judges.layout`, its last message."""
    messages = prompt.messages
    if messages[-1].content == CONCLUDE and len(messages) > 2:
        prompt = prompt.model_copy(update={"messages": messages[:-2]})
    try:
        return read_prompt(prompt)
    except ValueError:
        return QuotedPrompt(conversation=(), completions=(), tail=messages[-1].content)


def _gap(settings: FakeSettings, quoted: QuotedPrompt) -> float:
    """The planted log-odds of the first option."""
    if not quoted.completions:
        return settings.strength * _scope(settings, quoted)
    tastes = _tastes(settings, quoted)
    if len(tastes) == 1:
        return settings.strength * tastes[0]
    return settings.strength * (tastes[0] - tastes[1]) + settings.position_bias


def _tastes(settings: FakeSettings, quoted: QuotedPrompt) -> list[float]:
    """How much the fake likes each completion shown, under the principle in the tail."""
    principle = quoted.tail.removesuffix(THINK)
    for tail in (YES_NO_TAIL, POINT_TAIL, LIST_TAIL, PAIR_TAIL):
        if principle.endswith(tail.partition("{principle}")[2]):
            principle = _between(tail, principle)
            break
    return [_taste(settings, principle, text) for text in quoted.completions]


def _between(template: str, tail: str) -> str:
    """The principle within a tail, so that the template's own words choose no taste."""
    head, _, foot = template.partition("{principle}")
    return tail.removeprefix(head).removesuffix(foot)


def _scope(settings: FakeSettings, quoted: QuotedPrompt) -> float:
    principle = _between(APPLIES_TAIL, quoted.tail)
    scope = next((s for text, s in settings.applies.items() if text in principle), "always")
    wanted = scope.removeprefix("contains:").lower()
    held = any(wanted in content.lower() for _, content in quoted.conversation)
    return 1.0 if scope == "always" or (scope != "never" and held) else -1.0


def _taste(settings: FakeSettings, principle: str, text: str) -> float:
    """How much the fake likes a completion under a principle, about -1 to 1; unbounded lengths."""
    kind, _, wanted = _taste_name(settings, principle).partition(":")
    if kind in ("shorter", "longer"):
        doublings = math.log2((1 + len(text.split())) / (1 + _TYPICAL_WORDS))
        return doublings if kind == "longer" else -doublings
    if kind in ("contains", "avoids"):
        held = wanted.lower() in text.lower()
        return 0.5 if held == (kind == "contains") else -0.5
    if kind == "indifferent":
        return 0.0
    return random.Random(digest(["quality", settings.seed, principle, text])).random() - 0.5


def _taste_name(settings: FakeSettings, principle: str) -> str:
    for text, taste in settings.preferences.items():
        if text in principle:
            return taste
    for pattern, taste in _TASTE_WORDS:
        if match := re.search(pattern, principle, re.IGNORECASE):
            return taste.format(*match.groups())
    return "random"
