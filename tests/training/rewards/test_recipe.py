"""What a recipe of a reward model must say, and the prompts that it holds out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from judges.errors import ConfigError, DataError
from tests.training.rewards.tiny_rewards import make_recipe
from tests.training.tiny_policy import make_preferences, preference
from training.rewards.examples import relabel
from training.rewards.recipe import RewardRecipe, read_examples


@pytest.fixture
def recipe(tmp_path: Path) -> RewardRecipe:
    return make_recipe(tmp_path, tmp_path / "model")


def rankings(recipe: RewardRecipe) -> Path:
    assert recipe.rankings is not None
    return recipe.rankings[0].path


def change(recipe: RewardRecipe, **changes: Any) -> RewardRecipe:
    return RewardRecipe.model_validate({**recipe.model_dump(), **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"rankings": None}, "either rankings or preferences", id="no data"),
        pytest.param({"preferences": ["p"]}, "either rankings or preferences", id="both"),
        pytest.param(
            {"heads": "principles", "constitution": None}, "needs rankings, and", id="no principles"
        ),
        pytest.param({"frozen": True, "lora": {}}, "frozen trains the heads alone", id="frozen"),
        pytest.param({"dtype": "bfloat16"}, "would round away", id="bfloat16 weights"),
        pytest.param({"clamp": 0.5}, "greater than 0.5", id="clamp"),
    ],
)
def test_contradictions_are_refused(
    recipe: RewardRecipe, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        change(recipe, **changes)


def test_held_out_prompts_are_the_same_whatever_the_order(recipe: RewardRecipe) -> None:
    first = read_examples(recipe)
    lines = rankings(recipe).read_text().splitlines()
    rankings(recipe).write_text("\n".join(lines[::-1]) + "\n")
    again = read_examples(change(recipe, seed=7))
    held = {one.prompt for one in first.held_out}
    assert held == {one.prompt for one in again.held_out}
    assert 0 < len(held) < len(lines)
    assert not held & {one.prompt for one in first.train}


def test_principles_give_heads_by_their_words_and_scopes_after_them(recipe: RewardRecipe) -> None:
    examples = read_examples(change(recipe, heads="principles"))
    kinds = [(head.kind, head.name) for head in examples.heads]
    assert kinds == [("principle", "brief"), ("principle", "water"), ("applies", "water")]
    assert examples.scope_heads == (1,)
    assert len({head.words for head in examples.heads}) == 3
    assert examples.places([0, 1]).count("rankings.jsonl:") == 2
    assert examples.used[0].digests["judge"] == ("j" * 64,)


def unlabel(recipe: RewardRecipe, **votes: dict[str, Any]) -> RewardRecipe:
    """The rankings, with something else in the place of some principles' labels."""
    lines = [json.loads(line) for line in rankings(recipe).read_text().splitlines()]
    for line in lines:
        for name, changes in votes.items():
            line["principles"][name] |= changes
    rankings(recipe).write_text("\n".join(json.dumps(line) for line in lines))
    return change(recipe, heads="principles")


NOTHING = [[None] * 4] * 4


def test_a_principle_that_no_prompt_teaches_is_refused_unless_its_scope_keeps_it_out(
    recipe: RewardRecipe,
) -> None:
    whole = rankings(recipe).read_text()
    with pytest.raises(DataError, match=r"none of \d+ prompts has a label of 'brief'"):
        read_examples(unlabel(recipe, brief={"p": NOTHING}))
    rankings(recipe).write_text(whole)
    examples = read_examples(unlabel(recipe, water={"p": NOTHING, "applies": 0.0}))
    (told,) = [text for text in examples.told if "applies to none" in text]
    assert "'water' applies to none of" in told


def test_a_scope_that_no_prompt_tells_is_refused(recipe: RewardRecipe) -> None:
    with pytest.raises(DataError, match=r"none of \d+ prompts has a label of 'water' where it"):
        read_examples(unlabel(recipe, water={"applies": None}))


def test_rankings_of_another_constitution_are_refused(recipe: RewardRecipe) -> None:
    file = Path(str(recipe.constitution))
    file.write_text(file.read_text().replace("Be brief.", "Be very brief."))
    with pytest.raises(ConfigError, match=r"rankings.jsonl:1: ranked under the constitution"):
        read_examples(recipe)


