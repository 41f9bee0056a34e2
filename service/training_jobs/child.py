"""A command in a session of its own: started, found again by another process, ended for good.

The command outlives who started it. What is known of it lies in its folder: `child.json` says which
process it is, `exit` how it ended, `log` what it said.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from judges.jsonl import replacing

INNER = (
    'trap told=1 TERM; log=$1; ended=$2; shift 2; "$@" >>"$log" 2>&1; code=$?; '
    'if [ -z "$told" ]; then echo $code >"$ended.tmp"; mv "$ended.tmp" "$ended"; fi'
)
"""Told to end, it waits until the command has, and writes no code: who ended it knows, and what a
machine that goes down ended is begun again."""
OUTER = 'inner=$1; shift; setsid /bin/sh -c "$inner" "$@" </dev/null >/dev/null 2>&1 & echo $!'
"""Begun in the background of a shell that ends at once: nobody's child, so nobody need wait."""
TAIL_BYTES = 65536


class Child:
    """The command of one folder, run once at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self._ended = folder / "exit"
        self._state = folder / "child.json"

    def start(
        self, command: Sequence[str], working_folder: Path, environment: Mapping[str, str]
    ) -> None:
        """Begin it, its words added to the log."""
        self._ended.unlink(missing_ok=True)
        inner = [INNER, "charter-train", str(self.log), str(self._ended), *command]
        begun = subprocess.run(
            ["/bin/sh", "-c", OUTER, "charter-train", *inner],
            cwd=working_folder,
            env=dict(environment),
            capture_output=True,
            check=True,
        )
        pid = int(begun.stdout)
        with replacing(self._state) as file:
            file.write(json.dumps({"pid": pid, "started": _start_of(pid)}).encode())

    def forget(self) -> None:
        """As if it had never been begun; its log stays."""
        for path in (self._state, self._ended):
            path.unlink(missing_ok=True)

    def started(self) -> bool:
        """Whether it was ever begun."""
        return self._state.exists()

    def running(self) -> bool:
        """Whether it runs, whoever started it."""
        return self._pid() is not None

    def exit_code(self) -> int | None:
        """How it ended; None when it did not, or was killed with no word."""
        try:
            return int(self._ended.read_text())
        except (FileNotFoundError, ValueError):
            return None

    def end(self, grace_s: float) -> None:
        """Ask it to stop, wait, then kill all of it."""
        for number, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 10.0)):
            pid = self._pid()
            if pid is None:
                break
            with suppress(ProcessLookupError):
                os.killpg(pid, number)
            deadline = time.monotonic() + wait_s
            while self.running() and time.monotonic() < deadline:
                time.sleep(0.1)
        self.sweep()

    def sweep(self) -> None:
        """Kill what is left of its session when its leader is gone."""
        with suppress(OSError, ValueError, KeyError):
            session = int(json.loads(self._state.read_bytes())["pid"])
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit() and _session_of(int(entry.name)) == session:
                    with suppress(ProcessLookupError):
                        os.kill(int(entry.name), signal.SIGKILL)

    def tail(self) -> str:
        """The end of what it said."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - TAIL_BYTES))
                return file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def _pid(self) -> int | None:
        """The process's number, if it is still the same process."""
        try:
            state: dict[str, Any] = json.loads(self._state.read_bytes())
            pid, started = int(state["pid"]), state["started"]
        except (OSError, ValueError, KeyError):
            return None
        return pid if started is not None and _start_of(pid) == started else None


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name; none for a process that is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
    return [] if fields[0] in "ZX" else fields


def _start_of(pid: int) -> str | None:
    """When a process began, in ticks since the machine did, and the id of that start."""
    fields = _stat(pid)
    if not fields:
        return None
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {fields[19]}"


def _session_of(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[3]) if fields else None
