"""Principles are drawn with a seed, without replacement, each as often as the others."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.critiques.plan import chosen_principles, drawn_principles
from judges.errors import ConfigError
from tests.judges.critiques.made_requests import BRIEF, MENTION, NO_TEA, SILENT, requests

PRINCIPLES = requests().principles


@given(st.integers(0, 12), st.integers(), st.text())
def test_none_comes_again_before_all_have_come(rounds: int, seed: int, identity: str) -> None:
    drawn = [p.id for p in drawn_principles(PRINCIPLES, rounds, seed, identity)]
    assert len(drawn) == rounds
    for start in range(0, rounds - 2, 3):
        assert len(set(drawn[start : start + 3])) == 3
    longer = drawn_principles(PRINCIPLES, rounds + 1, seed, identity)
    assert [p.id for p in longer[:rounds]] == drawn


def test_every_principle_is_as_likely_in_every_round() -> None:
    drawn = [drawn_principles(PRINCIPLES, 2, 0, f"i{k}") for k in range(600)]
    for place in range(2):
        counts = Counter(plan[place].id for plan in drawn)
        assert all(150 < counts[p.id] < 250 for p in PRINCIPLES)
    again = [drawn_principles(PRINCIPLES, 2, 0, f"i{k}") for k in range(600)]
    assert again == drawn
    assert [drawn_principles(PRINCIPLES, 2, 1, f"i{k}") for k in range(600)] != drawn


def test_without_names_all_that_have_the_requests_are_taken() -> None:
    only_critique = {key: value for key, value in MENTION.items() if key != "revise"}
    of = requests(NO_TEA, SILENT, only_critique, BRIEF)
    for names in (None, "all"):
        assert [p.id for p in chosen_principles(of, names, ["critique"])] == [
            "no-tea",
            "mention",
            "brief",
        ]
        assert [p.id for p in chosen_principles(of, names, ["critique", "revise"])] == [
            "no-tea",
            "brief",
        ]
    assert [p.id for p in chosen_principles(of, "brief, no-tea", ["critique"])] == [
        "brief",
        "no-tea",
    ]


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        pytest.param("breif", r"no principle 'breif' \(did you mean 'brief'", id="unknown"),
        pytest.param("silent", "'silent' of .* has no `critique`", id="lacks a request"),
    ],
)
def test_a_name_that_cannot_be_taken_is_refused(names: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        chosen_principles(requests(NO_TEA, BRIEF, SILENT), names, ["critique"])


def test_a_constitution_without_requests_is_refused() -> None:
    with pytest.raises(ConfigError, match="no principle has critique and revise; add `critique"):
        chosen_principles(requests(SILENT), None, ["critique", "revise"])
