"""The benchmarks of edits and of inference run, and their counts are what they must be."""

import pytest

from judges.benchmarks.edit import VERBS, benchmark_edit
from judges.benchmarks.infer import benchmark_infer
from judges.benchmarks.planted_pairs import PLANTED


@pytest.mark.slow
def test_an_edit_asks_for_no_more_than_it_must() -> None:
    told = benchmark_edit(prompts=60, sample=20)
    asked = {title: told[title]["new_votes"] for title in VERBS}
    assert all(told[title]["exit_code"] == 0 for title in VERBS)
    assert asked["impact, one rewording, a sample"] == 2 * 20
    assert asked["relabel, one rewording"] == 2 * 40
    assert sum(asked.values()) == 2 * 60
    assert told["judging anew, scaled"]["new_votes"] == 2 * 12 * 60
    assert told["judging anew, scaled"]["measured"]["new_votes"] == 2 * 12 * 60


@pytest.mark.slow
def test_planted_principles_are_found_and_no_other() -> None:
    told = benchmark_infer(pairs=600, noise=1.0, seed=0)
    assert set(told["recovered"]) == set(PLANTED) and told["false_finds"] == {}
    accuracy = told["held_out_accuracy"]
    assert accuracy["low"] < told["ceiling"] < accuracy["high"] and accuracy["n"] == 180
