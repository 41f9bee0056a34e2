"""Training jobs over HTTP: queued, watched, cancelled, resumed; what they made, downloaded."""

import asyncio
from collections import deque
from pathlib import Path
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import FileResponse, StreamingResponse

from service.access import Access, needs
from service.context import Running, Service
from service.errors import ApiError
from service.jobs.lifecycle import cancel_job, find_job, list_jobs, reopen_job
from service.jobs.records import Job
from service.routes.batches import IdempotencyKey
from service.routing import OrjsonRoute
from service.training_jobs.follow import as_events, follow_file, plain
from service.training_jobs.run import QUEUE, JobFolder, job_folder
from service.training_jobs.submit import submit_training
from service.training_jobs.view import (
    Artefact,
    ArtefactList,
    TrainingJob,
    TrainingJobList,
    TrainingRequest,
    training_job,
)

router = APIRouter(tags=["training jobs"], route_class=OrjsonRoute)
Trainer = Annotated[Access, needs("train")]
Limit = Annotated[int, Query(ge=1, le=100)]
Offset = Annotated[int, Query(ge=0, description="Bytes that you have already")]
Follow = Annotated[bool, Query(description="Wait for what is still to come")]
LastEvent = Annotated[int | None, Header(ge=0, description="Sent by browsers that reconnect")]
STREAM: dict[int | str, Any] = {
    200: {"content": {"application/x-ndjson": {}, "text/plain": {}, "text/event-stream": {}}}
}


@router.post("/v1/training-jobs")
async def start_training(
    asked: TrainingRequest,
    service: Running,
    access: Trainer,
    idempotency_key: IdempotencyKey = None,
) -> TrainingJob:
    """Run a recipe on this machine, in a process of its own that outlives the service."""
    job = await asyncio.to_thread(submit_training, service, access.tenant, asked, idempotency_key)
    service.work_came()
    return await _told(service, job)


@router.get("/v1/training-jobs")
async def list_training_jobs(
    service: Running, access: Trainer, after: str | None = None, limit: Limit = 20
) -> TrainingJobList:
    """Your training jobs, the newest first, in pages."""
    found, more = await asyncio.to_thread(
        list_jobs, service.database, access.tenant, QUEUE, after, limit
    )
    data = [await _told(service, job) for job in found]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return TrainingJobList(data=data, first_id=first, last_id=last, has_more=more)


@router.get("/v1/training-jobs/{job_id}")
async def read_training_job(job_id: str, service: Running, access: Trainer) -> TrainingJob:
    """Where a training job stands, with its last metrics."""
    return await _told(service, await _find(service, access.tenant, job_id))


@router.post("/v1/training-jobs/{job_id}/cancel")
async def cancel_training(job_id: str, service: Running, access: Trainer) -> TrainingJob:
    """Stop a training: asked first, killed half a minute later. Its checkpoints stay."""
    await _find(service, access.tenant, job_id)
    job = await asyncio.to_thread(cancel_job, service.database, access.tenant, QUEUE, job_id)
    assert job is not None
    service.work_came()
    return await _told(service, job)


@router.post("/v1/training-jobs/{job_id}/resume")
async def resume_training(job_id: str, service: Running, access: Trainer) -> TrainingJob:
    """Go on with a training that failed or was cancelled, from its last checkpoint."""
    before = await _find(service, access.tenant, job_id)
    if before.phase != "over" or before.outcome not in ("failed", "cancelled"):
        raise ApiError(
            409, "not_resumable", f"{job_id} has neither failed nor been cancelled",
            "resume one that has; start a new one otherwise",
        )  # fmt: skip
    folder = job_folder(service, access.tenant, before.id)
    await asyncio.to_thread(folder.child.forget)
    job = await asyncio.to_thread(reopen_job, service.database, access.tenant, QUEUE, job_id)
    assert job is not None
    service.work_came()
    return await _told(service, job)


