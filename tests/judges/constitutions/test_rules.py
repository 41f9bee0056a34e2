"""Each rule at its edges: exactly met, a little off, far off."""

import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from judges.constitutions.rules import (
    Rule,
    check_rule,
    count_sentences,
    count_words,
    ends_as_sentence,
)
from judges.records import Message

ASK = (Message(role="user", content="What is tea?"),)
RULE: TypeAdapter[Rule] = TypeAdapter(Rule)


def score(kind: str, value: typing.Any, text: str, **more: typing.Any) -> float:
    rule = RULE.validate_python({"kind": kind, "value": value, **more})
    return check_rule(rule, ASK, text)


@pytest.mark.parametrize(
    ("kind", "value", "text", "expected"),
    [
        pytest.param("max_words", 4, "", 1.0, id="no words are within a limit"),
        pytest.param("max_words", 4, "one two three four", 1.0, id="the limit itself is allowed"),
        pytest.param("max_words", 4, "a b c d e f", 0.5, id="half over is half met"),
        pytest.param("max_words", 4, "a b c d e f g h", 0.0, id="twice the limit is nothing"),
        pytest.param("max_words", 4, "word " * 100, 0.0, id="far over is nothing, not less"),
        pytest.param("max_words", 2, "tea — drink", 1.0, id="a dash is no word"),
        pytest.param("min_words", 4, "", 0.0, id="no words of four"),
        pytest.param("min_words", 4, "one two", 0.5, id="two words of four"),
        pytest.param("min_words", 4, "one two three four", 1.0, id="four words of four"),
        pytest.param("min_words", 4, "word " * 100, 1.0, id="more words than asked for"),
        pytest.param("max_characters", 10, "  0123456789\n", 1.0, id="space around is not counted"),
        pytest.param("max_characters", 10, "x" * 15, 0.5, id="half too many characters"),
        pytest.param("max_sentences", 1, "One. Two.", 0.0, id="two sentences where one may be"),
        pytest.param("max_sentences", 2, "One. Two. Three.", 0.5, id="three of at most two"),
        pytest.param("forbidden_phrases", ["great question"], "Tea.", 1.0, id="phrase absent"),
        pytest.param(
            "forbidden_phrases", ["great question"], "GREAT\nquestion!", 0.0, id="case and space"
        ),
        pytest.param("forbidden_phrases", ["art"], "A party, partly.", 1.0, id="inside a word"),
        pytest.param("forbidden_phrases", ["art"], "Is it _art_?", 0.0, id="emphasised"),
        pytest.param(
            "forbidden_phrases", ["I'm"], "Well, I\u2019m here.", 0.0, id="curly apostrophe"
        ),
        pytest.param("forbidden_phrases", ["!"], "Great!", 0.0, id="a mark after a word"),
        pytest.param("forbidden_phrases", ["a.b"], "axb", 1.0, id="a dot is no pattern"),
        pytest.param("forbidden_phrases", ["x", "tea"], "Tea.", 0.0, id="one of two phrases"),
        pytest.param("required_phrases", ["tea", "leaf"], "Tea, hot.", 0.5, id="half required"),
        pytest.param("required_phrases", ["tea", "hot"], "Hot tea.", 1.0, id="all required"),
        pytest.param("regex", r"^\d+$", "42", 1.0, id="pattern found"),
        pytest.param("regex", r"^\d+$", "42 cups", 0.0, id="pattern not found"),
    ],
)
def test_how_well_a_rule_is_met(kind: str, value: typing.Any, text: str, expected: float) -> None:
    assert score(kind, value, text) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"), [("Sure, tea.", 0.0), ("Tea, sure.", 1.0)], ids=["found", "not found"]
)
def test_a_pattern_can_be_unwanted(text: str, expected: float) -> None:
    assert score("regex", "^Sure", text, must_match=False) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Tea is hot.", 1.0, id="a full stop"),
        pytest.param("Tea is", 0.0, id="no last mark"),
        pytest.param("", 0.0, id="empty"),
    ],
)
def test_a_complete_sentence_ends_as_one(text: str, expected: float) -> None:
    rule = RULE.validate_python({"kind": "complete_sentence"})
    assert check_rule(rule, ASK, text) == expected


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
    "data",
    [
        pytest.param({"kind": "max_words"}, id="a limit without value"),
        pytest.param({"kind": "max_words", "value": 0}, id="a limit of nothing"),
        pytest.param({"kind": "max_words", "value": ["tea"]}, id="a limit that is a list"),
        pytest.param({"kind": "forbidden_phrases", "value": []}, id="no phrases"),
        pytest.param({"kind": "forbidden_phrases", "value": [" "]}, id="a blank phrase"),
        pytest.param({"kind": "regex", "value": "a("}, id="a pattern that does not compile"),
        pytest.param({"kind": "regex", "value": "a" * 1001}, id="a pattern that is too long"),
        pytest.param({"kind": "complete_sentence", "value": 1}, id="a value where none is taken"),
        pytest.param({"kind": "max_lines", "value": 3}, id="an unknown kind"),
        pytest.param({"kind": "max_words", "value": 3, "must_match": True}, id="another's field"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(data: dict[str, typing.Any]) -> None:
    with pytest.raises(ValidationError):
        RULE.validate_python(data)


RULES = st.one_of(
    st.builds(
        lambda kind, value: {"kind": kind, "value": value},
        st.sampled_from(["max_words", "min_words", "max_sentences", "max_characters"]),
        st.integers(1, 50),
    ),
    st.builds(
        lambda kind, value: {"kind": kind, "value": value},
        st.sampled_from(["forbidden_phrases", "required_phrases"]),
        st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=3),
    ),
    st.just({"kind": "complete_sentence"}),
    st.just({"kind": "regex", "value": "[a-z]+"}),
)


@given(RULES, st.text())
def test_every_rule_scores_every_text_from_0_to_1(rule: dict[str, typing.Any], text: str) -> None:
    completion = text
    first = check_rule(RULE.validate_python(rule), ASK, completion)
    assert 0.0 <= first <= 1.0
    assert first == check_rule(RULE.validate_python(rule), ASK, completion)


@given(st.text(), st.integers(1, 30))
def test_one_more_word_never_helps_a_limit_nor_hurts_a_minimum(text: str, limit: int) -> None:
    longer = f"{text} word"
    assert count_words(longer) == count_words(text) + 1
    assert score("max_words", limit, longer) <= score("max_words", limit, text)
    assert score("min_words", limit, longer) >= score("min_words", limit, text)


@given(
    st.text(alphabet="abc XYZ.,\u2019'", min_size=1).filter(str.strip),
    st.text("abc \n", max_size=9),
)
def test_a_phrase_is_found_where_it_stands_between_spaces(phrase: str, around: str) -> None:
    text = f"{around} {phrase.swapcase()} {around}"
    assert score("required_phrases", [phrase], text) == 1.0
    assert score("forbidden_phrases", [phrase], text) == 0.0
