"""A file that grows while a process trains, as a stream: plain, or as server-sent events."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

LOOK_EVERY_S = 0.5
BLOCK = 1 << 16
QUIET_S = 15.0


async def follow_file(
    path: Path, offset: int, over: Callable[[], Awaitable[bool]], *, follow: bool
) -> AsyncIterator[tuple[int, bytes]]:
    """Whole lines from an offset on, each block with the offset behind it; until it is `over`.

    Where nothing comes for a while, an empty block says that the stream lives.
    """
    quiet, ended = 0.0, False
    while True:
        block = await asyncio.to_thread(_lines, path, offset, ended or not follow)
        if block:
            offset, quiet = offset + len(block), 0.0
            yield offset, block
        elif ended or not follow:
            return
        else:
            # Looked at before the last read: what was written until then is read.
            ended = await over()
            if not ended:
                await asyncio.sleep(LOOK_EVERY_S)
                quiet += LOOK_EVERY_S
            if quiet >= QUIET_S:
                quiet = 0.0
                yield offset, b""


def _lines(path: Path, offset: int, last: bool) -> bytes:
    """Bytes up to a line's end; the last line of all may lack one."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            block = file.read(BLOCK)
    except FileNotFoundError:
        return b""
    whole = block.rfind(b"\n") + 1
    return block if last or (not whole and len(block) == BLOCK) else block[:whole]


async def plain(blocks: AsyncIterator[tuple[int, bytes]]) -> AsyncIterator[bytes]:
    """The bytes alone."""
    async for _, block in blocks:
        if block:
            yield block


async def as_events(blocks: AsyncIterator[tuple[int, bytes]]) -> AsyncIterator[bytes]:
    """A server-sent event a line; ids are offsets, so that a browser goes on where it was."""
    async for end, block in blocks:
        if not block:
            yield b": still running\n\n"
            continue
        at = end - len(block)
        for line in block.splitlines(keepends=True):
            at += len(line)
            yield b"id: %d\ndata: %s\n\n" % (at, line.rstrip(b"\r\n").replace(b"\r", b" "))
    yield b"event: end\ndata: {}\n\n"
