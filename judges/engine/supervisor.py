"""The process that watches one engine: `python -m judges.engine.supervisor FOLDER LOCK`.

It starts the engine on a free port, says when it answers, and ends it with all its children when
nobody has held a lease for the idle time, when it is itself told to end, or when the engine's
first process died. A guard, one shell, does that last part should the supervisor be killed.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from judges.engine.cache import locked
from judges.engine.folder import EngineFolder, EngineJob, EngineState, Status

PORT_TRIES = 5
ANSWER_TIMEOUT_S = 1.0
PORT_TAKEN = "address already in use"
GUARD = 'read line; kill -s KILL -- "-$1"'
"""`read` ends when the supervisor's end of the pipe closes, however the supervisor ended."""


class EngineDiedError(Exception):
    """The engine cannot go on; the text says what happened."""


@dataclass
class Engine:
    """A running engine: its first process leads a process group of its own."""

    process: subprocess.Popen[bytes]
    guard: subprocess.Popen[bytes]
    url: str
    mark: str

    def answers(self) -> bool:
        """Whether it is healthy, and it is this engine and no stranger that took the port."""
        try:
            _get(f"{self.url}/health")
            models = json.loads(_get(f"{self.url}/v1/models"))["data"]
            return any(model["id"] == self.mark for model in models)
        except (OSError, ValueError, LookupError, TypeError):
            return False

    def stop(self, patience_s: float) -> None:
        """End the whole group: asked first, killed when it has not ended in time."""
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(patience_s)
        self._signal(signal.SIGKILL)
        self.process.wait()
        # The guard last: until here it would do all this itself.
        self.guard.kill()
        self.guard.wait()
        if self.guard.stdin:
            self.guard.stdin.close()

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


def start_engine(folder: EngineFolder, job: EngineJob) -> Engine:
    """The job's command started on a port that was free a moment ago, under a guard.

    Raises: EngineDiedError when there is no such command.
    """
    port = free_port()
    values = {"{port}": str(port), "{mark}": job.mark}
    with folder.log_path.open("wb") as log:
        try:
            process = subprocess.Popen(
                [values.get(part, part) for part in job.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=folder.path,
            )
        except OSError as error:
            raise EngineDiedError(f"cannot be started: {error}") from None
    guard = subprocess.Popen(
        ["/bin/sh", "-c", GUARD, "charter-engine-guard", str(process.pid)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    return Engine(process, guard, f"http://127.0.0.1:{port}", job.mark)


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def supervise(folder: EngineFolder) -> None:
    """Run the folder's job to its end, on another port whenever the port was taken meanwhile."""
    job = folder.read_job()
    for tries_left in reversed(range(PORT_TRIES)):
        try:
            run_once(folder, job)
            return
        except EngineDiedError as error:
            if not (tries_left and PORT_TAKEN in folder.log_tail().lower()):
                folder.write_state(EngineState("failed", os.getpid(), detail=str(error)))
                return


def run_once(folder: EngineFolder, job: EngineJob) -> None:
    """Start the engine, watch it, and leave nothing of it behind.

    Raises: EngineDiedError when it ends by itself or never answers.
    """
    engine = start_engine(folder, job)
    try:
        folder.write_state(_state(engine, "starting"))
        watch(folder, job, engine)
    finally:
        with suppress(OSError):
            folder.write_state(_state(engine, "stopping"))
        engine.stop(job.times.stop_s)


def watch(folder: EngineFolder, job: EngineJob, engine: Engine) -> None:
    """Return when nobody needs the engine any more; from then on it takes no more leases.

    Raises: EngineDiedError when it ends by itself or never answers.
    """
    started = last_held = time.monotonic()
    ready = False
    while True:
        time.sleep(job.times.poll_s)
        passed = time.monotonic() - started
        if (code := engine.process.poll()) is not None:
            raise EngineDiedError(f"ended with {exit_text(code)} after {passed:.0f} s")
        if not ready and engine.answers():
            ready = True
            folder.write_state(_state(engine, "ready"))
        if not ready and passed > job.times.start_s:
            raise EngineDiedError(f"did not answer within {job.times.start_s:.0f} s")
        # Monotonic, so that a laptop that slept does not find every lease forsaken.
        if (age := folder.lease_age()) < job.times.stale_s:
            last_held = max(last_held, time.monotonic() - age)
        elif time.monotonic() - last_held >= job.times.idle_s and _closes(folder, job, engine):
            return


def _closes(folder: EngineFolder, job: EngineJob, engine: Engine) -> bool:
    """Close the engine to new leases, unless one was taken a moment ago."""
    with locked(folder.path.parent / "lock"):
        if folder.lease_age() < job.times.stale_s:
            return False
        folder.write_state(_state(engine, "stopping"))
        return True


def exit_text(code: int) -> str:
    """How a process ended, in words."""
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _state(engine: Engine, status: Status) -> EngineState:
    return EngineState(status, os.getpid(), engine.process.pid, engine.url)


def _get(url: str) -> bytes:
    # Loopback never goes through a proxy, whatever the environment says.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=ANSWER_TIMEOUT_S) as response:
        return bytes(response.read())


def _end(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main(folder: str, lock: str) -> None:
    """Supervise; `lock` is the descriptor that says a supervisor lives, handed down locked."""
    os.set_inheritable(int(lock), False)
    signal.signal(signal.SIGTERM, _end)
    supervise(EngineFolder(Path(folder)))


if __name__ == "__main__":
    main(*sys.argv[1:])
