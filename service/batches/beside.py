"""Batches worked on beside the requests, in the same process."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.batches.folder import BatchFolder
from service.batches.run import QUEUE, BatchRunner
from service.context import Service
from service.jobs.lifecycle import unfinished_jobs
from service.jobs.worker import Worker

OLD_S = 3600


@asynccontextmanager
async def work_on_batches(service: Service) -> AsyncIterator[None]:
    """A worker as long as the service runs; at the end it finishes or gives back what it holds."""
    if not service.settings.workers:
        yield
        return
    worker = Worker(service.database, BatchRunner(service), [QUEUE], slots=service.settings.workers)
    service.wakers.append(worker.wake)
    service.parts_in_work = lambda: worker.in_work
    working = asyncio.create_task(worker.work(service.settings.drain_s))
    try:
        yield
    finally:
        worker.stop()
        await working


def clear_left_over(service: Service) -> None:
    """Remove what a kill left of batches that are over; a batch just being made is not touched."""
    if not service.batches_folder.is_dir():
        return
    going_on = unfinished_jobs(service.database, QUEUE)
    for folder in service.batches_folder.iterdir():
        if folder.name not in going_on and time.time() - folder.stat().st_mtime > OLD_S:
            BatchFolder(folder).clear()
