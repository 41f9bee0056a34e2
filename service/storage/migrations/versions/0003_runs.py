"""Watched training runs."""

import sqlalchemy as sa
from alembic import op

revision = "0003_runs"
down_revision = "0002_jobs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of runs."""
    op.create_table(
        "runs",
        sa.Column("tenant", sa.String(64), primary_key=True),
        sa.Column("id", sa.String(200), primary_key=True),
        sa.Column("settings", sa.String, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.Column("samples", sa.BigInteger, nullable=False),
        sa.Column("stopping", sa.String(400), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
    )
    op.create_index("runs_of_tenant", "runs", ["tenant", "updated_at"])
