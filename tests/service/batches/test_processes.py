"""Batches in processes of their own, on a real PostgreSQL."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from service.benchmarks.batch_client import call, finish_batch, read_rows, start_batch
from service.benchmarks.serving import started_address

ITEMS = re.compile(r'charter_items_total\{status="scored"')
ROOT = Path(__file__).parents[3]


@contextmanager
def serving(home: Path, database: str, *flags: str) -> Iterator[str]:
    """The address of a service of its own."""
    home.mkdir(exist_ok=True)
    environment = os.environ | {"CHARTER_HOME": str(home), "CHARTER_DATABASE_URL": database}
    command = [sys.executable, "-m", "charter", "serve", "--port", "0", "--judge", "fake", *flags]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log)
    try:
        yield started_address(home / "log", process)
    finally:
        process.terminate()
        process.wait(60)


def workers_of(home: Path) -> list[int]:
    """The worker processes that use a home."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                settings = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"worker" in words and f"CHARTER_HOME={home}".encode() in settings:
                found.append(int(entry.name))
    return found


def free_ports() -> int:
    """The first of two ports that nobody listens on."""
    while True:
        with socket.socket() as one, socket.socket() as next_one:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            with suppress(OSError, OverflowError):
                next_one.bind(("127.0.0.1", port + 1))
                return port


def items_judged(port: int) -> float:
    """By the metrics of one worker."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        told = answer.read().decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in told.splitlines() if ITEMS.match(line))


@pytest.mark.slow
def test_worker_processes_share_a_batch_and_end_with_the_service(
    postgresql_url: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    port = free_ports()
    flags = ("--workers", "2", "--worker-metrics-port", str(port))
    with serving(home, postgresql_url, *flags) as address:
        deadline = time.monotonic() + 60
        while len(workers_of(home)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.kill(workers_of(home)[0], signal.SIGKILL)
        batch = start_batch(address, tmp_path, 600)
        ended = finish_batch(address, batch, 120)
        assert ended["request_counts"] == {"total": 600, "completed": 600, "failed": 0}
        names = [row["custom_id"] for row in read_rows(address, ended["output_file_id"])]
        assert names == [f"line-{number}" for number in range(600)]
        assert call(address, f"/v1/batches/{batch}")["status"] == "completed"
        assert sum(items_judged(port + number) for number in range(2)) == 600
    assert workers_of(home) == []


def test_workers_beside_an_sqlite_file_are_refused(sqlite_url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "charter", "serve", "--judge", "fake", "--workers", "2"]
    environment = os.environ | {
        "CHARTER_HOME": str(tmp_path),
        "CHARTER_DATABASE_URL": sqlite_url,
    }
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "needs PostgreSQL" in done.stderr
