"""YAML as people write it: plain data, the line of everything, errors that say what to do.

Only what a constitution needs is read: YAML 1.2's words and decimal numbers (`yes` is a word, not
true), no anchors, no tags, one document. No file grows when it is read, and none can run code.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from judges.errors import ConstitutionError

Place = tuple[str | int, ...]
"""The way to a value: keys and list positions from the top."""

MAX_BYTES = 1 << 20
MAX_DEPTH = 20
UNSEEN = re.compile("^[ -]*([\u00a0\u200b\u202f\u3000\ufeff])|:([\u00a0\u200b\u202f\u3000\ufeff])")
"""Spaces that are none to YAML, where it wants one."""
CONFLICT = re.compile("^<{7} .*?^={7}$.*?^>{7} ", re.MULTILINE | re.DOTALL)
UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]{1,18}(\.[0-9]*)?)([eE][-+]?[0-9]{1,4})?")
WORDS: dict[str, Any] = {
    **dict.fromkeys(["", "~", "null", "Null", "NULL"]),
    **dict.fromkeys(["true", "True", "TRUE"], True),
    **dict.fromkeys(["false", "False", "FALSE"], False),
    **dict.fromkeys([".inf", ".Inf", ".INF", "+.inf"], float("inf")),
    **dict.fromkeys(["-.inf", "-.Inf", "-.INF"], float("-inf")),
    **dict.fromkeys([".nan", ".NaN", ".NAN"], float("nan")),
}
IN_TEXT = "put the text in quotes, or below the key after `>-`"
UNCLOSED = "a quote is never closed; add the closing quote"
REMEDIES = {
    "expected ',' or ']'": "a list opened with '[' is not closed; add ']' or a comma",
    "expected ',' or '}'": "a mapping opened with '{' is not closed; add '}' or a comma, or put a "
    "text that holds ': ' in quotes",
    "end of stream": UNCLOSED,
    "document separator": UNCLOSED,
    "unknown escape": "in double quotes a backslash begins an escape; use single quotes",
    "expected a comment or a line break": "after '>' or '|' the text begins on the line below, "
    "indented; move it there",
    "expected <block end>": "the indentation fits nothing above; line it up with its neighbours",
    "expected alphabetic": f"text cannot begin with '&', '*' or '!'; {IN_TEXT}",
    "cannot start any token": f"text cannot begin with '%', '@' or a back-quote; {IN_TEXT}",
    "expected ':'": "this line has no ': '; write `key: value`, or indent it as part of a text",
    "sequence entries": "a list begins on the line below its key: indent it and write `- …`",
}


@dataclass
class YamlSource:
    """A YAML file as data, with the way back to its lines."""

    where: str
    """The file's name as messages show it."""
    data: Any = None
    """Mappings, lists, text, numbers, true, false and null."""
    marks: dict[Place, tuple[int, int]] = field(default_factory=dict)
    """Line and column, from 1, of each key and list item."""
    cut: list[Place] = field(default_factory=list)
    """Texts without quotes that a remark on their last line ends."""

    def line(self, place: Place) -> int:
        """The line of a value, or of the nearest thing around it."""
        return self._mark(place)[0]

    def position(self, place: Place) -> str:
        """`file:line:column` of a value, or of the nearest thing around it."""
        line, column = self._mark(place)
        return f"{self.where}:{line}:{column}"

    def _mark(self, place: Place) -> tuple[int, int]:
        while place and place not in self.marks:
            place = place[:-1]
        return self.marks.get(place, (1, 1))


def read_yaml(content: bytes, where: str) -> YamlSource:
    """A YAML file's content as data with line numbers.

    Raises: ConstitutionError naming file, line, column and remedy.
    """
    if len(content) > MAX_BYTES:
        place = _position(content[:MAX_BYTES].decode("utf-8", "replace"), where)
        raise ConstitutionError(
            f"{place}: the file is larger than 1 MiB, which ends here; split it up with `extends`"
        )
    text = _decoded(content, where)
    _refuse_unprintable(text, where)
    _refuse_conflict(text, where)
    reader = _Reader(YamlSource(where), YAML(typ="safe", pure=True).parse(text), text)
    try:
        reader.read_document()
    except MarkedYAMLError as error:
        raise ConstitutionError(_explained(error, text, where)) from error
    return reader.source


