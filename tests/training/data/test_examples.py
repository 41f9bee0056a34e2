"""Rows to fine-tune on, and completions called good or bad, out of every format."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from judges.errors import DataError
from training.data.examples import good_and_bad_completions, wanted_completions
from training.methods.kto import KtoRecipe
from training.methods.sft import SftRecipe

USER = {"role": "user", "content": "What is tea?"}
ROUNDS = [
    {"round": 1, "status": "kept", "revision": "A drink of leaves.", "principle": "a", "p": 0.7},
    {"round": 2, "status": "worse", "revision": "Nothing.", "principle": "b", "p": 0.2},
    {"round": 3, "status": "kept", "revision": "A drink.", "principle": "c", "p": 0.6},
]
REVISION = {"id": "q", "prompt": [USER], "completions": [{"rounds": ROUNDS}], "digests": {}}


def wanted(row: dict[str, Any]) -> list[tuple[int, str]]:
    found = wanted_completions(row, "f:1", "all", Counter())
    return [(len(one.prompt), one.completion[0]["content"]) for one in found]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param({"prompt": "q", "completion": "A."}, [(1, "A.")], id="TRL, standard"),
        pytest.param(
            {"prompt": [USER], "completion": [{"role": "assistant", "content": "A."}], "p": 0.6},
            [(1, "A.")], id="TRL, conversational",
        ),
        pytest.param(
            REVISION, [(1, "A drink of leaves."), (1, "A drink.")], id="revisions of all rounds"
        ),
        pytest.param(
            {"messages": [USER, {"role": "assistant", "content": "A."}]}, [(1, "A.")],
            id="messages",
        ),
        pytest.param(
            {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "A."}]},
            [(1, "A.")], id="sharegpt",
        ),
        pytest.param(
            {"instruction": "q", "input": "", "output": "A.", "system": "Be brief."}, [(2, "A.")],
            id="alpaca",
        ),
        pytest.param({"prompt": "q", "chosen": "A.", "rejected": "B."}, [(1, "A.")], id="a pair"),
    ],
)  # fmt: skip
def test_every_format_gives_its_completions(
    row: dict[str, Any], expected: list[tuple[int, str]]
) -> None:
    assert wanted(row) == expected


@pytest.mark.parametrize(
    ("row", "message"),
    [
        pytest.param({"text": "Tea is a drink."}, "has no prompt", id="text alone"),
        pytest.param({"messages": [USER]}, "does not end with an assistant's turn", id="no answer"),
        pytest.param({"completion": "A."}, "no `prompt` beside the completion", id="no prompt"),
        pytest.param({"prompt": "q", "completion": " "}, "content is ' '", id="empty"),
        pytest.param(
            {**REVISION, "completions": [{"rounds": [{}]}]},
            "no line of revisions",
            id="half a line",
        ),
    ],
)
def test_faults_name_the_place(row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        wanted(row)
    assert str(caught.value).startswith("f:1")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param({"prompt": "q", "completion": "A.", "label": True}, {"A.": True}, id="TRL"),
        pytest.param(
            {"instruction": "q", "output": "A.", "kto_tag": False}, {"A.": False},
            id="LLaMA-Factory",
        ),
        pytest.param(
            {"prompt": "q", "chosen": "A.", "rejected": "B."}, {"A.": True, "B.": False}, id="pair"
        ),
        pytest.param(
            {"prompt": "q", "chosen": "A.", "rejected": "B.", "p_chosen": 0.2},
            {"A.": False, "B.": True}, id="a pair its label turns round",
        ),
        pytest.param(
            {"prompt": "q", "chosen": "A.", "rejected": "B.", "p_chosen": 0.5}, {}, id="a tie"
        ),
    ],
)  # fmt: skip
def test_completions_are_good_or_bad(row: dict[str, Any], expected: dict[str, bool]) -> None:
    dropped: Counter[str] = Counter()
    found = good_and_bad_completions(row, "f:1", "all", dropped)
    assert {one.completion[0]["content"]: one.good for one in found} == expected
    assert dropped["tie"] == (not expected)


@pytest.mark.parametrize("p", [1.7, -0.1, "0.9", True])
def test_a_pair_with_a_label_that_is_no_probability_is_refused(p: object) -> None:
    row = {"prompt": "q", "chosen": "A.", "rejected": "B.", "p_chosen": p}
    for parse in (good_and_bad_completions, wanted_completions):
        with pytest.raises(DataError, match=f"f:1: p_chosen is {p!r}; use a probability"):
            list(parse(row, "f:1", "all", Counter()))


def test_what_a_label_calls_worse_is_not_imitated() -> None:
    assert wanted({"prompt": "q", "chosen": "A.", "rejected": "B.", "p_chosen": 0.2})[0][1] == "B."


def test_a_label_that_is_no_truth_value_is_refused() -> None:
    row = {"prompt": "q", "completion": "A.", "label": "good"}
    with pytest.raises(DataError, match="label is 'good'; use true or false"):
        list(good_and_bad_completions(row, "f:1", "all", Counter()))


def test_every_accepted_round_of_a_labelled_revision_is_good_or_bad() -> None:
    dropped: Counter[str] = Counter()
    row = {**REVISION, "label": True}
    found = list(good_and_bad_completions(row, "f:1", "all", dropped))
    assert [one.completion[0]["content"] for one in found] == ["A drink of leaves.", "A drink."]
    assert all(one.good for one in found)
    assert dropped == {"not accepted": 1}
    none = {**row, "completions": [{"rounds": ROUNDS[1:2]}]}
    assert list(good_and_bad_completions(none, "f:1", "all", dropped)) == []
    assert dropped == {"not accepted": 2}


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def pair(number: int) -> dict[str, Any]:
    return {"prompt": f"q {number}", "chosen": f"A {number}.", "rejected": f"B {number}."}


def test_kto_mixes_good_and_bad_and_needs_both(tmp_path: Path) -> None:
    pairs = [pair(n) for n in range(32)]
    recipe = KtoRecipe.model_validate(
        {"model": "m", "output": "o", "examples": write(tmp_path / "p.jsonl", *pairs)}
    )
    kinds = [row.good for row in recipe.data().train]
    assert sum(kinds) == 32
    assert 8 <= sum(kinds[:32]) <= 24  # neither all good nor all bad first
    assert [row.place for row in recipe.data().train] == [row.place for row in recipe.data().train]
    good = write(tmp_path / "g.jsonl", {"prompt": "q", "completion": "A.", "label": True})
    with pytest.raises(DataError, match="all 1 completions are good"):
        KtoRecipe.model_validate({"model": "m", "output": "o", "examples": good}).data()


@pytest.mark.parametrize("kind", [KtoRecipe, SftRecipe])
def test_pairs_that_are_all_ties_teach_nothing(tmp_path: Path, kind: Any) -> None:
    ties = [{**pair(n), "p_chosen": 0.5} for n in range(3)]
    file = write(tmp_path / "t.jsonl", *ties)
    with pytest.raises(DataError, match="all 3 labels are ties"):
        kind.model_validate({"model": "m", "output": "o", "examples": file}).data()


def test_kto_refuses_batches_of_one() -> None:
    values = {"model": "m", "output": "o", "examples": "p"}
    with pytest.raises(ValueError, match="estimates the KL divergence within a batch"):
        KtoRecipe.model_validate({**values, "trainer": {"per_device_train_batch_size": 1}})


@pytest.mark.parametrize("kind", [KtoRecipe, SftRecipe])
def test_weights_of_rows_are_told_to_be_left_aside(tmp_path: Path, kind: Any) -> None:
    rows = [
        {"prompt": f"q {n}", "completion": "A.", "label": n > 0, "weight": 1 + n} for n in range(3)
    ]
    file = write(tmp_path / "w.jsonl", *rows)
    recipe = kind.model_validate({"model": "m", "output": "o", "examples": file})
    (told,) = recipe.data().told
    assert told.startswith(f"2 rows have a `weight`, such as {file}:2, which is left aside")


def test_rows_that_cannot_be_used_are_dropped_named_and_bounded(tmp_path: Path) -> None:
    empty = {"prompt": "q", "completion": " "}
    file = write(tmp_path / "s.jsonl", REVISION, empty, {"prompt": "q", "completion": "A."})
    values = {"model": "m", "output": "o", "examples": file}
    data = SftRecipe.model_validate({**values, "max_dropped": 0.2}).data()
    assert len(data.train) == 3
    assert data.told == [
        f"{file}: left out while reading: not accepted 1 ({file}:1)",
        f"{file}: 1 of 5 rows cannot be used, and are dropped: empty 1 ({file}:2)",
    ]
    with pytest.raises(DataError, match=r"more than max_dropped = 0.1 allows"):
        SftRecipe.model_validate({**values, "max_dropped": 0.1}).data()


def test_sft_leaves_the_loss_alone() -> None:
    values = {"model": "m", "output": "o", "examples": "p"}
    with pytest.raises(ValueError, match="completion_only_loss cannot be set here"):
        SftRecipe.model_validate({**values, "trainer": {"completion_only_loss": False}})


def test_the_same_completion_twice_is_dropped_and_both_kinds_are_told(tmp_path: Path) -> None:
    rows = [
        {"prompt": "q", "completion": "A.", "label": True},
        {"prompt": "q", "completion": "A.", "label": True},
        {"prompt": "q", "completion": "A.", "label": False},
    ]
    file = write(tmp_path / "k.jsonl", *rows)
    recipe = KtoRecipe.model_validate({"model": "m", "output": "o", "examples": file})
    data = recipe.data()
    assert sorted(row.place for row in data.train) == [f"{file}:1", f"{file}:3"]
    assert "1 of 3 rows say the opposite" in data.told[0]
