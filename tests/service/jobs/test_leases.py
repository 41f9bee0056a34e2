from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import Engine, text

from judges.errors import DataError
from service.errors import ApiError
from service.jobs.leases import LONGEST_LEASE_S, claim, complete, heartbeat, release
from service.jobs.lifecycle import (
    cancel_job,
    expire_jobs,
    find_job,
    list_jobs,
    new_id,
    settle_end,
    settle_plan,
    submit,
)
from service.jobs.records import Claim, Counts, Done, Submission
from tests.service.jobs.made_jobs import QUEUE, now, planned, set_clock_on, taken

ONE_LINE = Done({"part": "x"}, Counts(completed=1))


def test_a_task_is_held_by_one_worker(engine: Engine) -> None:
    planned(engine, 1)
    assert taken(engine).number == 0
    assert claim(engine, "two", [QUEUE], 30.0) is None


def test_workers_of_other_queues_do_not_see_it(engine: Engine) -> None:
    planned(engine, 1)
    assert claim(engine, "one", ["training-cpu"], 30.0) is None


def test_the_last_part_closes_the_work(engine: Engine) -> None:
    job = planned(engine, 2)
    for expected in ("work", "finish"):
        assert complete(engine, taken(engine), ONE_LINE)
        assert now(engine, job).phase == expected
    assert settle_end(engine, taken(engine), {"output": "file-1"})
    ended = now(engine, job)
    assert (ended.phase, ended.outcome, ended.result) == ("over", "completed", {"output": "file-1"})
    assert ended.lines_completed == ended.tasks_done == 2


def test_workers_that_finish_the_last_parts_at_once_close_the_work(engine: Engine) -> None:
    """With "count the unfinished", each sees the other's part as unfinished, and none closes."""
    barrier = Barrier(4)

    def finish(held: Claim) -> bool:
        barrier.wait()
        return complete(engine, held, ONE_LINE)

    for _ in range(10):
        job = planned(engine, 4)
        held = [taken(engine, f"worker {n}") for n in range(4)]
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(finish, held))
        ended = now(engine, job)
        assert (ended.phase, ended.tasks_done) == ("finish", 4)
        assert settle_end(engine, taken(engine), {})


def test_a_lost_task_moves_and_its_first_worker_can_commit_no_more(engine: Engine) -> None:
    job = planned(engine, 2)
    dead = taken(engine, "dead", lease_s=0.0)
    heir = taken(engine, "heir")
    assert (heir.number, heir.attempt, heir.losses) == (dead.number, 2, 1)
    assert not complete(engine, dead, ONE_LINE)
    assert not heartbeat(engine, dead, 30.0)
    assert not release(engine, dead)
    assert complete(engine, heir, ONE_LINE)
    assert now(engine, job).lines_completed == 1


def test_an_expired_lease_that_nobody_took_lives_on(engine: Engine) -> None:
    planned(engine, 1)
    slow = taken(engine, lease_s=0.0)
    assert heartbeat(engine, slow, 30.0)
    assert claim(engine, "two", [QUEUE], 30.0) is None
    assert complete(engine, slow, ONE_LINE)


def test_committing_again_counts_once(engine: Engine) -> None:
    job = planned(engine, 2)
    held = taken(engine)
    assert complete(engine, held, ONE_LINE)
    assert complete(engine, held, ONE_LINE)
    assert now(engine, job).lines_completed == 1


def test_what_is_given_back_has_its_job_wait(engine: Engine) -> None:
    job = planned(engine, 2)
    assert release(engine, taken(engine), wait_s=60.0, note="the engine is away")
    assert claim(engine, "two", [QUEUE], 30.0) is None
    assert now(engine, job).note == "the engine is away"
    planned(engine, 1, "other")
    assert taken(engine).job.tenant == "other"


@pytest.mark.parametrize(
    ("seconds", "moves"),
    [
        (7200.0, True),
        (-2 * LONGEST_LEASE_S, True),
        (-60.0, False),
        (10.0, False),
    ],
    ids=[
        "two hours forward: taken over",
        "two hours back: taken over, not held for hours",
        "a minute back: held a minute longer",
        "ten seconds forward: still held",
    ],
)
def test_a_clock_that_is_set_never_commits_twice(
    engine: Engine, seconds: float, moves: bool
) -> None:
    job = planned(engine, 1)
    first = taken(engine, "first")
    set_clock_on(engine, seconds)
    second = claim(engine, "second", [QUEUE], 30.0)
    assert (second is not None) == moves
    committed = [complete(engine, held, ONE_LINE) for held in (first, second) if held]
    assert sum(committed) == 1
    assert now(engine, job).lines_completed == 1


