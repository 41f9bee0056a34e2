"""Constitutions written as YAML that people like to edit: long texts folded, defaults left out."""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from judges.constitutions.constitution import Constitution

WIDTH = 100
_PLAIN = re.compile(r"[A-Za-z]([A-Za-z0-9_ .()/@-]*[A-Za-z0-9.)])?|\d+\.\d+\.\d+", re.ASCII)
_WORDS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")
"""Not plain, as some reader of YAML, if not ours, takes them for something else than words."""


def yaml_text(constitution: Constitution) -> str:
    """A file that reads back as the same constitution, its parents' principles written out."""
    alone = constitution.model_copy(update={"extends": (), "drop": ()})
    data = alone.model_dump(mode="json", exclude_defaults=True)
    principles = data.pop("principles", [])
    lines = [line for key, value in data.items() for line in _entry(key, value, "")]
    if principles:
        lines.append("principles:")
        for number, principle in enumerate(principles):
            lines += [""] if number else []
            lines += _item(principle, "  ")
    return "\n".join(lines) + "\n"


def _entry(key: str, value: Any, indent: str) -> Iterator[str]:
    """The lines of one `key: value`."""
    head = f"{indent}{_scalar(key)}:"
    if isinstance(value, str):
        yield from _prose(head, value, indent)
    elif isinstance(value, Mapping | Sequence):
        flow = _flow(value)
        short = len(head) + len(flow) < WIDTH and "tests" not in key
        if short or not value:
            yield f"{head} {flow}"
        elif isinstance(value, Mapping):
            yield head
            for inner, content in value.items():
                yield from _entry(inner, content, indent + "  ")
        else:
            yield head
            for each in value:
                yield from _item(each, indent + "  ")
    else:
        yield f"{head} {json.dumps(value)}"


def _item(value: Any, indent: str) -> Iterator[str]:
    """The lines of one list item, its first line marked."""
    if isinstance(value, Mapping) and value:
        lines = [
            line for key, content in value.items() for line in _entry(key, content, indent + "  ")
        ]
        yield f"{indent}- {lines[0].lstrip()}"
        yield from lines[1:]
    else:
        yield f"{indent}- {_flow(value)}"


def _prose(head: str, text: str, indent: str) -> Iterator[str]:
    """A text on the line of its key, or folded below it where it is long and folding keeps it."""
    if len(head) + len(text) < WIDTH - 3:
        yield f"{head} {_scalar(text)}"
        return
    folded = textwrap.wrap(
        text, WIDTH - len(indent) - 2, break_long_words=False, break_on_hyphens=False
    )
    if " ".join(folded) != text or not text.isprintable():
        yield f"{head} {_quoted(text)}"
        return
    yield f"{head} >-"
    for line in folded:
        yield f"{indent}  {line}"


def _flow(value: Any) -> str:
    if isinstance(value, str):
        return _scalar(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return json.dumps(value)


def _scalar(text: str) -> str:
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if plain else _quoted(text)


def _quoted(text: str) -> str:
    """A double-quoted YAML text; JSON's form is one, once what YAML may not hold is escaped."""
    shown = json.dumps(text, ensure_ascii=False)
    return shown if text.isprintable() else json.dumps(text)
