"""Pairs set aside by prompt."""

import pytest

from tests.training.distilled_judge.made_questions import pair
from training.distilled_judge.splitting import opening, split_by_prompt

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
