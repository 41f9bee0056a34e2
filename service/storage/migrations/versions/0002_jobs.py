"""Files, jobs and their tasks."""

import sqlalchemy as sa
from alembic import op

revision = "0002_jobs"
down_revision = "0001_access"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of files, jobs and tasks."""
    op.create_table(
        "files",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("filename", sa.String(255), nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
    )
    op.create_index("files_of_tenant", "files", ["tenant", "created_at", "id"])
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("queue", sa.String(32), nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("outcome", sa.String(16)),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("result", sa.JSON),
        sa.Column("note", sa.String),
        sa.Column("not_before", sa.Double, nullable=False),
        sa.Column("tasks_total", sa.Integer, nullable=False),
        sa.Column("tasks_done", sa.Integer, nullable=False),
        sa.Column("lines_total", sa.BigInteger, nullable=False),
        sa.Column("lines_completed", sa.BigInteger, nullable=False),
        sa.Column("lines_failed", sa.BigInteger, nullable=False),
        sa.Column("votes", sa.BigInteger, nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_tokens", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("working_at", sa.Double),
        sa.Column("finishing_at", sa.Double),
        sa.Column("cancelling_at", sa.Double),
        sa.Column("over_at", sa.Double),
        sa.Column("expires_at", sa.Double),
        sa.Column("idempotency_key", sa.String(255)),
        sa.Column("request_digest", sa.String(64)),
        sa.UniqueConstraint("tenant", "queue", "idempotency_key", name="jobs_idempotency"),
    )
    op.create_index("jobs_of_tenant", "jobs", ["tenant", "queue", "created_at", "id"])
    op.create_index("jobs_by_phase", "jobs", ["phase", "queue"])
    op.create_table(
        "tasks",
        sa.Column("job_id", sa.String(64), sa.ForeignKey("jobs.id", ondelete="CASCADE")),
        sa.Column("phase", sa.String(16)),
        sa.Column("number", sa.Integer, autoincrement=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("owner", sa.String(64)),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("lease_until", sa.Double),
        sa.Column("losses", sa.Integer, nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("stop", sa.BigInteger, nullable=False),
        sa.Column("first_line", sa.BigInteger, nullable=False),
        sa.Column("lines", sa.Integer, nullable=False),
        sa.Column("result", sa.JSON),
        sa.PrimaryKeyConstraint("job_id", "phase", "number"),
    )
    op.create_index("tasks_to_claim", "tasks", ["job_id", "phase", "state", "number"])
    op.create_index("tasks_leased", "tasks", ["state", "lease_until"])
