"""Training jobs as clients see them."""

from typing import Any, Literal

from pydantic import Field

from judges.records import Record
from service.jobs.records import Job
from service.training_jobs.run import GPU

Status = Literal["queued", "running", "cancelling", "completed", "failed", "cancelled"]


class TrainingRequest(Record):
    """A recipe to be run."""

    method: str
    """As in `charter train METHOD`: `dpo`, `reward`, …"""
    recipe: dict[str, Any] | str
    """The recipe itself, as JSON; or the id of an uploaded one, or a path in your folder. Files
    in it are ids of uploads, or paths in your folder; `output` is left to the service."""
    overrides: dict[str, Any] = Field(default_factory=dict)
    """Keys set over the recipe's, such as `{"trainer.max_steps": 20}`."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where it waits for a slot: `auto` takes the GPU where there is one."""
    metadata: dict[str, str] | None = None
    """Kept and shown."""


class TrainingJob(Record):
    """A training job."""

    id: str
    """Names it."""
    object: Literal["training_job"] = "training_job"
    """Always `training_job`."""
    method: str
    """As in `charter train METHOD`."""
    device: Literal["cpu", "gpu"]
    """Where it runs."""
    status: Status
    """Where it stands."""
    error: str | None
    """Why it failed, in one line."""
    created_at: int
    """Seconds since 1970, as all times here."""
    started_at: int | None
    """When it began to train."""
    finished_at: int | None
    """When it was over."""
    metrics: dict[str, Any] | None
    """The last step's metrics."""
    summary: dict[str, Any] | None
    """What came of it, once completed."""
    metadata: dict[str, str] | None
    """As it was given."""


class TrainingJobList(Record):
    """A page of training jobs, the newest first."""

    object: Literal["list"] = "list"
    """Always `list`."""
    data: list[TrainingJob]
    """The jobs."""
    first_id: str | None
    """The first one's id."""
    last_id: str | None
    """The last one's, for `after`."""
    has_more: bool
    """Whether there are older ones."""


class Artefact(Record):
    """A file that a training made."""

    path: str
    """Its path in the run folder; part of its address."""
    bytes: int
    """Its size."""


class ArtefactList(Record):
    """What a training made so far."""

    object: Literal["list"] = "list"
    """Always `list`."""
    data: list[Artefact]
    """The files."""


def status_of(job: Job) -> Status:
    """Where a job stands. One that expired cannot be: training has no time limit."""
    if job.phase == "over":
        assert job.outcome is not None and job.outcome != "expired"
        return job.outcome
    if job.phase == "finish":
        return "cancelling"
    return "queued" if job.working_at is None else "running"


def training_job(job: Job, metrics: dict[str, Any] | None) -> TrainingJob:
    """A job as a training job."""
    return TrainingJob(
        id=job.id,
        method=job.spec["method"],
        device="gpu" if job.queue == GPU else "cpu",
        status=status_of(job),
        error=job.note if job.outcome == "failed" else None,
        created_at=int(job.created_at),
        started_at=None if job.working_at is None else int(job.working_at),
        finished_at=None if job.over_at is None else int(job.over_at),
        metrics=metrics,
        summary=(job.result or {}).get("summary"),
        metadata=job.spec["metadata"],
    )
