"""A job from submission to its end: planned, cancelled, expired, failed, over; and looked up."""

import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, and_, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from judges.canonical import digest
from judges.errors import DataError
from judges.store.database_errors import database_errors
from judges.store.schema import writing
from service.errors import ApiError
from service.jobs.leases import job_of, settle
from service.jobs.records import Claim, Job, Outcome, Range, Submission
from service.jobs.tables import jobs, tasks
from service.storage.clock import database_now

INSERT_ROWS = 1000


def new_id(prefix: str) -> str:
    """An id that cannot be guessed."""
    return f"{prefix}{secrets.token_hex(16)}"


def submit(engine: Engine, submission: Submission) -> tuple[Job, bool]:
    """The job, and whether it is new: one with the same idempotency key is the one there is.

    Raises: ApiError 409 when that key was used for something else.
    """
    request = digest(submission.spec)
    with database_errors(engine):
        if found := _repeated(engine, submission, request):
            return found, False
        try:
            with writing(engine) as connection:
                _insert_job(connection, submission, request)
        except IntegrityError:
            if found := _repeated(engine, submission, request):
                return found, False
            raise
    job = find_job(engine, submission.tenant, submission.queue, submission.id)
    assert job is not None
    return job, True


def _repeated(engine: Engine, submission: Submission, request: str) -> Job | None:
    if submission.idempotency_key is None:
        return None
    query = select(jobs).where(
        jobs.c.tenant == submission.tenant,
        jobs.c.queue == submission.queue,
        jobs.c.idempotency_key == submission.idempotency_key,
    )
    with engine.connect() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        return None
    if row.request_digest != request:
        raise ApiError(
            409, "idempotency_conflict",
            f"key {submission.idempotency_key!r} was used for another request, {row.id}",
            "use a new key for a new request",
        )  # fmt: skip
    return job_of(row)


def _insert_job(connection: Connection, submission: Submission, request: str) -> None:
    counters = {
        column.name: 0
        for column in jobs.columns
        if column.name.startswith(("tasks_", "lines_", "votes", "prompt_", "cached_"))
    }
    expires = submission.expires_in_s
    connection.execute(
        insert(jobs).values(
            **counters | {"tasks_total": 0 if submission.planned else 1},
            id=submission.id,
            tenant=submission.tenant,
            queue=submission.queue,
            phase="plan" if submission.planned else "work",
            spec=submission.spec,
            not_before=0.0,
            created_at=database_now(),
            expires_at=None if expires is None else database_now() + expires,
            idempotency_key=submission.idempotency_key,
            request_digest=request,
        )
    )
    phases = ("plan" if submission.planned else "work", "finish")
    connection.execute(
        insert(tasks), [_task_row(submission.id, phase, 0, Range()) for phase in phases]
    )


def _task_row(job: str, phase: str, number: int, part: Range) -> dict[str, Any]:
    return {
        "job_id": job,
        "phase": phase,
        "number": number,
        "state": "waiting",
        "attempt": 0,
        "losses": 0,
        **part.model_dump(),
    }


def settle_plan(engine: Engine, held: Claim, parts: Sequence[Range], lines: int) -> bool:
    """Begin the work on the parts of a planned job; False when the plan is no longer held.

    Without parts there is nothing to work on, and the job finishes.
    """

    def insert_parts(connection: Connection) -> None:
        for some in _batched(enumerate(parts), INSERT_ROWS):
            rows = [_task_row(held.job.id, "work", number, part) for number, part in some]
            connection.execute(insert(tasks), rows)

    changes: dict[str, Any] = {
        "tasks_total": len(parts),
        "lines_total": lines,
        "phase": "work",
        "note": None,
        "working_at": database_now(),
    }
    if not parts:
        changes |= {"phase": "finish", "outcome": "completed", "finishing_at": database_now()}
    return settle(engine, held, {}, changes, insert_parts)


def settle_end(
    engine: Engine,
    held: Claim,
    result: dict[str, Any],
    also: Callable[[Connection], None] | None = None,
    *,
    outcome: Outcome | None = None,
    note: str | None = None,
) -> bool:
    """End a job with its result; the outcome is the one it has unless another is given."""
    changes: dict[str, Any] = {"phase": "over", "over_at": database_now(), "result": result}
    if outcome:
        changes["outcome"] = outcome
    if note or outcome:
        changes["note"] = note
    return settle(engine, held, {}, changes, also)


