"""Whole runs on a tiny model: it learns, reads what it is asked, and survives a kill."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from judges.cards.labelled import read_labelled
from judges.engine.adapters import adapter_digest
from judges.errors import ConfigError, DataError, ModelError
from tests.training.distilled_judge.made_questions import (
    CONSTITUTION,
    make_recipe,
    ranking,
    row,
)
from tests.training.tiny_policy import make_policy
from training.distilled_judge.distil import (
    JudgeRecipe,
    Material,
    train_judge,
)
from training.distilled_judge.splitting import HELD_OUT, opening
from training.distilled_judge.vote_encoder import VoteEncoder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_policy(tmp_path_factory.mktemp("judge") / "model")


@pytest.fixture
def recipe(tmp_path: Path) -> JudgeRecipe:
    return make_recipe(tmp_path)


@pytest.fixture
def runnable(recipe: JudgeRecipe, model: Path) -> JudgeRecipe:
    return change(recipe, model=str(model))


def change(recipe: JudgeRecipe, **changes: Any) -> JudgeRecipe:
    trainer = {**recipe.trainer, **changes.pop("trainer", {})}
    return JudgeRecipe.model_validate({**recipe.model_dump(), **changes, "trainer": trainer})


def with_rankings(recipe: JudgeRecipe, lines: list[dict[str, Any]], **changes: Any) -> JudgeRecipe:
    folder = recipe.output.parent
    (folder / "made.yaml").write_text(CONSTITUTION)
    (folder / "rankings.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    files = (folder / "rankings.jsonl",)
    return change(recipe, rankings=files, constitution=str(folder / "made.yaml"), **changes)


def metrics(recipe: JudgeRecipe) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (recipe.output / "metrics.jsonl").read_text().splitlines()]


def silent(text: str) -> None:
    assert text


def test_material_keeps_prompts_apart_and_adds_a_larger_judges_votes(recipe: JudgeRecipe) -> None:
    both = with_rankings(recipe, [ranking(number) for number in range(40)])
    material = Material(both)
    aside = {opening(one.item.prompt) for one in (*material.held_out, *material.development)}
    asked = [opening(pair.conversation) for pair in material.questions]
    assert len(aside) == 8
    # Of 24 people's pairs 16 are left, and of 40 rankings those that ask nothing set aside.
    assert len(asked) == 16 + 32
    assert not aside & set(asked)
    assert sum(data.rows for data in both.data_used()) == 64


def test_rankings_without_votes_are_counted_named_and_bounded(recipe: JudgeRecipe) -> None:
    """One the judge did not score, one whose principle did not apply."""
    lines = [ranking(number) for number in range(38)]
    lines += [ranking(38) | {"status": "error"}, ranking(39, p=None)]
    some = with_rankings(recipe, lines)
    file = some.rankings[0]
    assert Material(some).told == [
        f"1 of 40 rankings are not scored; the first: {file}:39; left out",
        "1 of 40 rankings hold no votes under the family 'clarity'; "
        f"the first: {file}:40; left out",
    ]
    with pytest.raises(DataError, match=r"more than max_dropped = 0.02 allows; raise it"):
        Material(change(some, max_dropped=0.02))


def test_rankings_under_other_words_are_refused(recipe: JudgeRecipe) -> None:
    other = ranking(1)["digests"] | {"constitution": "f" * 64}
    with pytest.raises(ConfigError, match=r"rankings.jsonl:2: ranked under the constitution ffff"):
        Material(with_rankings(recipe, [ranking(0), ranking(1) | {"digests": other}]))


def test_labels_that_are_all_ties_teach_nothing(recipe: JudgeRecipe) -> None:
    lines = [ranking(number, p=0.5) for number in range(40)]
    with pytest.raises(DataError, match=r"rankings.jsonl:\d+: all labels are ties \(0.5\)"):
        Material(with_rankings(recipe, lines, labelled=()))


def test_labels_of_several_files_are_split_as_one(tmp_path: Path, recipe: JudgeRecipe) -> None:
    copies = tmp_path / "copies.jsonl"
    lines = (json.dumps(row(n, id=f"copy-{n}", annotators=[0, 1])) for n in range(24))
    copies.write_text("\n".join(lines))
    material = Material(change(recipe, labelled=(*recipe.labelled, copies)))
    kept = {opening(pair.conversation) for pair in material.questions}
    assert not kept & {opening(pair.item.prompt) for pair in material.held_out}
    assert len(material.held_out) == 4
    with pytest.raises(DataError, match="id 'p0' stands in another labelled file too"):
        Material(change(recipe, labelled=(*recipe.labelled, *recipe.labelled)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"labelled": ()}, "nothing to learn from", id="no data"),
        pytest.param({"wordings": ()}, "needs `wordings`", id="no wording"),
        pytest.param({"rankings": ("r.jsonl",)}, "needs `constitution`", id="no constitution"),
        pytest.param({"lower_states": "s"}, "needs upper_layers", id="nothing frozen"),
        pytest.param({"probe_share": 0.5}, "needs lower_states", id="nothing to probe"),
        pytest.param(
            {"start_from": "s", "lora": None}, "start_from needs", id="no weights to go on"
        ),
        pytest.param({"teacher_spread": 2}, "needs a teacher", id="nobody to spread"),
        pytest.param({"strangers": 1}, "strangers needs start_from", id="nobody labels"),
        pytest.param(
            {"strangers": 1, "probe_share": 0.9, "lower_states": "s", "upper_layers": 1},
            "or probe_share = 1",
            id="nobody labels whole",
        ),
        pytest.param(
            {"reading_weight": 1, "opposites": 0}, "needs opposites", id="nothing to tell apart"
        ),
        pytest.param({"reading_weight": 1, "upper_layers": 1}, "of 2 or more", id="nothing below"),
        pytest.param({"upper_layers": 1, "lora": None}, "needs a .lora. table", id="no adapter"),
        pytest.param(
            {"plain_first": 0.5, "opposites": 0, "contrasts": 0}, "nothing comes after", id="no end"
        ),
        pytest.param({"certainty": 0.5}, "greater than 0.5", id="labels that say nothing"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(
    recipe: JudgeRecipe, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        change(recipe, **changes)


def test_nothing_left_to_train_on_is_told(recipe: JudgeRecipe) -> None:
    with pytest.raises(DataError, match="no pair is left to train on"):
        Material(change(recipe, held_out=24))


@pytest.mark.slow
def test_loss_falls_to_what_the_labels_leave_open(runnable: JudgeRecipe) -> None:
    longer = change(runnable, lora=None, trainer={"max_steps": 25, "save_steps": 25})
    summary = train_judge(longer, message=silent)
    losses = [line["loss"] for line in metrics(longer)]
    assert losses[0] > 6  # of 700 tokens, about one in 700 is an option
    assert max(losses[-3:]) < 0.75
    assert (summary.rows, summary.held_out) == (16, 4)
    assert {pair.item.id for pair in read_labelled(longer.output / HELD_OUT)} == {
        pair.item.id for pair in Material(longer).held_out
    }
    assert summary.before.right is not None and summary.before.right.n == 4
    assert summary.after.right is not None and summary.after.right.n == 4


@pytest.mark.slow
@pytest.mark.parametrize("as_recipe", ["plain", "the first", "the second"])
def test_killed_run_goes_on_with_the_same_losses(
    runnable: JudgeRecipe, tmp_path: Path, as_recipe: str
) -> None:
    """As the two recipes of the judge that ships, one after the other, and without all that."""
    if as_recipe != "plain":
        probe = {"probe_share": 0.9, "teacher_spread": 2.0}
        kept: dict[str, Any] = {"upper_layers": 1, "lower_states": tmp_path / "states"}
        runnable = change(runnable, **kept, **probe, plain_first=0.6, other_weight=0.3)
    if as_recipe == "the second":
        runnable = change(runnable, upper_layers=2)
        first = change(runnable, output=tmp_path / "first")
        train_judge(first, message=silent)
        runnable = change(
            runnable, start_from=first.output, strangers=0.5, reading_weight=1.0, probe_share=0.5
        )
    whole = change(runnable, output=tmp_path / "whole")
    train_judge(whole, message=silent)
    code = (
        "import os, sys\n"
        "from training.distilled_judge.distil import JudgeRecipe, train_judge\n"
        "def kill(step, total, loss):\n"
        "    if step == 3: os.kill(os.getpid(), 9)\n"
        "train_judge(JudgeRecipe.model_validate_json(sys.argv[1]), progress=kill)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, runnable.model_dump_json()],
        cwd=Path(__file__).parents[3],
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL
    assert [line["step"] for line in metrics(runnable)] == [1, 2, 3]
    said: list[str] = []
    train_judge(runnable, resume=True, message=said.append)
    assert said[0] == f"{runnable.output}: going on from the checkpoint of step 2"
    assert metrics(runnable) == metrics(whole)
    assert adapter_digest(runnable.output) == adapter_digest(whole.output)


@pytest.mark.slow
def test_kept_lower_states_train_the_same_adapter_and_are_shared(
    runnable: JudgeRecipe, tmp_path: Path
) -> None:
    plain = change(runnable, output=tmp_path / "plain", upper_layers=1)
    kept = change(plain, output=tmp_path / "kept", lower_states=tmp_path / "states")
    other = change(kept, output=tmp_path / "other", certainty=0.9)
    for one in (plain, kept, other):
        train_judge(one, message=silent)
    loss = [[line["loss"] for line in metrics(one)] for one in (plain, kept, other)]
    assert loss[1] == pytest.approx(loss[0], rel=2e-3)  # states are kept in bfloat16
    assert loss[2] != loss[1]
    assert len(list((tmp_path / "states").iterdir())) == 20
    taught = change(kept, output=tmp_path / "taught", probe_share=0.5)
    probe = train_judge(taught, message=silent).probe
    assert probe is not None and probe.pairs == 16
    assert adapter_digest(taught.output) != adapter_digest(kept.output)
    config = json.loads((kept.output / "adapter_config.json").read_text())
    assert config["layers_to_transform"] == [1]
    assert adapter_digest(other.output) != adapter_digest(kept.output)


@pytest.mark.slow
def test_the_principle_alone_comes_first(runnable: JudgeRecipe, tmp_path: Path) -> None:
    alone = change(runnable, output=tmp_path / "alone", plain_first=0.99)
    first = change(runnable, output=tmp_path / "first", plain_first=0.5)
    for one in (alone, first):
        train_judge(one, message=silent)
    losses = [[line["loss"] for line in metrics(one)] for one in (alone, first)]
    half = len(losses[0]) // 2
    assert losses[1][:half] == pytest.approx(losses[0][:half], rel=5e-6)
    assert losses[1][half:] != pytest.approx(losses[0][half:], rel=2e-5)


@pytest.mark.slow
def test_what_cannot_be_run_is_told(runnable: JudgeRecipe) -> None:
    with pytest.raises(ConfigError, match="max_length is 40, but every question is longer"):
        train_judge(change(runnable, max_length=40), message=silent)
    lengths = _lengths(runnable)
    some = change(runnable, max_length=lengths[8], output=runnable.output / "some")
    with pytest.raises(
        DataError, match=r"of 16 pairs are longer than \d+ tokens .*: labelled pair"
    ):
        train_judge(some, message=silent)
    with pytest.raises(ConfigError, match="upper_layers is 9, but the model has 2 layers"):
        train_judge(
            change(runnable, upper_layers=9, output=runnable.output / "nine"), message=silent
        )
    wild = {"learning_rate": 1e30, "max_grad_norm": 0.0}
    with pytest.raises(ModelError, match=r"training step \d: .* on labelled pair: p\d+"):
        train_judge(change(runnable, trainer=wild, output=runnable.output / "wild"), message=silent)


def _lengths(recipe: JudgeRecipe) -> list[int]:
    encoder = VoteEncoder(recipe.model)
    pairs = Material(recipe).questions
    return sorted(max(map(len, encoder.encode(pair)[0])) for pair in pairs)