def _decoded(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        read = error.object  # without the byte order mark, where there was one
        place = _position(read[: error.start].decode("utf-8"), where)
        byte = read[error.start]
        raise ConstitutionError(
            f"{place}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8"
        ) from error


def _refuse_unprintable(text: str, where: str) -> None:
    if found := UNPRINTABLE.search(text):
        place = _position(text[: found.start()], where)
        code = f"U+{ord(found[0]):04X}"
        raise ConstitutionError(f"{place}: control character {code}; remove it")


def _refuse_conflict(text: str, where: str) -> None:
    if found := CONFLICT.search(text):
        place = _position(text[: found.start()], where)
        raise ConstitutionError(
            f"{place}: a merge left two versions here; keep one, and remove the lines of <, = and >"
        )


def _position(before: str, where: str) -> str:
    """`file:line:column` of what comes after a text."""
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return f"{where}:{line}:{column}"


class _Reader:
    """Builds data from the parser's events, one pass, no recursion deeper than MAX_DEPTH."""

    def __init__(self, source: YamlSource, events: Iterator[Event], text: str) -> None:
        self.source = source
        self.events = events
        self.lines = text.splitlines()

    def read_document(self) -> None:
        next(self.events)
        event = next(self.events)
        if isinstance(event, StreamEndEvent):
            return
        self.source.data = self._value(next(self.events), ())
        next(self.events)
        event = next(self.events)
        if isinstance(event, DocumentStartEvent):
            self._refuse(event, "a second document begins here; keep one document to a file")

    def _value(self, event: Event, place: Place) -> Any:
        self.source.marks.setdefault(place, _mark(event))
        self._refuse_machinery(event)
        if len(place) > MAX_DEPTH:
            self._refuse(event, f"nested more than {MAX_DEPTH} deep; no constitution needs that")
        if isinstance(event, MappingStartEvent):
            return self._mapping(place)
        if isinstance(event, SequenceStartEvent):
            return self._list(place)
        text = self._text(event)
        if getattr(event, "style", None) is not None:
            return text
        if text and self._is_cut(event):
            self.source.cut.append(place)
        return _resolved(text)

    def _is_cut(self, event: Event) -> bool:
        end = event.end_mark
        rest = self.lines[end.line][end.column :] if end.line < len(self.lines) else ""
        return rest.lstrip().startswith("#")

    def _refuse_machinery(self, event: Event) -> None:
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
            self._refuse(
                event,
                "anchors (&) and aliases (*) are not read; write the text out, "
                "or quote it when it begins with that character",
            )
        if tag := getattr(event, "tag", None):
            self._refuse(event, f"the tag {tag} is not read; remove it, or quote the text")

    def _mapping(self, place: Place) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(event := next(self.events), MappingEndEvent):
            self._refuse_machinery(event)
            if not isinstance(event, ScalarEvent):
                self._refuse(event, "a key is a word, not a list or mapping; quote '{' and '['")
            key = self._text(event)
            within = (*place, key)
            if key in mapping:
                first = self.source.line(within)
                self._refuse(event, f"key {key!r} is here twice, first on line {first}; keep one")
            self.source.marks[within] = _mark(event)
            mapping[key] = self._value(next(self.events), within)
        return mapping

    def _list(self, place: Place) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self.events), SequenceEndEvent):
            items.append(self._value(event, (*place, len(items))))
        return items

    def _text(self, event: Any) -> str:
        text: str = event.value
        if UNPRINTABLE.search(text):
            # JSON writes an emoji as two escapes, which belong together.
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        if found := UNPRINTABLE.search(text):
            self._refuse(event, f"the escape of U+{ord(found[0]):04X} is no text; remove it")
        return text

    def _refuse(self, event: Event, message: str) -> NoReturn:
        line, column = _mark(event)
        raise ConstitutionError(f"{self.source.where}:{line}:{column}: {message}")


def _mark(event: Event) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _resolved(text: str) -> Any:
    """What an unquoted scalar means by the core schema of YAML 1.2."""
    if text in WORDS:
        return WORDS[text]
    if re.fullmatch(r"[-+]?[0-9]{1,18}", text):
        return int(text)
    return float(text) if FLOAT.fullmatch(text) else text


def _explained(error: MarkedYAMLError, text: str, where: str) -> str:
    mark, opened = error.problem_mark or error.context_mark, error.context_mark
    lines = text.splitlines()
    if REMEDIES.get(str(error.problem).removeprefix("found unexpected ")) == UNCLOSED:
        mark = opened
    since = f" (it begins on line {opened.line + 1})" if opened and opened.line < mark.line else ""
    first = max(0, (opened or mark).line - 1)
    for number, line in enumerate(lines[first : mark.line + 1], start=first):
        if found := UNSEEN.search(line):
            character = next(filter(None, found.groups()))
            return (
                f"{where}:{number + 1}:{found.end()}: U+{ord(character):04X} stands here, which "
                f"looks like a space, or like nothing, and is neither; type a plain space"
            )
    line = lines[mark.line] if mark.line < len(lines) else ""
    return f"{where}:{mark.line + 1}:{mark.column + 1}: {_remedy(error, line, mark.column)}{since}"


def _remedy(error: MarkedYAMLError, line: str, column: int) -> str:
    problem, before = str(error.problem), line[:column].rstrip()
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "a tab indents this line; YAML takes only spaces here"
    if line[column : column + 1] == "\t":
        return "a tab stands here; YAML takes only spaces around what it reads"
    if "<scalar>" in problem and before.endswith(("'", '"')):
        return (
            "text goes on after a closing quote; use the other kind of quote around the text, "
            "or write an apostrophe in single quotes as ''"
        )
    if "mapping values are not allowed" in problem:
        if ":" in before:
            return f"': ' inside a text looks like a key; {IN_TEXT}"
        return "a key where the text above goes on; line keys up, and give each line above its ':'"
    for sign, remedy in REMEDIES.items():
        if sign in problem:
            return remedy
    return f"{problem}; check quotes and indentation"
