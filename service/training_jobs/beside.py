"""Training jobs worked on beside the requests: on one machine by one process, in its slots."""

import asyncio
import fcntl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from service.context import Service
from service.jobs.worker import Worker
from service.training_jobs.run import CPU, GPU, TrainingRunner

TRY_EVERY_S = 5.0


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA GPU; told without loading anything."""
    return Path("/dev/nvidia0").exists()


@asynccontextmanager
async def train_beside(service: Service) -> AsyncIterator[None]:
    """Workers for training jobs, in whichever of this machine's processes comes first."""
    working = asyncio.create_task(_work_when_first(service))
    try:
        yield
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def _work_when_first(service: Service) -> None:
    settings = service.settings
    slots = {CPU: settings.training_cpu_slots, GPU: settings.training_gpu_slots * has_gpu()}
    async with AsyncExitStack() as stack:
        lock = stack.enter_context(_lock_file(settings.home / "training"))
        while not _locked(lock):
            await asyncio.sleep(TRY_EVERY_S)
        workers = [
            Worker(service.database, TrainingRunner(service), [queue], slots=count)
            for queue, count in slots.items()
            if count
        ]
        service.wakers.extend(worker.wake for worker in workers)
        # Cancelled at the end: what trains goes on, and is found again by the next start.
        await asyncio.gather(*(worker.work() for worker in workers))


def _lock_file(folder: Path) -> BinaryIO:
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / ".lock").open("ab")


def _locked(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
