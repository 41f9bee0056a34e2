import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from service.training_jobs.child import Child
from service.training_jobs.run import reason_of


def begin(folder: Path, script: str) -> Child:
    """A shell script as a child."""
    child = Child(folder)
    child.start(["/bin/sh", "-c", script], folder, os.environ)
    return child


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_child_tells_how_it_ended(tmp_path: Path) -> None:
    child = begin(tmp_path, "echo charter: no such recipe >&2; exit 2")
    wait_until(lambda: not child.running())
    assert child.exit_code() == 2
    assert reason_of(child, 2) == "no such recipe"


def test_a_child_is_found_again_by_its_folder(tmp_path: Path) -> None:
    begin(tmp_path, "while ! [ -e go ]; do sleep 0.05; done; echo done")
    found = Child(tmp_path)
    assert found.running()
    assert found.exit_code() is None
    (tmp_path / "go").touch()
    wait_until(lambda: not found.running())
    assert (found.exit_code(), found.tail()) == (0, "done\n")


def test_ending_asks_first(tmp_path: Path) -> None:
    script = "trap 'sleep 0.5; echo saving; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    child = begin(tmp_path, script)
    wait_until(lambda: "ready" in child.tail())
    child.end(grace_s=5.0)
    assert not child.running()
    assert "saving" in child.tail()
    assert child.exit_code() is None, "so that what a machine going down ended is resumed"


def test_ending_kills_what_does_not_listen_and_its_children(tmp_path: Path) -> None:
    script = "trap '' TERM; (trap '' TERM; echo $$; sleep 60) & echo ready; wait; sleep 60"
    child = begin(tmp_path, script)
    wait_until(lambda: "ready" in child.tail())
    child.end(grace_s=0.3)
    assert not child.running()
    wait_until(lambda: not child_sessions(tmp_path))


def child_sessions(folder: Path) -> list[str]:
    """Processes that still work in the folder."""
    here = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (
                    os.readlink(entry / "cwd") == str(folder)
                    and "Z" not in (entry / "stat").read_text().rpartition(")")[2].split()[:1]
                ):
                    here.append(entry.name)
            except OSError:
                continue
    return here


def test_a_killed_child_says_what_it_said_last(tmp_path: Path) -> None:
    child = begin(tmp_path, "echo step 7; kill -9 $$")
    wait_until(lambda: not child.running())
    code = child.exit_code()
    assert code == 128 + signal.SIGKILL
    assert reason_of(child, code) == "killed by signal 9: step 7"


def test_a_child_that_vanished_has_no_exit_code(tmp_path: Path) -> None:
    child = begin(tmp_path, "sleep 60")
    child.end(grace_s=0.0)
    (tmp_path / "exit").unlink(missing_ok=True)
    assert not child.running()
    assert child.started()
    assert child.exit_code() is None
    assert reason_of(child, None).startswith("killed, perhaps")
