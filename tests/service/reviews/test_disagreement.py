"""What judging disagrees on goes first, whatever it disagrees about, and each pair goes once."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.errors import DataError
from service.reviews.disagreement import ReviewPair, chosen_pairs
from tests.service.reviews.made_rankings import ranking

SURE = [ranking(f"sure-{k}", 0.95, principles={"a": 0.96, "b": 0.94}) for k in range(20)]


def first_over_second(pair: ReviewPair, better: str) -> float:
    return pair.p if pair.first == better else 1 - pair.p


@pytest.mark.parametrize(
    ("odd", "between"),
    [
        (ranking("torn", 0.6, principles={"a": 0.98, "b": 0.05}), "principles"),
        (ranking("leaning", 0.55, gap=6.0), "orders"),
    ],
)
def test_the_pair_that_is_disagreed_on_goes_first(odd: dict[str, object], between: str) -> None:
    (pair, *others) = chosen_pairs([*SURE[:10], odd, *SURE[10:]], 5, random_share=0)
    assert (pair.source, pair.between) == (odd["id"], between)
    assert len(others) == 4
    assert all(other.disagreement < pair.disagreement for other in others)


def test_judges_that_disagree_are_found_over_several_rankings() -> None:
    one = ranking("tea", 0.9, judge="1" * 64)
    swapped = ranking("tea", 0.9, judge="2" * 64, texts=("tea is bad.", "tea is good."))
    (pair, *_) = chosen_pairs([*SURE, one, swapped], 3, random_share=0)
    assert (pair.source, pair.between) == ("tea", "judges")
    assert pair.p == pytest.approx(0.5)
    same = chosen_pairs([*SURE, one, one], 3, random_share=0)
    assert all(other.between != "judges" for other in same)


@given(st.floats(0.01, 0.99), st.booleans())
def test_which_completion_is_first_tells_nothing_of_the_verdict(p: float, swap: bool) -> None:
    texts = ("one text", "another")
    line = ranking("x", p, texts=texts[::-1] if swap else texts)
    (pair,) = chosen_pairs([line], 1, random_share=0)
    (other,) = chosen_pairs([ranking("x", 0.5, texts=texts)], 1, random_share=0)
    assert (pair.first, pair.id) == (other.first, other.id)
    assert first_over_second(pair, line["completions"][0]) == pytest.approx(p)


def test_pairs_are_spread_over_prompts_and_some_are_drawn_at_random() -> None:
    many = {
        **ranking("group", 0.5),
        "completions": ["a", "b", "c"],
        "p": [[0.5, 0.5, 0.5]] * 3,
        "principles": {"only": {"p": [[0.5, 0.5, 0.5]] * 3, "order_gap": 9.0}},
    }
    rng = random.Random(0)
    rest = [ranking(f"r{k}", rng.uniform(0.6, 0.99)) for k in range(200)]
    chosen = chosen_pairs([many, *rest], 40, random_share=0.25)
    assert sum(pair.source == "group" for pair in chosen) <= 1 + 1
    drawn = [pair for pair in chosen if pair.drawn == "random"]
    assert len(drawn) == 10
    assert {pair.id for pair in chosen_pairs([many, *rest], 40, random_share=0.25)} == {
        pair.id for pair in chosen
    }


def test_batch_output_and_compare_lines_are_read_and_unscored_ones_passed_over() -> None:
    compared = {
        **ranking("pair", 0.7), "p": 0.7, "principles": {"a": {"p": 0.7, "order_gap": 0.1}},
    }  # fmt: skip
    batch = {"custom_id": "1", "response": {"status_code": 200, "body": ranking("batch", 0.8)}}
    unscored = {"id": "u", "status": "unscored", "reason": "truncated"}
    found = chosen_pairs([compared, batch, unscored], 5, random_share=0)
    assert {pair.source for pair in found} == {"pair", "batch"}
    with pytest.raises(DataError, match="ranking 1: KeyError 'completions'"):
        chosen_pairs([{"id": "x", "status": "scored"}], 5)
