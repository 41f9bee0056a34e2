"""Jobs with planned parts, as the tests of leases and workers use them."""

from sqlalchemy import Engine, update

from service.jobs.leases import claim
from service.jobs.lifecycle import find_job, new_id, settle_plan, submit
from service.jobs.records import Claim, Job, Range, Submission
from service.jobs.tables import tasks

QUEUE = "batch"


def planned(engine: Engine, parts: int, tenant: str = "acme") -> Job:
    """A job in its working phase, with so many parts of one line each."""
    job, _ = submit(
        engine, Submission(id=new_id("batch_"), tenant=tenant, queue=QUEUE, spec={"parts": parts})
    )
    held = taken(engine)
    assert held.job.id == job.id
    ranges = [Range(start=n, stop=n + 1, first_line=n + 1, lines=1) for n in range(parts)]
    assert settle_plan(engine, held, ranges, parts)
    return now(engine, job)


def now(engine: Engine, job: Job) -> Job:
    """The job as it stands."""
    found = find_job(engine, job.tenant, job.queue, job.id)
    assert found is not None
    return found


def taken(engine: Engine, owner: str = "one", lease_s: float = 30.0) -> Claim:
    """A claimed task."""
    held = claim(engine, owner, [QUEUE], lease_s)
    assert held is not None
    return held


def set_clock_on(engine: Engine, seconds: float) -> None:
    """What a database clock set forward (or back, negative) looks like to every lease."""
    with engine.begin() as connection:
        connection.execute(update(tasks).values(lease_until=tasks.c.lease_until - seconds))
