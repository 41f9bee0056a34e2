"""Reward models as a reward: what has no number, how members agree, what weighs their heads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from judges.constitutions.files import load_constitution
from judges.errors import ConfigError
from judges.model import Failure
from judges.records import CompletionText, Item, Message
from judges.rewards.description import Head, RewardDescription
from judges.rewards.score import Rewards, words_of
from judges.rewards.server import too_long
from training.online.model_reward import ModelReward
from training.online.reward_settings import RewardSettings, open_rewards

SETTINGS: TypeAdapter[Any] = TypeAdapter(RewardSettings)
TEXTS = ("Tea.", "Tea is made of leaves.", "Water, and nothing else at all.")
PROMPTS = [
    Item(id="p1", prompt=(Message(role="user", content="What is tea?"),), completions=())
] * 3
COMPLETIONS = [CompletionText(text=text) for text in TEXTS]
CONSTITUTION = """\
name: tea
version: 1.0.0
title: Tea
licence: CC0-1.0
principles:
  - {id: brief, family: form, title: Brief, text: Be brief., tier: normal, weight: 1}
  - {id: water, family: matter, title: Water, text: Speak of water., tier: normal, weight: 3}
"""


class Letters:
    """A reader, and its encoder: as many ids as letters, each worth so much."""

    def __init__(self, worth: float, max_length: int = 99) -> None:
        head = Head(name="reward", mean=1.0, std=2.0)
        self.description = RewardDescription(heads=(head,), weights="w", max_length=max_length)
        self.encoder: Any = self
        self._worth = worth

    def completion(self, _prompt: Any, completion: Sequence[Message]) -> list[int]:
        return [1] * len(completion[0].content)

    def answer_tokens(self, completion: Sequence[Message]) -> int:
        return len(completion[0].content)

    def outputs(self, texts: Sequence[Any]) -> list[tuple[float, ...] | Failure]:
        longest = self.description.max_length
        return [
            (self._worth * len(text),) if len(text) <= longest else too_long(text, longest)
            for text in texts
        ]


async def test_what_a_member_cannot_read_has_no_number_and_one_model_no_variance() -> None:
    scores = await ModelReward(Rewards([Letters(1.0, max_length=22)]))(PROMPTS, COMPLETIONS)
    assert [score.value for score in scores] == [(4 - 1) / 2, (22 - 1) / 2, None]
    assert scores[2].reason == "missing_vote" and not scores[2].retry
    assert [score.parts for score in scores] == [{}, {}, {}]


async def test_members_that_disagree_are_told_by_their_variance() -> None:
    members = [Letters(1.0), Letters(2.0, max_length=22)]
    scores = await ModelReward(Rewards(members, how="min"))(PROMPTS, COMPLETIONS)
    assert [score.value for score in scores] == [1.5, 10.5, None]
    # Of "Tea." the members say 1.5 and 3.5.
    assert scores[0].parts == {"variance": 1.0}


@pytest.mark.slow
@pytest.mark.parametrize("combine", ["mean", "min", "pessimistic"])
async def test_a_recipe_says_how_members_are_combined(tmp_path: Path, combine: str) -> None:
    from tests.training.rewards.tiny_rewards import make_exported
    from training.rewards.loaded import LoadedModel

    heads = [Head(name="reward", mean=0.1, std=0.5), Head(name="reward", mean=-0.2, std=0.25)]
    folders = [make_exported(tmp_path / str(k), k, head) for k, head in enumerate(heads)]
    settings = {"kind": "model", "models": folders, "combine": combine, "penalty": 0.3}
    reward = await open_rewards([SETTINGS.validate_python(settings)], tmp_path)
    scores = await reward(PROMPTS, COMPLETIONS)
    members = []
    for folder, head in zip(folders, heads, strict=True):
        model = LoadedModel(folder)
        answers = [(Message(role="assistant", content=text),) for text in TEXTS]
        texts = [model.encoder.completion(PROMPTS[0].prompt, answer) for answer in answers]
        raw = np.array(model.outputs(texts))[:, 0]
        members.append((raw - head.mean) / head.std)
    both = np.stack(members)
    wanted = {
        "mean": both.mean(0), "min": both.min(0), "pessimistic": both.mean(0) - 0.3 * both.var(0)
    }[combine]  # fmt: skip
    assert [score.value for score in scores] == pytest.approx(wanted.tolist(), abs=1e-4)
    variances = [score.parts["variance"] for score in scores]
    assert variances == pytest.approx(both.var(0).tolist(), abs=1e-4)
    assert min(both.var(0)) > 1e-3


@pytest.mark.slow
async def test_a_constitution_weighs_the_heads(tmp_path: Path) -> None:
    from tests.training.rewards.tiny_rewards import make_exported
    from training.rewards.loaded import LoadedModel

    file = tmp_path / "tea.yaml"
    file.write_text(CONSTITUTION)
    principles = load_constitution(str(file)).principles
    heads = [Head(name=p.id, kind="principle", words=words_of(p)) for p in principles]
    folder = make_exported(tmp_path / "model", 0, *heads)
    settings = {"kind": "model", "models": [folder], "constitution": str(file)}
    reward = await open_rewards([SETTINGS.validate_python(settings)], tmp_path)
    scores = await reward(PROMPTS, COMPLETIONS)
    model = LoadedModel(folder)
    answers = [(Message(role="assistant", content=text),) for text in TEXTS]
    texts = [model.encoder.completion(PROMPTS[0].prompt, answer) for answer in answers]
    brief, water = np.array(model.outputs(texts)).T
    wanted = (brief + 3 * water) / 4
    assert [score.value for score in scores] == pytest.approx(wanted.tolist(), abs=1e-4)
    with pytest.raises(ConfigError, match="name the constitution that weighs them"):
        await open_rewards(
            [SETTINGS.validate_python({"kind": "model", "models": [folder]})], tmp_path
        )
