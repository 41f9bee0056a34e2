"""Rows of a data file, whatever kind of file it is.

| file | rows |
|---|---|
| .jsonl, .jsonl.gz | a line each |
| .json | an array of objects |
| .parquet | as the table has them |
| a folder | those of its train.jsonl, which `charter preferences` writes |
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from judges.errors import ConfigError, DataError
from judges.jsonl import parse_line, read_jsonl
from judges.suggest import no_such_file

FOLDER_FILE = "train.jsonl"
READ_AT_ONCE = 1000

Rows = Iterator[tuple[int, dict[str, Any]]]
"""The number of each row, from 1, and its object."""


def rows_file(path: Path) -> Path:
    """The file of the rows themselves: a folder's, or the path."""
    inside = path / FOLDER_FILE
    return inside if inside.is_file() else path


def read_rows(path: Path) -> Rows:
    """Number and object of each row; of lines, the line's number.

    Raises: DataError for a file that is absent, or that holds no such rows; ConfigError for
    .parquet where pyarrow is not installed.
    """
    file = rows_file(path)
    if file.suffix == ".json":
        yield from _array(file)
    elif file.suffix == ".parquet":
        yield from _parquet(file)
    elif file.suffix == ".gz":
        yield from _packed(file)
    else:
        yield from read_jsonl(file)


def load_pyarrow(path: Path) -> Any:
    """The package, with its `parquet`. Raises: ConfigError where it is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{path}: Parquet needs pyarrow, which is not installed; "
            "run pip install pyarrow, or name a .jsonl file"
        ) from error
    return pyarrow


def _array(file: Path) -> Rows:
    try:
        rows = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise DataError(no_such_file(file)) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: not a JSON array ({error}); use .jsonl for lines") from None
    if not isinstance(rows, list):
        raise DataError(f"{file}: a {type(rows).__name__}, not a JSON array of rows")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DataError(f"{file}:{number}: a {type(row).__name__}, not an object")
        yield number, row


def _parquet(file: Path) -> Rows:
    if not file.is_file():
        raise DataError(no_such_file(file))
    pyarrow = load_pyarrow(file)
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=READ_AT_ONCE):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{file}: not Parquet ({error}); get the file again") from None


def _packed(file: Path) -> Rows:
    if not file.is_file():
        raise DataError(no_such_file(file))
    try:
        with gzip.open(file, "rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, parse_line(line, f"{file}:{number}")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file}: cannot be unpacked ({error}); get the file again") from None
