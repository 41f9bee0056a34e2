"""The reward of online methods: a number a completion, or a reason why there is none.

Rules, judges, reward models, servers and sums of them all meet here. What cannot be scored stays
without a number; nothing downstream may put one in its place.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from pydantic import Field

from judges.errors import VerdictError
from judges.records import CompletionText, Item, Reason, Record


class Score(Record):
    """What a reward says of one completion."""

    value: float | None
    """The reward, higher is better; None where there is none."""
    reason: Reason | None = None
    """Why there is none."""
    detail: str = ""
    """What was seen, for people."""
    retry: bool = False
    """Whether the reward was away, so that asking again may help."""
    parts: dict[str, float | None] = Field(default_factory=dict)
    """What it is made of: rewards of a sum, principles of a constitution."""


class Reward(Protocol):
    """Scores completions. Use one from one event loop."""

    name: str

    async def __call__(
        self, prompts: Sequence[Item], completions: Sequence[CompletionText]
    ) -> list[Score]:
        """A score for each completion, in order; `prompts[i]` is what `completions[i]` answers."""
        ...

    async def close(self) -> None:
        """Release connections and leases."""
        ...


ScoreFunction = Callable[
    [Sequence[Item], Sequence[CompletionText]],
    Sequence[float | None] | Awaitable[Sequence[float | None]],
]


class FunctionReward:
    """A Python function as a reward: plain or async, None for what it cannot score."""

    def __init__(self, name: str, function: ScoreFunction) -> None:
        self.name = name
        self._function = function

    async def __call__(
        self, prompts: Sequence[Item], completions: Sequence[CompletionText]
    ) -> list[Score]:
        """A score for each completion. Cost: one call; a plain function runs in a thread."""
        if asyncio.iscoroutinefunction(self._function):
            values = await self._function(prompts, completions)
        else:
            values = await asyncio.to_thread(self._function, prompts, completions)
        return [
            Score(value=None, reason="missing_vote") if value is None else Score(value=value)
            for value in values
        ]

    async def close(self) -> None:
        """Nothing to release."""


class WeightedSum:
    """A sum of rewards, each by its weight, asked at once; unscored where one of them is."""

    name = "sum"

    def __init__(self, rewards: Sequence[tuple[Reward, float]]) -> None:
        self._rewards = list(rewards)

    async def __call__(
        self, prompts: Sequence[Item], completions: Sequence[CompletionText]
    ) -> list[Score]:
        """A score for each completion, with each reward's own value among its parts."""
        answers = await asyncio.gather(*(r(prompts, completions) for r, _ in self._rewards))
        checked = [
            checked_scores(scores, prompts, reward.name)
            for (reward, _), scores in zip(self._rewards, answers, strict=True)
        ]
        return [self._add(row) for row in zip(*checked, strict=True)]

    async def close(self) -> None:
        """Close every reward."""
        await asyncio.gather(*(reward.close() for reward, _ in self._rewards))

    def _add(self, row: Sequence[Score]) -> Score:
        parts: dict[str, float | None] = {}
        for (reward, _), score in zip(self._rewards, row, strict=True):
            parts[reward.name] = score.value
            parts |= {f"{reward.name}/{name}": value for name, value in score.parts.items()}
        missing = next((score for score in row if score.value is None), None)
        if missing is not None:
            retry = any(score.retry for score in row)
            return missing.model_copy(update={"parts": parts, "retry": retry})
        total = sum(
            weight * score.value
            for (_, weight), score in zip(self._rewards, row, strict=True)
            if score.value is not None
        )
        return Score(value=total, parts=parts)


def checked_scores(scores: Sequence[Score], prompts: Sequence[Item], name: str) -> list[Score]:
    """The scores as they are, once there is one for each completion and none is NaN or infinite.

    Raises: VerdictError naming the prompts.
    """
    if len(scores) != len(prompts):
        raise VerdictError(
            f"reward {name!r} gave {len(scores)} scores for {len(prompts)} completions; it must "
            "give one for each, in order, and say None where it cannot"
        )
    bad = [
        prompt.id
        for prompt, score in zip(prompts, scores, strict=True)
        if score.value is not None and not math.isfinite(score.value)
    ]
    if bad:
        value = next(s.value for p, s in zip(prompts, scores, strict=True) if p.id == bad[0])
        shown = ", ".join(dict.fromkeys(bad[:8]))
        raise VerdictError(
            f"reward {name!r} is {value} for {len(bad)} of {len(scores)} completions · prompts "
            f"{shown} · have it say None where it has no number"
        )
    return list(scores)


def part_means(scores: Sequence[Score]) -> Mapping[str, float]:
    """The mean of each part over the completions that have it."""
    told: dict[str, list[float]] = {}
    for score in scores:
        for name, value in score.parts.items():
            if value is not None and math.isfinite(value):
                told.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in told.items()}
