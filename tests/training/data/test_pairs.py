"""Sets mixed by weight, split by prompt, freed of copies and leaks; losses told, and bounded."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from judges.errors import DataError
from training.data.columns import as_dataset
from training.data.mixing import is_held_out, mix, shares
from training.data.pairs import load_pairs
from training.methods.dpo import DpoRecipe


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def row(number: int, p_chosen: float = 0.8, **changes: Any) -> dict[str, Any]:
    whole = {
        "prompt": f"Say the number {number} in French",
        "chosen": f"yes {number}",
        "rejected": "no",
    }
    return {**whole, "p_chosen": p_chosen, **changes}


def recipe_of(*paths: Any, **changes: Any) -> DpoRecipe:
    return DpoRecipe.model_validate(
        {"model": "m", "output": "o", "preferences": list(paths), **changes}
    )


def load(recipe: DpoRecipe) -> Any:
    return load_pairs(recipe.preferences, recipe.labels, recipe.clamp, recipe)


def test_without_weights_all_rows_of_all_files_are_taken(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", row(1), row(2))
    b = write(tmp_path / "b.jsonl", row(3))
    data = load(recipe_of(a, b))
    assert [pair.place for pair in data.train] == [f"{a}:1", f"{a}:2", f"{b}:1"]
    assert [used.rows for used in data.used] == [2, 1]
    assert data.places([2, 0]) == f"{b}:1, {a}:1"


@pytest.mark.parametrize(
    ("sizes", "weights", "expected"),
    [
        pytest.param([3, 2], [None, None], [3, 2], id="no weights: all"),
        pytest.param([100, 100], [1, 1], [100, 100], id="even"),
        pytest.param([100, 100], [3, 1], [100, 33], id="three to one"),
        pytest.param([10, 1000], [1, 1], [10, 10], id="the smaller set limits the larger"),
        pytest.param([50, 200], [None, 2], [50, 100], id="no weight is weight 1"),
    ],
)
def test_weights_are_shares_of_the_largest_mix_that_repeats_nothing(
    sizes: list[int], weights: list[float | None], expected: list[int]
) -> None:
    parts = [[(part, index) for index in range(size)] for part, size in enumerate(sizes)]
    counts = shares(sizes, weights)
    mixed = mix(parts, counts, seed=0)
    assert [sum(part == which for part, _ in mixed) for which in (0, 1)] == expected
    assert len(set(mixed)) == len(mixed)
    assert mixed == sorted(mixed) == mix(parts, counts, seed=0)


def test_what_weights_leave_out_is_told_and_no_set_is_lost_whole(tmp_path: Path) -> None:
    few = write(tmp_path / "few.jsonl", *(row(n) for n in range(10)))
    many = write(tmp_path / "many.jsonl", *(row(n) for n in range(100, 150)))

    def mixed(weight: float) -> DpoRecipe:
        return recipe_of({"path": few, "weight": weight}, {"path": many, "weight": 1})

    data = load(mixed(0.5))
    assert len(data.train) == 30
    assert data.told == [
        f"{many}: 30 of 50 rows are left out of the mix, which keeps the weights: {few} has 10 "
        "rows for its weight"
    ]
    with pytest.raises(DataError, match=r"many.jsonl: 50 of 50 rows .* so none is left: .*few"):
        load(mixed(100))


def test_weights_count_what_copies_leave(tmp_path: Path) -> None:
    few = write(tmp_path / "few.jsonl", *(row(n % 10) for n in range(50)))
    many = write(tmp_path / "many.jsonl", *(row(n) for n in range(100, 150)))
    copy = write(tmp_path / "copy.jsonl", *(row(n) for n in range(10)))
    data = load(recipe_of({"path": few, "weight": 1}, {"path": many, "weight": 1}))
    assert len(data.train) == 20
    assert sum(pair.place.startswith(str(few)) for pair in data.train) == 10
    assert "40 of 100 rows repeat an earlier row" in data.told[0]
    assert "many.jsonl: 40 of 50 rows are left out of the mix" in data.told[1]
    with pytest.raises(DataError, match=r"copy.jsonl: no row is left of it, so its weight"):
        load(recipe_of(few, {"path": copy, "weight": 1}))


def test_all_rows_of_a_prompt_are_on_one_side_and_more_data_moves_none(tmp_path: Path) -> None:
    rows = [row(n, chosen=f"yes {k}") for n in range(200) for k in range(2)]
    small = load(recipe_of(write(tmp_path / "s.jsonl", *rows[:200]), held_out_share=0.3))
    large = load(recipe_of(write(tmp_path / "l.jsonl", *rows), held_out_share=0.3))
    sides = [{str(pair.prompt) for pair in side} for side in (large.train, large.held_out)]
    assert not sides[0] & sides[1]
    assert 35 <= len(sides[1]) <= 85  # 200 prompts, each held out with chance 0.3
    assert {str(pair.prompt) for pair in small.held_out} <= sides[1]
    assert large.place(len(large.train)) == large.held_out[0].place


def test_weights_that_a_method_leaves_aside_are_told_by_their_first_row(tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", row(0), row(1, weight=2.0), row(2, weight=3.0))
    (told,) = load(recipe_of(file)).weights_left_aside("why")
    assert told == f"2 rows have a `weight`, such as {file}:2, which is left aside: why"
    plain = write(tmp_path / "q.jsonl", row(0), row(1))
    assert load(recipe_of(plain)).weights_left_aside("why") == []


def test_a_share_too_small_to_hold_anything_out_is_told(tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", row(0), row(1))
    (told,) = load(recipe_of(file, held_out_share=0.01)).told
    assert told.startswith("held_out_share is 0.01, which holds none of 2 rows out")


def test_no_share_holds_nothing_out() -> None:
    assert not any(is_held_out(({"role": "user", "content": str(n)},), 0.0) for n in range(100))


def test_copies_are_dropped_and_contradictions_told(tmp_path: Path) -> None:
    other_label = row(1, 0.6)
    turned = row(2, chosen="no", rejected="yes 2")
    file = write(tmp_path / "p.jsonl", row(1), row(2), row(1), other_label, turned)
    data = load(recipe_of(file))
    assert [pair.place.rpartition(":")[2] for pair in data.train] == ["1", "2", "4", "5"]
    assert data.told == [
        f"1 of 5 rows say the opposite of an earlier row on the same texts, and are kept: {file}:5",
        f"1 of 5 rows repeat an earlier row, and are dropped: {file}:3",
    ]
    assert len(load(recipe_of(file, check_copies=False)).train) == 5


@pytest.mark.parametrize(
    ("label", "turned_label", "told"),
    [
        pytest.param(0.8, 0.2, "repeat an earlier row", id="turned round with its label"),
        pytest.param(0.8, 0.4, None, id="the same side, less sure"),
        pytest.param(0.8, 0.7, "say the opposite", id="turned round alone"),
        pytest.param(0.8, 0.5, None, id="a tie says no opposite"),
    ],
)
def test_sides_and_label_are_compared_together(
    tmp_path: Path, label: float, turned_label: float, told: str | None
) -> None:
    turned = row(1, turned_label, chosen="no", rejected="yes 1")
    data = load(recipe_of(write(tmp_path / "p.jsonl", row(1, label), turned)))
    assert [told in text for text in data.told] == ([True] if told else [])


def test_a_doubtful_label_is_the_opposite_of_a_sure_one(tmp_path: Path) -> None:
    (told,) = load(recipe_of(write(tmp_path / "p.jsonl", row(1, 0.8), row(1, 0.2)))).told
    assert "1 of 2 rows say the opposite" in told


@pytest.mark.parametrize("clamp", [[0.6, 0.4], [0.5, 0.6], [0.6, 0.9]])
def test_a_clamp_that_would_turn_labels_round_is_refused(clamp: list[float]) -> None:
    with pytest.raises(ValueError, match=r"clamp is .*; use one below 0.5 and one above"):
        recipe_of("p.jsonl", labels="clamped", clamp=clamp)


def test_prompts_of_an_evaluation_are_kept_away(tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", *(row(n) for n in range(20)))
    away = write(tmp_path / "held.jsonl", {"prompt": "say the  NUMBER 7 in french!"})
    data = load(recipe_of(file, keep_away=[away]))
    assert f"{file}:8" not in [pair.place for pair in data.train]
    assert len(data.train) == 19
    # A resumed run with another such file would train on other rows: the manifest pins it.
    (pinned,) = [used for used in data.used if used.path == str(away)]
    assert pinned.sha256 == hashlib.sha256(away.read_bytes()).hexdigest()
    with pytest.raises(DataError, match=r"p.jsonl:8; that is more than max_dropped = 0.01 allows"):
        load(recipe_of(file, keep_away=[away], max_dropped=0.01))
    assert data.told == [
        f"1 of 20 rows have a prompt that keep_away holds, and are dropped: {file}:8"
    ]


def test_prompts_that_nearly_stand_on_both_sides_of_the_split_are_told(tmp_path: Path) -> None:
    long = "Tell me all that you know about how tea is grown, dried, sold and drunk in the north, "
    long += "who first brought it there, what it cost, and why people came to love it so much {}"
    prompts = [f"say the number {n} in french" for n in range(30)]
    prompts += [long.format(ending) for ending in ("please", "now", "today", "soon", "first")]
    sides = [is_held_out(({"role": "user", "content": text},), 0.4) for text in prompts[30:]]
    assert len(set(sides)) == 2, "the near copies must stand on both sides to show anything"
    rows = [{**row(n), "prompt": text} for n, text in enumerate(prompts)]
    data = load(recipe_of(write(tmp_path / "p.jsonl", *rows), held_out_share=0.4))
    (told,) = data.told
    assert told.startswith(
        f"{sides.count(False)} of {len(data.train)} rows to train on have nearly"
    )
    assert f"p.jsonl:{31 + sides.index(False)}" in told


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param("soft", [0.7, 0.9, 0.3], id="soft"),
        pytest.param("clamped", [0.6, 0.6, 0.4], id="clamped"),
        pytest.param("hard", [1.0, 1.0, 1.0], id="hard"),
    ],
)
def test_labels_of_people_are_mixed_with_soft_ones_by_a_certainty(
    tmp_path: Path, labels: str, expected: list[float]
) -> None:
    people: list[dict[str, Any]] = [
        {"prompt": "Is tea hot?", "chosen": "Yes.", "rejected": "No."},
        {"prompt": "Is ice hot?", "chosen": "Yes.", "rejected": "No.", "p_chosen": 0.3},
    ]
    ai = write(tmp_path / "ai.jsonl", row(1, 0.7))
    by_people = write(tmp_path / "people.jsonl", *people)
    sure = {"path": by_people, "certainty": 0.9}
    data = load(recipe_of({"path": ai}, sure, labels=labels))
    assert [pair.p_chosen for pair in data.train] == expected
    if labels != "hard":
        with pytest.raises(DataError, match=r"people.jsonl:1: no `p_chosen`.*certainty = 0.9"):
            load(recipe_of(ai, by_people, labels=labels))


@pytest.mark.parametrize("certainty", [0.5, 1.1, 0.0])
def test_a_certainty_that_says_nothing_is_refused(certainty: float) -> None:
    with pytest.raises(ValueError, match="certainty"):
        recipe_of({"path": "p.jsonl", "certainty": certainty})


@pytest.mark.parametrize("labels", ["soft", "clamped", "hard"])
def test_labels_that_are_all_ties_teach_nothing(tmp_path: Path, labels: str) -> None:
    file = write(tmp_path / "p.jsonl", row(1, 0.5), row(2, 0.5))
    with pytest.raises(DataError, match="all 2 labels are ties"):
        load(recipe_of(file, labels=labels))
    tie = {"prompt": "a", "completions": ["x", "y"], "preferred_index": None}
    with pytest.raises(DataError, match="all 1 labels are ties"):
        load(recipe_of(write(file, tie), labels=labels))


def test_hard_labels_turn_doubtful_pairs_round_and_leave_ties_out(tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", row(1, 0.9), row(2, 0.5), row(3, 0.2))
    data = load(recipe_of(file, labels="hard", loss="trl"))
    assert [pair.chosen[0]["content"] for pair in data.train] == ["yes 1", "no"]
    assert data.train[1].rejected[0]["content"] == "yes 3"
    assert [pair.p_chosen for pair in data.train] == [1.0, 1.0]
    assert data.told == [f"{file}: left out while reading: tie 1 ({file}:2)"]


def test_holding_everything_out_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", row(1))
    with pytest.raises(DataError, match="which holds all 1 rows out"):
        load(recipe_of(file, held_out_share=0.9999999))


def test_a_data_set_knows_its_rows(tmp_path: Path) -> None:
    data = load(recipe_of(write(tmp_path / "p.jsonl", *map(row, range(7))), held_out_share=0.4))
    train, held_out = data.dataset(data.train), data.dataset(data.held_out)
    assert train["row"][:] == list(range(len(data.train)))
    assert held_out["row"][:] == list(range(len(data.train), 7))
    assert train[0]["chosen"] == list(data.train[0].chosen)


@pytest.mark.parametrize("count", [0, 2, 5, 6])
def test_a_data_set_made_in_parts_has_all_rows_in_order(count: int) -> None:
    made = as_dataset(range(count), lambda some: {"x": list(some)}, at_once=2)
    assert made["x"][:] == list(range(count))