@router.get("/v1/training-jobs/{job_id}/log", response_class=StreamingResponse, responses=STREAM)
async def stream_log(
    job_id: str,
    request: Request,
    service: Running,
    access: Trainer,
    offset: Offset = 0,
    follow: Follow = True,
    last_event_id: LastEvent = None,
) -> StreamingResponse:
    """What the training says, as it says it: text, or server-sent events for who accepts them."""
    job = await _find(service, access.tenant, job_id)
    path = job_folder(service, access.tenant, job.id).child.log
    return _stream(request, service, job, path, last_event_id or offset, follow, "text/plain")


@router.get(
    "/v1/training-jobs/{job_id}/metrics", response_class=StreamingResponse, responses=STREAM
)
async def stream_metrics(
    job_id: str,
    request: Request,
    service: Running,
    access: Trainer,
    offset: Offset = 0,
    follow: Follow = True,
    last_event_id: LastEvent = None,
) -> StreamingResponse:
    """A line of JSON for each step, as it is made; or server-sent events."""
    job = await _find(service, access.tenant, job_id)
    path = job_folder(service, access.tenant, job.id).metrics
    kind = "application/x-ndjson"
    return _stream(request, service, job, path, last_event_id or offset, follow, kind)


@router.get("/v1/training-jobs/{job_id}/artefacts")
async def list_artefacts(job_id: str, service: Running, access: Trainer) -> ArtefactList:
    """What the training made so far: checkpoints, metrics, the model itself."""
    job = await _find(service, access.tenant, job_id)
    run = job_folder(service, access.tenant, job.id).run
    return ArtefactList(data=await asyncio.to_thread(_artefacts, run))


@router.get("/v1/training-jobs/{job_id}/artefacts/{path:path}", response_class=FileResponse)
async def read_artefact(job_id: str, path: str, service: Running, access: Trainer) -> FileResponse:
    """One of the files that the training made, or part of it, by `Range`."""
    job = await _find(service, access.tenant, job_id)
    run = job_folder(service, access.tenant, job.id).run
    for artefact in await asyncio.to_thread(_artefacts, run):
        if artefact.path == path:
            return FileResponse(run / path, filename=Path(path).name)
    raise ApiError(404, "not_found", f"{path[:80]!r} is no artefact of {job_id}", "list them first")


def _artefacts(run: Path) -> list[Artefact]:
    """Plain files below the run folder: no links, nothing hidden."""
    found = []
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run)
        if path.is_file() and not path.is_symlink() and not any(p[0] == "." for p in name.parts):
            found.append(Artefact(path=name.as_posix(), bytes=path.stat().st_size))
    return found


def _stream(
    request: Request,
    service: Service,
    job: Job,
    path: Path,
    offset: int,
    follow: bool,
    kind: str,
) -> StreamingResponse:
    async def over() -> bool:
        now = await asyncio.to_thread(find_job, service.database, job.tenant, QUEUE, job.id)
        return now is None or now.phase == "over"

    blocks = follow_file(path, offset, over, follow=follow)
    if "text/event-stream" in request.headers.get("accept", ""):
        return StreamingResponse(as_events(blocks), media_type="text/event-stream")
    return StreamingResponse(plain(blocks), media_type=kind)


async def _find(service: Service, tenant: str, job: str) -> Job:
    found = await asyncio.to_thread(find_job, service.database, tenant, QUEUE, job)
    if found is None:
        raise ApiError(
            404, "not_found", f"training job {job[:80]!r} is not there", "GET /v1/training-jobs"
        )
    return found


async def _told(service: Service, job: Job) -> TrainingJob:
    folder = job_folder(service, job.tenant, job.id)
    return training_job(job, await asyncio.to_thread(_last_metrics, folder))


def _last_metrics(folder: JobFolder) -> dict[str, Any] | None:
    try:
        with folder.metrics.open("rb") as file:
            file.seek(max(0, folder.metrics.stat().st_size - 65536))
            last = deque(file, maxlen=2)
    except FileNotFoundError:
        return None
    for line in reversed(last):  # the last one may be half-written
        try:
            told: dict[str, Any] = orjson.loads(line)
            return told
        except orjson.JSONDecodeError:
            continue
    return None
