"""The processes of a service under faults: an engine of ours, the service, workers, a database.

The engine notes each prompt it computes, so that what is computed twice can be counted, and falls
ill when told to. Each process is begun again when it is killed.
"""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from judges.engine.supervisor import free_port
from judges.errors import ConfigError, ModelError
from judges.store.schema import connect_database, database_url, votes
from service.jobs.tables import tasks

READY_S = 120.0
DATABASE_BACK_S = 60.0
JUDGE = """\
[default]
url = "http://127.0.0.1:{port}"
model = "fake-engine"
revision = "1"
transport = "chat_logprobs"
"""
SESSIONS = (
    "FROM pg_stat_activity WHERE pid != pg_backend_pid() AND datname = current_database() "
    "AND backend_type = 'client backend'"
)


class Fleet:
    """The processes of one run."""

    def __init__(self, folder: Path, database: str | None, workers: int, latency_s: float) -> None:
        self.folder, self.workers = folder, workers
        self.log = folder / "computed"
        self.log.touch()
        self.engine_port, self.port = free_port(), free_port()
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
        """Prompts that the service asked to see whether the engine answers."""
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def on_postgresql(self) -> bool:
        """Whether the database is a server, with connections that can be cut."""
        return self.url.startswith("postgres")

    def names(self) -> list[str]:
        """All processes of the run."""
        return ["engine", "service", *(f"worker {n}" for n in range(self.workers))]

    def start_all(self) -> None:
        """Begin all, and wait until the service answers. Raises: ModelError when it does not."""
        for name in self.names():
            self.start(name)
        self.wait_ready()
        self.probes = set(self.computed())

    def start(self, name: str) -> None:
        """Begin a process."""
        module = "charter"
        words = ["worker", "--parent", str(os.getpid())]
        if name == "engine":
            module = "service.benchmarks.fake_engine"
            words = [str(self.engine_port), str(self.log), str(self._latency_s)]
        elif name == "service":
            words = ["serve", "--port", str(self.port)]
        with (self.folder / f"{name}.log").open("ab") as told:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", module, *words],
                env=self._environment,
                stdout=told,
                stderr=told,
            )

    def revive(self) -> list[str]:
        """Begin again what ended by itself, as a supervisor does: their names.

        A service or worker that finds no database at its start says so, and ends.
        """
        ended = [name for name, process in self.running.items() if process.poll() is not None]
        for name in ended:
            self.start(name)
        return ended

    def kill(self, name: str) -> None:
        """Kill a process, as the kernel does when memory is short."""
        self.running[name].send_signal(signal.SIGKILL)
        self.running[name].wait()

    def sicken(self, how: str | None) -> None:
        """Have the engine answer amiss from now on (`fake_engine.ILLS`); None: well again."""
        ill = self.log.with_name("ill")
        ill.with_suffix(".new").write_text(how or "")
        ill.with_suffix(".new").replace(ill)

    def cut_connections(self) -> None:
        """End every session of the database."""
        with self._connected() as connection:
            connection.execute(text(f"SELECT pg_terminate_backend(pid) {SESSIONS}"))

    def kill_database(self) -> None:
        """Kill one session's process: PostgreSQL then ends all, and recovers from its log.

        Raises: ConfigError for a server that runs elsewhere.
        """
        with self._connected() as connection:
            sessions = list(connection.scalars(text(f"SELECT pid {SESSIONS}")))
        for pid in sessions[:1]:
            name = Path(f"/proc/{pid}/comm")
            if not name.exists() or "postgres" not in name.read_text():
                raise ConfigError("the database runs on another machine; it cannot be killed here")
            os.kill(pid, signal.SIGKILL)
        self._wait_for_database()

    def _wait_for_database(self) -> None:
        deadline = time.monotonic() + DATABASE_BACK_S
        while True:
            try:
                with self._connected() as connection:
                    connection.execute(text("SELECT 1"))
                return
            except SQLAlchemyError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    def wait_ready(self) -> None:
        """Wait until the service answers. Raises: ModelError when it does not."""
        deadline = time.monotonic() + READY_S
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

    def computed(self) -> Counter[str]:
        """How often each prompt was computed, by digest."""
        noted = (line for line in self.log.read_text().split() if len(line) == 64)
        return Counter(line for line in noted if line not in self.probes)

    def stored(self) -> int:
        """Votes of the engine that the store holds."""
        with self._connected() as connection:
            # Votes of rules are stored too, and computed by no engine: they count no tokens.
            query = select(func.count()).select_from(votes).where(votes.c.prompt_tokens > 0)
            return int(connection.scalar(query) or 0)

    def part_attempts(self) -> dict[str, int]:
        """How many attempts the parts of batches took."""
        with self._connected(of_the_service=True) as connection:
            query = select(tasks.c.attempt).where(tasks.c.phase == "work")
            counted = Counter(connection.scalars(query))
        return {str(attempt): count for attempt, count in sorted(counted.items())}

    @contextmanager
    def _connected(self, *, of_the_service: bool = False) -> Iterator[Connection]:
        """A new connection each time: kept ones are what is cut."""
        url = database_url(self.url)
        if of_the_service and not self.on_postgresql:
            url = url.set(database=str(Path(str(url.database)).with_name("service.db")))
        engine = connect_database(url)
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()
