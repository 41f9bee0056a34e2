"""Batches over HTTP, in OpenAI's shape; and their output while they still run."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from judges.records import Record
from judges.suggest import did_you_mean
from service.access import Access, needs
from service.batches.folder import BatchFolder
from service.batches.judging import ENDPOINTS
from service.batches.run import QUEUE
from service.batches.stream import follow_output
from service.batches.view import BatchObject, BatchRequest, batch_object, spec_of, window_seconds
from service.context import Running, Service
from service.errors import ApiError
from service.jobs.lifecycle import cancel_job, find_job, list_jobs, new_id, submit
from service.jobs.records import Job, Submission
from service.routes.files import files_of, find_file
from service.routing import OrjsonRoute

router = APIRouter(tags=["batches"], route_class=OrjsonRoute)
NDJSON = "application/x-ndjson"
Labeller = Annotated[Access, needs("label")]
Limit = Annotated[int, Query(ge=1, le=100)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="A repeat with the same key gives the batch there is",
    ),
]


class BatchList(Record):
    """A page of batches, the newest first."""

    object: Literal["list"] = "list"
    """Always `list`."""
    data: list[BatchObject]
    """The batches."""
    first_id: str | None
    """The first one's id."""
    last_id: str | None
    """The last one's, for `after`."""
    has_more: bool
    """Whether there are older ones."""


@router.post("/v1/batches")
async def make_batch(
    asked: BatchRequest,
    service: Running,
    access: Labeller,
    idempotency_key: IdempotencyKey = None,
) -> BatchObject:
    """Judge each line of an uploaded file, in the background, surviving whatever is killed."""
    if asked.endpoint is not None and asked.endpoint not in ENDPOINTS:
        raise ApiError(
            422, "invalid_endpoint",
            f"endpoint is {asked.endpoint!r}{did_you_mean(asked.endpoint, sorted(ENDPOINTS))}",
            f"use {', '.join(sorted(ENDPOINTS))}",
        )  # fmt: skip
    submission = Submission(
        id=new_id("batch_"),
        tenant=access.tenant,
        queue=QUEUE,
        spec=spec_of(asked),
        expires_in_s=window_seconds(asked.completion_window),
        idempotency_key=idempotency_key,
    )
    file = await find_file(service, access.tenant, asked.input_file_id)
    if file.purpose != "batch":
        raise ApiError(
            422, "invalid_purpose", f"file {file.id} has the purpose {file.purpose!r}",
            "upload it with the purpose batch",
        )  # fmt: skip
    job = await asyncio.to_thread(_submit, service, submission, file.id)
    service.work_came()
    return batch_object(job)


def _submit(service: Service, submission: Submission, file: str) -> Job:
    """The batch, its input shared before any worker can look for it."""
    folder = BatchFolder(service.batches_folder / submission.id)
    folder.take_input(files_of(service).path(submission.tenant, file))
    new = False
    try:
        job, new = submit(service.database, submission)
    finally:
        if not new:
            folder.clear()
    return job


@router.get("/v1/batches")
async def list_batches(
    service: Running, access: Labeller, after: str | None = None, limit: Limit = 20
) -> BatchList:
    """Your batches, the newest first, in pages."""
    found, more = await asyncio.to_thread(
        list_jobs, service.database, access.tenant, QUEUE, after, limit
    )
    data = [batch_object(job) for job in found]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return BatchList(data=data, first_id=first, last_id=last, has_more=more)


@router.get("/v1/batches/{batch_id}")
async def read_batch(batch_id: str, service: Running, access: Labeller) -> BatchObject:
    """Where a batch stands."""
    return batch_object(await _find(service, access.tenant, batch_id))


@router.post("/v1/batches/{batch_id}/cancel")
async def cancel_batch(batch_id: str, service: Running, access: Labeller) -> BatchObject:
    """Stop a batch; what is done by then stays in its output. One that is over stays as it is."""
    await _find(service, access.tenant, batch_id)
    job = await asyncio.to_thread(cancel_job, service.database, access.tenant, QUEUE, batch_id)
    assert job is not None
    service.work_came()
    return batch_object(job)


@router.get("/v1/batches/{batch_id}/output", response_class=StreamingResponse)
async def stream_output(
    batch_id: str,
    service: Running,
    access: Labeller,
    offset: Annotated[int, Query(ge=0, description="Bytes that you have already")] = 0,
    follow: Annotated[bool, Query(description="Wait for what is still to come")] = True,
) -> StreamingResponse:
    """The output as far as it is there, in the input's order, while the batch still runs.

    The bytes are those of the output file: broken off, ask again from the `offset` you have.
    """
    job = await _find(service, access.tenant, batch_id)
    lines: AsyncIterator[bytes] = follow_output(service, job, offset, follow=follow)
    return StreamingResponse(lines, media_type=NDJSON)


async def _find(service: Service, tenant: str, batch: str) -> Job:
    job = await asyncio.to_thread(find_job, service.database, tenant, QUEUE, batch)
    if job is None:
        raise ApiError(404, "not_found", f"batch {batch[:80]!r} is not there", "GET /v1/batches")
    return job
