"""A thread with an event loop of its own, where judging runs.

Casting votes blocks now and then: a commit waits for the disk, a tally is arithmetic. On the loop
that speaks HTTP, `/health` and every other request would wait for it.
"""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")


class JudgingLoop:
    """Start it once; `run` from any loop, `submit` from any thread."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._serve, name="judging", daemon=True)

    def start(self) -> None:
        """Begin to take work."""
        self._loop = asyncio.new_event_loop()
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, Result]) -> "Future[Result]":
        """The work's result, later; cancelling it cancels the work. Context variables go along."""
        assert self._loop is not None, "start it first"
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The work's result, for a caller on another loop."""
        return await asyncio.wrap_future(self.submit(work))

    async def stop(self) -> None:
        """End all work that is left, and the thread."""
        if self._loop is None:
            return
        await self.run(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)
        self._loop.close()

    def _serve(self) -> None:
        assert self._loop is not None
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
