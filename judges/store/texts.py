"""Texts kept once: from a digest to the integer that names it in a store, and to its body.

Once given, an integer never changes and a row never goes: erasing a text empties it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from judges.errors import DataError
from judges.store.schema import texts

CHUNK = 5_000
"""Values in one statement: both databases take at least 32,766."""


def encode(body: str) -> bytes:
    """The bytes a text is stored as; any Python string has them, and its digest is theirs."""
    return body.encode("utf-8", "surrogatepass")


def decode(body: bytes) -> str:
    """The text that was stored."""
    return body.decode("utf-8", "surrogatepass")


def chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    """The values in order, in lists that one statement can take."""
    ordered = sorted(values)
    return (ordered[start : start + CHUNK] for start in range(0, len(ordered), CHUNK))


def known_ids(connection: Connection, digests: Collection[str]) -> dict[str, int]:
    """The integer of each digest that the store knows."""
    # As the driver takes it: SQLAlchemy's handling of each digest takes longer than the look-up.
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    return {
        digest.hex(): number
        for some in chunks(digests)
        for number, digest in connection.exec_driver_sql(
            f"SELECT id, digest FROM texts WHERE digest IN ({', '.join([mark] * len(some))})",
            tuple(map(bytes.fromhex, some)),
        ).all()
    }


def bodies_of(connection: Connection, ids: Collection[int]) -> dict[int, str | None]:
    """The body of each text; None for an erased one."""
    return {
        number: None if body is None else decode(body)
        for some in chunks(ids)
        for number, body in connection.execute(
            select(texts.c.id, texts.c.body).where(texts.c.id.in_(some))
        )
    }


def digests_of(connection: Connection, ids: Collection[int]) -> dict[int, str]:
    """The digest of each text."""
    return {
        number: digest.hex()
        for some in chunks(ids)
        for number, digest in connection.execute(
            select(texts.c.id, texts.c.digest).where(texts.c.id.in_(some))
        )
    }


def intern(
    connection: Connection, digests: Collection[str], bodies: Mapping[str, bytes | None]
) -> dict[str, int]:
    """The integer of each digest, texts new to the store added first; None adds an erased one.

    Raises: DataError for a digest that neither the store nor the bodies know.
    """
    ids = known_ids(connection, digests)
    missing = sorted(digest for digest in digests if digest not in ids)
    for digest in missing:
        if digest not in bodies:
            where = connection.engine.url.render_as_string()
            raise DataError(
                f"{where}: votes name the unknown text {digest}; pass its body along with them"
            )
    if not missing:
        return ids
    rows = [{"digest": bytes.fromhex(digest), "body": bodies[digest]} for digest in missing]
    connection.execute(first_wins(connection, texts), rows)
    return ids | known_ids(connection, missing)


def first_wins(connection: Connection, table: Any) -> Any:
    """An insertion that leaves what is there alone."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    return dialect.insert(table).on_conflict_do_nothing()
