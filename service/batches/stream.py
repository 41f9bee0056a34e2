"""A batch's output as it grows: parts in the input's order, the very bytes of the file to come."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from service.batches.folder import BatchFolder
from service.context import Service
from service.files.folder import FileFolder
from service.jobs.lifecycle import find_job, task_results
from service.jobs.records import Job

LOOK_EVERY_S = 0.5
BLOCK = 1 << 20


async def follow_output(
    service: Service, job: Job, offset: int, *, follow: bool
) -> AsyncIterator[bytes]:
    """The output's bytes from an offset on; with `follow`, until the batch is over."""
    folder = BatchFolder(service.batches_folder / job.id)
    number, before = 0, 0
    while job.phase != "over":
        page = await asyncio.to_thread(task_results, service.database, job.id, number)
        moved = False
        for index, state, _, result in page:
            if state != "done" or result is None:
                break
            size = int(result.get("output_bytes", 0))
            if before + size > offset:
                block = await asyncio.to_thread(
                    _read, folder.part(result["output"]), offset - before
                )
                if block is None:  # joined meanwhile: the rest comes from the file
                    break
                yield block
                offset = before + size
            number, before, moved = index + 1, before + size, True
        if not moved:
            if not follow:
                return
            await asyncio.sleep(LOOK_EVERY_S)
        job = await _as_it_stands(service, job)
    async for block in _rest_of_file(service, job, offset):
        yield block


async def _as_it_stands(service: Service, job: Job) -> Job:
    found = await asyncio.to_thread(find_job, service.database, job.tenant, job.queue, job.id)
    return found or job


async def _rest_of_file(service: Service, job: Job, offset: int) -> AsyncIterator[bytes]:
    file = (job.result or {}).get("output_file_id")
    if file is None:
        return
    path = FileFolder(service.database, service.files_folder).path(job.tenant, file)
    while block := await asyncio.to_thread(_read, path, offset, BLOCK):
        yield block
        offset += len(block)


def _read(path: Path, offset: int, most: int = -1) -> bytes | None:
    """Bytes of a file; None when it is not there."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(most)
    except FileNotFoundError:
        return None
