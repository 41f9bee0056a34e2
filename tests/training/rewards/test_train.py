"""Whole runs on a tiny model: rewards order their pairs, heads learn apart, kills lose nothing."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from judges.errors import ConfigError, ModelError
from judges.records import Message
from judges.rewards.arithmetic import standardise
from judges.rewards.score import Rewards
from tests.training.rewards.tiny_rewards import TEXTS, make_constitution, make_recipe
from tests.training.tiny_policy import make_policy
from training.rewards.export import ExportSettings, export_reward_model, spread_reference
from training.rewards.loaded import LoadedModel
from training.rewards.recipe import RewardRecipe
from training.rewards.train import RewardSummary, train_reward

pytestmark = pytest.mark.slow
REFERENCE = [
    ((Message(role="user", content=f"Which tea is better, {number}?"),),
     (Message(role="assistant", content=text),))
    for number in range(6) for text in TEXTS
]  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_policy(tmp_path_factory.mktemp("policy") / "model")


@pytest.fixture
def recipe(tmp_path: Path, model: Path) -> RewardRecipe:
    return make_recipe(tmp_path, model)


def change(recipe: RewardRecipe, **changes: Any) -> RewardRecipe:
    trainer = {**recipe.trainer, **changes.pop("trainer", {})}
    return RewardRecipe.model_validate({**recipe.model_dump(), **changes, "trainer": trainer})


def metrics(recipe: RewardRecipe) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (recipe.output / "metrics.jsonl").read_text().splitlines()]


def silent(text: str) -> None:
    assert text


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="all weights"),
        pytest.param({"lora": {"r": 4, "alpha": 8}}, id="adapter"),
        pytest.param({"lora": {"r": 4, "alpha": 8}, "dtype": "bfloat16"}, id="bfloat16 base"),
        pytest.param(
            {"frozen": True, "trainer": {"max_steps": 60, "learning_rate": 0.05}}, id="heads alone"
        ),
    ],
)
def test_loss_falls_and_rewards_order_unseen_pairs(
    recipe: RewardRecipe, changes: dict[str, Any]
) -> None:
    summary = train_reward(change(recipe, **changes), message=silent)
    lines = metrics(recipe)
    assert lines[-1]["loss"] < 0.8 * lines[0]["loss"]
    assert lines[-1]["accuracy"] > 0.9
    assert summary.accuracy["reward"].value > 0.9
    assert summary.accuracy["reward"].n >= 18
    assert summary.pairs == 6 * summary.rows
    nulls = summary.nulls["reward"]
    assert nulls.shorter.n == summary.accuracy["reward"].n
    assert nulls.shorter.value > 0.8, "these labels are of brevity"
    gain = summary.accuracy["reward"].value - nulls.shorter.value
    assert nulls.above.value == pytest.approx(gain)
    stored = (recipe.output / "summary.json").read_bytes()
    assert RewardSummary.model_validate_json(stored) == summary


def test_loss_never_falls_below_the_labels_own_doubt(recipe: RewardRecipe) -> None:
    train_reward(change(recipe, trainer={"max_steps": 20}), message=silent)
    assert min(line["excess_loss"] for line in metrics(recipe)) > -1e-5
    assert metrics(recipe)[-1]["excess_loss"] < 0.1


def test_centring_centres(recipe: RewardRecipe, tmp_path: Path) -> None:
    free = change(recipe, centring=0.0, output=tmp_path / "free", trainer={"max_steps": 20})
    held = change(free, centring=1.0, output=tmp_path / "held")
    for one in (free, held):
        train_reward(one, message=silent)
    assert far_from_nought(held) < 0.5 * far_from_nought(free)


def far_from_nought(recipe: RewardRecipe) -> float:
    """The mean reward's size, over the steps after the first five."""
    return float(np.mean([abs(line["reward"]) for line in metrics(recipe)[5:]]))


def test_each_principle_has_a_head_of_its_own_and_scopes_are_read_off_the_prompt(
    recipe: RewardRecipe, tmp_path: Path
) -> None:
    wide = change(recipe, heads="principles", trainer={"max_steps": 40, "learning_rate": 7e-3})
    summary = train_reward(wide, message=silent)
    assert summary.accuracy["brief"].value > 0.85
    assert summary.accuracy["water"].value > 0.85
    export_reward_model(recipe.output, tmp_path / "rm", REFERENCE, ExportSettings(dtype="float32"))
    reader = LoadedModel(tmp_path / "rm")
    tea, other = (
        reader.outputs([reader.encoder.prompt((Message(role="user", content=text),))])[0]
        for text in ("Which tea is better, 77?", "Which completions is better, 77?")
    )
    assert isinstance(tea, tuple)
    assert isinstance(other, tuple)
    assert tea[2] > 0 > other[2]
    # Re-weighted: the same heads, another order, no training.
    told = make_constitution(tmp_path)
    prompts = ["Which tea is better, 77?"] * 4
    best = []
    for brief, water in ((100.0, 0.01), (0.01, 100.0)):
        weights = zip(told.principles, (brief, water), strict=True)
        principles = tuple(p.model_copy(update={"weight": w}) for p, w in weights)
        weighed = Rewards([reader], told.model_copy(update={"principles": principles}))
        scores = weighed.score(prompts, TEXTS)
        best.append(max(range(4), key=lambda i: scores[i] or 0.0))
    assert "Water" not in TEXTS[best[0]] or len(TEXTS[best[0]]) < 10
    assert "Water" in TEXTS[best[1]]


