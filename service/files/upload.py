"""Uploads: a form of any size streamed to disk as it arrives; what breaks off leaves nothing."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from judges.errors import DataError
from judges.jsonl import FULL, replacing
from judges.records import Record
from service.errors import ApiError

BLOCK = 1 << 20
LONGEST_FIELD = 1024
MOST_FIELDS = 16


class Uploaded(Record):
    """What a form held."""

    fields: dict[str, str]
    """Its other fields."""
    filename: str
    """As the client names the file."""
    size: int
    """Bytes written."""


class FormReader:
    """Takes a multipart form apart: the part called `file` goes to disk, small fields are kept."""

    def __init__(self, boundary: bytes, file: BinaryIO) -> None:
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self.size = 0
        self._file = file
        self._name, self._value = "", bytearray()
        self._header, self._header_value = bytearray(), bytearray()
        self._disposition = b""
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._in_header,
                "on_header_value": self._in_header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._open,
                "on_part_data": self._data,
                "on_part_end": self._close,
                "on_end": self._end,
            },
        )

    def write(self, block: bytes) -> None:
        """Take the next bytes. Raises: ApiError for what is no such form; OSError of the disk."""
        try:
            self._parser.write(block)
        except FormParserError as error:
            raise _no_form(str(error)) from None

    def result(self) -> Uploaded:
        """What it held. Raises: ApiError when it broke off or held no file."""
        if not self._ended:
            raise _no_form("it breaks off before its end")
        if self.filename is None:
            raise _no_form("it has no part called `file`")
        return Uploaded(fields=self.fields, filename=self.filename, size=self.size)

    def _begin(self) -> None:
        self._name, self._disposition = "", b""
        self._value.clear()

    def _in_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _in_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._header_value)
        self._header.clear()
        self._header_value.clear()

    def _open(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if self._name == "file":
            if self.filename is not None:
                raise _no_form("it has two parts called `file`")
            given = options.get(b"filename", b"").decode("utf-8", "replace")
            self.filename = given.replace("\0", "").rpartition("/")[2][:255] or "file"
        elif len(self.fields) >= MOST_FIELDS:
            raise _no_form(f"it has more than {MOST_FIELDS} fields")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._name == "file":
            self._file.write(data[start:end])
            self.size += end - start
            return
        self._value += data[start:end]
        if len(self._value) > LONGEST_FIELD:
            raise _no_form(f"its field {self._name[:40]!r} is too long")

    def _close(self) -> None:
        if self._name != "file":
            self.fields[self._name] = self._value.decode("utf-8", "replace")

    def _end(self) -> None:
        self._ended = True


async def receive_file(content_type: str, body: AsyncIterator[bytes], path: Path) -> Uploaded:
    """What a form held, its file now at `path`, whole and on disk; or nothing there.

    Memory: about a MiB, whatever the file's size.
    Raises: ApiError for what is no form with a file, 507 when the disk is full.
    """
    kind, options = parse_options_header(content_type.encode("latin-1", "replace"))
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise ApiError(
            415, "unsupported_media_type", f"content type {content_type[:80]!r}",
            "send multipart/form-data with the parts `purpose` and `file`",
        )  # fmt: skip
    stack = ExitStack()
    try:
        file = await asyncio.to_thread(stack.enter_context, replacing(path))
        reader = FormReader(options[b"boundary"], file)
        async for block in _blocks(body):
            await asyncio.to_thread(reader.write, block)
        uploaded = reader.result()
        await asyncio.to_thread(stack.close)
    except BaseException as error:
        try:
            stack.__exit__(*sys.exc_info())
        except DataError as told:
            _tell_full_disk(told)
            raise
        if isinstance(error, DataError):
            _tell_full_disk(error)
        raise
    return uploaded


async def _blocks(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    block = bytearray()
    async for piece in body:
        block += piece
        if len(block) >= BLOCK:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


def _tell_full_disk(error: DataError) -> None:
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno in FULL:
        raise ApiError(
            507, "disk_full", "the service's disk is full; nothing of the file was kept",
            "delete files that are of no use any more, or try later", retry_after_s=60,
        ) from error  # fmt: skip


def _no_form(why: str) -> ApiError:
    return ApiError(
        400, "bad_form", f"the form cannot be read: {why}",
        "send multipart/form-data with the parts `purpose` and `file`",
    )  # fmt: skip
