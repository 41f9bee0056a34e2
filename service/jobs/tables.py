"""The tables of jobs. A job is worked on in tasks, each held by one worker's lease at a time.

A job of 10^7 lines is some 40,000 rows: a task names a range of its input's bytes, never its lines.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
)

from service.storage.tables import metadata

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant", String(64), nullable=False),
    # Which workers take it: batch, training-cpu, training-gpu.
    Column("queue", String(32), nullable=False),
    # plan, work, finish, over. A task can be claimed, and completed, in its own phase only.
    Column("phase", String(16), nullable=False),
    # Once known: completed, failed, expired, cancelled.
    Column("outcome", String(16)),
    Column("spec", JSON, nullable=False),
    Column("result", JSON),
    # Why it failed, or what it waits for: one line.
    Column("note", String),
    # Not to be worked on before: what it needs is away.
    Column("not_before", Double, nullable=False),
    Column("tasks_total", Integer, nullable=False),
    Column("tasks_done", Integer, nullable=False),
    Column("lines_total", BigInteger, nullable=False),
    Column("lines_completed", BigInteger, nullable=False),
    Column("lines_failed", BigInteger, nullable=False),
    Column("votes", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    # Seconds since 1970 by the database's clock.
    Column("created_at", Double, nullable=False),
    Column("working_at", Double),
    Column("finishing_at", Double),
    Column("cancelling_at", Double),
    Column("over_at", Double),
    Column("expires_at", Double),
    Column("idempotency_key", String(255)),
    Column("request_digest", String(64)),
    UniqueConstraint("tenant", "queue", "idempotency_key", name="jobs_idempotency"),
    Index("jobs_of_tenant", "tenant", "queue", "created_at", "id"),
    Index("jobs_by_phase", "phase", "queue"),
)

tasks = Table(
    "tasks",
    metadata,
    Column("job_id", String(64), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("phase", String(16), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    # waiting, leased, done.
    Column("state", String(16), nullable=False),
    # The fencing token: a worker that lost its lease holds an old pair.
    Column("owner", String(64)),
    Column("attempt", Integer, nullable=False),
    Column("lease_until", Double),
    # How often a worker vanished with it.
    Column("losses", Integer, nullable=False),
    # Of the input: bytes from `start` up to `stop`, the number of the first line, how many.
    Column("start", BigInteger, nullable=False),
    Column("stop", BigInteger, nullable=False),
    Column("first_line", BigInteger, nullable=False),
    Column("lines", Integer, nullable=False),
    Column("result", JSON),
    Index("tasks_to_claim", "job_id", "phase", "state", "number"),
    Index("tasks_leased", "state", "lease_until"),
)
