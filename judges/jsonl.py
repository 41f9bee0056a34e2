"""JSON lines on disk: read with line numbers, written whole or not at all, resumed after a kill."""

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import orjson

from judges.errors import DataError
from judges.suggest import no_such_file

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)
WRITE_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of each line; blank lines are passed over.

    Raises: DataError for a file that is absent, or a line that is no UTF-8 or no JSON object.
    """
    for number, line in read_lines(path):
        yield number, parse_line(line, f"{path}:{number}")


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Line number and bytes of each line that is not blank. Raises: DataError."""
    with _reading(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line


def read_text(path: Path) -> str:
    """The whole of a text file. Raises: DataError when it is absent or no UTF-8."""
    with _reading(path) as file:
        try:
            return file.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from None


def parse_line(line: bytes, where: str) -> dict[str, Any]:
    """One line's object. Raises: DataError that names the place and the remedy."""
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where}: byte {error.start + 1} of the line is not UTF-8 "
            f"({line[error.start]:#04x}); convert the file with `iconv -t utf-8`"
        ) from None
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        column = min(error.pos, len(error.doc.rstrip())) + 1
        raise DataError(
            f"{where}: not JSON at column {column}: {error.msg}; "
            "each line must be one complete JSON object"
        ) from None
    if not isinstance(value, dict):
        raise DataError(f"{where}: a {type(value).__name__}, not a JSON object {{…}}")
    return value


@contextmanager
def _reading(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise DataError(no_such_file(path)) from None
    except IsADirectoryError:
        raise DataError(f"{path}: a folder; name a file in it") from None
    except PermissionError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write rows as PATH at once, whole or not at all; returns their number.

    Raises: DataError when the disk is full; what was at PATH is then still there.
    """
    count = 0
    with replacing(path) as file:
        for row in rows:
            file.write(dump_line(row))
            count += 1
    return count


def dump_line(row: Mapping[str, Any]) -> bytes:
    """One JSON line. Lone surrogates, which JSON files cannot hold as UTF-8, become U+FFFD."""
    try:
        return orjson.dumps(row, option=WRITE_OPTIONS)
    except TypeError:
        return orjson.dumps(_without_surrogates(row), option=WRITE_OPTIONS)


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(item) for item in value]
    return value


def refuse_no_file(path: Path) -> None:
    """Raises: DataError when PATH is there and is no plain file, which a file could replace."""
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: is a folder or a device; name a file to write")


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes PATH's place when the block ends well, else vanishes."""
    with _disk(path):
        path = path.resolve()  # a link stays a link: what it points to is replaced
        refuse_no_file(path)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise DataError(
                f"{path}: the disk is full; free some space and run the same command again: "
                "what was done is kept"
            ) from error
        if error.errno in UNWRITABLE:
            raise DataError(f"{path}: cannot be written ({error.strerror})") from error
        raise


class Journal:
    """The output of a long job: lines are kept as they are made, and found again after a kill.

    Finished lines go to `PATH.partial`; `finish` puts them in the wanted order as PATH. A later
    run takes over every line of PATH and PATH.partial that `keep` accepts.
    """

    def __init__(self, path: Path, keep: Callable[[dict[str, Any]], bool]) -> None:
        self.path = path
        self.partial = path.with_name(path.name + ".partial")
        self._lines: dict[str, tuple[int, int]] = {}
        refuse_no_file(path)
        kept = [line for old in (path, self.partial) for line in _usable_lines(old, keep)]
        with replacing(self.partial) as file:
            for identity, line in kept:
                self._lines[identity] = (file.tell(), len(line))
                file.write(line)
        # Unbuffered: what a full disk refused must not be tried again when the file is closed.
        self._file = self.partial.open("r+b", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def __contains__(self, identity: str) -> bool:
        return identity in self._lines

    def __len__(self) -> int:
        return len(self._lines)

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Keep rows, each with an `id`; they survive a kill from here on, all of them or none.

        Raises: DataError when the disk is full; the rows kept before are still there.
        """
        start = self._file.seek(0, os.SEEK_END)
        places: dict[str, tuple[int, int]] = {}
        block = bytearray()
        for row in rows:
            line = dump_line(row)
            places[str(row["id"])] = (start + len(block), len(line))
            block += line
        with _disk(self.path):
            try:
                self._write(block)
            except OSError:
                self._file.truncate(start)
                raise
        self._lines |= places

    def _write(self, block: bytearray) -> None:
        rest = memoryview(block)
        while rest:
            rest = rest[self._file.write(rest) :]

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows kept so far, in the order they came."""
        for start, length in self._lines.values():
            self._file.seek(start)
            yield parse_line(self._file.read(length), str(self.partial))

    def finish(self, order: Iterable[str]) -> None:
        """Write the lines in this order as PATH and drop PATH.partial."""
        with replacing(self.path) as file:
            for identity in order:
                start, length = self._lines[identity]
                self._file.seek(start)
                file.write(self._file.read(length))
        self._file.close()
        self.partial.unlink(missing_ok=True)


def _usable_lines(
    path: Path, keep: Callable[[dict[str, Any]], bool]
) -> Iterator[tuple[str, bytes]]:
    """The identity and bytes of each whole line that is kept; other lines count for nothing."""
    if not path.exists():
        return
    with _reading(path) as file:
        for line in file:
            try:
                row = parse_line(line, str(path))
            except DataError:
                continue  # the line a kill left half-written
            if line.endswith(b"\n") and "id" in row and keep(row):
                yield str(row["id"]), line
