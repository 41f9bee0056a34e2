"""Reviews by people, and their labels."""

import sqlalchemy as sa
from alembic import op

revision = "0004_reviews"
down_revision = "0003_runs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of reviews."""
    op.create_table(
        "reviews",
        sa.Column("tenant", sa.String(64), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("pair", sa.String, nullable=False),
        sa.Column("disagreement", sa.Double, nullable=False),
        sa.Column("labels", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
    )
    op.create_index("reviews_to_label", "reviews", ["tenant", "labels", "disagreement"])
    op.create_table(
        "review_labels",
        sa.Column("tenant", sa.String(64), primary_key=True),
        sa.Column("review_id", sa.String(64), primary_key=True),
        sa.Column("reviewer", sa.String(200), primary_key=True),
        sa.Column("shown_at", sa.Double, nullable=False),
        sa.Column("choice", sa.String(8)),
        sa.Column("seconds", sa.Double),
        sa.Column("waited_s", sa.Double),
        sa.Column("note", sa.String(2000), nullable=False),
        sa.Column("key_id", sa.String(16)),
        sa.Column("labelled_at", sa.Double),
    )
