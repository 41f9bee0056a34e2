"""One document, one schema: what fits, what does not, and what is refused when it is loaded."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.constitutions.rules_json import compile_schema, fits_schema, patterns_of

CUP = {
    "type": "object",
    "required": ["tea"],
    "properties": {"tea": {"type": "string", "pattern": "^[a-z]+$"}, "cups": {"$ref": "#/$defs/n"}},
    "$defs": {"n": {"type": "integer", "minimum": 1}},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('{"tea": "green", "cups": 2}', True, id="fits"),
        pytest.param('\n {"tea": "green"} \n', True, id="space around"),
        pytest.param('```json\n{"tea": "green"}\n```\n', True, id="a fence marked json"),
        pytest.param('```\n{"tea": "green"}\n```', True, id="a bare fence"),
        pytest.param('{"tea": "green", "cups": 0}', False, id="breaks a referred part"),
        pytest.param('{"tea": "GREEN"}', False, id="breaks a pattern"),
        pytest.param("{}", False, id="lacks a key"),
        pytest.param('Sure: {"tea": "green"}', False, id="talk before it"),
        pytest.param('{"tea": "green"} {"tea": "green"}', False, id="two documents"),
        pytest.param('```json\n{"tea": "green"}\n```\nDone.', False, id="talk after the fence"),
        pytest.param('```python\n{"tea": "green"}\n```', False, id="a fence of another language"),
        pytest.param('```json\n{"tea": "green"}', False, id="a fence left open"),
        pytest.param('{"tea": "red", "tea": "green"}', False, id="a key used twice"),
        pytest.param("", False, id="empty"),
    ],
)
def test_a_completion_is_one_document_that_fits(text: str, expected: bool) -> None:
    assert fits_schema(text, compile_schema(CUP)) is expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("NaN", id="no JSON value"),
        pytest.param("1e999", id="a fraction beyond a double"),
        pytest.param("9" * 400, id="a whole number beyond a double"),
        pytest.param("9" * 5000, id="a number too long to read"),
        pytest.param("[" * 66 + "]" * 66, id="nested too deep"),
        pytest.param("[" * 100_000, id="nested without end"),
    ],
)
def test_not_even_an_open_schema_takes_these(text: str) -> None:
    assert fits_schema(text, compile_schema({})) is False


def test_nesting_up_to_the_limit_is_checked() -> None:
    nested = {"type": "array", "items": {"$ref": "#"}}
    assert fits_schema("[" * 64 + "]" * 64, compile_schema(nested)) is True


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        pytest.param({"type": "integr"}, r"\(type: 'integr' is not", id="an unknown type"),
        pytest.param(
            {"properties": {"tea": {"type": ["string", None]}}},
            r"\(properties\.tea\.type: ",
            id="null not in quotes",
        ),
        pytest.param({"pattern": "a("}, "not a 'regex'", id="a pattern that does not compile"),
        pytest.param({"$ref": "#/$defs/tea"}, "refers to '#/", id="a part that is not there"),
        pytest.param({"$ref": "https://a.b/c"}, "refers to 'https", id="a part from elsewhere"),
        pytest.param(
            {"properties": {"default": {"$ref": "#nowhere"}}}, "refers to", id="under any name"
        ),
        pytest.param({"items": {"$id": "b"}}, "use \\$anchor", id="a base of its own"),
        pytest.param({"$schema": "http://json-schema.org/draft-07/schema#"}, "write", id="old"),
    ],
)
def test_a_schema_that_cannot_work_is_refused(schema: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        compile_schema(schema)


def test_data_in_a_schema_is_not_read_as_schema() -> None:
    schema = {"const": {"$ref": "https://a.b/c"}, "examples": [{"pattern": "a("}]}
    assert fits_schema('{"$ref": "https://a.b/c"}', compile_schema(schema)) is True
    assert list(patterns_of(schema)) == []


def test_patterns_are_found_wherever_they_stand() -> None:
    schema = {"items": {"pattern": "a"}, "patternProperties": {"b": {"pattern": "c"}}}
    assert sorted(patterns_of(schema)) == ["a", "b", "c"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_any_document_fits_the_schema_that_asks_for_it(value: Any) -> None:
    text = json.dumps(value)
    assert fits_schema(f"```json\n{text}\n```", compile_schema({"const": value})) is True
    assert fits_schema(text, compile_schema({"not": {"const": value}})) is False