def test_preferences_do_as_well(recipe: RewardRecipe, tmp_path: Path) -> None:
    rows = make_preferences(tmp_path / "p.jsonl")
    given = {"rankings": None, "constitution": None, "preferences": rows, "held_out_share": 0.0}
    examples = read_examples(change(recipe, **given))
    assert len(examples.train) == 16
    assert examples.train[3].place == f"{rows}:4"
    assert {one.pairs for one in examples.train} == {1}


def test_pairs_of_people_are_mixed_with_soft_labels(recipe: RewardRecipe, tmp_path: Path) -> None:
    ai, people = tmp_path / "ai.jsonl", tmp_path / "people.jsonl"
    ai.write_text(json.dumps(preference(0, 0.7)) + "\n")
    people.write_text(json.dumps({**preference(1, 0.0), "p_chosen": None}) + "\n")
    given = {"rankings": None, "constitution": None, "held_out_share": 0.0}
    sources = [{"path": ai}, {"path": people, "certainty": 0.9}]
    examples = read_examples(change(recipe, **given, preferences=sources))
    assert [one.p_HNN[0, 0, 1] for one in examples.train] == pytest.approx([0.7, 0.9])
    with pytest.raises(DataError, match=r"people.jsonl:1: no `p_chosen`.*certainty = 0.9"):
        read_examples(change(recipe, **given, preferences=[ai, people]))


def test_hard_labels_of_preferences_leave_ties_out_and_turn_doubtful_pairs_round(
    recipe: RewardRecipe, tmp_path: Path
) -> None:
    file = tmp_path / "p.jsonl"
    rows = [preference(number, p) for number, p in enumerate((0.9, 0.5, 0.2))]
    rows.append({**preference(3, 0.0), "p_chosen": None})
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = {"rankings": None, "constitution": None, "preferences": file, "held_out_share": 0.0}
    examples = read_examples(change(recipe, **given, labels="hard"))
    hard = [relabel(one.p_HNN, "hard")[0, 0, 1] for one in examples.train]
    assert hard == pytest.approx([1, np.nan, 0, 1], nan_ok=True)


def test_weights_of_rows_are_told_to_be_left_aside(recipe: RewardRecipe, tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    rows = [{**preference(number, 0.9), "weight": number + 1.0} for number in range(3)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = {"rankings": None, "constitution": None, "preferences": file, "held_out_share": 0.0}
    assert (
        f"2 rows have a `weight`, such as {file}:2"
        in read_examples(change(recipe, **given)).told[0]
    )


def test_labels_that_are_all_ties_are_refused(recipe: RewardRecipe) -> None:
    lines = [json.loads(line) for line in rankings(recipe).read_text().splitlines()]
    ties = [line | {"p": [[0.5] * 4] * 4} for line in lines]
    rankings(recipe).write_text("".join(json.dumps(line) + "\n" for line in ties))
    with pytest.raises(DataError, match=r"all labels are ties \(0.5\)"):
        read_examples(recipe)


def test_lines_that_are_no_rankings_are_named(recipe: RewardRecipe) -> None:
    rankings(recipe).write_text('{"id": "1", "prompt": "x"}\n')
    with pytest.raises(DataError, match=r"rankings.jsonl:1: no `status`; this is no ranking line"):
        read_examples(recipe)


def test_copies_and_leaks_are_dropped_and_told(recipe: RewardRecipe, tmp_path: Path) -> None:
    lines = rankings(recipe).read_text().splitlines()
    rankings(recipe).write_text("\n".join([*lines, lines[0]]) + "\n")
    leak = json.loads(lines[3])["prompt"][0]["content"]
    (tmp_path / "away.jsonl").write_text(json.dumps({"prompt": leak}) + "\n")
    kept = change(recipe, keep_away=[str(tmp_path / "away.jsonl")], max_dropped=1.0)
    examples = read_examples(kept)
    assert len(examples.train) + len(examples.held_out) < len(lines)
    assert any("keep_away" in text for text in examples.told)
    again = read_examples(change(recipe, max_dropped=0.5))
    assert len(again.train) + len(again.held_out) == len(lines)
    assert any("repeat an earlier row" in text for text in again.told)
