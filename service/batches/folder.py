"""What a batch keeps on disk while it runs: its input, what planning found, a file for each part.

A part's files are named by its attempt and in place before its commit, which names them: what a
worker that lost its lease still writes is never read.
"""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from judges.errors import DataError
from judges.jsonl import dump_line, replacing

COPY_BYTES = 1 << 20


class BatchFolder:
    """The folder of one batch."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.input = path / "input.jsonl"
        self.repeated = path / "repeated"
        self.constitutions = path / "constitutions.json"

    def take_input(self, file: Path) -> None:
        """Share the uploaded file's bytes: deleting the file takes nothing from the batch.

        Raises: DataError when it is gone.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, self.input)
        except FileExistsError:
            pass
        except FileNotFoundError:
            raise DataError(f"{file.name}: the uploaded file is gone; upload it again") from None
        except OSError:  # another file system, or one without links
            with replacing(self.input) as copy, file.open("rb") as source:
                shutil.copyfileobj(source, copy, COPY_BYTES)

    def keep_constitutions(self, resolved: Mapping[str, str]) -> None:
        """Write what the references meant when the batch was planned."""
        with replacing(self.constitutions) as file:
            file.write(orjson.dumps(dict(resolved)))

    def resolved_constitutions(self) -> dict[str, str]:
        """Each reference's digest, as of planning."""
        return dict(orjson.loads(self.constitutions.read_bytes()))

    def write_part(self, name: str, rows: Sequence[Mapping[str, Any]]) -> int:
        """Bytes of a part's file, whole and on disk; without rows there is none: 0.

        Raises: DataError when the disk is full.
        """
        if not rows:
            return 0
        with replacing(self.path / "parts" / name) as file:
            for row in rows:
                file.write(dump_line(row))
            return file.tell()

    def part(self, name: str) -> Path:
        """Where a part's file lies."""
        return self.path / "parts" / name

    def join(self, output: Path, names: Iterable[str], more: Iterable[Mapping[str, Any]]) -> int:
        """Bytes of a new file of the parts' contents, and more lines after them.

        Raises: DataError when the disk is full.
        """
        with replacing(output) as file:
            for name in names:
                with self.part(name).open("rb") as part:
                    shutil.copyfileobj(part, file, COPY_BYTES)
            for row in more:
                file.write(dump_line(row))
            return file.tell()

    def clear(self) -> None:
        """Remove all of it."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self.path)
