"""Files of tenants: the row says that a file is there, its bytes lie at a path made of ids only."""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, and_, delete, insert, or_, select

from judges.errors import DataError
from judges.records import Record
from judges.store.database_errors import database_errors
from judges.store.schema import writing
from service.files.tables import files
from service.storage.clock import database_now

FILE_ID = re.compile(r"file-[0-9a-z-]{1,58}", re.ASCII)
TENANT = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*", re.ASCII)


class StoredFile(Record):
    """A file as it is listed."""

    id: str
    """Names it; random and unguessable."""
    tenant: str
    """Whose it is."""
    purpose: str
    """`batch`, `training` or `batch_output`."""
    filename: str
    """As it was uploaded; nothing on disk is called so."""
    bytes: int
    """Its size."""
    created_at: float
    """Seconds since 1970."""


class FileFolder:
    """The files under one folder, and their rows."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.folder = engine, folder

    def path(self, tenant: str, file: str) -> Path:
        """Where a file's bytes lie. Raises: DataError for what is no id, so could be a path."""
        if not TENANT.fullmatch(tenant) or not FILE_ID.fullmatch(file):
            raise DataError(f"{file!r} is no file's id; GET /v1/files lists yours")
        return self.folder / tenant / file

    def find(self, tenant: str, file: str) -> StoredFile | None:
        """A tenant's file; None when it has none such, or another tenant has."""
        query = select(files).where(files.c.id == file, files.c.tenant == tenant)
        with database_errors(self.engine), self.engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else StoredFile.model_validate(row._asdict())

    def keep(self, tenant: str, file: str, purpose: str, filename: str, size: int) -> StoredFile:
        """The file, from now on there: its bytes are on disk already."""
        with database_errors(self.engine), writing(self.engine) as connection:
            connection.execute(
                insert(files).values(**file_row(tenant, file, purpose, filename, size))
            )
        found = self.find(tenant, file)
        assert found is not None
        return found

    def remove(self, tenant: str, file: str) -> bool:
        """Whether there was such a file; now there is none."""
        with database_errors(self.engine), writing(self.engine) as connection:
            gone = connection.execute(
                delete(files).where(files.c.id == file, files.c.tenant == tenant)
            )
        if gone.rowcount:
            with suppress(FileNotFoundError):
                self.path(tenant, file).unlink()
        return bool(gone.rowcount)

    def list(
        self, tenant: str, purpose: str | None, after: str | None, limit: int
    ) -> tuple[list[StoredFile], bool]:
        """A tenant's files, the newest first; and whether there are more.

        Raises: DataError for an `after` that is none of them.
        """
        query = select(files).where(files.c.tenant == tenant)
        if purpose is not None:
            query = query.where(files.c.purpose == purpose)
        if after is not None:
            last = self.find(tenant, after)
            if last is None:
                raise DataError(f"after is {after!r}, none of the ids listed; use one of them")
            same = and_(files.c.created_at == last.created_at, files.c.id < last.id)
            query = query.where(or_(files.c.created_at < last.created_at, same))
        query = query.order_by(files.c.created_at.desc(), files.c.id.desc()).limit(limit + 1)
        with database_errors(self.engine), self.engine.connect() as connection:
            rows = connection.execute(query).all()
        found = [StoredFile.model_validate(row._asdict()) for row in rows[:limit]]
        return found, len(rows) > limit


def file_row(tenant: str, file: str, purpose: str, filename: str, size: int) -> dict[str, Any]:
    """The row of a file made now."""
    return {
        "id": file,
        "tenant": tenant,
        "purpose": purpose,
        "filename": filename,
        "bytes": size,
        "created_at": database_now(),
    }


def keeping(rows: list[dict[str, Any]]) -> Callable[[Connection], None]:
    """What inserts rows of files in somebody's transaction."""

    def insert_rows(connection: Connection) -> None:
        for row in rows:
            connection.execute(insert(files).values(**row))

    return insert_rows
