"""The watch of one process: it sums up what is observed, and hands on full blocks to the database.

Nothing here may make a reward fail or wait: blocks are written beside the requests, and what a
database that is away does not take is dropped and counted.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Engine

from judges.canonical import digest
from service.watch.run_state import RunSettings, Standing
from service.watch.run_store import Run, add_blocks, read_run
from service.watch.signals import BLOCKS, CHANNELS, Channel, Observation, Signal

Place = tuple[str, str]
"""A tenant and the name of one of its runs."""
OPEN_RUNS = 1000
"""Runs that a process sums up for at once; the one untouched for longest is closed first."""
WRITES = 64
"""Blocks that may wait for the database."""
REREAD_S = 5.0
"""How old another process's word on a run may be."""
log = logging.getLogger("charter.service")


@dataclass
class _Sums:
    """A block on its way."""

    count: int = 0
    totals: dict[str, tuple[float, int]] = field(default_factory=dict)

    def add(self, quantities: Mapping[str, float]) -> None:
        self.count += 1
        for name, value in quantities.items():
            total, number = self.totals.get(name, (0.0, 0))
            self.totals[name] = (total + value, number + 1)


@dataclass
class OpenRun:
    """What a process knows of a run."""

    settings: RunSettings = field(default_factory=RunSettings)
    stop: tuple[Signal, ...] = ()
    """The signals for which it should stop."""
    mean: float | None = None
    """Mean reward of the run."""
    standings: tuple[Standing, ...] = ()
    samples: int = 0
    seen: int = 0
    """Samples that came to this process."""
    read_at: float = float("-inf")
    sums: dict[Channel, _Sums] = field(default_factory=lambda: {c: _Sums() for c in CHANNELS})
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def take(self, run: Run) -> None:
        """What the database holds of it now."""
        self.settings, self.stop = run.settings, tuple(run.stop)
        self.mean, self.samples = run.state.run_mean(), run.state.samples
        self.standings = tuple(run.state.standings(run.settings))
        self.read_at = time.monotonic()


class Watch:
    """Watches the runs whose samples come to this process. For one event loop."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.open: OrderedDict[Place, OpenRun] = OrderedDict()
        self.dropped = 0
        """Blocks that the database did not take."""
        self._writes: set[asyncio.Task[None]] = set()

    async def look(self, place: Place) -> OpenRun:
        """A run as it stands, at most some seconds old."""
        run = self.open.setdefault(place, OpenRun())
        self.open.move_to_end(place)
        while len(self.open) > OPEN_RUNS:
            self.open.popitem(last=False)
        if time.monotonic() - run.read_at >= REREAD_S:
            run.read_at = time.monotonic()  # one reader is enough, and a lost database one try
            try:
                if held := await asyncio.to_thread(read_run, self.engine, *place):
                    run.take(held)
            except Exception:
                log.exception("run not read", extra={"run": place[1]})
        return run

    def add(self, place: Place, channel: Channel, seen: Sequence[Observation]) -> None:
        """Sum up observations of a run that was looked at; full blocks go to the database."""
        run = self.open.setdefault(place, OpenRun())
        for one in seen:
            sums = run.sums[channel]
            sums.add(one.quantities)
            if sums.count >= BLOCKS[channel]:
                run.sums[channel] = _Sums()
                self._begin_write(place, run, channel, sums)

    def forget(self, place: Place) -> None:
        """Know nothing of a run any more."""
        self.open.pop(place, None)

    async def flush(self) -> None:
        """Wait until the database has taken or refused every full block."""
        while self._writes:
            await asyncio.gather(*self._writes)

    def _begin_write(self, place: Place, run: OpenRun, channel: Channel, sums: _Sums) -> None:
        if len(self._writes) >= WRITES:
            self.dropped += 1
            return
        task = asyncio.create_task(self._write(place, run, channel, sums))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _write(self, place: Place, run: OpenRun, channel: Channel, sums: _Sums) -> None:
        blocks = [(channel, sums.totals)]
        async with run.lock:
            try:
                held, raised = await asyncio.to_thread(add_blocks, self.engine, *place, blocks)
            except Exception:
                self.dropped += 1
                log.exception("block of a run not kept", extra={"run": place[1]})
                return
        run.take(held)
        for alarm in raised:
            log.warning("alarm", extra={"run": place[1], **alarm.model_dump()})


def falls_in(place: Place, number: int, share: float) -> bool:
    """Whether the sample of a number is one of a share, by lot but the same each time."""
    return int(digest([*place, number])[:8], 16) < share * 2**32
