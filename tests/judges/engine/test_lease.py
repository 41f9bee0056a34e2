"""Engines are started once, shared, and never left behind, however those who use them end.

A stand-in of a few lines takes vLLM's place: all processes, ports, locks and signals are real.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from judges.engine.cache import cache_folder
from judges.engine.embedded import embedded_model
from judges.engine.folder import EngineFolder, EngineState
from judges.engine.lease import EngineLease, EngineSpec, EngineTimes, acquire
from judges.errors import ModelError

STAND_IN = Path(__file__).with_name("stand_in_server.py")
TIMES = EngineTimes(heartbeat_s=0.2, stale_s=2.0, idle_s=0.3, poll_s=0.02, start_s=60.0, stop_s=5.0)
FIND = """
import sys, time
from pathlib import Path
from judges.engine.lease import EngineSpec, acquire
print(acquire(EngineSpec(model=Path(sys.argv[1]))%s).url, flush=True)
"""
HOLD = FIND % ", command=lambda _: ()" + "time.sleep(60)"
"""Another process: it finds the engine that runs, so its own command is never used."""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A model folder, and a cache folder of our own whose engines end with the test."""
    monkeypatch.setenv("CHARTER_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    yield folder
    for engine in engines():
        end_by_hand(engine)


def start(
    model: Path, mode: str, *, times: EngineTimes = TIMES, file: str = "", adapters: bool = False
) -> EngineLease:
    argv = (sys.executable, str(STAND_IN), "{port}", "{mark}", mode, file)
    spec = EngineSpec(model=model, adapters=adapters)
    return acquire(spec, command=lambda _: argv, times=times)


def engines() -> list[EngineFolder]:
    return [EngineFolder(path.parent) for path in cache_folder().glob("engines/*/alive")]


def state_of(lease: EngineLease) -> EngineState:
    state = EngineFolder(lease.log_path.parent).read_state()
    assert state is not None
    return state


def end_by_hand(engine: EngineFolder) -> None:
    state = engine.read_state()
    if engine.is_alive() and state and state.supervisor_pid:
        os.kill(state.supervisor_pid, signal.SIGTERM)
        eventually(lambda: not engine.is_alive(), "the supervisor ends when told to")


def another(script: str, model: Path) -> dict[str, Any]:
    """How to start another Python process that runs a script on a model folder."""
    root = str(Path(__file__).parents[3])
    return {
        "args": [sys.executable, "-c", script, str(model)],
        "stdout": subprocess.PIPE,
        "text": True,
        "env": os.environ | {"PYTHONPATH": root},
    }


def eventually(holds: Callable[[], bool], what: str, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.02)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_an_engine_is_started_once_and_shared(model: Path) -> None:
    first, second = start(model, "well"), start(model, "well")
    assert first.url == second.url
    assert first.model_name == "model"
    assert urllib.request.urlopen(f"{first.url}/health").status == 200
    assert len(engines()) == 1


def test_commands_that_start_at_once_share_one_engine(model: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        leases = list(pool.map(lambda _: start(model, "slow"), range(4)))
    assert len({lease.url for lease in leases}) == 1


def test_progress_says_what_is_awaited_and_where_the_log_is(model: Path) -> None:
    said: list[str] = []
    argv = (sys.executable, str(STAND_IN), "{port}", "{mark}", "slow")
    lease = acquire(EngineSpec(model=model), said.append, command=lambda _: argv, times=TIMES)
    assert said
    assert str(lease.log_path) in said[0]


def test_an_engine_lives_as_long_as_a_lease(model: Path) -> None:
    lease, other = start(model, "well"), start(model, "well")
    other.release()
    time.sleep(TIMES.stale_s + TIMES.idle_s + 0.5)
    lease.check()
    assert urllib.request.urlopen(f"{lease.url}/health").status == 200


def test_an_engine_is_gone_after_its_last_lease(model: Path) -> None:
    with start(model, "well") as lease:
        pid = state_of(lease).engine_pid
    eventually(lambda: not runs(pid), "the engine ends when nobody holds it")
    eventually(lambda: not engines()[0].is_alive(), "and its supervisor with it")
    assert start(model, "well").url != ""


def test_an_engine_that_ignores_the_request_to_end_is_killed(model: Path) -> None:
    impatient = EngineTimes(idle_s=0.1, poll_s=0.02, stop_s=0.3)
    with start(model, "stubborn", times=impatient) as lease:
        pid = state_of(lease).engine_pid
    eventually(lambda: not runs(pid), "it is killed")


def test_an_engine_is_gone_when_its_holder_was_killed(model: Path) -> None:
    lease = start(model, "well")
    pid = state_of(lease).engine_pid
    with subprocess.Popen(**another(HOLD, model)) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == lease.url, "it finds the same engine"
        lease.release()
        holder.send_signal(signal.SIGKILL)
    eventually(lambda: not runs(pid), "the engine ends though nobody released it")


def test_an_engine_killed_in_the_middle_is_reported_and_started_again(model: Path) -> None:
    lease = start(model, "well")
    os.kill(state_of(lease).engine_pid, signal.SIGKILL)
    eventually(lambda: state_of(lease).status == "failed", "the supervisor sees it")
    with pytest.raises(ModelError, match=r"(?s)signal SIGKILL.*stand-in starts: well"):
        lease.check()
    again = start(model, "well")
    assert again.url != lease.url
    again.check()


def test_nothing_of_a_killed_engine_stays(model: Path, tmp_path: Path) -> None:
    lease = start(model, "children", file=str(tmp_path / "pid"))
    child = int((tmp_path / "pid").read_text())
    assert runs(child)
    os.kill(state_of(lease).engine_pid, signal.SIGKILL)
    eventually(lambda: not runs(child), "its children end too")


def test_nothing_stays_when_the_supervisor_is_killed(model: Path, tmp_path: Path) -> None:
    lease = start(model, "children", file=str(tmp_path / "pid"))
    child = int((tmp_path / "pid").read_text())
    state = state_of(lease)
    os.kill(state.supervisor_pid, signal.SIGKILL)
    eventually(lambda: not runs(state.engine_pid), "the guard ends the engine")
    eventually(lambda: not runs(child), "and its children")
    with pytest.raises(ModelError, match="was stopped"):
        lease.check()
    assert start(model, "well").url != lease.url


def test_an_engine_that_dies_at_start_is_reported_with_cause_and_last_words(model: Path) -> None:
    with pytest.raises(ModelError) as caught:
        start(model, "dies")
    text = str(caught.value)
    assert "exit code 3" in text
    assert "ValueError: the cause" in text, "the cause stands long before the end of the log"
    assert text.endswith("last words")
    assert str(engines()[0].log_path) in text
    assert start(model, "well").url


def test_a_port_taken_meanwhile_is_tried_anew(model: Path, tmp_path: Path) -> None:
    lease = start(model, "port taken once", file=str(tmp_path / "marker"))
    assert (tmp_path / "marker").exists()
    assert urllib.request.urlopen(f"{lease.url}/health").status == 200


@pytest.mark.parametrize("mode", ["silent", "stranger"])
def test_an_engine_that_never_answers_as_itself_is_given_up(model: Path, mode: str) -> None:
    hasty = EngineTimes(poll_s=0.02, start_s=1.5, stop_s=5.0)
    with pytest.raises(ModelError, match="did not answer within"):
        start(model, mode, times=hasty)
    assert not engines()[0].is_alive()


def test_a_command_that_does_not_exist_is_reported(model: Path) -> None:
    spec = EngineSpec(model=model)
    with pytest.raises(ModelError, match="cannot be started"):
        acquire(spec, command=lambda _: ("/no/such/engine",), times=TIMES)


def test_an_engine_with_adapters_serves_those_without(model: Path) -> None:
    able = start(model, "well", adapters=True)
    plain = start(model, "well")
    assert plain.url == able.url
    assert plain.spec.adapters


def test_an_engine_without_adapters_is_none_for_those_with(model: Path) -> None:
    plain = start(model, "well")
    able = start(model, "well", adapters=True)
    assert able.url != plain.url
    assert start(model, "well").url == plain.url, "the exact match comes first"


def test_a_model_trained_anew_gets_another_engine(model: Path) -> None:
    before = start(model, "well")
    (model / "model.safetensors").write_bytes(b"other weights")
    assert start(model, "well").url != before.url


def test_the_supervisor_ends_all_when_told_to(model: Path) -> None:
    lease = start(model, "well")
    pid = state_of(lease).engine_pid
    end_by_hand(EngineFolder(lease.log_path.parent))
    assert not runs(pid)


def test_what_engines_left_behind_is_removed_after_a_week(model: Path) -> None:
    start(model, "well").release()
    old = engines()[0]
    eventually(lambda: not old.is_alive(), "it is idle and ends")
    week_ago = time.time() - 8 * 24 * 3600
    os.utime(old.path / "state.json", (week_ago, week_ago))
    (model / "model.safetensors").write_bytes(b"other weights")
    start(model, "well")
    assert not old.path.exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_real_engine_starts_answers_is_found_and_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = embedded_model()
    monkeypatch.setenv("CHARTER_CACHE", str(tmp_path))
    monkeypatch.setenv("CHARTER_ENGINE_IDLE_S", "3")
    with acquire(EngineSpec(model=folder)) as lease:
        group = state_of(lease).engine_pid
        assert greedy(lease, "The capital of France is").startswith(" Paris")
        found = subprocess.run(**another(FIND % "", folder), check=True)
        assert found.stdout.strip() == lease.url
        assert len(members(group)) >= 2, "vLLM's server and its engine core"
    eventually(lambda: not members(group), "all of vLLM is gone")


def greedy(lease: EngineLease, prompt: str) -> str:
    """The model's likeliest completion."""
    asked = {"model": lease.model_name, "prompt": prompt, "max_tokens": 4, "temperature": 0}
    request = urllib.request.Request(
        f"{lease.url}/v1/completions",
        json.dumps(asked).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return str(json.loads(answer.read())["choices"][0]["text"])


def members(group: int) -> list[int]:
    """The living processes of a process group."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if runs(pid) and group_of(pid) == group]


def group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None
