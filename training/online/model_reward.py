"""Exported reward models as a reward, with what each member of an ensemble says."""

import asyncio
import math
from collections.abc import Sequence

from judges.records import CompletionText, Item
from judges.rewards.score import Rewards
from training.online.reward import Score


class ModelReward:
    """One reward model, or an ensemble whose disagreement is told as the part `variance`."""

    def __init__(self, rewards: Rewards) -> None:
        self.name = "model"
        self._rewards = rewards

    async def __call__(
        self, prompts: Sequence[Item], completions: Sequence[CompletionText]
    ) -> list[Score]:
        """A score for each completion; unscored where a member cannot read it."""
        scored = await asyncio.to_thread(
            self._rewards.judge,
            [prompt.prompt for prompt in prompts],
            [one.text for one in completions],
        )
        spread = scored.variance_S.tolist() if len(scored.member_MS) > 1 else None
        return [
            Score(value=None, reason="missing_vote")
            if math.isnan(value)
            else Score(value=value, parts={} if spread is None else {"variance": spread[row]})
            for row, value in enumerate(scored.reward_S.tolist())
        ]

    async def close(self) -> None:
        """Nothing to release."""