def test_a_cancelled_job_commits_no_more(engine: Engine) -> None:
    job = planned(engine, 2)
    held = taken(engine)
    cancelled = cancel_job(engine, "acme", QUEUE, job.id)
    assert cancelled is not None
    assert (cancelled.phase, cancelled.outcome) == ("finish", "cancelled")
    assert not heartbeat(engine, held, 30.0)
    assert not complete(engine, held, ONE_LINE)
    end = taken(engine)
    assert end.phase == "finish"
    assert settle_end(engine, end, {})
    assert now(engine, job).outcome == "cancelled"
    assert claim(engine, "two", [QUEUE], 30.0) is None


def test_cancelling_what_is_over_changes_nothing(engine: Engine) -> None:
    job = planned(engine, 0)
    assert settle_end(engine, taken(engine), {})
    assert cancel_job(engine, "acme", QUEUE, job.id) == now(engine, job)


def test_a_job_past_its_time_expires(engine: Engine) -> None:
    late, _ = submit(
        engine,
        Submission(id="batch_late", tenant="acme", queue=QUEUE, spec={}, expires_in_s=-1.0),
    )
    assert expire_jobs(engine) == 1
    assert (now(engine, late).phase, now(engine, late).outcome) == ("finish", "expired")


def test_a_plan_is_committed_once(engine: Engine) -> None:
    job, _ = submit(engine, Submission(id="batch_1", tenant="acme", queue=QUEUE, spec={}))
    slow = taken(engine, "slow", lease_s=0.0)
    quick = taken(engine, "quick")
    assert settle_plan(engine, quick, [], 0)
    assert not settle_plan(engine, slow, [], 0)
    assert now(engine, job).phase == "finish"


def test_tenants_share_workers(engine: Engine) -> None:
    large, small = planned(engine, 50, "large"), planned(engine, 50, "small")
    held = [taken(engine) for _ in range(10)]
    assert sum(one.job.id == large.id for one in held) == 5
    assert sum(one.job.id == small.id for one in held) == 5


def test_the_same_key_at_once_is_one_job(engine: Engine) -> None:
    barrier = Barrier(6)

    def ask(_: int) -> tuple[str, bool]:
        one = Submission(
            id=new_id("batch_"), tenant="acme", queue=QUEUE, spec={"a": 1}, idempotency_key="k"
        )
        barrier.wait()
        job, new = submit(engine, one)
        return job.id, new

    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(ask, range(6)))
    assert len({job for job, _ in told}) == 1
    assert sum(new for _, new in told) == 1


def test_a_key_is_for_one_request_of_one_tenant(engine: Engine) -> None:
    first = Submission(id="batch_1", tenant="acme", queue=QUEUE, spec={}, idempotency_key="k")
    submit(engine, first)
    assert submit(engine, first.model_copy(update={"id": "batch_2", "tenant": "other"}))[1]
    with pytest.raises(ApiError, match="was used for another request"):
        submit(engine, first.model_copy(update={"id": "batch_3", "spec": {"b": 2}}))


def test_jobs_are_listed_in_pages_for_their_tenant_alone(engine: Engine) -> None:
    ids = []
    for tenant in ["acme"] * 5 + ["other"]:
        ids.append(planned(engine, 0, tenant).id)
        assert settle_end(engine, taken(engine), {})
    ids.pop()
    found: list[str] = []
    after, more = None, True
    while more:
        page, more = list_jobs(engine, "acme", QUEUE, after, 2)
        found += [job.id for job in page]
        after = found[-1]
    assert found == ids[::-1]
    assert find_job(engine, "other", QUEUE, ids[0]) is None
    with pytest.raises(DataError, match="none of the ids"):
        list_jobs(engine, "other", QUEUE, ids[0], 2)


def test_a_connection_cut_at_the_commit_commits_once(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no connection to lose")
    job = planned(engine, 1)
    held = taken(engine)
    with engine.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid != pg_backend_pid() AND application_name = ''"
            )
        )
    assert complete(engine, held, ONE_LINE)
    assert now(engine, job).lines_completed == 1
