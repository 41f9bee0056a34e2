"""Best of n, and rejection sampling: the completions that a reward likes most, as rows.

Drawing n and keeping the best needs no training and is the strongest baseline for its KL. What it
keeps can be fine-tuned on (`charter train sft`), or with the worst beside it be a preference.
"""

import math
import statistics as arithmetic
import tomllib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from judges.errors import ConfigError
from judges.items import first_problem
from judges.records import Item, Record
from training.online.reward import Reward, Score
from training.online.reward_settings import RewardSettings
from training.online.waiting import Patience, patient_scores

PROMPTS_AT_ONCE = 64


class BestOfSettings(Record):
    """A file with the rewards to choose by: the `[[rewards]]` of any recipe."""

    rewards: Annotated[tuple[RewardSettings, ...], Field(min_length=1)]
    """What is rewarded; several are added up by their weights."""
    patience: Patience = Patience()
    """How long the reward is waited for."""


class Chosen(Record):
    """One prompt's completions with their rewards."""

    item: Item
    """The prompt and its completions."""
    rewards: tuple[float | None, ...]
    """The reward of each; None where it has none."""

    @property
    def ranked(self) -> list[int]:
        """Indices of the scored completions, best first; of equals the one drawn first."""
        scored = [i for i, reward in enumerate(self.rewards) if reward is not None]
        return sorted(scored, key=lambda i: -(self.rewards[i] or 0.0))


class BestOfSummary(Record):
    """What choosing gained."""

    prompts: int
    """Prompts with at least one scored completion."""
    prompts_unscored: int
    """Prompts without any: left out."""
    unscored: int
    """Completions without a reward."""
    mean_reward: float
    """Mean over all scored completions: the policy as it is."""
    best_reward: float
    """Mean over those chosen."""
    kl_bound: float
    """log n - (n - 1) / n, averaged: nats that best-of-n is from the policy, at most."""


def read_settings(path: Path) -> BestOfSettings:
    """The rewards of a TOML file; other keys of a recipe are left alone. Raises: ConfigError."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from None
    known = {key: table[key] for key in BestOfSettings.model_fields if key in table}
    try:
        return BestOfSettings.model_validate(known)
    except ValidationError as error:
        raise ConfigError(f"{path}: {first_problem(error)}") from None


async def choose(
    items: Sequence[Item], reward: Reward, patience: Patience, say: Callable[[str], None]
) -> AsyncIterator[Chosen]:
    """Each prompt with its completions' rewards, in order.

    Cost: one reward a completion. Raises: RewardAway, VerdictError.
    """
    for start in range(0, len(items), PROMPTS_AT_ONCE):
        some = items[start : start + PROMPTS_AT_ONCE]
        pairs = [(item, completion) for item in some for completion in item.completions]
        scores = await patient_scores(
            reward, [item for item, _ in pairs], [one for _, one in pairs], patience, say
        )
        rest = iter(scores)
        for item in some:
            yield _chosen(item, [next(rest) for _ in item.completions])


def _chosen(item: Item, scores: Sequence[Score]) -> Chosen:
    return Chosen(item=item, rewards=tuple(score.value for score in scores))


def best_rows(chosen: Chosen, keep: int, at_least: float) -> list[dict[str, Any]]:
    """Rows to fine-tune on: a prompt's best completions that reach a reward."""
    return [
        {
            "prompt": [message.model_dump() for message in chosen.item.prompt],
            "completion": [_answer(chosen, index)],
            "id": f"{chosen.item.id}:{index}",
            "reward": chosen.rewards[index],
        }
        for index in chosen.ranked[:keep]
        if (chosen.rewards[index] or 0.0) >= at_least
    ]


def pair_row(chosen: Chosen) -> dict[str, Any] | None:
    """The best against the worst as a preference; None where they are equal or alone.

    Its label is 1: a reward says which is better, not how surely.
    """
    ranked = chosen.ranked
    if len(ranked) < 2 or chosen.rewards[ranked[0]] == chosen.rewards[ranked[-1]]:
        return None
    return {
        "prompt": [message.model_dump() for message in chosen.item.prompt],
        "chosen": [_answer(chosen, ranked[0])],
        "rejected": [_answer(chosen, ranked[-1])],
        "p_chosen": 1.0,
        "id": chosen.item.id,
    }


def summarise(all_chosen: Sequence[Chosen]) -> BestOfSummary:
    """What choosing gained. Raises: ConfigError when nothing at all has a reward.

    Source of the bound: Beirami et al. 2024, arXiv:2401.01879.
    """
    scored = [one for one in all_chosen if one.ranked]
    if not scored:
        raise ConfigError("no completion has a reward; look at [[rewards]]")
    rewards = [reward for one in scored for reward in one.rewards if reward is not None]
    sizes = [len(one.ranked) for one in scored]
    return BestOfSummary(
        prompts=len(scored),
        prompts_unscored=len(all_chosen) - len(scored),
        unscored=sum(reward is None for one in all_chosen for reward in one.rewards),
        mean_reward=arithmetic.fmean(rewards),
        best_reward=arithmetic.fmean(one.rewards[one.ranked[0]] or 0.0 for one in scored),
        kl_bound=arithmetic.fmean(math.log(n) - (n - 1) / n for n in sizes),
    )


def _answer(chosen: Chosen, index: int) -> dict[str, str]:
    return {"role": "assistant", "content": chosen.item.completions[index].text}
