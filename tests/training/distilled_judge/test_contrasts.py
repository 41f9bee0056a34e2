"""Principles whose answer code knows, and principles turned round."""

from random import Random

import pytest

from judges.cards.inversion import NEGATED
from training.distilled_judge.contrasts import (
    CONTRASTS,
    OPPOSITES,
    Contrast,
    draw_contrast,
    turn_round,
)

EXAMPLES = {
    "Prefer the longer completion.": ("A long answer.", "Short."),
    "Prefer the completion that asks a question.": ("Why?", "Because."),
    "Prefer the completion that says sorry.": ("I am sorry.", "I am glad."),
    "The better completion speaks of itself more often, as I or me.": ("I think I can.", "Go."),
    "The better completion says you more often.": ("You and your dog.", "The youth."),
    "Prefer the completion with a number in it.": ("It takes 3.", "It takes three."),
    "Prefer the completion with an exclamation mark.": ("Go!", "Go."),
    "Prefer the completion that has more sentences.": ("Go. Now.", "Go now."),
}


@pytest.mark.parametrize("contrast", CONTRASTS, ids=lambda contrast: contrast.more)
def test_each_count_tells_its_example_apart(contrast: Contrast) -> None:
    larger, smaller = EXAMPLES[contrast.more]
    assert contrast.count(larger) > contrast.count(smaller)


def test_drawn_answers_are_right_and_of_both_kinds() -> None:
    first, second = "Sorry, I cannot. Why do you ask?", "Mix 2 of them!"
    drawn = [draw_contrast(first, second, Random(seed)) for seed in range(200)]
    asked = dict(filter(None, drawn))
    assert asked["Prefer the completion that says sorry."] == 1.0
    assert asked["Prefer the completion that does not say sorry."] == 0.0
    assert asked["Prefer the completion with a number in it."] == 0.0
    turned = OPPOSITES[0].format(text="Prefer the completion that says sorry.")
    assert asked[turned] == 0.0
    assert 0.35 < sum(p for _, p in filter(None, drawn)) / len(drawn) < 0.65


def test_equal_texts_have_no_contrast() -> None:
    assert draw_contrast("Be kind.", "Be kind.", Random(0)) is None


def test_the_wording_that_cards_negate_by_is_never_trained_on() -> None:
    text = "Be kind."
    turned = {turn_round(text, Random(seed)) for seed in range(100)}
    assert len(turned) == len(OPPOSITES)
    assert NEGATED.format(text=text) not in turned
    assert all(text in one for one in turned)
