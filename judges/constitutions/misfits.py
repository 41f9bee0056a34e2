"""What is wrong with a constitution file, said to its author: file, line, reason and remedy.

pydantic knows which value does not fit; here it becomes a sentence a writer can act on.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from judges.constitutions.constitution import (
    AggregateSettings,
    Constitution,
    GoldenTest,
    Principle,
    Proposition,
)
from judges.constitutions.rules import LimitRule, Rule
from judges.constitutions.yaml_source import Place, YamlSource
from judges.records import Message, Record
from judges.suggest import did_you_mean

MOST_SHOWN = 20
EMPTIED = "is empty; fill it in, in quotes where it begins with '#', which begins a remark"
SINGULAR = {"principles": "principle", "propositions": "proposition", "tests": "test"}
RECORDS: dict[str, type[Record]] = {
    "principles": Principle,
    "propositions": Proposition,
    "tests": GoldenTest,
    "prompt": Message,
    "aggregate": AggregateSettings,
}
RULES: dict[str, type[Record]] = {
    kind: record
    for record in get_args(get_args(Rule)[0])
    for kind in get_args(record.model_fields["kind"].annotation)
}


def misfits(error: ValidationError, source: YamlSource) -> str:
    """Every fault that was found, one to a line, in the order of the file."""
    faults = [(_place(fault, source.data), fault) for fault in error.errors(include_url=False)]
    lines: dict[Place, tuple[int, str]] = {}
    for place, fault in faults:
        if _is_echo(place, fault, faults):
            continue
        lines.setdefault(place, (source.line(place), _sentence(place, fault, source)))
    told = [line for _, line in sorted(lines.values(), key=lambda told: told[0])]
    if len(told) > MOST_SHOWN:
        told[MOST_SHOWN:] = [f"{source.where}: and {len(told) - MOST_SHOWN} more"]
    return "\n".join(told)


def _is_echo(
    place: Place, fault: ErrorDetails, faults: Sequence[tuple[Place, ErrorDetails]]
) -> bool:
    """Whether a fault of a list only follows from another, and would confuse beside it.

    A bad message leaves too few good ones; and a bad list of messages is no text either.
    """
    if fault["type"] not in ("string_type", "too_short") or not isinstance(fault["input"], list):
        return False
    others = [at for at, other in faults if other is not fault and at[: len(place)] == place]
    return any(at != place or fault["type"] == "string_type" for at in others)


def _place(fault: ErrorDetails, data: Any) -> Place:
    """The way to the fault in the file: pydantic's own, less the names of union members."""
    place: Place = ()
    for part in fault["loc"]:
        fits = isinstance(data, dict) if isinstance(part, str) else isinstance(data, list)
        if not fits or (isinstance(data, dict) and part not in data and part != fault["loc"][-1]):
            continue
        place = (*place, part)
        known = part in data if isinstance(data, dict) else int(part) < len(data)
        data = data[part] if known else None
    return place + tuple(fault.get("ctx", {}).get("at", ()))


def _sentence(place: Place, fault: ErrorDetails, source: YamlSource) -> str:
    context = fault.get("ctx", {})
    if fault["type"] == "misfit" and (key := _emptied(fault)):
        place = (*place, key)
        owner, complaint = name_place(place, source), EMPTIED
    elif fault["type"] == "misfit":
        owner, complaint = (
            name_place(place[: len(place) - len(context["at"])], source),
            fault["msg"],
        )
        if context["at"] and context["at"][-1] == "id":
            owner = ""
            first = place[: len(place) - len(context["at"])] + tuple(context["first"])
            complaint += f" (it is on line {source.line(first)} too)"
    elif fault["type"] in ("missing", "extra_forbidden", "union_tag_not_found"):
        owner = name_place(place[:-1] if fault["type"] != "union_tag_not_found" else place, source)
        complaint = _key_complaint(place, fault, source)
    else:
        owner, complaint = name_place(place, source), _value_complaint(place, fault, source)
    return f"{source.position(place)}: {f'{owner} {complaint}'.strip()}"


def _emptied(fault: ErrorDetails) -> str | None:
    """The question of a principle that has none because its key is there and empty."""
    given = fault["input"]
    if fault["ctx"]["at"] or not isinstance(given, dict):
        return None
    return next((key for key in ("text", "rule") if key in given and given[key] is None), None)


def name_place(place: Place, source: YamlSource) -> str:
    """`principle 'no-harm', test 2, worse`: how a person would point at it."""
    names: list[str] = []
    data: Any = source.data
    for step, part in enumerate(place):
        data = _inside(data, part)
        if isinstance(part, str):
            names += [] if isinstance(data, list) and step + 1 < len(place) else [part]
            continue
        kind = SINGULAR.get(str(place[step - 1]), f"{place[step - 1]} item")
        name = data.get("id") if isinstance(data, dict) else None
        names.append(f"{kind} {name!r}" if isinstance(name, str) else f"{kind} {part + 1}")
    return ", ".join(names) if names else "the file"


def _inside(data: Any, part: str | int) -> Any:
    try:
        return data[part]
    except (KeyError, IndexError, TypeError):
        return None


