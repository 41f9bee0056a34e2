"""Watched runs in the service's database: every block is taken in within one transaction.

So several processes may watch one run, and a kill loses at most the blocks not yet full. Calls
block: make them in threads.
"""

import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from sqlalchemy import Connection, Engine, Row, delete, insert, select, update

from judges.records import Record
from judges.store.schema import writing
from service.watch.run_state import Alarm, RunSettings, RunState
from service.watch.signals import Channel, Signal, Totals
from service.watch.tables import runs


@dataclass(frozen=True)
class Run:
    """A watched run."""

    id: str
    settings: RunSettings
    state: RunState
    created_at: float
    updated_at: float

    @property
    def stop(self) -> list[Signal]:
        """The signals for which it should stop."""
        return self.state.stop(self.settings)


class RunSummary(Record):
    """A run in a list of them."""

    id: str
    """Its name."""
    samples: int
    """Samples seen, in full blocks."""
    stop: tuple[str, ...]
    """The signals for which it should stop."""
    created_at: float
    """Seconds since 1970."""
    updated_at: float
    """Seconds since 1970."""


def read_run(engine: Engine, tenant: str, name: str) -> Run | None:
    """A run, if it is there."""
    with engine.connect() as connection:
        return _read(connection, tenant, name)


def list_runs(engine: Engine, tenant: str, limit: int = 100) -> list[RunSummary]:
    """The runs last seen, the latest first."""
    chosen = select(runs.c.id, runs.c.samples, runs.c.stopping, runs.c.created_at,
                    runs.c.updated_at).where(runs.c.tenant == tenant)  # fmt: skip
    with engine.connect() as connection:
        rows = connection.execute(chosen.order_by(runs.c.updated_at.desc()).limit(limit)).all()
    return [
        RunSummary(
            id=row.id, samples=row.samples, stop=tuple(filter(None, row.stopping.split(","))),
            created_at=row.created_at, updated_at=row.updated_at,
        )
        for row in rows
    ]  # fmt: skip


def set_run(engine: Engine, tenant: str, name: str, settings: RunSettings) -> Run:
    """A run under these settings, begun if it was not there; what is known of it is kept."""
    with writing(engine) as connection:
        run = _held(connection, tenant, name)
        run = Run(name, settings, run.state, run.created_at, time.time())
        _write(connection, tenant, run)
    return run


def add_blocks(
    engine: Engine, tenant: str, name: str, blocks: Sequence[tuple[Channel, Totals]]
) -> tuple[Run, list[Alarm]]:
    """The run after these blocks, begun if it was not there, and the alarms they raise."""
    with writing(engine) as connection:
        run = _held(connection, tenant, name)
        raised: list[Alarm] = []
        for channel, totals in blocks:
            raised += run.state.add_block(channel, totals, run.settings)
        run = Run(name, run.settings, run.state, run.created_at, time.time())
        _write(connection, tenant, run)
    return run, raised


def forget_run(engine: Engine, tenant: str, name: str) -> bool:
    """Forget a run, so that its name begins anew; whether it was there."""
    with writing(engine) as connection:
        gone = connection.execute(delete(runs).where(runs.c.tenant == tenant, runs.c.id == name))
    return gone.rowcount > 0


def _held(connection: Connection, tenant: str, name: str) -> Run:
    """The run, held against other writers until the transaction ends; made if new."""
    if run := _read(connection, tenant, name, hold=True):
        return run
    now = time.time()
    run = Run(name, RunSettings(), RunState(name), now, now)
    row = {"tenant": tenant, "id": name, "created_at": now, **_columns(run)}
    savepoint = connection.begin_nested()
    try:
        connection.execute(insert(runs).values(row))
    except Exception:
        savepoint.rollback()  # another process began it in this moment
        found = _read(connection, tenant, name, hold=True)
        if found is None:
            raise
        return found
    savepoint.commit()
    return run


def _read(connection: Connection, tenant: str, name: str, hold: bool = False) -> Run | None:
    chosen = select(runs).where(runs.c.tenant == tenant, runs.c.id == name)
    row = connection.execute(chosen.with_for_update() if hold else chosen).first()
    return _run(row) if row else None


def _run(row: Row[tuple[object, ...]]) -> Run:
    return Run(
        row.id,
        RunSettings.model_validate_json(row.settings),
        RunState.load(orjson.loads(zlib.decompress(row.state))),
        row.created_at,
        row.updated_at,
    )


def _columns(run: Run) -> dict[str, object]:
    return {
        "settings": run.settings.model_dump_json(),
        "state": zlib.compress(orjson.dumps(run.state.dump()), 1),
        "samples": run.state.samples,
        "stopping": ",".join(run.stop),
        "updated_at": run.updated_at,
    }


def _write(connection: Connection, tenant: str, run: Run) -> None:
    connection.execute(
        update(runs).where(runs.c.tenant == tenant, runs.c.id == run.id).values(_columns(run))
    )
