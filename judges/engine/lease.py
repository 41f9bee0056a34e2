"""Charter's own engine: started when a command needs it, found again by the next, gone when idle.

A command holds the engine by a lease, a file that a thread touches every few seconds. A detached
supervisor ends the engine a minute after the last lease was given back, or went unheard of
because its holder was killed. An engine that can load adapters also serves those who need none.
"""

import atexit
import os
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from judges.engine.cache import cache_folder, locked, make_folder
from judges.engine.command import (
    Build,
    EngineSpec,
    engine_build,
    engine_command,
    engine_digest,
    engine_environment,
    resolve,
)
from judges.engine.folder import EngineFolder, EngineJob, EngineTimes
from judges.engine.python_process import python_command
from judges.errors import ModelError

__all__ = ["EngineLease", "EngineSpec", "EngineTimes", "acquire"]

Progress = Callable[[str], None]
CommandBuilder = Callable[[EngineSpec], tuple[str, ...]]
SECONDS_BETWEEN_REPORTS = 15.0
LEAVING_S = 60.0
FORGET_AFTER_S = 7 * 24 * 3600.0
STAGES = (
    ("Starting vLLM server", "opening its port"),
    ("init engine", "warmed up"),
    ("Starting to load model", "loading the weights"),
    ("Initializing a V1 LLM engine", "setting up the engine"),
)
"""What vLLM's log says, latest first, and what it means."""


class EngineLease:
    """The right to use an engine until released; a context manager."""

    def __init__(self, spec: EngineSpec, folder: EngineFolder) -> None:
        self._engine = folder
        times = folder.read_job().times
        self._heartbeat_s, self._poll_s = times.heartbeat_s, times.poll_s
        self._file = folder.leases / f"{os.getpid()}-{secrets.token_hex(4)}"
        self._released = threading.Event()
        self._file.touch()
        self.spec = spec
        """What the engine runs; it may have adapters where none were asked for."""
        self.folder = spec.model
        """The model's folder, with the tokenizer."""
        self.model_name = spec.model_name
        """The name requests use."""
        self.log_path = folder.log_path
        """What the engine writes."""
        self.url = ""
        """Where the engine answers, without `/v1`."""
        threading.Thread(target=self._beat, name="engine-lease", daemon=True).start()
        atexit.register(self.release)

    def check(self) -> None:
        """Return while the engine lives.

        Raises: ModelError with its last words when it died; another `acquire` starts it again.
        """
        if not self._engine.takes_leases():
            raise _death(self._engine)

    def wait(self, progress: Progress) -> None:
        """Return once the engine answers, telling on the way how far it is.

        Raises: ModelError with its last words when it dies before.
        """
        started, said, said_at = time.monotonic(), "", 0.0
        while True:
            alive, state = self._engine.is_alive(), self._engine.read_state()
            if alive and state and state.status == "ready":
                self.url = state.url
                return
            if not alive:
                raise _death(self._engine)
            passed = time.monotonic() - started
            stage = _stage(self.log_path)
            if stage != said or passed - said_at > SECONDS_BETWEEN_REPORTS:
                progress(f"engine: {stage}, {passed:.0f} s (log: {self.log_path})")
                said, said_at = stage, passed
            time.sleep(self._poll_s)

    def release(self) -> None:
        """Give the lease back; again does nothing."""
        self._released.set()
        with suppress(OSError):
            self._file.unlink(missing_ok=True)
        atexit.unregister(self.release)

    def __enter__(self) -> "EngineLease":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _beat(self) -> None:
        while not self._released.wait(self._heartbeat_s):
            with suppress(OSError):
                os.utime(self._file)


def acquire(
    spec: EngineSpec,
    progress: Progress = lambda _: None,
    *,
    command: CommandBuilder | None = None,
    times: EngineTimes | None = None,
) -> EngineLease:
    """A lease on an engine for the spec: the same, else one that can do more, else a new one.

    `command` makes another argv than vLLM's, with `{port}` and `{mark}` to be filled in; `times`
    holds for an engine that is started here, one that runs keeps its own.
    Cost: milliseconds when it runs already; else what an engine takes to start, reported about.
    Raises: ModelError with the engine's last log lines when it dies or does not answer.
    """
    times = times or EngineTimes.from_environment()
    build = "cpu" if command else engine_build()
    wanted = resolve(spec, build)
    argv = command or (lambda chosen: engine_command(chosen, build))
    deadline = time.monotonic() + LEAVING_S
    while (lease := _take_lease(wanted, build, argv, times)) is None:
        # An engine of this kind is on its way out: the next can start when it is gone.
        if time.monotonic() > deadline:
            raise ModelError(
                f"{_folder(wanted).path}: the engine here should have ended {LEAVING_S:.0f} s ago; "
                "end the processes named in its state.json"
            )
        time.sleep(times.poll_s)
    try:
        lease.wait(progress)
    except BaseException:
        lease.release()
        raise
    return lease


def _take_lease(
    spec: EngineSpec, build: Build, command: CommandBuilder, times: EngineTimes
) -> EngineLease | None:
    """A lease on an engine that runs, starts, or is started here; None while an old one leaves."""
    with locked(_engines() / "lock"):
        for candidate in (spec, spec.model_copy(update={"adapters": True})):
            if (folder := _folder(candidate)).takes_leases():
                return EngineLease(candidate, folder)
        folder = _folder(spec)
        if folder.is_alive():
            return None
        _forget_old_engines()
        mark = f"charter-{secrets.token_hex(8)}"
        folder.prepare(EngineJob(command(spec), mark, spec.model_name, times))
        lease = EngineLease(spec, folder)
        _start_supervisor(folder, engine_environment(spec, build))
        return lease


def _start_supervisor(folder: EngineFolder, environment: dict[str, str]) -> None:
    """Start the supervisor, detached, with the lock that says that it lives already held."""
    lock = folder.lock_alive()
    command = python_command("judges.engine.supervisor", str(folder.path), str(lock))
    try:
        with folder.log_path.open("ab") as log:
            # The shell ends at once, so that init and not this process reaps the supervisor.
            subprocess.run(
                ("/bin/sh", "-c", '"$@" &', "sh", *command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(lock,),
                env=environment,
                cwd=folder.path,
                check=True,
            )
    finally:
        os.close(lock)


def _engines() -> Path:
    return make_folder(cache_folder() / "engines")


def _folder(spec: EngineSpec) -> EngineFolder:
    return EngineFolder(_engines() / engine_digest(spec))


def _forget_old_engines() -> None:
    """Remove what engines left behind that have not run for a week."""
    for path in _engines().iterdir():
        state = path / "state.json"
        old = state.exists() and time.time() - state.stat().st_mtime > FORGET_AFTER_S
        if old and not EngineFolder(path).is_alive():
            shutil.rmtree(path, ignore_errors=True)


def _death(folder: EngineFolder) -> ModelError:
    state = folder.read_state()
    detail = (state and state.detail) or "was stopped"
    return ModelError(
        f"{folder.log_path}: the engine {detail}; the next command starts it again. "
        f"Its log says:\n{folder.log_tail()}"
    )


def _stage(log: Path) -> str:
    """How far an engine is, by what its log says."""
    text = log.read_text("utf-8", "replace") if log.exists() else ""
    return next((meaning for words, meaning in STAGES if words in text), "loading the libraries")
