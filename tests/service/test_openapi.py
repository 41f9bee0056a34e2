"""The OpenAPI document: complete enough to make clients from, and true."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from service.judging import answers
from service.openapi import openapi_document, openapi_text

GOLDEN = Path(__file__).with_name("openapi.json")
DOCUMENT = openapi_document()
LINES: dict[str, type[answers.Outcome]] = {
    "/v1/rank": answers.RankLine,
    "/v1/compare": answers.CompareLine,
    "/v1/score": answers.ScoreLine,
    "/v1/critique": answers.CritiqueLine,
    "/v1/revise": answers.ReviseLine,
}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def schema_of(operation: dict[str, Any]) -> dict[str, Any]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema: dict[str, Any] = content.get("schema", {})
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    return schema


def test_the_document_is_the_one_on_record() -> None:
    remedy = "run: .venv/bin/python -m service.openapi > tests/service/openapi.json"
    assert openapi_text() == GOLDEN.read_text("utf-8"), remedy


def test_every_operation_says_what_it_does_under_a_name_of_its_own() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    found = list(operations())
    names = [operation["operationId"] for _, _, operation in found]
    assert len(names) == len(set(names)) > 10
    assert [path for _, path, one in found if not one.get("description") or not one["tags"]] == []


def test_every_field_of_what_we_take_says_what_it_means() -> None:
    silent = [
        f"{path}: {name}"
        for _, path, operation in operations()
        for name, field in schema_of(operation).get("properties", {}).items()
        if not field.get("description")
    ]
    assert silent == []


def test_makers_of_clients_find_one_plain_schema_under_each_name() -> None:
    """A module's name in a schema's means two of one name: openapi-python-client drops both."""
    schemas = DOCUMENT["components"]["schemas"]
    assert [name for name in schemas if "__" in name or "-" in name] == []
    unions = {"oneOf", "anyOf", "allOf"}
    assert [
        n for n, schema in schemas.items() if "properties" in schema and unions & schema.keys()
    ] == []


@pytest.mark.parametrize("path", LINES)
async def test_examples_can_be_sent_and_answers_are_as_described(
    client: httpx.AsyncClient, path: str
) -> None:
    schema = schema_of(DOCUMENT["paths"][path]["post"])
    assert len(schema["examples"]) >= 2
    for example in schema["examples"]:
        answer = await client.post(path, json=example)
        assert answer.status_code == 200, answer.text
        for text in answer.text.splitlines():
            line = LINES[path].model_validate_json(text, strict=False, extra="forbid")
            assert line.status in ("scored", "unscored"), line


def test_the_line_schemas_are_those_of_the_models() -> None:
    for path, model in LINES.items():
        good = DOCUMENT["paths"][path]["post"]["responses"]["200"]["content"]
        name = f"#/components/schemas/{model.__name__}"
        assert good["application/json"]["schema"]["$ref"] == name
        assert good["application/x-ndjson"]["schema"]["$ref"] == name
    Draft202012Validator.check_schema(json.loads(json.dumps(DOCUMENT["components"]["schemas"])))
