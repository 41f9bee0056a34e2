"""Rewards out of raw outputs: one model, several, under a constitution, through a server."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from judges.errors import ConfigError
from judges.model import Failure
from judges.records import Message
from judges.rewards.arithmetic import LARGEST_PART, standardise
from judges.rewards.description import Head, RewardDescription, read_description
from judges.rewards.encoding import RewardEncoder
from judges.rewards.score import Rewards, ServedModel
from judges.rewards.server import Ids, Outputs, too_long
from tests.judges.models.scripted_server import Script, serve
from tests.judges.rewards.reward_folder import classify, make_folder, outputs, principled, whole
from tests.judges.rewards.test_judge import constitution

PROMPT = "What is tea?"
TEXTS = ["Leaves.", "A warm drink.", "Tea is tea."]


class Loaded:
    """A reader without weights."""

    def __init__(self, folder: Path) -> None:
        self.description: RewardDescription = read_description(folder)
        self.encoder = RewardEncoder(folder)
        self.read = 0

    def outputs(self, texts: Sequence[Ids]) -> list[Outputs | Failure]:
        """Tokens decide."""
        self.read += len(texts)
        heads, longest = len(self.description.heads), self.description.max_length
        return [
            too_long(ids, longest) if len(ids) > longest else outputs(ids, heads) for ids in texts
        ]


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    return Loaded(make_folder(tmp_path / "rm", whole()))


def raw(reader: Loaded, text: str) -> np.ndarray:
    messages = (Message(role="user", content=PROMPT),), (Message(role="assistant", content=text),)
    return np.array(outputs(reader.encoder.completion(*messages), len(reader.description.heads)))


def test_one_model_gives_standard_deviations_from_its_reference_mean(loaded: Loaded) -> None:
    found = Rewards([loaded]).score([PROMPT] * 3, TEXTS)
    assert found == pytest.approx([(raw(loaded, text)[0] - 1.0) / 2.0 for text in TEXTS])


def test_texts_and_message_lists_are_the_same_and_other_columns_are_left_alone(
    loaded: Loaded,
) -> None:
    rewards = Rewards([loaded])
    as_messages = rewards.score(
        [[{"role": "user", "content": PROMPT}]],
        [[{"role": "assistant", "content": TEXTS[0], "reasoning_content": None}]],
        completion_ids=[[1, 2]],
        trainer_state=None,
    )
    assert as_messages == rewards.score([PROMPT], TEXTS[:1])


def test_too_long_a_completion_has_no_reward(loaded: Loaded) -> None:
    assert Rewards([loaded]).score([PROMPT] * 2, ["tea " * 300, "Tea."])[0] is None


def test_an_ensembles_least_is_under_its_mean_and_disagreement_is_told(tmp_path: Path) -> None:
    one = Loaded(make_folder(tmp_path / "a", whole()))
    other = Loaded(make_folder(tmp_path / "b", (Head(name="reward", mean=-1.0, std=0.5),)))
    mean, least, doubted = (
        Rewards([one, other], how=how, penalty=0.5).judge([PROMPT] * 3, TEXTS)
        for how in ("mean", "min", "pessimistic")
    )
    assert mean.member_MS.shape == (2, 3)
    assert (mean.variance_S > 0).all()
    assert (least.reward_S < mean.reward_S).all()
    assert doubted.reward_S == pytest.approx(mean.reward_S - 0.5 * mean.variance_S)


def test_principles_are_weighed_by_the_constitution_and_each_prompt_is_read_once(
    tmp_path: Path,
) -> None:
    reader = Loaded(make_folder(tmp_path / "rm", principled()))
    found = Rewards([reader], constitution(3.0, 1.0)).score([PROMPT] * 3, TEXTS)
    assert reader.read == 3 + 1
    prompt = reader.encoder.prompt((Message(role="user", content=PROMPT),))
    applies = 1 / (1 + np.exp(-outputs(prompt, 3)[2]))
    for text, reward in zip(TEXTS, found, strict=True):
        standard = standardise(raw(reader, text)[None], reader.description)[0]
        kind, brief = np.clip(standard[:2], -LARGEST_PART, LARGEST_PART)
        assert reward == pytest.approx((3 * applies * kind + brief) / (3 * applies + 1))


def test_another_weight_is_another_reward_by_the_same_heads(tmp_path: Path) -> None:
    reader = Loaded(make_folder(tmp_path / "rm", principled()))
    kind, brief = (
        Rewards([reader], constitution(*weights)).score([PROMPT] * 3, TEXTS)
        for weights in ((1000.0, 0.001), (0.001, 1000.0))
    )
    heads = [standardise(raw(reader, text)[None], reader.description)[0] for text in TEXTS]
    assert (
        np.argsort(np.array(kind, float)).tolist()
        == np.argsort([head[0] for head in heads]).tolist()
    )
    assert (
        np.argsort(np.array(brief, float)).tolist()
        == np.argsort([head[1] for head in heads]).tolist()
    )


def test_models_and_constitutions_that_do_not_fit(tmp_path: Path, loaded: Loaded) -> None:
    reader = Loaded(make_folder(tmp_path / "principled", principled()))
    with pytest.raises(ConfigError, match="has a head for each principle; name the constitution"):
        Rewards([reader])
    with pytest.raises(ConfigError, match=r"has one head, so tea@1\.0\.0 cannot weigh it"):
        Rewards([loaded], constitution(1, 1))
    told = constitution(1, 1)
    reworded = told.principles[1].model_copy(update={"text": "Be very brief."})
    with pytest.raises(ConfigError, match=r"'brief'.*no principle head trained on its present"):
        Rewards([reader], told.model_copy(update={"principles": (told.principles[0], reworded)}))
    with pytest.raises(ConfigError, match="name at least one"):
        Rewards([])


@pytest.fixture
async def script(tmp_path: Path) -> AsyncIterator[Script]:
    async with serve(make_folder(tmp_path / "served", whole())) as script:
        script.paths["/classify"] = classify(1)
        yield script


async def test_through_a_server_rewards_are_the_same_also_inside_an_event_loop(
    script: Script, tmp_path: Path
) -> None:
    import asyncio

    folder = make_folder(tmp_path / "rm", whole())
    served = Rewards([ServedModel(folder, script.url)])
    found = await asyncio.to_thread(served.score, [PROMPT] * 3, TEXTS)
    assert found == pytest.approx(Rewards([Loaded(folder)]).score([PROMPT] * 3, TEXTS))
