"""The table of files; their bytes lie on disk, under the tenant's folder, named by the id."""

from sqlalchemy import BigInteger, Column, Double, Index, String, Table

from service.storage.tables import metadata

files = Table(
    "files",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("filename", String(255), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    # By the database's clock, as the jobs' times.
    Column("created_at", Double, nullable=False),
    Index("files_of_tenant", "tenant", "created_at", "id"),
)
