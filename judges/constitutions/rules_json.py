"""Whether a text is one JSON document that a JSON Schema (2020-12) accepts."""

import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

# The library is imported where it is used: it costs 100 ms that few constitutions need.
if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DEEPEST = 64
"""Documents nested deeper are refused, so that the interpreter's own limit never decides."""
NOT_SCHEMAS = ("const", "enum", "default", "examples")
NAMED_SCHEMAS = ("properties", "patternProperties", "$defs", "dependentSchemas")


def compile_schema(schema: dict[str, Any]) -> "Draft202012Validator":
    """The validator of a schema; nothing is ever fetched, and `format` is no more than a note.

    Raises: ValueError where the schema breaks the standard or refers to what is not in it.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from referencing import Registry

    if schema.get("$schema", DIALECT).rstrip("#") != DIALECT:
        raise ValueError(f"has $schema {schema['$schema']!r}; write {DIALECT!r} or leave it out")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        at = ".".join(map(str, error.absolute_path)) or "the schema"
        raise ValueError(f"is no JSON Schema ({at}: {error.message})") from error
    _check_references(schema)
    return Draft202012Validator(schema, registry=Registry())


def _check_references(schema: dict[str, Any]) -> None:
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    resolver = Registry().resolver_with_root(DRAFT202012.create_resource(schema))
    for part in _subschemas(schema):
        if part is not schema and isinstance(part.get("$id"), str):
            raise ValueError(f"has an $id {part['$id']!r} below its root; use $anchor")
        for reference in (part.get("$ref", "#"), part.get("$dynamicRef", "#")):
            try:
                inside = reference.startswith("#") and resolver.lookup(reference).contents
            except Unresolvable:
                inside = None
            if reference != "#" and not (isinstance(inside, dict) or inside is True):
                raise ValueError(
                    f"refers to {reference!r}, which is no schema in it; refer to a part of the "
                    f"same schema, such as '#/$defs/name'"
                )


def _subschemas(schema: Any) -> Iterator[dict[str, Any]]:
    """A schema and every mapping in it that may be one."""
    if isinstance(schema, list):
        for value in schema:
            yield from _subschemas(value)
    elif isinstance(schema, dict):
        yield schema
        for key, value in schema.items():
            if key in NAMED_SCHEMAS and isinstance(value, dict):
                for inner in value.values():
                    yield from _subschemas(inner)
            elif key not in NOT_SCHEMAS:
                yield from _subschemas(value)


def patterns_of(schema: dict[str, Any]) -> Iterator[str]:
    """Every regular expression of a schema."""
    for part in _subschemas(schema):
        if "pattern" in part:
            yield part["pattern"]
        yield from part.get("patternProperties", {})


def fits_schema(text: str, validator: "Draft202012Validator") -> bool | None:
    """Whether a text is a JSON document that fits; None where the schema refers to itself for ever.

    Around the document may stand space, and one fence of three backticks, bare or marked `json`.
    No document: a key used twice in one object, NaN, a number beyond a double, nesting deeper
    than 64.
    """
    try:
        document = json.loads(
            _unfenced(text),
            object_pairs_hook=_without_repeats,
            parse_constant=_refuse,
            parse_float=_finite,
            parse_int=_whole,
        )
    except (ValueError, RecursionError):
        return False
    if _is_deep(document):
        return False
    try:
        return validator.is_valid(document)
    except RecursionError:
        return None


def _unfenced(text: str) -> str:
    text = text.strip()
    first, line_break, rest = text.partition("\n")
    if line_break and first.rstrip().casefold() in ("```", "```json") and rest.endswith("```"):
        return rest.removesuffix("```")
    return text


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("a key is used twice")
    return document


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError("beyond a double")
    return value


def _whole(number: str) -> int:
    _finite(number)
    return int(number)


def _is_deep(document: Any) -> bool:
    level = [document]
    for _ in range(DEEPEST + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True
