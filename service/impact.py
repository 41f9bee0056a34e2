"""What an edited constitution would change in a run, as a job: no model is called.

The run is a file of rankings: one that was uploaded with the purpose `rankings`, or the output of
a batch to `/v1/rank`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from judges.constitutions.constitution import VERSION, Constitution
from judges.constitutions.files import parse_constitution
from judges.constitutions.yaml_source import MAX_BYTES
from judges.diagnostics.impact import preview
from judges.diagnostics.impact_report import Impact
from judges.diagnostics.run_files import read_run
from judges.errors import CharterError, ConstitutionError
from judges.jsonl import read_jsonl, write_jsonl
from judges.records import Record
from service.context import Service
from service.errors import as_api_error
from service.files.folder import FileFolder
from service.jobs.leases import complete
from service.jobs.lifecycle import settle_end
from service.jobs.records import Claim, Done, Job
from service.jobs.worker import Settle, Worker

QUEUE = "impact"
PURPOSE = "rankings"
VersionText = Annotated[str, StringConstraints(pattern=VERSION, max_length=40)]


class ImpactRequest(Record):
    """Which edit, and on which run."""

    before: VersionText = Field(examples=["1.0.0"])
    """The version that the run was judged under."""
    after: VersionText | None = None
    """The other version; or give the edit as `yaml`."""
    yaml: Annotated[str, StringConstraints(min_length=1, max_length=MAX_BYTES)] | None = None
    """A draft, in place of `after`."""
    file_id: Annotated[str, StringConstraints(max_length=100)]
    """Rankings: an upload with the purpose `rankings`, or a batch's output."""
    slice: Annotated[str, StringConstraints(max_length=100)] = "subset"
    """The key of `metadata` that names a part of the data."""
    seed: int = 0
    """Draws the bootstrap."""


class ImpactJob(Record):
    """A preview: under way, done, or failed for a reason."""

    id: str
    """Names it."""
    status: str = Field(examples=["completed"])
    """`in_progress`, `completed` or `failed`."""
    error: str | None
    """Why it failed."""
    impact: Impact | None
    """Which labels flip, with intervals, by principle and part; and the votes still needed."""


def impact_job(job: Job) -> ImpactJob:
    """A job as its tenant sees it."""
    over = job.phase == "over"
    done = over and job.outcome == "completed" and job.result is not None
    return ImpactJob(
        id=job.id,
        status=("completed" if done else "failed") if over else "in_progress",
        error=None if done or not over else job.note,
        impact=Impact.model_validate(job.result) if done else None,
    )


def edited(service: Service, tenant: str, name: str, asked: ImpactRequest) -> Constitution:
    """The constitution after the edit. Raises: ConstitutionError, ApiError."""
    if (asked.yaml is None) == (asked.after is None):
        raise ConstitutionError("an edit is either `after`, a version, or `yaml`, a draft")
    if asked.after is not None:
        return service.library.load(f"{name}@{asked.after}", tenant)
    try:
        text = str(asked.yaml).encode()
        return parse_constitution(text, "draft", service.library.folders(tenant))
    except ConstitutionError as error:
        raise ConstitutionError(service.library.plain(error)) from None


@asynccontextmanager
async def work_on_impacts(service: Service) -> AsyncIterator[None]:
    """A worker for previews as long as the service runs."""
    if not service.settings.workers:
        yield
        return
    worker = Worker(service.database, partial(_run, service), [QUEUE])
    service.wakers.append(worker.wake)
    working = asyncio.create_task(worker.work(service.settings.drain_s))
    try:
        yield
    finally:
        worker.stop()
        await working


async def _run(service: Service, held: Claim) -> Settle:
    """A preview is one task; all is done where the job ends."""
    if held.phase == "work":
        return lambda: complete(service.database, held, Done())
    return await asyncio.to_thread(_preview, service, held)


def _preview(service: Service, held: Claim) -> Settle:
    job, asked = held.job, ImpactRequest.model_validate(held.job.spec["request"])
    folder = ""
    try:
        before = service.library.load(f"{job.spec['name']}@{asked.before}", job.tenant)
        after = edited(service, job.tenant, job.spec["name"], asked)
        with TemporaryDirectory(prefix="charter-impact-") as folder:
            rankings = Path(folder) / "rankings.jsonl"
            file = FileFolder(service.database, service.files_folder).path(
                job.tenant, asked.file_id
            )
            write_jsonl(rankings, _ranking_lines(file))
            found = preview(
                read_run(rankings, asked.slice), before, after, service.votes,
                slice_column=asked.slice, seed=asked.seed,
            )  # fmt: skip
    except CharterError as error:
        told = as_api_error(error)
        if told.status == 503:
            raise  # a store that is away: later
        note = " ".join(str(error).split()).replace(f"{folder}/", "")
        return lambda: settle_end(service.database, held, {}, outcome="failed", note=note)
    result = found.model_dump(mode="json")
    return lambda: settle_end(service.database, held, result)


def _ranking_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Rankings as they are, or out of a batch's answers."""
    for _, row in read_jsonl(path):
        response = row.get("response")
        body = response.get("body") if isinstance(response, dict) else None
        yield body if isinstance(body, dict) else row