def cancel_job(engine: Engine, tenant: str, queue: str, job: str) -> Job | None:
    """The job, which stops if it was not finishing already; None when the tenant has none such."""
    with database_errors(engine), writing(engine) as connection:
        connection.execute(
            update(jobs)
            .where(
                jobs.c.id == job,
                jobs.c.tenant == tenant,
                jobs.c.queue.like(f"{queue}%"),
                jobs.c.phase.in_(("plan", "work")),
            )
            .values(
                phase="finish",
                outcome="cancelled",
                cancelling_at=database_now(),
                finishing_at=database_now(),
            )
        )
    return find_job(engine, tenant, queue, job)


def reopen_job(engine: Engine, tenant: str, queue: str, job: str) -> Job | None:
    """The job, which is worked on again if it had failed or was cancelled; None: no such job."""
    again = (
        jobs.c.id == job,
        jobs.c.tenant == tenant,
        jobs.c.queue.like(f"{queue}%"),
        jobs.c.phase == "over",
        jobs.c.outcome.in_(("failed", "cancelled")),
    )
    nothing = dict.fromkeys(("outcome", "note", "over_at", "finishing_at", "cancelling_at"))
    with database_errors(engine), writing(engine) as connection:
        opened = connection.execute(update(jobs).where(*again).values(phase="work", **nothing))
        if opened.rowcount:
            connection.execute(
                update(tasks)
                .where(tasks.c.job_id == job)
                .values(state="waiting", lease_until=None, losses=0)
            )
    return find_job(engine, tenant, queue, job)


def expire_jobs(engine: Engine) -> int:
    """How many jobs were stopped because their time is over."""
    with database_errors(engine), writing(engine) as connection:
        stopped = connection.execute(
            update(jobs)
            .where(jobs.c.expires_at <= database_now(), jobs.c.phase.in_(("plan", "work")))
            .values(phase="finish", outcome="expired", finishing_at=database_now())
        )
        return stopped.rowcount


def find_job(engine: Engine, tenant: str, queue: str, job: str) -> Job | None:
    """A tenant's job; None when it has none such, or another tenant has."""
    query = select(jobs).where(
        jobs.c.id == job, jobs.c.tenant == tenant, jobs.c.queue.like(f"{queue}%")
    )
    with database_errors(engine), engine.connect() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else job_of(row)


def list_jobs(
    engine: Engine, tenant: str, queue: str, after: str | None, limit: int
) -> tuple[list[Job], bool]:
    """Jobs of a tenant, the newest first, from the one after `after`; and whether there are more.

    Raises: DataError for an `after` that is none of them.
    """
    query = select(jobs).where(jobs.c.tenant == tenant, jobs.c.queue.like(f"{queue}%"))
    if after is not None:
        last = find_job(engine, tenant, queue, after)
        if last is None:
            raise DataError(f"after is {after!r}, which is none of the ids listed; use one of them")
        older = jobs.c.created_at < last.created_at
        same = and_(jobs.c.created_at == last.created_at, jobs.c.id < last.id)
        query = query.where(or_(older, same))
    query = query.order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(limit + 1)
    with database_errors(engine), engine.connect() as connection:
        rows = connection.execute(query).all()
    return [job_of(row) for row in rows[:limit]], len(rows) > limit


def unfinished_jobs(engine: Engine, queue: str) -> set[str]:
    """The ids of all jobs of a queue that are not over."""
    query = select(jobs.c.id).where(jobs.c.phase != "over", jobs.c.queue == queue)
    with database_errors(engine), engine.connect() as connection:
        return set(connection.scalars(query))


def task_results(
    engine: Engine, job: str, first: int = 0, limit: int = 1000
) -> list[tuple[int, str, Range, dict[str, Any] | None]]:
    """Number, state, range and result of a job's parts, from the part `first` on."""
    query = (
        select(tasks)
        .where(tasks.c.job_id == job, tasks.c.phase == "work", tasks.c.number >= first)
        .order_by(tasks.c.number)
        .limit(limit)
    )
    with database_errors(engine), engine.connect() as connection:
        rows = connection.execute(query).all()
    return [
        (
            row.number,
            row.state,
            Range(start=row.start, stop=row.stop, first_line=row.first_line, lines=row.lines),
            row.result,
        )
        for row in rows
    ]


def _batched(items: Iterable[Any], size: int) -> Iterable[list[Any]]:
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
