"""Digests move with exactly what they stand for; schema and records agree on every file."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from judges.canonical import text_digest
from judges.constitutions.constitution import (
    AggregateSettings,
    Constitution,
    GoldenTest,
    Principle,
    constitution_schema,
    constitution_schema_text,
)
from judges.errors import ConstitutionError

SCHEMA_FILE = Path(__file__).parents[3] / "constitutions" / "schema.json"
KIND = {"id": "kind", "family": "tone", "title": "Kind", "text": "The kinder one is better."}
SHORT = {
    "id": "short",
    "family": "form",
    "title": "Short",
    "rule": {"kind": "max_words", "value": 9},
}
FILE: dict[str, Any] = {
    "name": "manners",
    "version": "1.0.0",
    "title": "Manners",
    "licence": "CC0-1.0",
    "principles": [KIND, SHORT],
}


def load(data: dict[str, Any]) -> Constitution:
    return Constitution.model_validate_json(json.dumps(data), strict=True)


def edited(principle: dict[str, Any] | None = None, **top: Any) -> dict[str, Any]:
    """The file with its first principle or its top level changed."""
    return FILE | {"principles": [KIND | (principle or {}), SHORT]} | top


def moved(data: dict[str, Any]) -> set[str]:
    """Names of the digests that differ from those of the unedited file."""
    before, after = load(FILE), load(data)
    parts = {
        name
        for name in ("judged", "aggregate", "revision")
        if getattr(before.digests, name) != getattr(after.digests, name)
    }
    return parts | ({"overall"} if before.digest != after.digest else set())


PROPOSITION = {"id": "warm", "text": "It greets the reader."}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(edited({"weight": 2}), {"aggregate"}, id="a weight"),
        pytest.param(edited({"tier": "hard"}), {"aggregate"}, id="a tier"),
        pytest.param(edited({"family": "care"}), {"aggregate"}, id="a family"),
        pytest.param(edited(aggregate={"decisive": 2}), {"aggregate"}, id="a threshold"),
        pytest.param(edited({"text": "The warmer one."}), {"judged"}, id="a text"),
        pytest.param(edited({"applies_when": "Is it sad?"}), {"judged"}, id="a scope"),
        pytest.param(edited({"critique": "Where is it rude?"}), {"revision"}, id="a critique"),
        pytest.param(edited({"revise": "Make it kinder."}), {"revision"}, id="a revision request"),
        pytest.param(edited({"title": "Kindness"}), set(), id="a title"),
        pytest.param(edited({"source": "A book."}), set(), id="a source"),
        pytest.param(
            edited({"tests": [{"prompt": "Hi", "better": "Hello!", "worse": "What?"}]}),
            set(),
            id="a golden test",
        ),
        pytest.param(edited(version="1.0.1"), set(), id="the version"),
        pytest.param(edited(description="For talks."), set(), id="the description"),
        pytest.param(FILE | {"principles": [SHORT, KIND]}, set(), id="the order"),
        pytest.param(
            edited({"propositions": [PROPOSITION]}), {"judged", "aggregate"}, id="a proposition"
        ),
        pytest.param(
            edited({"id": "kindness"}),
            {"judged", "aggregate", "revision"},
            id="an id, which makes a new principle",
        ),
    ],
)
def test_an_edit_moves_only_its_own_digest(data: dict[str, Any], expected: set[str]) -> None:
    assert moved(data) == expected | {"overall"}


def test_a_changed_rule_moves_the_judged_digest() -> None:
    rule = {"kind": "max_words", "value": 10}
    assert moved(FILE | {"principles": [KIND, SHORT | {"rule": rule}]}) == {"judged", "overall"}


def test_a_proposition_s_weight_moves_only_the_aggregate_digest() -> None:
    light = load(edited({"propositions": [PROPOSITION]}))
    heavy = load(edited({"propositions": [PROPOSITION | {"weight": 3}]}))
    assert light.digests.judged == heavy.digests.judged
    assert light.digests.aggregate != heavy.digests.aggregate


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(edited({"weight": 1.0, "tier": "normal"}), id="defaults written out"),
        pytest.param(edited({"text": f"  {KIND['text']}\n"}), id="space around a text"),
        pytest.param(edited({"propositions": [], "source": None}), id="empty fields written out"),
        pytest.param(edited(aggregate={"decisive": 1}), id="a default threshold written out"),
    ],
)
def test_what_says_the_same_has_the_same_digests(data: dict[str, Any]) -> None:
    assert moved(data) == set()


def test_digests_stay_as_they_are_between_releases() -> None:
    constitution = load(edited({"weight": 2, "critique": "Where?", "propositions": [PROPOSITION]}))
    assert constitution.digest == GOLDEN["overall"]
    assert constitution.digests.model_dump() == GOLDEN["parts"]


GOLDEN: dict[str, Any] = {
    "overall": "c1315c27cdade55ad37b2d075754488432d37a610dade3fd4feb460573c0f80b",
    "parts": {
        "judged": "ddf002bd9f8b6984b68b51f47c0b6b3631fc0b8fc89d7c9e6866edf0162e6aa4",
        "aggregate": "4d1649e4e8192c7329010d76ed1d16f01e37ae13fb9e8b45af3cecb4957bb524",
        "revision": "858d6f7f26846e49a83ffcdbc0da2c622c8ebf5488bbfe6d4c3052337db532be",
    },
}


def test_defaults_are_part_of_the_format() -> None:
    principle = Principle(id="a", family="f", title="T", text="X")
    assert (principle.tier, principle.weight) == ("normal", 1.0)
    assert AggregateSettings().model_dump() == {
        "tie_margin": 0.05,
        "decisive": 1.0,
        "abstain_below": 0.0,
        "min_weight": 0.8,
    }


@given(st.text(min_size=1).filter(str.strip))
def test_the_question_s_text_is_what_its_digest_names(text: str) -> None:
    principle = Principle(id="a", family="f", title="T", text=text)
    question = principle.question_text("pair")
    assert json.loads(question) == {"text": principle.text}
    assert principle.question_digest("pair") == text_digest(question)


def test_questions_of_different_kinds_differ_even_with_equal_words() -> None:
    principle = Principle(id="a", family="f", title="T", text="Same.", applies_when="Same.")
    assert principle.question_digest("pair") != principle.question_digest("applies")


def test_a_rule_s_question_is_the_rule() -> None:
    question = load(FILE).principles[1].question_text("rule")
    assert question == '{"rule":{"kind":"max_words","value":9}}'


@pytest.mark.parametrize("kind", ["applies", "rule"])
def test_a_question_that_a_principle_does_not_have_is_refused(kind: Any) -> None:
    with pytest.raises(ConstitutionError, match="principle 'kind' has no"):
        load(FILE).principles[0].question_text(kind)


def test_a_golden_prompt_is_a_conversation_however_it_is_written() -> None:
    plain = GoldenTest(prompt="Hi", better="Hello!", worse="What?")
    spoken = load(
        edited(
            {
                "tests": [
                    {
                        "prompt": [{"role": "user", "content": "Hi"}],
                        "better": "Hello!",
                        "worse": "What?",
                    }
                ]
            }
        )
    )
    assert plain.conversation == spoken.principles[0].tests[0].conversation


def test_the_published_schema_is_the_one_of_the_records() -> None:
    text = SCHEMA_FILE.read_text(encoding="utf-8")
    assert text == constitution_schema_text(), (
        "constitutions/schema.json is out of date; write constitution_schema_text() to it"
    )


def test_the_schema_is_valid_and_closed() -> None:
    schema = constitution_schema()
    Draft202012Validator.check_schema(schema)
    records = [schema, *schema["$defs"].values()]
    assert all(record["additionalProperties"] is False for record in records)


GOOD_FILES = [
    pytest.param(FILE, id="a plain file"),
    pytest.param(edited({"weight": 2, "tier": "hard"}), id="an integer weight"),
    pytest.param(edited({"propositions": [PROPOSITION | {"expect": False}]}), id="a proposition"),
    pytest.param(
        {key: FILE[key] for key in FILE if key != "principles"} | {"extends": ["base@1.0.0"]},
        id="nothing but parents",
    ),
    *(
        pytest.param(FILE | {"principles": [SHORT | {"rule": rule}]}, id=str(rule["kind"]))
        for rule in (
            {"kind": "json_schema", "value": {"type": "object"}},
            {"kind": "language", "value": "en"},
            {"kind": "max_reading_grade", "value": 8},
            {"kind": "max_repetition", "value": 0.1},
            {"kind": "exact_match"},
            {"kind": "numeric_answer", "value": 42, "absolute": 0.5},
            {"kind": "numeric_answer", "value": "3/4"},
        )
    ),
]
BAD_FILES = [
    pytest.param(FILE | {"colour": "red"}, id="an unknown key"),
    pytest.param(edited({"colour": "red"}), id="an unknown key in a principle"),
    pytest.param(edited({"rule": SHORT["rule"]}), id="both text and rule"),
    pytest.param(edited({"text": None}), id="neither text nor rule"),
    pytest.param(edited({"tier": "vital"}), id="an unknown tier"),
    pytest.param(edited({"weight": 0}), id="no weight"),
    pytest.param(edited({"weight": "2"}), id="a weight in quotes"),
    pytest.param(edited(version="1.0"), id="two numbers for a version"),
    pytest.param(edited(name="Good Manners"), id="a name with a space"),
    pytest.param(edited(extends=["base@1"]), id="a parent without exact version"),
    pytest.param(edited(aggregate={"tie_margin": 0.6}), id="a tie margin over one half"),
    pytest.param({key: FILE[key] for key in FILE if key != "principles"}, id="no principles"),
    pytest.param(
        FILE | {"principles": [SHORT | {"rule": {"kind": "max_words", "value": 0}}]},
        id="a limit of nothing",
    ),
    pytest.param(
        FILE | {"principles": [SHORT | {"rule": {"kind": "complete_sentence", "value": 1}}]},
        id="a value for a rule that takes none",
    ),
    pytest.param(
        FILE | {"principles": [SHORT | {"rule": {"kind": "language", "value": "xx"}}]},
        id="a language that cannot be told",
    ),
    pytest.param(
        FILE | {"principles": [SHORT | {"rule": {"kind": "max_repetition", "value": 1}}]},
        id="repetition without limit",
    ),
]


@pytest.mark.parametrize("data", GOOD_FILES)
def test_schema_and_records_accept_the_same(data: dict[str, Any]) -> None:
    load(data)
    assert Draft202012Validator(constitution_schema()).is_valid(data)


@pytest.mark.parametrize("data", BAD_FILES)
def test_schema_and_records_refuse_the_same(data: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        load(data)
    assert not Draft202012Validator(constitution_schema()).is_valid(data)
