"""Who works on what: tasks are claimed for a while, kept by heartbeats, and committed once.

A worker that is killed, or cut off, loses its lease by the database's clock, and another one takes
the task over. The pair (owner, attempt) fences: who lost a task can no longer commit it. What a
task made and the job's counters are committed in one transaction, so a kill at any moment loses
nothing that was committed and commits nothing twice.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, case, exists, func, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from judges.store.database_errors import database_errors
from judges.store.schema import writing
from service.jobs.records import Claim, Done, Job, Range
from service.jobs.tables import jobs, tasks
from service.storage.clock import database_now

LEASE_S = 30.0
LONGEST_LEASE_S = 3600.0
"""A lease or a wait that ends later than this was given before somebody set the clock back."""
CANDIDATES = 64
"""Jobs that one claim looks at, those with the least in work first."""


def claim(engine: Engine, owner: str, queues: Sequence[str], lease_s: float) -> Claim | None:
    """A task that nobody holds, now held by `owner`; None when there is none.

    A dead worker's task goes first, then plans and ends; else one of the tenant, and of its jobs
    the one, with the least in work.
    """
    with database_errors(engine), writing(engine) as connection:
        row = lost = _abandoned(connection, queues)
        row = row or _next_waiting(connection, queues)
        if row is None:
            return None
        losses = row.losses + (lost is not None)
        mine = _this(row.job_id, row.phase, row.number)
        connection.execute(
            update(tasks)
            .where(*mine)
            .values(
                state="leased",
                owner=owner,
                attempt=row.attempt + 1,
                losses=losses,
                lease_until=database_now() + lease_s,
            )
        )
        job = connection.execute(select(jobs).where(jobs.c.id == row.job_id)).one()
        if job.working_at is None and row.phase == "work":
            connection.execute(
                update(jobs).where(jobs.c.id == job.id).values(working_at=database_now())
            )
    given = Range(start=row.start, stop=row.stop, first_line=row.first_line, lines=row.lines)
    return Claim(job_of(job), row.phase, row.number, owner, row.attempt + 1, losses, given)


def heartbeat(engine: Engine, held: Claim, lease_s: float) -> bool:
    """Whether the task is still held, for another `lease_s`; if not, its work is in vain."""
    alive = exists().where(jobs.c.id == held.job.id, jobs.c.phase == held.phase)
    with database_errors(engine), writing(engine) as connection:
        kept = connection.execute(
            update(tasks).where(*_held(held), alive).values(lease_until=database_now() + lease_s)
        )
        return kept.rowcount == 1


def release(engine: Engine, held: Claim, wait_s: float = 0.0, note: str | None = None) -> bool:
    """Give a task back undone; whether it was still held.

    With a wait, nothing of its job is claimed until then: what it lacks, the others lack too.
    """
    with database_errors(engine), writing(engine) as connection:
        freed = connection.execute(
            update(tasks).where(*_held(held)).values(state="waiting", lease_until=None)
        )
        if freed.rowcount and wait_s:
            connection.execute(
                update(jobs)
                .where(jobs.c.id == held.job.id)
                .values(note=note, not_before=database_now() + wait_s)
            )
        return freed.rowcount == 1


def complete(engine: Engine, held: Claim, done: Done) -> bool:
    """Commit what a task of the work made, and count it; False when the task is no longer held.

    Asked again after a commit whose answer got lost, it says True and commits nothing.
    """
    last = jobs.c.tasks_done + 1 == jobs.c.tasks_total
    counts = done.counts
    changes = {
        "tasks_done": jobs.c.tasks_done + 1,
        "lines_completed": jobs.c.lines_completed + counts.completed,
        "lines_failed": jobs.c.lines_failed + counts.failed,
        "votes": jobs.c.votes + counts.votes,
        "prompt_tokens": jobs.c.prompt_tokens + counts.prompt_tokens,
        "cached_tokens": jobs.c.cached_tokens + counts.cached_tokens,
        "note": None,
        "not_before": 0.0,
        # Counted up under the job's row lock: "are there others unfinished?" would hang for ever
        # when two workers finish the last two tasks, each seeing the other's as unfinished.
        "phase": case((last, "finish"), else_=jobs.c.phase),
        "outcome": case((last, "completed"), else_=jobs.c.outcome),
        "finishing_at": case((last, database_now()), else_=jobs.c.finishing_at),
    }
    return settle(engine, held, done.result, changes)


def settle(
    engine: Engine,
    held: Claim,
    result: dict[str, Any],
    changes: dict[str, Any],
    also: Callable[[Connection], None] | None = None,
) -> bool:
    """Commit a held task, its result, changes to its job and whatever else, all or nothing.

    False, and nothing committed, when the task is no longer held or its job has moved on.
    """
    with database_errors(engine), engine.execution_options(charter_writes=True).connect() as link:
        transaction = link.begin()
        moved = link.execute(
            update(jobs)
            .where(jobs.c.id == held.job.id, jobs.c.phase == held.phase)
            .values(**changes)
        )
        mine = link.execute(
            update(tasks).where(*_held(held)).values(state="done", lease_until=None, result=result)
        )
        if moved.rowcount == 1 and mine.rowcount == 1:
            if also:
                also(link)
            transaction.commit()
            return True
        transaction.rollback()
        return _is_done_by(link, held)


def _is_done_by(connection: Connection, held: Claim) -> bool:
    done = select(func.count()).where(
        *_this(held.job.id, held.phase, held.number),
        tasks.c.state == "done",
        tasks.c.owner == held.owner,
        tasks.c.attempt == held.attempt,
    )
    return bool(connection.scalar(done))


def _this(job: str, phase: str, number: int) -> tuple[ColumnElement[bool], ...]:
    return tasks.c.job_id == job, tasks.c.phase == phase, tasks.c.number == number


def _held(held: Claim) -> tuple[ColumnElement[bool], ...]:
    """The row of a task, if the claim still holds it."""
    return (
        *_this(held.job.id, held.phase, held.number),
        tasks.c.state == "leased",
        tasks.c.owner == held.owner,
        tasks.c.attempt == held.attempt,
    )


def _passed(moment: ColumnElement[float]) -> ColumnElement[bool]:
    return or_(moment <= database_now(), moment > database_now() + LONGEST_LEASE_S)


def _abandoned(connection: Connection, queues: Sequence[str]) -> Row[Any] | None:
    query = (
        select(tasks)
        .join(jobs, jobs.c.id == tasks.c.job_id)
        .where(
            tasks.c.state == "leased",
            _passed(tasks.c.lease_until),
            jobs.c.phase == tasks.c.phase,
            jobs.c.queue.in_(queues),
        )
        .order_by(tasks.c.job_id, tasks.c.number)
    )
    return _first_free(connection, query)


def _next_waiting(connection: Connection, queues: Sequence[str]) -> Row[Any] | None:
    for row in connection.execute(_least_worked_on(queues)).all():
        query = (
            select(tasks)
            .where(
                tasks.c.job_id == row.id,
                tasks.c.phase == row.phase,
                tasks.c.state == "waiting",
            )
            .order_by(tasks.c.number)
        )
        if free := _first_free(connection, query):
            return free
    return None


def _least_worked_on(queues: Sequence[str]) -> Select[tuple[str, str]]:
    held = (
        select(tasks.c.job_id, func.count().label("held"))
        .where(tasks.c.state == "leased")
        .group_by(tasks.c.job_id)
        .subquery()
    )
    in_work = func.coalesce(held.c.held, 0)
    of_tenant = func.sum(in_work).over(partition_by=jobs.c.tenant)
    return (
        select(jobs.c.id, jobs.c.phase)
        .outerjoin(held, held.c.job_id == jobs.c.id)
        .where(jobs.c.phase != "over", jobs.c.queue.in_(queues), _passed(jobs.c.not_before))
        # Planning finds faults, and finishing gives results: neither waits for other jobs' work.
        .order_by(jobs.c.phase == "work", of_tenant, in_work, jobs.c.created_at)
        .limit(CANDIDATES)
    )


def _first_free(connection: Connection, query: Select[Any]) -> Row[Any] | None:
    """The first row that no other worker is claiming at this moment."""
    locked = query.limit(1).with_for_update(of=tasks, skip_locked=True)
    return connection.execute(locked).one_or_none()


def job_of(row: Row[Any]) -> Job:
    """A job's row as a record."""
    told = row._asdict()
    return Job.model_validate({name: told[name] for name in Job.model_fields})
