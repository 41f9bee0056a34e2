"""One batch while the service, its worker, its engine and its database connections are killed.

The engine is a process of ours that notes each prompt it computes, so that what is computed twice
can be counted. At each kill, what was computed and is not stored yet was in flight: it may be
computed again, and nothing else may.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text

from judges.errors import ModelError
from judges.progress import say
from judges.store.schema import connect_database, database_url, votes
from service.benchmarks.batch_client import (
    finish_batch,
    read_batch,
    read_rows,
    start_batch,
)
from service.jobs.tables import tasks

ATTEMPTS_S = 600.0
JUDGE = """\
[default]
url = "http://127.0.0.1:{port}"
model = "fake-engine"
revision = "1"
transport = "chat_logprobs"
"""


class Fleet:
    """The processes of one run, each begun again when it is killed."""

    def __init__(self, folder: Path, database: str | None, workers: int, latency_s: float) -> None:
        self.folder, self.workers = folder, workers
        self.log = folder / "computed"
        self.log.touch()
        self.engine_port, self.port = _free_port(), _free_port()
        (folder / "judges.toml").write_text(JUDGE.format(port=self.engine_port))
        self.url = database or f"sqlite:///{folder}/votes.db"
        self._latency_s = latency_s
        self._environment = os.environ | {
            "CHARTER_HOME": str(folder / "home"),
            "CHARTER_DATABASE_URL": self.url,
            "CHARTER_JUDGES": str(folder / "judges.toml"),
            "CHARTER_WORKERS": "0" if workers else "4",
        }
        self.address = f"http://127.0.0.1:{self.port}"
        self.probes: set[str] = set()
        """Prompts that the service asked before the batch, to see whether the engine answers."""
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def names(self) -> list[str]:
        """All processes of the run."""
        return ["engine", "service", *(f"worker {n}" for n in range(self.workers))]

    def start(self, name: str) -> None:
        """Begin a process."""
        module = "charter"
        words = ["worker", "--parent", str(os.getpid())]
        if name == "engine":
            module = "service.benchmarks.fake_engine"
            words = [str(self.engine_port), str(self.log), str(self._latency_s)]
        elif name == "service":
            words = ["serve", "--port", str(self.port)]
        errors = (self.folder / f"{name}.log").open("ab")
        self.running[name] = subprocess.Popen(
            [sys.executable, "-m", module, *words],
            env=self._environment,
            stdout=errors,
            stderr=errors,
        )
        errors.close()

    def kill(self, name: str) -> None:
        """Kill a process, as the kernel does when memory is short."""
        self.running[name].send_signal(signal.SIGKILL)
        self.running[name].wait()

    def ready(self) -> None:
        """Wait until the service answers. Raises: ModelError when it does not."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.address}/ready", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise ModelError(f"{self.address}: the service did not get ready; see {self.folder}")

    def stop(self) -> None:
        """End all."""
        for process in self.running.values():
            process.kill()
            process.wait()


def benchmark_faults(
    lines: int, kills: int, database: str | None, seed: int, *, latency_s: float = 0.02
) -> dict[str, Any]:
    """Lines lost, committed twice and computed again over one batch with kills at random.

    Cost: no model call; a few seconds a kill.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        fleet = Fleet(folder, database, 2 if database else 0, latency_s)
        stack.callback(fleet.stop)
        for name in fleet.names():
            fleet.start(name)
        fleet.ready()
        fleet.probes = set(_computed(fleet))
        batch = start_batch(fleet.address, folder, lines)
        told = _kill_at_random(fleet, batch, kills, random.Random(seed))
        ended = finish_batch(fleet.address, batch, ATTEMPTS_S)
        return told | _count(fleet, ended, lines)


def _kill_at_random(fleet: Fleet, batch: str, kills: int, draw: random.Random) -> dict[str, Any]:
    victims = [*fleet.names(), *(["connections"] if fleet.url.startswith("postgres") else [])]
    killed: Counter[str] = Counter()
    in_flight = []
    while killed.total() < kills:
        if not _moved(fleet, batch, draw):
            say(f"the batch was over after {killed.total()} kills; give it more lines")
            break
        victim = draw.choice(victims)
        _do_kill(fleet, victim)
        exposed = len(_computed(fleet)) - _stored(fleet)
        in_flight.append(exposed)
        killed[victim.split()[0]] += 1
        say(f"killed {victim}; {exposed} votes were computed and not stored")
        if victim != "connections":
            fleet.start(victim)
    return {
        "kills": killed.total(),
        "killed": dict(killed),
        "in_flight_at_kills": {"sum": sum(in_flight), "most": max(in_flight, default=0)},
    }


def _moved(fleet: Fleet, batch: str, draw: random.Random) -> bool:
    """Wait for more votes, then a moment more; False when the batch is over."""
    wanted = _computed(fleet).total() + draw.randrange(20, 200)
    deadline = time.monotonic() + ATTEMPTS_S
    while _computed(fleet).total() < wanted and time.monotonic() < deadline:
        told = read_batch(fleet.address, batch)
        if told and told["status"] not in ("validating", "in_progress"):
            return False
        time.sleep(0.05)
    time.sleep(draw.uniform(0, 0.3))
    return True


def _do_kill(fleet: Fleet, victim: str) -> None:
    if victim != "connections":
        fleet.kill(victim)
        return
    engine = connect_database(database_url(fleet.url))
    with engine.begin() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid != pg_backend_pid() AND datname = current_database()"
            )
        )
    engine.dispose()


def _computed(fleet: Fleet) -> Counter[str]:
    noted = (line for line in fleet.log.read_text().split() if len(line) == 64)
    return Counter(line for line in noted if line not in fleet.probes)


def _stored(fleet: Fleet) -> int:
    engine = connect_database(database_url(fleet.url))
    with engine.connect() as connection:
        # Votes of rules are stored too, and computed by no engine: they count no tokens.
        query = select(func.count()).select_from(votes).where(votes.c.prompt_tokens > 0)
        stored = connection.scalar(query)
    engine.dispose()
    return int(stored or 0)


def _count(fleet: Fleet, ended: dict[str, Any], lines: int) -> dict[str, Any]:
    rows = read_rows(fleet.address, ended["output_file_id"])
    rows += read_rows(fleet.address, ended["error_file_id"])
    names = Counter(row["custom_id"] for row in rows)
    computed = _computed(fleet)
    return {
        "status": ended["status"],
        "lines": lines,
        "lines_lost": lines - len(names),
        "lines_twice": sum(count - 1 for count in names.values()),
        "lines_failed": ended["request_counts"]["failed"],
        "votes_stored": _stored(fleet),
        "votes_computed": computed.total(),
        "votes_computed_again": computed.total() - len(computed),
        "part_attempts": _attempts(fleet),
    }


def _attempts(fleet: Fleet) -> dict[str, int]:
    """How many attempts parts took."""
    url = database_url(fleet.url)
    if url.get_backend_name() == "sqlite":
        url = url.set(database=str(Path(str(url.database)).with_name("service.db")))
    engine = connect_database(url)
    with engine.connect() as connection:
        query = select(tasks.c.attempt).where(tasks.c.phase == "work")
        counted = Counter(connection.scalars(query))
    engine.dispose()
    return {str(attempt): count for attempt, count in sorted(counted.items())}


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
