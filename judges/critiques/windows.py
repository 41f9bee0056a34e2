"""Long work on items, a window at a time, the next one already under way."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from typing import Any

from judges.errors import ModelError
from judges.records import Item, Reason

WINDOW_COMPLETIONS = 32
"""Completions a window holds at least."""
WINDOWS_IN_FLIGHT = 2
DEAD_AFTER = 16
"""So many items and not one answer: the engine is gone."""
Progress = Callable[[int, int], None]
Lines = list[dict[str, Any]]


async def in_windows(
    items: Sequence[Item],
    job: Callable[[list[Item]], Awaitable[Lines]],
    progress: Progress | None = None,
) -> AsyncGenerator[Lines]:
    """The job's lines on each window of items, in the items' order.

    Raises: ModelError when a window of many items ends in nothing but errors.
    """
    flying: deque[asyncio.Future[Lines]] = deque()
    windows = iter(_windows(items))
    done = 0
    try:
        while True:
            while len(flying) < WINDOWS_IN_FLIGHT and (window := next(windows, None)):
                flying.append(asyncio.ensure_future(job(window)))
            if not flying:
                return
            lines = await flying[0]
            flying.popleft()
            _stop_when_dead(lines)
            done += len(lines)
            if progress:
                progress(done, len(items))
            yield lines
    finally:
        for task in flying:
            task.cancel()
        await asyncio.gather(*flying, return_exceptions=True)


def _windows(items: Sequence[Item]) -> Iterable[list[Item]]:
    window: list[Item] = []
    held = 0
    for item in items:
        window.append(item)
        held += len(item.completions)
        if held >= WINDOW_COMPLETIONS:
            yield window
            window, held = [], 0
    if window:
        yield window


def _stop_when_dead(lines: Lines) -> None:
    if len(lines) >= DEAD_AFTER and all(line["status"] == "error" for line in lines):
        raise ModelError(
            f"the model answered for none of {len(lines)} items ({lines[0]['detail']}); see to "
            "the engine and run the same command again: all lines so far are kept"
        )


def outcome(parts: Iterable[tuple[Reason | None, str]]) -> dict[str, Any]:
    """Status, reason and detail of a line from its parts' reasons; None for one that went well.

    An engine's failure makes an error, to be asked again; nothing but failures, unscored.
    """
    told = list(parts)
    reasons = Counter(reason for reason, _ in told)
    if "engine_error" in reasons:
        detail = next(detail for reason, detail in told if reason == "engine_error")
        return {"status": "error", "reason": "engine_error", "detail": detail}
    if None in reasons or not reasons:
        return {"status": "scored", "reason": None, "detail": ""}
    return {"status": "unscored", "reason": reasons.most_common(1)[0][0], "detail": ""}