@pytest.mark.parametrize(
    ("changes", "weights"),
    [
        pytest.param({"lora": {"r": 4}}, "adapter_model.safetensors", id="adapter"),
        pytest.param({"frozen": True}, "model.safetensors", id="heads alone"),
        pytest.param(
            {"frozen": True, "trainer": {"train_sampling_strategy": "group_by_length"}},
            "model.safetensors",
            id="by length",
        ),
    ],
)
def test_interrupted_run_goes_on_with_the_same_losses(
    recipe: RewardRecipe, tmp_path: Path, changes: dict[str, Any], weights: str
) -> None:
    given = change(recipe, **changes)
    whole = change(given, output=tmp_path / "whole")
    train_reward(whole, message=silent)

    def stop(step: int, _total: int, _loss: float) -> None:
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_reward(given, progress=stop, message=silent)
    said: list[str] = []
    train_reward(given, resume=True, message=said.append)
    assert said == [f"{given.output}: going on from the checkpoint of step 4"]
    assert metrics(given) == metrics(whole)
    assert (given.output / weights).read_bytes() == (whole.output / weights).read_bytes()


def test_diverging_run_stops_and_names_rows(recipe: RewardRecipe) -> None:
    wild = change(recipe, trainer={"learning_rate": 1e30, "max_grad_norm": 0.0})
    with pytest.raises(ModelError, match=r"training step \d: .* on .*rankings.jsonl:\d+"):
        train_reward(wild, message=silent)
    assert not (recipe.output / "config.json").exists()


def test_too_long_completions_are_counted_and_too_many_refused(recipe: RewardRecipe) -> None:
    said: list[str] = []
    with pytest.raises(ConfigError, match=r"of \d+ completions are longer than 40 tokens.*raise"):
        train_reward(change(recipe, max_length=40), message=said.append)
    some = change(recipe, max_length=40, max_dropped=0.5, trainer={"max_steps": 1}, output="other")
    some = change(some, output=recipe.output.with_name("some"))
    summary = train_reward(some, message=said.append)
    assert summary.completions_dropped > 0
    assert summary.held_out_dropped > 0
    told, place = [text.partition(" (max_length): ") for text in said], r".*rankings.jsonl:\d+"
    assert [text for text, _, _ in told] == [
        f"{summary.completions_dropped} of {4 * summary.rows} completions are longer than 40 "
        "tokens with their prompt, and left out",
        f"{summary.held_out_dropped} completions held out are too long to be measured on",
    ]
    assert all(re.match(place, named) for _, _, named in told)
    none = change(some, max_length=8, max_dropped=1.0, output=recipe.output.with_name("none"))
    with pytest.raises(ConfigError, match=r"max_length is 8, and no two completions .* raise"):
        train_reward(none, message=said.append)


def test_ties_are_no_pairs_where_labels_are_hard(recipe: RewardRecipe) -> None:
    assert recipe.rankings is not None
    file = recipe.rankings[0].path
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    tied = [lines[0] | {"p": [[0.5] * 4] * 4}, *lines[1:]]
    file.write_text("".join(json.dumps(line) + "\n" for line in tied))
    hard = change(recipe, labels="hard", held_out_share=0.0, frozen=True, trainer={"max_steps": 1})
    summary = train_reward(hard, message=silent)
    assert (summary.rows, summary.pairs) == (31, 31 * 6)


def test_a_reference_is_drawn_from_the_whole_set_in_whole_prompts() -> None:
    some = spread_reference(REFERENCE, 9)
    prompts = [prompt[0].content for prompt, _ in some]
    assert len(some) == 9
    assert len(set(prompts)) == 3
    assert prompts == sorted(prompts)
    assert [text for prompt, text in some if prompt == some[0][0]][:2] == [
        text for _, text in REFERENCE[:2]
    ]
    assert spread_reference(REFERENCE, 24) is REFERENCE
    assert set(prompts) != {f"Which tea is better, {number}?" for number in range(3)}


def test_an_exported_model_is_standardised_on_its_reference_set(
    recipe: RewardRecipe, tmp_path: Path
) -> None:
    train_reward(change(recipe, lora={"r": 4, "alpha": 8}), message=silent)
    exported = export_reward_model(
        recipe.output, tmp_path / "rm", REFERENCE, ExportSettings(dtype="float32")
    )
    reader = LoadedModel(tmp_path / "rm")
    texts = [reader.encoder.completion(*one) for one in REFERENCE]
    standard = standardise(np.array(reader.outputs(texts)), exported.description)
    assert standard.mean() == pytest.approx(0, abs=1e-5)
    assert standard.std() == pytest.approx(1, abs=1e-5)
    for canary in exported.description.canaries:
        assert reader.outputs([canary.ids])[0] == pytest.approx(canary.outputs, abs=1e-5)
    assert len(exported.description.canaries) == 4
    script = (tmp_path / "rm" / "serve.sh").read_text()
    assert "--runner pooling --convert classify" in script
    assert str(tmp_path) not in script
