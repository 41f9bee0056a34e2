"""An engine's folder in the cache: what its supervisor and the commands that use it agree on.

    job.json       what to run            state.json   how it stands, replaced whole
    engine.log     what the engine says   alive        locked as long as the supervisor lives
    leases/        a file for each user, touched while the user lives

Dataclasses and the standard library only: the supervisor stays small and starts in a blink.
"""

import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from judges.engine.cache import make_folder, replace_text
from judges.errors import ConfigError

Status = Literal["starting", "ready", "stopping", "failed"]
TAIL_LINES = 15
CAUSE = re.compile(r"\b\w*(Error|Exception|Killed)\b: ")
NOISE = re.compile(r"WARNING|nanobind|^ - |^[\s^~]*$")
"""What a dying engine also writes, and what explains nothing."""
IDLE_SETTING = "CHARTER_ENGINE_IDLE_S"


@dataclass(frozen=True)
class EngineTimes:
    """The time constants of supervision, in seconds."""

    heartbeat_s: float = 4.0
    """How often a holder touches its lease."""
    stale_s: float = 15.0
    """A lease not touched for so long counts for nothing: its holder was killed."""
    idle_s: float = 60.0
    """How long the engine outlives its last lease."""
    poll_s: float = 0.25
    """How often the supervisor looks, and a command that waits for it."""
    start_s: float = 900.0
    """How long an engine may take to answer."""
    stop_s: float = 10.0
    """How long an engine may take to stop by itself before it is killed."""

    @staticmethod
    def from_environment() -> "EngineTimes":
        """The times, with the idle time that `CHARTER_ENGINE_IDLE_S` sets."""
        text = os.environ.get(IDLE_SETTING, "60")
        try:
            idle = float(text)
        except ValueError:
            idle = -1.0
        if not 0 <= idle < float("inf"):
            raise ConfigError(f"{IDLE_SETTING} is {text!r}; give the seconds as a number from 0 up")
        return EngineTimes(idle_s=idle)


@dataclass(frozen=True)
class EngineJob:
    """What a supervisor is to run."""

    command: tuple[str, ...]
    """The argv; `{port}` and `{mark}` are replaced."""
    mark: str
    """A model name that only this engine has, so that no other server is taken for it."""
    model_name: str
    """The name requests use."""
    times: EngineTimes = field(default_factory=EngineTimes)
    """The time constants."""


@dataclass(frozen=True)
class EngineState:
    """How an engine stands, as its supervisor last wrote it."""

    status: Status
    """`stopping` and `failed` take no more leases."""
    supervisor_pid: int = 0
    """The process to end, should someone want to end the engine by hand."""
    engine_pid: int = 0
    """The engine's first process and its process group."""
    url: str = ""
    """Where it answers, once ready."""
    detail: str = ""
    """Why it failed."""


@dataclass(frozen=True)
class EngineFolder:
    """One engine's folder."""

    path: Path
    """Named by the digest of what makes the engine what it is."""

    @property
    def log_path(self) -> Path:
        """What the engine wrote since it was last started."""
        return self.path / "engine.log"

    @property
    def leases(self) -> Path:
        """Where the leases lie."""
        return self.path / "leases"

    def prepare(self, job: EngineJob) -> None:
        """Lay the folder for a new start; the log of the last one is kept under another name."""
        shutil.rmtree(self.leases, ignore_errors=True)
        make_folder(self.leases)
        if self.log_path.exists():
            self.log_path.replace(self.path / "engine.previous.log")
        replace_text(self.path / "job.json", json.dumps(asdict(job), indent=2))
        self.write_state(EngineState("starting"))

    def read_job(self) -> EngineJob:
        """The job as prepared."""
        job = json.loads((self.path / "job.json").read_text("utf-8"))
        times = EngineTimes(**job.pop("times"))
        return EngineJob(**job | {"command": tuple(job["command"])}, times=times)

    def write_state(self, state: EngineState) -> None:
        """Say how the engine stands now."""
        replace_text(self.path / "state.json", json.dumps(asdict(state), indent=2))

    def read_state(self) -> EngineState | None:
        """How the engine stood last; None where none was started here."""
        try:
            return EngineState(**json.loads((self.path / "state.json").read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def lock_alive(self) -> int:
        """A descriptor that locks `alive` until every process that has it ended or closed it."""
        descriptor = os.open(self.path / "alive", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return descriptor

    def is_alive(self) -> bool:
        """Whether a supervisor lives. Asks the lock, not a process id, which another may have."""
        try:
            with (self.path / "alive").open() as file:
                # Shared, so that two who ask at once do not take each other for a supervisor.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def takes_leases(self) -> bool:
        """Whether an engine runs or starts here, and is to go on."""
        state = self.read_state()
        return self.is_alive() and state is not None and state.status in ("starting", "ready")

    def lease_age(self) -> float:
        """Seconds since the last sign of life of any holder; infinite where there is no lease."""
        now = time.time()
        return min((max(0.0, now - touched) for touched in self._touched()), default=float("inf"))

    def _touched(self) -> Iterator[float]:
        with suppress(FileNotFoundError):
            for lease in self.leases.iterdir():
                with suppress(FileNotFoundError):
                    yield lease.stat().st_mtime

    def log_tail(self) -> str:
        """The errors that the log names, then its last lines: the cause seldom stands last."""
        try:
            lines = self.log_path.read_text("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return "(it wrote no log)"
        telling = [line for line in lines if not NOISE.search(line)]
        tail = telling[-TAIL_LINES:]
        errors = dict.fromkeys(line for line in telling if CAUSE.search(line))
        causes = [line for line in errors if line not in tail][:3]
        return "\n".join([*causes, *tail]) or "(its log is empty)"
