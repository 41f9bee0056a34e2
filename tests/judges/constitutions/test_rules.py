"""Each rule at its edges: exactly met, a little off, far off."""

import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from judges.constitutions.rules import DocumentRule, Rule, check_rule, reads_reference
from judges.constitutions.rules_text import count_words
from judges.records import Message

ASK = (Message(role="user", content="What is tea?"),)
RULE: TypeAdapter[Rule] = TypeAdapter(Rule)


def score(kind: str, value: typing.Any, text: str, **more: typing.Any) -> float:
    rule = RULE.validate_python({"kind": kind, "value": value, **more})
    met = check_rule(rule, ASK, text)
    assert met is not None
    return met


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
        pytest.param("min_characters", 10, " 12345 ", 0.5, id="half of the characters"),
        pytest.param("min_characters", 10, "x" * 99, 1.0, id="more characters than asked for"),
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
        pytest.param("json_schema", {"type": "integer"}, "42", 1.0, id="a document that fits"),
        pytest.param("json_schema", {"type": "integer"}, '"a"', 0.0, id="one that does not"),
        pytest.param("language", "de", "Der Tee ist noch sehr heiß.", 1.0, id="the language"),
        pytest.param("language", "en", "Der Tee ist noch sehr heiß.", 0.0, id="another language"),
        pytest.param("max_reading_grade", 1, "Tea is hot.", 1.0, id="easy to read"),
        pytest.param(
            "max_reading_grade", 5, "Institutional considerations predominate.", 0.0, id="hard"
        ),
        pytest.param("max_repetition", 0.5, "a b c a b c a b", 1.0, id="the share allowed"),
        pytest.param("max_repetition", 0.0, "a b c a b c a b", 0.5, id="half is repeated"),
        pytest.param("exact_match", "Paris", " *paris*. ", 1.0, id="the answer, dressed up"),
        pytest.param("exact_match", "Paris", "It is Paris.", 0.0, id="the answer in a sentence"),
        pytest.param("numeric_answer", 0.75, "That makes 3/4.", 1.0, id="the number"),
        pytest.param("numeric_answer", 0.75, "Three quarters.", 0.0, id="no number"),
        pytest.param("numeric_answer", "3/4", "75%", 1.0, id="a number written as text"),
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
    ("more", "text", "expected"),
    [
        pytest.param({"final_answer": True}, "Well, the answer is Paris.", 1.0, id="stated last"),
        pytest.param({"final_answer": True}, "Paris", 0.0, id="not stated as an answer"),
        pytest.param({"ignore_case": False}, "paris", 0.0, id="case counts"),
        pytest.param({"ignore_punctuation": False}, "Paris.", 0.0, id="punctuation counts"),
    ],
)
def test_how_alike_texts_must_be_is_the_rules_to_say(
    more: dict[str, bool], text: str, expected: float
) -> None:
    assert score("exact_match", "Paris", text, **more) == expected


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        pytest.param({}, 0.0, id="exact"),
        pytest.param({"absolute": 0.1}, 1.0, id="at the absolute tolerance"),
        pytest.param({"relative": 0.01}, 1.0, id="at the relative tolerance"),
        pytest.param({"absolute": 0.09, "relative": 0.009}, 0.0, id="beyond both"),
    ],
)
def test_a_number_may_be_off_by_the_wider_tolerance(
    more: dict[str, float], expected: float
) -> None:
    assert score("numeric_answer", 10, "10.1", **more) == expected


@pytest.mark.parametrize("kind", ["exact_match", "numeric_answer"])
def test_an_answer_without_value_is_the_items_own(kind: str) -> None:
    open_rule = RULE.validate_python({"kind": kind})
    own_rule = RULE.validate_python({"kind": kind, "value": "42"})
    assert reads_reference(open_rule)
    assert not reads_reference(own_rule)
    assert check_rule(open_rule, ASK, "42", "42") == 1.0
    assert check_rule(open_rule, ASK, "42", "43") == 0.0
    assert check_rule(own_rule, ASK, "42", "43") == 1.0


@pytest.mark.parametrize(
    ("data", "text", "reference"),
    [
        pytest.param({"kind": "exact_match"}, "42", None, id="no expected text"),
        pytest.param({"kind": "numeric_answer"}, "42", None, id="no expected number"),
        pytest.param({"kind": "numeric_answer"}, "42", "many", id="a reference without number"),
        pytest.param({"kind": "language", "value": "en"}, "Yes.", None, id="too short a text"),
        pytest.param({"kind": "language", "value": "en"}, "1 + 2 = 3", None, id="no language"),
        pytest.param({"kind": "max_reading_grade", "value": 8}, "…", None, id="no words"),
        pytest.param({"kind": "json_schema", "value": {"$ref": "#"}}, "1", None, id="no end"),
    ],
)
def test_what_code_cannot_say_is_no_number(
    data: dict[str, typing.Any], text: str, reference: str | None
) -> None:
    assert check_rule(RULE.validate_python(data), ASK, text, reference) is None


def test_checking_leaves_no_trace_in_the_record() -> None:
    rule = DocumentRule(kind="json_schema", value={"type": "integer"})
    fresh = DocumentRule(kind="json_schema", value={"type": "integer"})
    check_rule(rule, ASK, "1")
    assert rule.validator is rule.validator
    assert rule == fresh
    assert rule.model_dump(mode="json", exclude_defaults=True) == {
        "kind": "json_schema",
        "value": {"type": "integer"},
    }


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
        pytest.param({"kind": "json_schema", "value": {"type": "integr"}}, id="a bad schema"),
        pytest.param({"kind": "language", "value": "english"}, id="a language by its name"),
        pytest.param({"kind": "language", "value": "xx"}, id="a code of no language"),
        pytest.param({"kind": "max_reading_grade", "value": 0}, id="a grade before school"),
        pytest.param({"kind": "max_repetition", "value": 1}, id="repetition without limit"),
        pytest.param({"kind": "numeric_answer", "value": "many"}, id="a number without digits"),
        pytest.param({"kind": "numeric_answer", "absolute": -1}, id="a negative tolerance"),
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
    st.just({"kind": "json_schema", "value": {"type": ["array", "integer"]}}),
    st.just({"kind": "max_reading_grade", "value": 6.5}),
    st.just({"kind": "max_repetition", "value": 0.2, "run_length": 1}),
    st.just({"kind": "exact_match", "value": "0", "final_answer": True}),
    st.just({"kind": "numeric_answer", "value": 0}),
)


@given(RULES, st.text())
def test_every_rule_scores_every_text_from_0_to_1(rule: dict[str, typing.Any], text: str) -> None:
    completion = text
    first = check_rule(RULE.validate_python(rule), ASK, completion)
    assert first is None or 0.0 <= first <= 1.0
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
