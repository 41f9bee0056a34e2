"""The two file formats of exported votes. Numbers survive exactly, infinities and all."""

import math
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from judges.errors import DataError
from judges.formats.rows import load_pyarrow
from judges.jsonl import dump_line, read_jsonl, replacing
from judges.records import Vote

FORMAT = "charter votes"
VERSION = 1
ROW_GROUP = 20_000


@dataclass(frozen=True)
class StoredText:
    """A text as it is stored."""

    digest: str
    body: bytes | None
    """None: erased for good."""


Entry = StoredText | Vote


def write_jsonl_export(path: Path, entries: Iterable[Entry]) -> int:
    """How many votes went into the file."""
    count = 0
    with replacing(path) as file:
        file.write(dump_line({"format": FORMAT, "version": VERSION}))
        for entry in entries:
            file.write(dump_line(_line(entry)))
            count += isinstance(entry, Vote)
    return count


def _line(entry: Entry) -> dict[str, Any]:
    if isinstance(entry, Vote):
        vote = entry.model_dump(mode="json", exclude_defaults=True)
        # JSON has no infinity: written as text, which reads back as the number.
        vote["logprobs"] = [_finite_or_text(number) for number in entry.logprobs]
        vote["value"] = _finite_or_text(entry.value)
        return {"vote": vote}
    return {"text": {"digest": entry.digest} | _body(entry.body)}


def _body(body: bytes | None) -> dict[str, Any]:
    if body is None:
        return {"erased": True}
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        # A lone surrogate: JSON readers differ over it, so its bytes are kept instead.
        return {"base64": b64encode(body).decode()}


def _finite_or_text(number: float | None) -> float | str | None:
    return number if number is None or math.isfinite(number) else str(number)


def read_jsonl_export(path: Path) -> Iterator[Entry]:
    """What `write_jsonl_export` wrote.

    Raises: DataError that names the line that is no part of an export, or was altered.
    """
    lines = read_jsonl(path)
    _check_version(next(lines, (1, {}))[1], path)
    for number, line in lines:
        yield _checked(line, _entry, f"{path}:{number}")


def _entry(line: dict[str, Any]) -> Entry:
    if "vote" in line:
        return Vote.model_validate(line["vote"])
    text = line["text"]
    if "base64" in text:
        return StoredText(text["digest"], b64decode(text["base64"], validate=True))
    if text.get("erased"):
        return StoredText(text["digest"], None)
    return StoredText(text["digest"], text["body"].encode())


def _check_version(header: dict[str, Any], path: Path) -> None:
    if header.get("format") != FORMAT:
        raise DataError(f"{path}: is no export of votes; name a file that `charter votes` wrote")
    if header.get("version") != VERSION:
        raise DataError(
            f"{path}: has format version {header.get('version')}, this charter knows {VERSION}; "
            "use the charter that wrote it, or a newer one"
        )


def _checked(line: Any, parse: Callable[[Any], Entry], where: str) -> Entry:
    """The entry a line holds, its text proven by its digest."""
    try:
        entry = parse(line)
    except (ValidationError, KeyError, TypeError, AttributeError, ValueError) as error:
        told = error.errors()[0]["msg"] if isinstance(error, ValidationError) else repr(error)
        raise DataError(
            f"{where}: holds no text and no vote ({told}); export the votes again"
        ) from error
    if (
        isinstance(entry, StoredText)
        and entry.body is not None
        and sha256(entry.body).hexdigest() != entry.digest
    ):
        raise DataError(f"{where}: text is not the one its digest names; export the votes again")
    return entry


def _parquet_schema(pa: Any) -> Any:
    name = pa.dictionary(pa.int32(), pa.string())
    return pa.schema(
        [
            ("record", name),
            ("digest", pa.string()),
            ("body", pa.binary()),
            *((field, name) for field in ("setting", "principle", "conversation")),
            ("completions", pa.list_(pa.string())),
            ("sample", pa.int32()),
            *((field, name) for field in ("status", "reason")),
            ("logprobs", pa.list_(pa.float64())),
            *((field, pa.float64()) for field in ("label_mass", "value")),
            *((field, pa.int32()) for field in ("prompt_tokens", "cached_tokens")),
            ("provenance", name),
            ("rationale", pa.string()),
        ],
        metadata={"format": FORMAT, "version": str(VERSION)},
    )


def write_parquet_export(path: Path, entries: Iterable[Entry]) -> int:
    """How many votes went into the file. Raises: ConfigError where pyarrow is not installed."""
    pa = load_pyarrow(path)
    schema, count = _parquet_schema(pa), 0
    entries = iter(entries)
    with replacing(path) as file, pa.parquet.ParquetWriter(file, schema) as writer:
        while rows := [_row(entry) for entry in islice(entries, ROW_GROUP)]:
            writer.write_table(pa.Table.from_pylist(rows, schema))
            count += sum(row["record"] == "vote" for row in rows)
    return count


def _row(entry: Entry) -> dict[str, Any]:
    if isinstance(entry, StoredText):
        return {"record": "text", "digest": entry.digest, "body": entry.body}
    vote = entry.model_dump()
    return {"record": "vote", **vote.pop("question"), **vote}


def read_parquet_export(path: Path) -> Iterator[Entry]:
    """What `write_parquet_export` wrote.

    Raises: DataError for a file that is absent, no export, or altered; ConfigError where pyarrow
    is not installed.
    """
    pa = load_pyarrow(path)
    try:
        with pa.parquet.ParquetFile(path) as file:
            told = {k.decode(): v.decode() for k, v in (file.schema_arrow.metadata or {}).items()}
            version = told.get("version", "")
            header = told | {"version": int(version) if version.isdigit() else version}
            _check_version(header, path)
            for batch in file.iter_batches(ROW_GROUP):
                for row in batch.to_pylist():
                    yield _checked(row, _parquet_entry, str(path))
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({error}); export again") from error


def _parquet_entry(row: dict[str, Any]) -> Entry:
    if row["record"] == "text":
        return StoredText(row["digest"], row["body"])
    fields = ("setting", "principle", "conversation", "completions", "sample")
    of_vote = set(Vote.model_fields) - {"question"}
    return Vote(
        question={field: row[field] for field in fields},
        # Exports made before votes had a rationale lack its column.
        **{field: row[field] for field in of_vote & row.keys()},
    )
