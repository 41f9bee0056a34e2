"""What rules see in a text: as documented, and nothing more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.constitutions.rules_text import (
    LANGUAGES,
    NO_LANGUAGE,
    _classifier,
    count_sentences,
    count_syllables,
    ends_as_sentence,
    reading_grade,
    recognised_language,
    repeated_share,
)


@pytest.mark.parametrize(
    "text", ["Yes.", "Why?", "Go!", "Well…", '"Yes."', "(It is.)", "**Done.**", "He said “no.”\n"]
)
def test_these_end_as_a_sentence(text: str) -> None:
    assert ends_as_sentence(text)


@pytest.mark.parametrize(
    "text", ["Yes", "Yes,", "and:", "...and", "Yes. And", "- tea\n- milk", ")"]
)
def test_these_do_not_end_as_a_sentence(text: str) -> None:
    assert not ends_as_sentence(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", 0, id="nothing"),
        pytest.param("...", 0, id="marks alone"),
        pytest.param("Tea", 1, id="unfinished"),
        pytest.param("Tea is hot. Drink it!", 2, id="two"),
        pytest.param('"Is it hot?" "Yes."', 2, id="quoted"),
        pytest.param("Add milk, e.g. whole milk.", 1, id="a stop before a small letter"),
        pytest.param("It costs 3.50 at www.tea.com.", 1, id="stops inside words"),
        pytest.param("Tea is\nhot.", 1, id="a wrapped line"),
        pytest.param("Tea\n\nMilk", 2, id="lines without marks"),
        pytest.param("1. Boil water.\n2. Add tea.", 2, id="a numbered list"),
    ],
)
def test_sentences_are_counted_as_documented(text: str, expected: int) -> None:
    assert count_sentences(text) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (word, count)
        for count, words in {
            1: "tea whole cups moved names 42 I'm don\u2019t judge",
            2: "table tables wanted boxes pages being question safely movement people café",
            3: "completion recently previous video banana",
            4: "constitution conversation well-considered",
        }.items()
        for word in words.split()
    ],
)
def test_syllables_are_counted_as_they_are_spoken(word: str, expected: int) -> None:
    assert count_syllables(word) == expected


@given(st.text())
def test_every_word_has_a_syllable(word: str) -> None:
    assert count_syllables(word) >= 1


def test_the_grade_is_flesch_and_kincaids() -> None:
    # 5 words in 2 sentences, of 1, 1, 1, 1 and 2 syllables.
    expected = 0.39 * 5 / 2 + 11.8 * 6 / 5 - 15.59
    assert reading_grade("Tea is hot. Drink water!") == pytest.approx(expected)


def test_longer_words_and_sentences_are_harder_to_read() -> None:
    easy = reading_grade("The cat sat. The dog ran.")
    joined = reading_grade("The cat sat and then the dog ran.")
    learned = reading_grade("The animal relaxed. The canine departed.")
    assert easy is not None
    assert joined is not None
    assert learned is not None
    assert easy < joined < learned


@pytest.mark.parametrize("text", ["", " \n", "… — !"])
def test_a_text_without_words_has_no_grade(text: str) -> None:
    assert reading_grade(text) is None


@pytest.mark.parametrize(
    ("text", "length", "expected"),
    [
        pytest.param("", 3, 0.0, id="empty"),
        pytest.param("a b", 3, 0.0, id="shorter than a run"),
        pytest.param("a b c d", 3, 0.0, id="all different"),
        pytest.param("a b c a b c", 3, 0.25, id="one run of four is a repeat"),
        pytest.param("Tea! — “tea”, TEA", 1, 2 / 3, id="case and marks aside"),
        pytest.param("no " * 103, 3, 0.99 + 0.01 / 101, id="one word on and on"),
    ],
)
def test_repetition_is_the_share_of_runs_seen_before(
    text: str, length: int, expected: float
) -> None:
    assert repeated_share(text, length) == pytest.approx(expected, abs=1e-4)


@given(st.text(alphabet="ab .", max_size=40), st.integers(1, 4))
def test_saying_it_twice_never_repeats_less(text: str, length: int) -> None:
    once, twice = repeated_share(text, length), repeated_share(f"{text} {text}", length)
    assert 0.0 <= once <= twice + 1e-12 < 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("The quick brown fox jumps over the lazy dog.", "en", id="English"),
        pytest.param("Der Tee ist noch sehr heiß.", "de", id="German"),
        pytest.param("Bonjour tout le monde, comment allez-vous ?", "fr", id="French"),
        pytest.param("今日はとても暑いです。", "ja", id="Japanese"),
        pytest.param("Yes.", None, id="one word"),
        pytest.param("", None, id="empty"),
        pytest.param("3.14159 + 2.71828", None, id="numbers"),
    ],
)
def test_a_language_is_told_or_left_open(text: str, expected: str | None) -> None:
    assert recognised_language(text) == expected


def test_the_languages_are_those_of_the_classifier() -> None:
    assert set(_classifier().labels) == {*LANGUAGES, NO_LANGUAGE}
    full = _classifier()
    full.set_languages(None)
    try:
        assert {code for code in full.labels if len(code) == 2} == set(LANGUAGES)
    finally:
        full.set_languages([*LANGUAGES, NO_LANGUAGE])
