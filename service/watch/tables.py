"""The table of watched training runs: one row a run, its state in one compressed document."""

from sqlalchemy import BigInteger, Column, Double, Index, LargeBinary, String, Table

from service.storage.tables import metadata

runs = Table(
    "runs",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("id", String(200), primary_key=True),
    Column("settings", String, nullable=False),
    # JSON, compressed: some kilobytes after a day of training.
    Column("state", LargeBinary, nullable=False),
    Column("samples", BigInteger, nullable=False),
    # The signals for which it should stop, with commas; empty while all is well.
    Column("stopping", String(400), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Index("runs_of_tenant", "tenant", "updated_at"),
)
