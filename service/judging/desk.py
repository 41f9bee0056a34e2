"""Where items of all requests meet: those asked alike are judged together, each by its deadline.

While some items of a kind are being judged, those that come in meanwhile wait, and go together
next: one read, few commits and full engine requests instead of one of each for every caller. A
caller that gives up leaves no trace but the votes cast so far.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from judges.errors import CharterError, ModelError
from judges.records import Item
from service.errors import ApiError
from service.judging.lanes import TURN, Turn
from service.judging.loop import JudgingLoop
from service.judging.tasks import Task

ITEMS_TOGETHER = 64
"""Most items judged by one call."""
CALLS_AT_ONCE = 4
"""Calls for the same task in flight: while one commits, the others keep the engine busy."""
WINDOW = 256
"""Items of one list that wait or are judged at once; the rest is not looked at yet."""
Line = dict[str, Any]
Waiting = tuple[Item, "asyncio.Future[Line]"]
Observe = Callable[[str, Line, float], None]


@dataclass
class _Group:
    """Items that wait to be judged alike."""

    task: Task
    turn: Turn
    pending: deque[Waiting] = field(default_factory=deque)
    running: int = 0


class Desk:
    """Takes items from the HTTP loop, has them judged on the judging loop."""

    def __init__(self, loop: JudgingLoop, max_waiting: int, observe: Observe) -> None:
        self.loop, self.max_waiting, self._observe = loop, max_waiting, observe
        self.inside = 0
        """Items taken and not answered yet, lists' windows included."""
        self._groups: dict[tuple[str, Turn], _Group] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def refuse_when_full(self) -> None:
        """Raises: ApiError 429 while as many items wait as may."""
        if self.inside >= self.max_waiting:
            raise ApiError(
                429, "queue_full", f"{self.inside} items are waiting for the judge",
                "wait as long as Retry-After says, or send a batch", retry_after_s=1.0,
            )  # fmt: skip

    async def judge(self, task: Task, item: Item, turn: Turn, deadline_s: float) -> Line:
        """One item's line. A list's own items are `stream`ed.

        Raises: ApiError 429 when the desk is full; ModelError when the engine is gone.
        """
        self.refuse_when_full()
        self.inside += 1
        try:
            return await self.loop.run(self._take(task, item, turn, time.monotonic() + deadline_s))
        finally:
            self.inside -= 1

    async def stream(
        self, task: Task, items: Sequence[Item], turn: Turn, deadline_s: float
    ) -> AsyncGenerator[Line]:
        """A line for each item, as they are done; failures of the engine are lines too.

        Memory: at most `WINDOW` items are under way, and none is begun while nobody reads.
        """
        ends = time.monotonic() + deadline_s
        done: asyncio.Queue[tuple[Item, Future[Line]]] = asyncio.Queue()
        here, flying = asyncio.get_running_loop(), set[Future[Line]]()

        def begin(item: Item) -> None:
            future = self.loop.submit(self._take(task, item, turn, ends))
            flying.add(future)
            self.inside += 1
            future.add_done_callback(
                lambda f: None if here.is_closed()
                else here.call_soon_threadsafe(done.put_nowait, (item, f))
            )  # fmt: skip

        waiting = iter(items)
        try:
            for item in _some(waiting, WINDOW):
                begin(item)
            while flying:
                item, future = await done.get()
                flying.discard(future)
                self.inside -= 1
                yield _outcome(item, future)
                for item in _some(waiting, 1):
                    begin(item)
        finally:
            self.inside -= len(flying)
            for future in flying:
                future.cancel()

    async def batch(self, task: Task, items: Sequence[Item], turn: Turn) -> list[Line]:
        """The lines of a batch's chunk, in order, asked for in the batch lane.

        Raises: ModelError when the engine is gone.
        """
        return await self.loop.run(self._all(task, items, turn))

    async def _all(self, task: Task, items: Sequence[Item], turn: Turn) -> list[Line]:
        TURN.set(turn)
        start, lines = time.monotonic(), list[Line]()
        async with aclosing(task.run(items)) as judged:
            async for part in judged:
                lines += part
        for line in lines:
            self._observe(task.verb, line, time.monotonic() - start)
        return lines

    async def _take(self, task: Task, item: Item, turn: Turn, ends: float) -> Line:
        """One item's line, or what says that its time was up. On the judging loop."""
        start = time.monotonic()
        if ends <= start:
            return failed_line(item, "deadline_passed", "its turn did not come in time")
        answer: asyncio.Future[Line] = asyncio.get_running_loop().create_future()
        group = self._groups.setdefault((task.key, turn), _Group(task, turn))
        group.pending.append((item, answer))
        self._launch(group)
        try:
            async with asyncio.timeout(ends - start):
                line = await answer
        except TimeoutError:
            line = failed_line(item, "deadline_passed", f"not done after {ends - start:.1f} s")
        self._observe(task.verb, line, time.monotonic() - start)
        return line

    def _launch(self, group: _Group) -> None:
        """Begin calls for what waits, as many as may run."""
        loop = asyncio.get_running_loop()
        while group.running < CALLS_AT_ONCE and (batch := _ready(group.pending)):
            group.running += 1
            task = loop.create_task(self._call(group, batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if not group.running:
            self._groups.pop((group.task.key, group.turn), None)

    async def _call(self, group: _Group, batch: list[Waiting]) -> None:
        TURN.set(group.turn)
        left = deque(batch)
        try:
            async with aclosing(group.task.run([item for item, _ in batch])) as judged:
                async for lines in judged:
                    for line in lines:
                        _, answer = left.popleft()
                        if not answer.done():
                            answer.set_result(line)
        except Exception as error:
            await self._tell(error, group, left)
        finally:
            for _, answer in left:
                answer.cancel()
            group.running -= 1
            self._launch(group)

    async def _tell(self, error: Exception, group: _Group, left: deque[Waiting]) -> None:
        """An engine's end is everybody's; what else goes wrong is found out one by one."""
        alone = len(left) == 1 or isinstance(error, CharterError)
        while left:
            item, answer = left.popleft()
            if not alone:
                await self._call_one(group.task, item, answer)
            elif not answer.done():
                answer.set_exception(error)

    async def _call_one(self, task: Task, item: Item, answer: "asyncio.Future[Line]") -> None:
        try:
            lines = [line async for part in task.run([item]) for line in part]
            outcome: Line | Exception = lines[0]
        except Exception as error:
            outcome = error
        if not answer.done() and isinstance(outcome, Exception):
            answer.set_exception(outcome)
        elif not answer.done() and isinstance(outcome, dict):
            answer.set_result(outcome)


def failed_line(item: Item | None, reason: str, detail: str, name: str = "") -> Line:
    """The line of an item that came to nothing, and why: never a number."""
    return {
        "id": item.id if item else name,
        "status": "error",
        "reason": reason,
        "detail": detail,
        "metadata": item.metadata if item else {},
    }


def _outcome(item: Item, future: "Future[Line]") -> Line:
    try:
        return future.result()
    except ModelError as error:
        return failed_line(item, "engine_error", str(error))
    except CharterError as error:
        return failed_line(item, "engine_error", f"{type(error).__name__}: {error}")


def _ready(
    pending: deque[Waiting],
) -> list[Waiting]:
    """The next items to judge together; those whose callers gave up are dropped."""
    batch: list[Waiting] = []
    while pending and len(batch) < ITEMS_TOGETHER:
        item, answer = pending.popleft()
        if not answer.done():
            batch.append((item, answer))
    return batch


def _some(items: Iterator[Item], count: int) -> list[Item]:
    return list(islice(items, count))
