"""One batch while the service, its worker, its engine and its database are killed.

The engine is a process of ours that notes each prompt it computes, so that what is computed twice
can be counted. At each kill, what was computed and is not stored yet was in flight: it may be
computed again, and nothing else may.
"""

import random
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from judges.errors import ConfigError
from judges.progress import say
from service.benchmarks.batch_client import finish_batch, read_batch, read_rows, start_batch
from service.benchmarks.fleet import Fleet

ATTEMPTS_S = 600.0


def benchmark_faults(
    lines: int,
    kills: int,
    database: str | None,
    seed: int,
    *,
    kill_database: bool = False,
    latency_s: float = 0.02,
) -> dict[str, Any]:
    """Lines lost, committed twice and computed again over one batch with kills at random.

    Cost: no model call; a few seconds a kill.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        fleet = Fleet(folder, database, 2 if database else 0, latency_s)
        victims = find_victims(fleet, kill_database=kill_database)
        stack.callback(fleet.stop)
        fleet.start_all()
        batch = start_batch(fleet.address, folder, lines)
        told = _kill_at_random(fleet, victims, batch, kills, random.Random(seed))
        fleet.revive()
        ended = finish_batch(fleet.address, batch, ATTEMPTS_S)
        return told | _count(fleet, ended, lines)


def find_victims(fleet: Fleet, *, kill_database: bool) -> list[str]:
    """What can be killed. Raises: ConfigError where there is no server of a database."""
    if not fleet.on_postgresql:
        if kill_database:
            raise ConfigError("--kill-database: SQLite has no server; give --database postgresql:…")
        return fleet.names()
    return [*fleet.names(), "connections", *(["database"] if kill_database else [])]


def kill(fleet: Fleet, victim: str) -> None:
    """Kill what is named. A process has to be begun again by whoever calls."""
    if victim == "connections":
        fleet.cut_connections()
    elif victim == "database":
        fleet.kill_database()
    else:
        fleet.kill(victim)


def _kill_at_random(
    fleet: Fleet, victims: list[str], batch: str, kills: int, draw: random.Random
) -> dict[str, Any]:
    killed: Counter[str] = Counter()
    in_flight = []
    while killed.total() < kills:
        if not _moved(fleet, batch, draw):
            say(f"the batch was over after {killed.total()} kills; give it more lines")
            break
        victim = draw.choice(victims)
        exposed = _kill_one(fleet, victim)
        in_flight.append(exposed)
        killed[victim.split()[0]] += 1
        say(f"killed {victim}; {exposed} votes were computed and not stored")
    return {
        "kills": killed.total(),
        "killed": dict(killed),
        "in_flight_at_kills": {"sum": sum(in_flight), "most": max(in_flight, default=0)},
    }


def _kill_one(fleet: Fleet, victim: str) -> int:
    """Kill, begin again; returns how many votes were computed and not stored."""
    if victim == "database":  # cannot be asked just after: what is computed meanwhile counts too
        stored = fleet.stored()
        kill(fleet, victim)
        return len(fleet.computed()) - stored
    kill(fleet, victim)
    exposed = len(fleet.computed()) - fleet.stored()
    if victim in fleet.running:
        fleet.start(victim)
    return exposed


def _moved(fleet: Fleet, batch: str, draw: random.Random) -> bool:
    """Wait for more votes, then a moment more; False when the batch is over."""
    wanted = fleet.computed().total() + draw.randrange(20, 200)
    deadline = time.monotonic() + ATTEMPTS_S
    while fleet.computed().total() < wanted and time.monotonic() < deadline:
        fleet.revive()
        told = read_batch(fleet.address, batch)
        if told and told["status"] not in ("validating", "in_progress"):
            return False
        time.sleep(0.05)
    time.sleep(draw.uniform(0, 0.3))
    return True


def _count(fleet: Fleet, ended: dict[str, Any], lines: int) -> dict[str, Any]:
    rows = read_rows(fleet.address, ended["output_file_id"])
    rows += read_rows(fleet.address, ended["error_file_id"])
    names = Counter(row["custom_id"] for row in rows)
    computed = fleet.computed()
    return {
        "status": ended["status"],
        "lines": lines,
        "lines_lost": lines - len(names),
        "lines_twice": sum(count - 1 for count in names.values()),
        "lines_failed": ended["request_counts"]["failed"],
        "votes_stored": fleet.stored(),
        "votes_computed": computed.total(),
        "votes_computed_again": computed.total() - len(computed),
        "part_attempts": fleet.part_attempts(),
    }
