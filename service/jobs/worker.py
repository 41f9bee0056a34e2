"""The worker: claims tasks, keeps their leases alive, runs them, commits what they made.

Heartbeats come from a thread of their own: an event loop that is held up by a slow disk would
otherwise lose its leases. When a lease is lost, or the job is cancelled, the task's work is
cancelled at once.
"""

import asyncio
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from sqlalchemy import Engine

from judges.errors import CharterError, DataError
from service.jobs.leases import LEASE_S, claim, heartbeat, release
from service.jobs.lifecycle import expire_jobs
from service.jobs.records import Claim

log = logging.getLogger("charter.jobs")
POLL_S = 0.5
"""How soon a worker with nothing to do sees a new job of another process."""
EXPIRE_EVERY_S = 5.0
LONGEST_WAIT_S = 60.0
Settle = Callable[[], bool]
"""Commits a task; False when it was lost meanwhile. May be called again."""
Run = Callable[[Claim], Awaitable[Settle]]
"""Does a task's work, and returns what commits it."""


class Worker:
    """Works on the tasks of some queues until it is told to stop."""

    def __init__(
        self,
        engine: Engine,
        run: Run,
        queues: Sequence[str],
        *,
        slots: int = 1,
        lease_s: float = LEASE_S,
        poll_s: float = POLL_S,
    ) -> None:
        self.engine, self.queues, self.slots = engine, tuple(queues), slots
        self.lease_s, self.poll_s = lease_s, poll_s
        self.owner = f"{socket.gethostname()[:24]}-{os.getpid()}-{secrets.token_hex(6)}"
        self._run = run
        self._held: dict[Claim, asyncio.Task[None]] = {}
        self._beaten: dict[Claim, float] = {}
        self._stopping = asyncio.Event()
        self._woken = asyncio.Event()
        self._pulse = threading.Event()
        self._over = False
        self._threads = ThreadPoolExecutor(4, "charter-jobs")
        self._expired_at = 0.0

    @property
    def in_work(self) -> int:
        """How many tasks it holds."""
        return len(self._held)

    def wake(self) -> None:
        """Look now: a job was submitted, or cancelled, in this process."""
        self._woken.set()
        self._pulse.set()

    def stop(self) -> None:
        """Claim nothing more; `work` returns when what is held is done."""
        self._stopping.set()
        self._woken.set()

    async def work(self, drain_s: float = 30.0) -> None:
        """Work until `stop`; then finish what is held within `drain_s`, and give back the rest."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._beat, args=(loop,), daemon=True).start()
        try:
            while not self._stopping.is_set():
                self._woken.clear()
                await self._take()
                await self._rest()
            if self._held:
                await asyncio.wait(self._held.values(), timeout=drain_s)
        finally:
            await self._give_all_back()
            self._over = True
            self._pulse.set()
            self._threads.shutdown(wait=False)

    async def _in_thread(self, call: Callable[..., Any], *arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, call, *arguments)

    async def _take(self) -> None:
        """Claim as much as there are slots; a database that is away is asked again later."""
        try:
            if time.monotonic() - self._expired_at > EXPIRE_EVERY_S:
                await self._in_thread(expire_jobs, self.engine)
                self._expired_at = time.monotonic()
            while len(self._held) < self.slots and not self._stopping.is_set():
                taken = await self._in_thread(
                    claim, self.engine, self.owner, self.queues, self.lease_s
                )
                if taken is None:
                    return
                self._beaten[taken] = time.monotonic()
                self._held[taken] = asyncio.create_task(self._hold(taken))
        except DataError as error:
            log.warning("no work can be claimed: %s", error)

    async def _rest(self) -> None:
        """Until there may be something to do: a wake-up, a free slot, or a poll's time."""
        woken = asyncio.create_task(self._woken.wait())
        try:
            await asyncio.wait(
                {woken, *self._held.values()},
                timeout=self.poll_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            woken.cancel()

    async def _hold(self, held: Claim) -> None:
        """One task from its claim to its commit. Never raises but when cancelled."""
        try:
            settle = await self._run(held)
            if not await self._commit(settle):
                log.info("%s: part %d was lost before its commit", held.job.id, held.number)
        except asyncio.CancelledError:
            log.info("%s: part %d is not held any more", held.job.id, held.number)
        except Exception as error:
            note = " ".join(str(error).split()) or type(error).__name__
            told = log.warning if isinstance(error, CharterError) else log.exception
            told("%s: part %d is given back: %s", held.job.id, held.number, note)
            await self._give_back(held, min(LONGEST_WAIT_S, 2.0 ** min(held.attempt, 6)), note)
        finally:
            self._held.pop(held, None)
            self._beaten.pop(held, None)

    async def _commit(self, settle: Settle) -> bool:
        """Commit, through a database that is away for a while.

        Whether an attempt that failed was one before or after the commit makes no difference.
        """
        wait = 0.1
        while True:
            try:
                return bool(await self._in_thread(settle))
            except DataError as error:
                log.warning("a commit is tried again: %s", error)
                await asyncio.sleep(wait)
                wait = min(2 * wait, 5.0)

    async def _give_back(self, held: Claim, wait_s: float, note: str | None) -> None:
        with suppress(DataError):  # the lease runs out by itself
            await self._in_thread(release, self.engine, held, wait_s, note)

    async def _give_all_back(self) -> None:
        held = dict(self._held)
        for task in held.values():
            task.cancel()
        await asyncio.gather(*held.values(), return_exceptions=True)
        for one in held:
            await self._give_back(one, 0.0, None)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        """Keep the leases alive; runs in a thread of its own."""
        while not self._over:
            self._pulse.wait(self.lease_s / 3)
            self._pulse.clear()
            for held in list(self._held):
                if not self._still_held(held):
                    with suppress(RuntimeError):  # the loop is closed: nothing to cancel
                        loop.call_soon_threadsafe(self._drop, held)

    def _still_held(self, held: Claim) -> bool:
        sent = time.monotonic()
        try:
            kept = heartbeat(self.engine, held, self.lease_s)
        except DataError as error:
            log.warning("a heartbeat did not get through: %s", error)
            return sent - self._beaten.get(held, sent) < self.lease_s
        if kept:
            self._beaten[held] = sent
        return kept

    def _drop(self, held: Claim) -> None:
        if task := self._held.get(held):
            task.cancel()
