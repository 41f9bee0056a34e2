"""A constitution as a Markdown list: `- **Title** (`id`): text`; headings name families."""

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from judges.constitutions.constitution import Constitution, Principle
from judges.errors import ConstitutionError

_ITEM = re.compile(r"(?P<indent> *)(?:[-*+]|\d{1,9}[.)])\s+(?P<text>\S.*)")
_HEADING = re.compile(r"(?P<level>#{1,6})\s+(?P<text>.*?)\s*#*\s*")
_LEAD = re.compile(
    r"(?:(?P<mark>\*\*|__)(?P<title>.+?)[.:]?(?P=mark))?\s*(?:\(`(?P<id>[^`]+)`\))?[.:]?\s*(?P<text>.*)",
    re.S,
)
_WORDS_OF_TITLE = 8


def read_markdown(text: str, where: str) -> tuple[list[dict[str, Any]], dict[str, str], list[str]]:
    """Principles, the constitution's title and description, and notes on what was passed over.

    Raises: ConstitutionError for an item without words.
    """
    items: list[tuple[int, str, list[str]]] = []
    about: dict[str, str] = {}
    prose: list[tuple[int, str]] = []
    family, open_item = "general", False
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            open_item = open_item and bool(items)
        elif found := _HEADING.fullmatch(line):
            open_item = False
            if len(found["level"]) == 1 and "title" not in about:
                about["title"] = found["text"]
            else:
                family = _slug(found["text"]) or "general"
        elif (found := _ITEM.fullmatch(line)) and not (open_item and len(found["indent"]) > 1):
            items.append((number, family, [found["text"]]))
            open_item = True
        elif open_item and line.startswith(" "):
            items[-1][2].append(line.strip())
        else:
            open_item = False
            prose.append((number, line.strip()))
    before = [line for number, line in prose if not items or number < items[0][0]]
    if before and items:
        about["description"] = " ".join(before)
    later = [number for number, _ in prose if items and number > items[0][0]]
    notes = [f"{where}:{number}: text outside the list is passed over" for number in later]
    return [_principle(*item, where) for item in items], about, notes


def _principle(number: int, family: str, lines: Sequence[str], where: str) -> dict[str, Any]:
    found = _LEAD.fullmatch(" ".join(lines))
    text = found["text"].strip() if found else ""
    if found is None or not text:
        raise ConstitutionError(
            f"{where}:{number}:1: this item has a title and no text; write what the judge reads "
            "after it"
        )
    words = text.split()
    title = found["title"] or " ".join(words[:_WORDS_OF_TITLE])
    return {
        "id": found["id"] or _slug(title) or "principle",
        "family": family,
        "title": title,
        "text": text,
        "source": f"Imported, line {number}.",
    }


def markdown_text(constitution: Constitution, principles: Sequence[Principle]) -> str:
    """The list of some of a constitution's principles, in order, a heading at each new family."""
    parts = [f"# {_line(constitution.title)}", _line(constitution.description or "")]
    for family, members in groupby(principles, key=lambda principle: principle.family):
        parts.append(f"## {family}")
        parts.append(
            "\n".join(f"- **{_line(p.title)}** (`{p.id}`): {_line(p.text or '')}" for p in members)
        )
    return "\n\n".join(filter(None, parts)) + "\n"


def _line(text: str) -> str:
    return " ".join(text.split())


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:64].strip("-")
