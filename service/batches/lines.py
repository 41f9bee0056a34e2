"""The lines of a batch's input: read in ranges of bytes, each checked by itself."""

from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judges.errors import DataError
from judges.jsonl import parse_line
from judges.suggest import did_you_mean
from service.jobs.records import Range

KEYS = ("custom_id", "method", "url", "body")
LONGEST_ID = 512


@dataclass(frozen=True)
class RawLine:
    """One line as it stands in the file."""

    number: int
    """Counted from 1, blank lines included."""
    start: int
    """Its first byte."""
    stop: int
    """One beyond its last, the line break included."""
    text: bytes | None
    """None when it is longer than a request may be."""


@dataclass(frozen=True)
class BatchLine:
    """A line that asks for something."""

    number: int
    custom_id: str
    url: str
    body: dict[str, Any]


class BadLine(DataError):
    """A line that cannot be used: a code for programs, the words for people."""

    def __init__(self, code: str, message: str, custom_id: str | None = None) -> None:
        super().__init__(message)
        self.code, self.custom_id = code, custom_id


def read_range(path: Path, part: Range, longest: int) -> Iterator[RawLine]:
    """The lines of a range that are not blank. Memory: one line, of at most `longest` bytes.

    Raises: DataError when the file is gone.
    """
    try:
        file = path.open("rb", buffering=1 << 20)
    except OSError as error:
        raise DataError(f"{path.name}: the batch's input is gone ({error.strerror})") from None
    with file:
        file.seek(part.start)
        at, number = part.start, part.first_line
        while at < part.stop and (text := file.readline(longest + 1)):
            start, piece = at, text
            at += len(piece)
            while len(piece) > longest and not piece.endswith(b"\n"):
                piece = file.readline(longest + 1)
                at += len(piece)
            if len(text) > longest:
                yield RawLine(number, start, at, None)
            elif text.strip():
                yield RawLine(number, start, at, text)
            number += 1


def parse_batch_line(
    raw: RawLine, endpoint: str | None, endpoints: Set[str], longest: int
) -> BatchLine:
    """What a line asks for. Raises: BadLine that says what is wrong with it, and where."""
    where = f"line {raw.number}"
    if raw.text is None:
        raise BadLine("too_large", f"{where}: longer than {longest} bytes; make it shorter")
    try:
        row = parse_line(raw.text, where)
    except DataError as error:
        raise BadLine("invalid_json_line", str(error)) from None
    name = row.get("custom_id")
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_ID:
        raise BadLine(
            "invalid_custom_id",
            f"{where}: custom_id is {_shown(name)}; give each line a text of its own, of at most "
            f"{LONGEST_ID} characters",
        )
    _check_keys(row, name, where)
    url = row["url"]
    if endpoint is not None and url != endpoint and url in endpoints:
        raise BadLine(
            "mismatched_endpoint",
            f"{where}: url is {url!r}, but the batch's endpoint is {endpoint!r}; make two batches, "
            "or one without `endpoint`",
            name,
        )
    if url not in endpoints:
        raise BadLine(
            "invalid_url",
            f"{where}: url is {_shown(url)}{did_you_mean(str(url), sorted(endpoints))}; "
            f"use {', '.join(sorted(endpoints))}",
            name,
        )
    return BatchLine(raw.number, name, url, row["body"])


def _check_keys(row: dict[str, Any], name: str, where: str) -> None:
    for key in row:
        if key not in KEYS:
            raise BadLine("unknown_key", f"{where}: {key!r}{did_you_mean(key, KEYS)}", name)
    for key, holds, wanted in (
        ("method", row.get("method") == "POST", "'POST'"),
        ("url", isinstance(row.get("url"), str), "the path of a judging endpoint"),
        ("body", isinstance(row.get("body"), dict), "an object"),
    ):
        if not holds:
            words = f"{where}: {key} is {_shown(row.get(key))}; make it {wanted}"
            raise BadLine(f"invalid_{key}", words, name)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
