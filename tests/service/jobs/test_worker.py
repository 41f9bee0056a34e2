import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from sqlalchemy import Engine

from judges.errors import ModelError
from service.jobs.leases import complete
from service.jobs.lifecycle import cancel_job, settle_end
from service.jobs.records import Claim, Counts, Done, Job
from service.jobs.worker import Settle, Worker
from tests.service.jobs.made_jobs import QUEUE, now, planned

QUICK = 0.02


class Bench:
    """A worker's work that counts what it did, and takes as long as it is told."""

    def __init__(self, engine: Engine, seconds: float = 0.0) -> None:
        self.engine, self.seconds = engine, seconds
        self.begun: Counter[int] = Counter()
        self.stopped: Counter[int] = Counter()
        self.failures = 0

    async def run(self, held: Claim) -> Settle:
        """Do one task."""
        if held.phase == "finish":
            return lambda: settle_end(self.engine, held, {})
        self.begun[held.number] += 1
        if self.failures:
            self.failures -= 1
            raise ModelError("the engine is away")
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.stopped[held.number] += 1
            raise
        return lambda: complete(self.engine, held, Done({}, Counts(completed=held.range.lines)))


async def until_over(engine: Engine, job: Job, *workers: Worker, seconds: float = 20.0) -> Job:
    """The job once it is over; the workers have stopped by then."""
    working = [asyncio.create_task(worker.work(1.0)) for worker in workers]
    deadline = time.monotonic() + seconds
    while now(engine, job).phase != "over" and time.monotonic() < deadline:
        await asyncio.sleep(QUICK)
    for worker in workers:
        worker.stop()
    await asyncio.gather(*working)
    return now(engine, job)


async def test_a_worker_does_all_of_a_job(engine: Engine) -> None:
    bench = Bench(engine)
    job = planned(engine, 7)
    ended = await until_over(engine, job, Worker(engine, bench.run, [QUEUE], slots=3, poll_s=QUICK))
    assert (ended.outcome, ended.lines_completed) == ("completed", 7)
    assert bench.begun == Counter(range(7))


async def test_work_longer_than_a_lease_is_done_once(engine: Engine) -> None:
    """Without heartbeats, two workers steal such tasks from each other for ever."""
    bench = Bench(engine, seconds=1.0)
    job = planned(engine, 4)
    workers = [
        Worker(engine, bench.run, [QUEUE], slots=2, lease_s=0.6, poll_s=QUICK) for _ in range(2)
    ]
    ended = await until_over(engine, job, *workers)
    assert ended.outcome == "completed"
    assert bench.begun == Counter(range(4))


async def test_cancelling_stops_the_work(engine: Engine) -> None:
    bench = Bench(engine, seconds=30.0)
    job = planned(engine, 1)
    worker = Worker(engine, bench.run, [QUEUE], lease_s=0.3, poll_s=QUICK)

    async def cancel() -> None:
        while not bench.begun:
            await asyncio.sleep(QUICK)
        cancel_job(engine, job.tenant, QUEUE, job.id)

    _, ended = await asyncio.gather(cancel(), until_over(engine, job, worker))
    assert (ended.outcome, ended.lines_completed) == ("cancelled", 0)
    assert bench.stopped == Counter([0])


async def test_what_fails_is_given_back_and_says_why(engine: Engine) -> None:
    bench = Bench(engine)
    bench.failures = 1
    job = planned(engine, 1)
    worker = Worker(engine, bench.run, [QUEUE], poll_s=QUICK)
    working = asyncio.create_task(worker.work())
    while now(engine, job).note is None:
        await asyncio.sleep(QUICK)
    assert now(engine, job).note == "the engine is away"
    ended = await until_over(engine, job)
    worker.stop()
    await working
    assert ended.outcome == "completed"
    assert ended.note is None
    assert bench.begun[0] == 2


async def test_stopping_gives_back_what_is_not_done_in_time(engine: Engine) -> None:
    bench = Bench(engine, seconds=30.0)
    job = planned(engine, 1)
    worker = Worker(engine, bench.run, [QUEUE], poll_s=QUICK)
    working = asyncio.create_task(worker.work(drain_s=0.05))
    while not bench.begun:
        await asyncio.sleep(QUICK)
    worker.stop()
    await working
    quick = Bench(engine)
    ended = await until_over(engine, job, Worker(engine, quick.run, [QUEUE], poll_s=QUICK))
    assert ended.lines_completed == 1
    assert quick.begun == Counter([0])


def test_killed_workers_lose_nothing_and_commit_nothing_twice(
    engine: Engine, database_url: str, tmp_path: Path
) -> None:
    job = planned(engine, 60)
    log = tmp_path / "computed"
    log.touch()

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.service.jobs.killed_worker", database_url, str(log)]
        return subprocess.Popen(command, cwd=Path(__file__).parents[3])

    draw = random.Random(0)
    running = [start() for _ in range(2)]
    kills = 0
    try:
        while now(engine, job).phase != "over":
            time.sleep(draw.uniform(0.2, 0.6))
            if kills < 5 and log.stat().st_size:
                victim = draw.randrange(2)
                os.kill(running[victim].pid, signal.SIGKILL)
                running[victim].wait()
                running[victim] = start()
                kills += 1
    finally:
        for process in running:
            process.kill()
            process.wait()
    ended = now(engine, job)
    assert (ended.outcome, ended.tasks_done, ended.lines_completed) == ("completed", 60, 60)
    computed = Counter(log.read_text().split())
    assert computed.keys() == {str(number) for number in range(60)}
    # A worker has two slots: a kill makes at most two tasks be computed again.
    assert computed.total() - 60 <= 2 * kills
