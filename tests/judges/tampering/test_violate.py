"""Code-made violations lower exactly the rule's score, whatever the text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from judges.constitutions.rules import Rule, check_rule
from judges.tampering.violate import lowers, violate_rule

TEXT = "Tea is a warm drink made of leaves."
RULES: TypeAdapter[Rule] = TypeAdapter(Rule)


def rule(kind: str, value: object = None) -> Rule:
    stated = {"kind": kind} if value is None else {"kind": kind, "value": value}
    return RULES.validate_python(stated)


VIOLABLE = [
    rule("max_words", 10),
    rule("max_sentences", 2),
    rule("max_characters", 60),
    rule("min_words", 5),
    rule("forbidden_phrases", ["of course", "sadly"]),
    rule("required_phrases", ["warm drink", "leaves"]),
    rule("regex", "(?i)tea"),
    rule("complete_sentence"),
    rule("min_characters", 30),
    rule("max_repetition", 0.1),
]


@pytest.mark.parametrize("broken", VIOLABLE, ids=lambda r: str(r.kind))
def test_a_violation_lowers_the_rules_score(broken: Rule) -> None:
    assert check_rule(broken, (), TEXT) == 1
    made = violate_rule(broken, (), TEXT)
    assert made is not None
    assert lowers(broken, (), TEXT, made)


def test_a_json_document_is_left_unfinished() -> None:
    schema = rule("json_schema", {"type": "object"})
    assert violate_rule(schema, (), '```json\n{"a": 1}\n```') == '```json\n{"a": 1'


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        pytest.param(
            RULES.validate_python({"kind": "regex", "value": "x", "must_match": False}),
            TEXT,
            id="a pattern that must not match",
        ),
        pytest.param(rule("min_words", 1), TEXT, id="one word fewer is none"),
        pytest.param(rule("max_words", 1_000_000), TEXT, id="a limit too far to pass"),
        pytest.param(rule("complete_sentence"), "unfinished", id="violated already"),
        pytest.param(rule("regex", "(?s).*"), TEXT, id="nothing would be left"),
        pytest.param(rule("language", "en"), TEXT, id="a language"),
    ],
)
def test_where_code_can_make_none_it_says_so(broken: Rule, text: str) -> None:
    assert violate_rule(broken, (), text) is None


@given(broken=st.sampled_from(VIOLABLE), text=st.text(max_size=200))
def test_any_copy_made_is_a_violation_with_text(broken: Rule, text: str) -> None:
    made = violate_rule(broken, (), text)
    if made is not None:
        assert made.strip()
        assert lowers(broken, (), text, made)


def test_a_forbidden_phrase_leaves_the_end_as_it_was() -> None:
    made = violate_rule(rule("forbidden_phrases", ["of course"]), (), TEXT)
    assert made == "Tea is a warm drink made of of course leaves."
