"""Batches as clients see them: OpenAI's shape of a job."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from judges.errors import DataError
from judges.records import Record
from service.jobs.records import Job

Status = Literal[
    "validating",
    "failed",
    "in_progress",
    "finalizing",
    "completed",
    "expired",
    "cancelling",
    "cancelled",
]
WINDOW = re.compile(r"([1-9][0-9]{0,4})([smhd])", re.ASCII)
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LONGEST_WINDOW_S = 31 * 86400
Metadata = dict[
    Annotated[str, StringConstraints(max_length=64)],
    Annotated[str, StringConstraints(max_length=512)],
]


class BatchRequest(Record):
    """A batch to be made of an uploaded file."""

    input_file_id: str
    """The file, uploaded with the purpose `batch`: a line for each request, `{"custom_id",
    "method": "POST", "url": "/v1/rank", "body": {…}}`."""
    endpoint: str | None = None
    """The one judging endpoint that all lines name; without it, each line names its own."""
    completion_window: str = "24h"
    """How long it may take, such as `24h`, `90m` or `7d`; then what is not done is reported."""
    metadata: Annotated[Metadata, Field(max_length=16)] | None = None
    """Kept and shown, up to 16 pairs of texts."""


class BatchError(Record):
    """Why a whole batch failed."""

    code: str
    """For programs."""
    message: str
    """For people."""
    line: int | None
    """The line at fault, if one is."""
    param: str | None
    """The parameter at fault, if one is."""


class BatchErrors(Record):
    """Why a whole batch failed."""

    object: Literal["list"] = "list"
    """Always `list`."""
    data: list[BatchError]
    """The faults."""


class RequestCounts(Record):
    """Lines so far."""

    total: int
    """Lines of the input that are not blank; 0 while it is validated."""
    completed: int
    """With a result, in the output file."""
    failed: int
    """Without one, in the error file."""


class BatchUsage(Record):
    """What was asked of the judges so far; votes found in the store cost nothing."""

    input_tokens: int
    """Tokens of the prompts of new votes."""
    input_tokens_details: dict[str, int]
    """`cached_tokens`: those that the engine had already."""
    output_tokens: int
    """One for each new vote."""
    output_tokens_details: dict[str, int]
    """`reasoning_tokens`: not counted apart, 0."""
    total_tokens: int
    """Both."""


class BatchObject(Record):
    """A batch."""

    id: str
    """Names it."""
    object: Literal["batch"] = "batch"
    """Always `batch`."""
    endpoint: str | None
    """The endpoint that all lines name, if one was asked for."""
    errors: BatchErrors | None
    """Why it failed as a whole."""
    input_file_id: str
    """What it was made of."""
    completion_window: str
    """How long it may take."""
    status: Status
    """Where it stands."""
    output_file_id: str | None
    """Its results, in the input's order, once over; while it runs: `GET …/output`."""
    error_file_id: str | None
    """A line for each request that came to nothing, with its number and the reason."""
    created_at: int
    """Seconds since 1970, as all times here."""
    in_progress_at: int | None
    """When judging began."""
    expires_at: int | None
    """When it will be stopped."""
    finalizing_at: int | None
    """When its last part was done."""
    completed_at: int | None
    """When it was done."""
    failed_at: int | None
    """When it failed."""
    expired_at: int | None
    """When it was stopped for its time."""
    cancelling_at: int | None
    """When it was asked to stop."""
    cancelled_at: int | None
    """When it had stopped."""
    request_counts: RequestCounts
    """Lines so far."""
    usage: BatchUsage
    """What it cost so far."""
    metadata: dict[str, str] | None
    """As it was given."""
    note: str | None
    """What it waits for, in one line: a judge that is away, a full disk."""


def window_seconds(window: str) -> float:
    """Seconds of a completion window. Raises: DataError for none such."""
    told = WINDOW.fullmatch(window)
    seconds = int(told[1]) * UNITS[told[2]] if told else 0
    if not 0 < seconds <= LONGEST_WINDOW_S:
        raise DataError(
            f"completion_window is {window!r}; write a number and s, m, h or d, at most 31d"
        )
    return float(seconds)


def status_of(job: Job) -> Status:
    """A job's status, in OpenAI's words."""
    if job.phase == "over":
        assert job.outcome is not None
        return job.outcome
    if job.phase == "finish":
        return "cancelling" if job.outcome == "cancelled" else "finalizing"
    return "validating" if job.phase == "plan" else "in_progress"


def batch_object(job: Job) -> BatchObject:
    """A job as a batch."""
    result, status = job.result or {}, status_of(job)
    faults = [BatchError.model_validate(fault) for fault in result.get("errors", ())]
    ended: dict[str, int | None] = {
        f"{outcome}_at": None for outcome in ("completed", "failed", "expired", "cancelled")
    }
    if job.phase == "over":
        ended[f"{job.outcome}_at"] = _whole(job.over_at)
    return BatchObject(
        id=job.id,
        endpoint=job.spec["endpoint"],
        errors=BatchErrors(data=faults) if faults else None,
        input_file_id=job.spec["input_file_id"],
        completion_window=job.spec["completion_window"],
        status=status,
        output_file_id=result.get("output_file_id"),
        error_file_id=result.get("error_file_id"),
        created_at=int(job.created_at),
        in_progress_at=_whole(job.working_at),
        expires_at=_whole(job.expires_at),
        finalizing_at=_whole(job.finishing_at),
        cancelling_at=_whole(job.cancelling_at),
        request_counts=RequestCounts(
            total=job.lines_total,
            completed=job.lines_completed,
            failed=job.lines_failed + result.get("expired", 0),
        ),
        usage=_usage(job),
        metadata=job.spec["metadata"],
        note=job.note,
        **ended,
    )


def _usage(job: Job) -> BatchUsage:
    return BatchUsage(
        input_tokens=job.prompt_tokens,
        input_tokens_details={"cached_tokens": job.cached_tokens},
        output_tokens=job.votes,
        output_tokens_details={"reasoning_tokens": 0},
        total_tokens=job.prompt_tokens + job.votes,
    )


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds)


def spec_of(request: BatchRequest) -> dict[str, Any]:
    """What a batch's workers read of its request."""
    return request.model_dump(mode="json")
