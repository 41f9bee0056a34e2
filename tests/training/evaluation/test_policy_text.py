"""Whether answers became all alike, told from the answers."""

import pytest

from judges.records import CompletionText
from training.evaluation.policy_text import compare_diversity

WORDS = ["map", "bread", "rain", "violin", "bee", "lamp", "river", "stone"]


def drawn(*rows: tuple[str, ...]) -> list[tuple[CompletionText, ...]]:
    return [tuple(CompletionText(text=text) for text in row) for row in rows]


def test_a_policy_that_says_one_thing_only_is_found_out() -> None:
    before = drawn(*((f"A {w} is a thing.", f"People like every {w} here.") for w in WORDS))
    same = "It is important to remember that you are valued."
    after = drawn(*((f"{w}! {same}", f"{w}! {same}") for w in WORDS))
    found = compare_diversity(before, after, seed=0)
    assert found.within is not None
    assert found.boilerplate is not None
    assert (found.within.before.value, found.within.after.value) == (1, 0)
    assert (found.boilerplate.before.value, found.boilerplate.after.value) == (0, 1)
    assert found.boilerplate.difference.low > 0.9
    assert found.distinct_2_after < 0.5 < found.distinct_2_before


def test_a_sentence_of_two_prompts_is_no_boilerplate_yet() -> None:
    same = ("Tea is a drink made of leaves.",)
    found = compare_diversity(drawn(same, same, ("No.",)), drawn(same, same, same), seed=0)
    assert found.boilerplate is not None
    assert found.boilerplate.before.value == 0
    assert found.boilerplate.after.value == 1


def test_length_alone_is_no_loss_of_variety() -> None:
    """The share of distinct word pairs falls as text grows; both are cut to equal length."""
    short = drawn(*((f"The {w} is by the {w}",) for w in WORDS))
    long = drawn(*((f"The {w} is by the {w}" + " and the cat" * 9,) for w in WORDS))
    found = compare_diversity(short, long, seed=0)
    assert found.distinct_2_before == pytest.approx(found.distinct_2_after)


def test_one_sample_a_prompt_tells_nothing_of_variety_within() -> None:
    found = compare_diversity(drawn(("a b",)), drawn(("a b",)), seed=0)
    assert found.within is None


def test_a_prompt_that_one_policy_failed_on_is_left_out() -> None:
    found = compare_diversity(drawn((), ("a b", "a b")), drawn(("a b", "c d"), ("a b", "c d")), 0)
    assert found.within is not None
    assert found.within.difference.n == 1
    assert found.within.difference.value == 1