def _record(place: Place, source: YamlSource) -> type[Record]:
    """The record that the mapping at a place should be."""
    names = [part for part in place if isinstance(part, str)]
    if names and names[-1] == "rule":
        data: Any = source.data
        for part in place:
            data = _inside(data, part)
        return RULES.get(str(_inside(data, "kind")), LimitRule)
    return RECORDS[names[-1]] if names else Constitution


def _key_complaint(place: Place, fault: ErrorDetails, source: YamlSource) -> str:
    if fault["type"] == "union_tag_not_found":
        return f"has no kind; add `kind: …`, one of {', '.join(RULES)}"
    key, record = str(place[-1]), _record(place[:-1], source)
    if fault["type"] == "missing":
        return f"has no {key}; add `{key}: …` ({_meaning(record, key)})"
    if fault["input"] is None and source.line(place) == source.line(place[:-1]):
        return f"has an unknown key {_short(key)}; a comma ends a text in braces: put it in quotes"
    hint = did_you_mean(key, record.model_fields)
    known = "" if hint else f"; known keys: {', '.join(record.model_fields)}"
    return f"has an unknown key {_short(key)}{hint or known}"


def _meaning(record: type[Record], key: str) -> str:
    description = str(record.model_fields[key].description).replace("\n", " ").rstrip(".")
    return description if description[1].isupper() else description[0].lower() + description[1:]


def _value_complaint(place: Place, fault: ErrorDetails, source: YamlSource) -> str:
    value, context = fault["input"], fault.get("ctx", {})
    if fault["type"] == "union_tag_invalid":
        kinds = ", ".join(RULES)
        return f"kind is {context['tag']!r}{did_you_mean(context['tag'], RULES)}; use {kinds}"
    if fault["type"] == "literal_error":
        options = re.findall(r"'([^']*)'", context["expected"])
        hint = did_you_mean(value, options) if isinstance(value, str) else ""
        return f"is {_shown(value)}{hint}; use {', '.join(options[:-1])} or {options[-1]}"
    if fault["type"] == "value_error":
        remedy = "; write a sign that stands for itself with a backslash before it"
        message = str(context["error"])
        return message + (remedy if "regular expression" in message else "")
    if value is None or fault["type"] in ("string_too_short", "too_short"):
        needed = isinstance(place[-1], int) or _needed(_record(place[:-1], source), place[-1])
        return "is empty; fill it in" + ("" if needed else ", or remove the key")
    write = _REMEDIES.get(fault["type"])
    remedy = write(place, value, context) if write else fault["msg"].lower()
    return f"is {_shown(value)}; {remedy}"


def _needed(record: type[Record], key: str) -> bool:
    return key in record.model_fields and record.model_fields[key].is_required()


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a mapping (`key: value`)" if isinstance(value, dict) else "a list"
    if isinstance(value, bool):
        return f"{str(value).lower()}, a truth value"
    if isinstance(value, str):
        return _short(value)
    return f"{value}, a number"


def _short(text: str) -> str:
    return repr(text) if len(text) <= 60 else f"{text[:50]!r}… of {len(text)} characters"


def _well_formed(place: Place, value: Any, _context: Any) -> str:
    """What a text of a fixed form should look like."""
    field = [part for part in place if isinstance(part, str)][-1]
    if field == "version":
        return "use three numbers such as 1.0.0"
    if field == "extends":
        return "a parent is an exact version such as base@1.0.0"
    slug = re.sub(r"[^a-z0-9]+", "-", str(value).lower()).strip("-")
    example = f", such as {slug!r}" if slug else ""
    return f"use lower-case letters, digits and single hyphens{example}"


def _as_text(place: Place, value: Any, context: Any) -> str:
    if isinstance(value, dict | list):
        return "write one text; quote it when it holds ': ' or begins with '[' or '{'"
    if place[-1] == "version":
        return _well_formed(place, value, context)
    return "put it in quotes to make it a text"


def _meant(value: Any) -> str:
    """The number that a text stands for, where it does."""
    is_number = isinstance(value, str) and re.fullmatch("-?[0-9]+([.,][0-9]+)?", value)
    return f": {value.replace(',', '.')}, without quotes" if is_number else ""


_REMEDIES: dict[str, Callable[[Place, Any, Any], str]] = {
    "string_type": _as_text,
    "string_pattern_mismatch": _well_formed,
    "string_too_long": lambda _p, _v, c: f"at most {c['max_length']} characters are allowed",
    "float_type": lambda _p, v, _c: f"write a number{_meant(v)}",
    "int_type": lambda _p, v, _c: f"write a whole number{_meant(v)}",
    "bool_type": lambda *_: "write true or false",
    "tuple_type": lambda *_: "write a list: one `- …` to a line",
    "model_type": lambda *_: "write `key: value` lines, indented below it",
    "dict_type": lambda *_: "write `key: value` lines, indented below it",
    "finite_number": lambda *_: "write a finite number",
    "greater_than": lambda _p, _v, c: f"it must be more than {c['gt']:g}",
    "greater_than_equal": lambda _p, _v, c: f"it must be at least {c['ge']:g}",
    "less_than": lambda _p, _v, c: f"it must be less than {c['lt']:g}",
    "less_than_equal": lambda _p, _v, c: f"it must be at most {c['le']:g}",
}
