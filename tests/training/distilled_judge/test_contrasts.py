"""Principles whose answer code knows, and principles turned round."""

from random import Random

import pytest

from judges.cards.inversion import NEGATED
from training.distilled_judge.contrasts import (
    CONTRASTS,
    DEFIES,
    FRAMES,
    OBEYS,
    Contrast,
    draw_contrast,
    say_again,
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
    turned = [said for said in asked if said not in _plainly()]
    assert len(turned) > 50
    for said in turned:
        text = next(text for text in _plainly() if text in said)
        assert asked[said] == 1 - asked[text]
    assert 0.35 < sum(p for _, p in filter(None, drawn)) / len(drawn) < 0.65


def test_equal_texts_have_no_contrast() -> None:
    assert draw_contrast("Be kind.", "Be kind.", Random(0)) is None


def _plainly() -> list[str]:
    return [text for contrast in CONTRASTS for text in (contrast.more, contrast.less)]


def test_only_the_verb_tells_a_principle_from_its_opposite() -> None:
    text = "Be kind."
    again = {say_again(text, Random(seed)) for seed in range(2000)}
    turned = {turn_round(text, Random(seed)) for seed in range(2000)}
    assert not again & turned
    assert again == {f.format(verb=v, text=text) for f in FRAMES for v in OBEYS}
    assert turned == {f.format(verb=v, text=text) for f in FRAMES for v in DEFIES}
    assert len(set(OBEYS)) == len(set(DEFIES)) == 30


def test_the_wording_that_cards_negate_by_is_never_trained_on() -> None:
    for text in ("Be kind.", "Prefer the longer completion."):
        negated = NEGATED.format(text=text)
        assert all(frame.format(verb=v, text=text) != negated for frame in FRAMES for v in DEFIES)
    assert not any("violat" in verb for verb in (*OBEYS, *DEFIES))
    assert NEGATED.replace("violates", "{verb}") not in FRAMES
