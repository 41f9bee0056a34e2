"""The vote store: every observation raw and once, keyed by content.

A vote is one row of integers that name interned texts. The first commit of a question wins and
is never changed; what is committed survives a kill at any moment; any number of threads and
processes may write at once.
"""

import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine, Row, select
from sqlalchemy.dialects import postgresql, sqlite

from judges.canonical import canonical_json, text_digest
from judges.errors import DataError
from judges.records import Question, Vote
from judges.store_columns import VoteColumns, read_columns
from judges.store_schema import (
    LIST,
    NO_TEXT,
    database_errors,
    database_url,
    open_database,
    texts,
    votes,
    writing,
)

CHUNK = 5_000
"""Values in one statement: both databases take at least 32,766."""
Key = tuple[int, int, int, int, int, int]


class VoteStore:
    """Votes in one SQLite file or PostgreSQL database. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def open(cls, url: str | None = None) -> "VoteStore":
        """The store at a URL, else at `CHARTER_DATABASE_URL`, else in `CHARTER_HOME`; made if new.

        Raises: ConfigError for an unusable URL; DataError when the database cannot be used.
        """
        return cls(open_database(database_url(url)))

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def __enter__(self) -> "VoteStore":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def where(self) -> str:
        """The database's URL, without its password."""
        return self.engine.url.render_as_string()

    def get(self, questions: Sequence[Question]) -> dict[Question, Vote]:
        """The stored votes among the questions asked.

        Cost: no model call; thousands of questions of few conversations are one read.
        """
        with database_errors(self.engine), self.engine.begin() as connection:
            ids = _known_ids(connection, {d for q in questions for d in _digests(q)})
            wanted = {
                _key(question, ids): question
                for question in questions
                if all(digest in ids for digest in _digests(question))
            }
            rows = _rows_at(connection, wanted.keys())
            provenance = _bodies(connection, {row.provenance_id for row in rows})
        return {
            wanted[_key_of(row)]: _vote(
                wanted[_key_of(row)], row, provenance[row.provenance_id] or ""
            )
            for row in rows
        }

    def add(self, new: Sequence[Vote], bodies: Iterable[str]) -> int:
        """How many of the votes were new; one transaction, in which the first commit wins.

        The bodies are the texts whose digests the votes name; known ones may be left out.
        Raises: DataError for a digest that neither the store nor the bodies know, for a number
        that is not one, or when the database cannot take it.
        """
        known = {text_digest(body): body for body in bodies}
        known |= {text_digest(vote.provenance): vote.provenance for vote in new}
        for vote in new:
            if len(vote.question.completions) > 2:
                known |= {text_digest(body): body for body in (_list_text(vote.question),)}
        return self.add_encoded(new, {digest: encode(body) for digest, body in known.items()})

    def add_encoded(self, new: Sequence[Vote], bodies: dict[str, bytes | None]) -> int:
        """As `add`, with the bodies by digest; None brings in a text that is erased for good."""
        needed = {digest for vote in new for digest in _digests(vote.question)}
        needed |= {text_digest(vote.provenance) for vote in new} | bodies.keys()
        now = int(time.time())
        with database_errors(self.engine), writing(self.engine) as connection:
            ids = _intern(connection, needed, bodies)
            # Sorted, so that two writers lock the same rows in the same order.
            rows = sorted((_row(vote, ids, now) for vote in new), key=lambda row: row[:6])
            return _insert_votes(connection, rows)

    def ids(self, digests: Sequence[str]) -> npt.NDArray[np.int64]:
        """The integers that name texts in this store's columns; 0 for an unknown one."""
        with database_errors(self.engine), self.engine.begin() as connection:
            known = _known_ids(connection, set(digests))
        return np.fromiter((known.get(digest, 0) for digest in digests), np.int64, len(digests))

    def texts(self, digests: Sequence[str]) -> dict[str, str | None]:
        """The bodies of the texts that are known; None for one that was erased."""
        with database_errors(self.engine), self.engine.begin() as connection:
            known = _known_ids(connection, set(digests))
            bodies = _bodies(connection, set(known.values()))
        return {digest: bodies[number] for digest, number in known.items()}

    def columns(
        self, setting_digests: Sequence[str], conversation_digests: Sequence[str]
    ) -> VoteColumns:
        """All votes under the settings on the conversations, as arrays; one read, no records.

        Raises: DataError when a digest is given twice.
        """
        settings, conversations = self.ids(setting_digests), self.ids(conversation_digests)
        for name, digests in (("setting", setting_digests), ("conversation", conversation_digests)):
            if len(set(digests)) != len(digests):
                twice = next(d for i, d in enumerate(digests) if d in digests[:i])
                raise DataError(f"{name} {twice} is given twice · {self.where} · give it once")
        with database_errors(self.engine):
            return read_columns(self.engine, settings, conversations)


def encode(body: str) -> bytes:
    """The bytes a text is stored as; any Python string has them."""
    return body.encode("utf-8", "surrogatepass")


