"""Pairs set aside by prompt."""

from pathlib import Path

import pytest

from judges.cards.labelled import parse_labelled, read_labelled
from tests.training.distilled_judge.made_questions import pair
from training.distilled_judge.splitting import HELD_OUT, opening, split_by_prompt, write_held_out

PAIRS = [pair(number, id=f"{number}-{copy}") for number in range(30) for copy in range(2)]


def test_no_prompt_is_on_both_sides_and_none_is_lost() -> None:
    kept, aside = split_by_prompt(PAIRS, 11, seed=0)
    assert len(aside) == 12  # whole prompts of two pairs each
    assert not {opening(p.item.prompt) for p in kept} & {opening(p.item.prompt) for p in aside}
    assert sorted(p.item.id for p in (*kept, *aside)) == sorted(p.item.id for p in PAIRS)


def test_the_split_depends_on_seed_and_texts_only() -> None:
    ids = {p.item.id for p in split_by_prompt(PAIRS, 12, seed=0)[1]}
    assert {p.item.id for p in split_by_prompt(PAIRS[::-1], 12, seed=0)[1]} == ids
    assert {p.item.id for p in split_by_prompt(PAIRS, 20, seed=0)[1]} > ids
    assert {p.item.id for p in split_by_prompt(PAIRS, 12, seed=1)[1]} != ids


@pytest.mark.parametrize(("wanted", "kept"), [(0, 60), (1000, 0)], ids=["none", "all"])
def test_nothing_or_everything_can_be_set_aside(wanted: int, kept: int) -> None:
    assert len(split_by_prompt(PAIRS, wanted, seed=0)[0]) == kept


def test_held_out_pairs_are_written_with_all_their_labels(tmp_path: Path) -> None:
    line = {"completions": ["a", "b"], "preferred_index": None, "annotators": [0, 1], "weight": 2.0}
    pairs = [parse_labelled({"id": "x", "prompt": "Tea?", "subset": "s", **line}, "here")]
    write_held_out(pairs, tmp_path / "held-out.jsonl")
    assert [one.model_dump(exclude={"item"}) for one in read_labelled(tmp_path / HELD_OUT)] == [
        one.model_dump(exclude={"item"}) for one in pairs
    ]
