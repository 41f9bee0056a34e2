"""Answers kept: a killed evaluation goes on, and another policy's answers are never taken over."""

from pathlib import Path

import pytest

from judges.items import load_items
from judges.model import Sampling
from judges.models.fake import FakeModel, FakeSettings
from judges.records import Item, Message
from training.evaluation import answers
from training.evaluation.answers import Answers

SAMPLING = Sampling(n=2, max_tokens=20, temperature=0.8, seed=0)
ITEMS = [
    Item(id=str(n), prompt=(Message(role="user", content=f"What is {n}?"),), completions=())
    for n in range(6)
]


async def test_kept_answers_are_those_drawn_and_are_not_drawn_again(tmp_path: Path) -> None:
    plain = await Answers().draw("policy", FakeModel(), ITEMS, SAMPLING)
    kept = await Answers(tmp_path).draw("policy", FakeModel(), ITEMS, SAMPLING)
    assert kept == plain
    assert [len(row) for row in kept] == [2] * 6
    assert [len(item.completions) for item in load_items(tmp_path / "policy.jsonl")] == [2] * 6
    again = FakeModel()
    assert await Answers(tmp_path).draw("policy", again, ITEMS, SAMPLING) == plain
    assert again.prompts == 0


async def test_a_killed_evaluation_draws_only_the_rest(tmp_path: Path) -> None:
    """Killed after four prompts: the file has no name yet, its lines are found all the same."""
    whole = await Answers(tmp_path / "whole").draw("policy", FakeModel(), ITEMS, SAMPLING)
    (tmp_path / "cut").mkdir()
    lines = (tmp_path / "whole" / "policy.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "cut" / "policy.jsonl.partial").write_bytes(b"".join(lines[:4]) + lines[4][:9])
    model = FakeModel()
    assert await Answers(tmp_path / "cut").draw("policy", model, ITEMS, SAMPLING) == whole
    assert model.prompts == 2


@pytest.mark.parametrize(
    ("model", "sampling"),
    [
        pytest.param(FakeModel(FakeSettings(seed=1)), SAMPLING, id="another policy"),
        pytest.param(FakeModel(), SAMPLING.model_copy(update={"seed": 1}), id="another seed"),
    ],
)
async def test_answers_drawn_otherwise_are_not_taken_over(
    model: FakeModel, sampling: Sampling, tmp_path: Path
) -> None:
    await Answers(tmp_path).draw("policy", FakeModel(), ITEMS, SAMPLING)
    await Answers(tmp_path).draw("policy", model, ITEMS, sampling)
    assert model.prompts == 6


async def test_a_prompt_that_failed_has_no_answer_and_is_asked_again(tmp_path: Path) -> None:
    broken = FakeModel(FakeSettings(fail_containing={"What is 3?": "engine_error"}))
    found = await Answers(tmp_path).draw("policy", broken, ITEMS, SAMPLING)
    assert [bool(row) for row in found] == [n != 3 for n in range(6)]
    before = broken.prompts
    await Answers(tmp_path).draw("policy", broken, ITEMS, SAMPLING)
    assert broken.prompts == before + 1


async def test_many_prompts_are_drawn_in_windows() -> None:
    model = FakeModel()
    many = [ITEMS[0].model_copy(update={"id": str(n)}) for n in range(answers.WINDOW_PROMPTS + 1)]
    assert len(await Answers().draw("policy", model, many, SAMPLING)) == len(many)
    assert model.calls == 2