def decode(body: bytes | None) -> str | None:
    """The text that was stored; None for an erased one."""
    return None if body is None else bytes(body).decode("utf-8", "surrogatepass")


def _list_text(question: Question) -> str:
    return canonical_json(list(question.completions))


def _digests(question: Question) -> tuple[str, ...]:
    """Every digest that the store must know before it can hold the question."""
    digests = (question.setting, question.principle, question.conversation, *question.completions)
    if len(question.completions) > 2:
        return (*digests, text_digest(_list_text(question)))
    return digests


def _key(question: Question, ids: dict[str, int]) -> Key:
    """The primary key of the question's vote."""
    shown = [ids[digest] for digest in question.completions]
    if len(shown) > 2:
        shown = [ids[text_digest(_list_text(question))], LIST]
    first, second = (*shown, NO_TEXT, NO_TEXT)[:2]
    return (
        ids[question.conversation],
        ids[question.setting],
        first,
        second,
        question.sample,
        ids[question.principle],
    )


def _key_of(row: Row[Any]) -> Key:
    return (
        row.conversation_id,
        row.setting_id,
        row.first_id,
        row.second_id,
        row.sample,
        row.principle_id,
    )


def _row(vote: Vote, ids: dict[str, int], now: int) -> tuple[Any, ...]:
    numbers = np.array(vote.logprobs, "<f8")
    if np.isnan(numbers).any() or vote.value != vote.value or vote.label_mass != vote.label_mass:
        raise DataError(
            f"vote holds NaN: value {vote.value}, logprobs {vote.logprobs} · "
            f"vote {vote.question.key} · store it as unscored with its reason"
        )
    return (
        *_key(vote.question, ids),
        vote.prompt_tokens,
        vote.cached_tokens,
        ids[text_digest(vote.provenance)],
        now,
        vote.value,
        vote.label_mass,
        vote.status == "scored",
        vote.reason,
        numbers.tobytes(),
    )


def _vote(question: Question, row: Row[Any], provenance: str) -> Vote:
    return Vote(
        question=question,
        status="scored" if row.scored else "unscored",
        reason=row.reason,
        logprobs=tuple(np.frombuffer(row.logprobs, "<f8").tolist()),
        label_mass=row.label_mass,
        value=row.value,
        prompt_tokens=row.prompt_tokens,
        cached_tokens=row.cached_tokens,
        provenance=provenance,
    )


def _chunks(values: Iterable[Any]) -> Iterable[list[Any]]:
    ordered = sorted(values)
    return (ordered[i : i + CHUNK] for i in range(0, len(ordered), CHUNK))


def _known_ids(connection: Connection, digests: set[str]) -> dict[str, int]:
    return {
        digest.hex(): number
        for chunk in _chunks(digests)
        for number, digest in connection.execute(
            select(texts.c.id, texts.c.digest).where(
                texts.c.digest.in_([bytes.fromhex(digest) for digest in chunk])
            )
        )
    }


def _bodies(connection: Connection, ids: set[int]) -> dict[int, str | None]:
    return {
        number: decode(body)
        for chunk in _chunks(ids)
        for number, body in connection.execute(
            select(texts.c.id, texts.c.body).where(texts.c.id.in_(chunk))
        )
    }


def _intern(
    connection: Connection, digests: set[str], bodies: dict[str, bytes | None]
) -> dict[str, int]:
    """The number of each digest, new texts stored first."""
    ids = _known_ids(connection, digests)
    missing = sorted(digests - ids.keys())
    for digest in missing:
        if digest not in bodies:
            raise DataError(
                f"votes name the unknown text {digest} · {connection.engine.url.render_as_string()}"
                " · pass its body along with the votes"
            )
    if not missing:
        return ids
    rows = [{"digest": bytes.fromhex(digest), "body": bodies[digest]} for digest in missing]
    connection.execute(_first_wins(connection, texts), rows)
    return ids | _known_ids(connection, set(missing))


def _first_wins(connection: Connection, table: Any) -> Any:
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    return dialect.insert(table).on_conflict_do_nothing()


def _insert_votes(connection: Connection, rows: list[tuple[Any, ...]]) -> int:
    """How many rows were new."""
    if not rows:
        return 0
    names = [column.name for column in votes.columns]
    result = connection.execute(
        _first_wins(connection, votes),
        [dict(zip(names, row, strict=True)) for row in rows],
        execution_options={"preserve_rowcount": True},
    )
    return result.rowcount


def _rows_at(connection: Connection, keys: Iterable[Key]) -> list[Row[Any]]:
    """The stored rows among the keys."""
    wanted = set(keys)
    settings = {key[1] for key in wanted}
    return [
        row
        for chunk in _chunks({key[0] for key in wanted})
        for row in connection.execute(
            select(votes).where(
                votes.c.conversation_id.in_(chunk), votes.c.setting_id.in_(settings)
            )
        )
        if _key_of(row) in wanted
    ]
