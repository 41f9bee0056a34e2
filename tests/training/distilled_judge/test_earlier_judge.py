"""Going on from an adapter: what it may not know, and what it must be."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from judges.errors import ConfigError, DataError, ModelError
from tests.training.distilled_judge.made_questions import make_recipe
from tests.training.tiny_policy import make_policy
from training.distilled_judge.distil import JudgeRecipe, train_judge
from training.distilled_judge.distillation import EARLIER_VOTES

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> JudgeRecipe:
    folder = tmp_path_factory.mktemp("earlier")
    make_policy(folder / "model")
    recipe = make_recipe(folder)
    train_judge(recipe, message=lambda _: None)
    return recipe


def going_on(earlier: JudgeRecipe, output: Path, **changes: Any) -> JudgeRecipe:
    values = earlier.model_dump() | {"start_from": earlier.output, "output": output}
    return JudgeRecipe.model_validate(values | changes)


def test_its_votes_are_the_labels_and_its_weights_the_start(
    earlier: JudgeRecipe, tmp_path: Path
) -> None:
    from training.distilled_judge.distil import Material
    from training.distilled_judge.distillation import Distillation
    from training.distilled_judge.vote_trainer import QuestionSet, vote_logits
    from training.runs.run import open_run

    recipe = going_on(earlier, tmp_path / "run", strangers=1, reading_weight=1.0)
    with open_run(
        recipe, recipe.data_used(), resume=False, progress=lambda *_: None, message=lambda _: None
    ) as run:
        work = Distillation(recipe, Material(recipe), run)
        assert 0 < work.strangers <= work.labelled == 16
        assert len(work.kept) == work.labelled + work.strangers
        rows = QuestionSet(work.kept, work.encoder)
        logits = vote_logits(work.model, work.encoder.options, rows, lambda *_: None)
        for pair, logit in zip(work.kept, logits, strict=True):
            p_first = 1 / (1 + np.exp((logit[1] - logit[0]) / 2))
            assert pair.asked[0].p_first == pytest.approx(p_first, abs=1e-5)
            assert pair.asked[1].p_first == pytest.approx(1 - p_first, abs=1e-5)
        was = json.loads((earlier.output / "summary.json").read_text())["after"]["right"]["value"]
        assert work.examine().right.value == was  # type: ignore[union-attr]


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_probe_takes_its_share_of_the_labels(
    earlier: JudgeRecipe, tmp_path: Path, share: float
) -> None:
    kept: dict[str, Any] = {"upper_layers": 2, "lower_states": tmp_path / "states"}
    recipe = going_on(earlier, tmp_path / "run", strangers=1, probe_share=share, **kept)
    summary = train_judge(recipe, message=lambda _: None)
    assert summary.probe is not None and summary.probe.pairs == 16
    assert summary.strangers > 8
    assert (recipe.output / EARLIER_VOTES).exists() == (share < 1)


def test_a_run_that_goes_on_says_how_well_it_reads(earlier: JudgeRecipe, tmp_path: Path) -> None:
    recipe = going_on(earlier, tmp_path / "run", strangers=1, reading_weight=1.0)
    summary = train_judge(recipe, message=lambda _: None)
    assert summary.strangers > 8
    told = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in told]
    assert all(0 <= line["reads"] <= 1 for line in lines if "loss" in line)
    used = {Path(one.path).name for one in recipe.data_used()}
    assert used == {"labelled.jsonl", "run"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"held_out": 5}, "held_out = 4, this run has 5: it may know", id="more aside"),
        pytest.param({"split_seed": 1}, "split_seed = 0, this run has 1", id="others aside"),
        pytest.param({"family": "kindness"}, "family = 'clarity'", id="another family"),
        pytest.param({"lora": {"r": 2, "alpha": 8}}, "of another shape .r = 4", id="another rank"),
        pytest.param({"lora": {"r": 4, "alpha": 4}}, "of another shape", id="another scale"),
        pytest.param({"upper_layers": 1}, "of another shape", id="fewer layers"),
    ],
)
def test_one_that_may_know_what_is_set_aside_or_does_not_fit_is_refused(
    earlier: JudgeRecipe, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train_judge(going_on(earlier, tmp_path / "run", **changes), message=lambda _: None)


def test_one_trained_on_other_pairs_is_refused(earlier: JudgeRecipe, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text(earlier.labelled[0].read_text().replace("kind", "good"))
    with pytest.raises(ConfigError, match="was trained on other labelled files, so it may know"):
        train_judge(going_on(earlier, tmp_path / "run", labelled=(other,)), message=lambda _: None)


def test_a_folder_that_is_no_judge_is_told(earlier: JudgeRecipe, tmp_path: Path) -> None:
    with pytest.raises((ModelError, DataError), match=r"adapter_config.json: cannot be read"):
        train_judge(
            going_on(earlier, tmp_path / "run", start_from=tmp_path), message=lambda _: None
        )
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (tmp_path / name).write_bytes((earlier.output / name).read_bytes())
    with pytest.raises(ModelError, match=r"has neither manifest.json nor recipe.json"):
        train_judge(
            going_on(earlier, tmp_path / "run", start_from=tmp_path), message=lambda _: None
        )
