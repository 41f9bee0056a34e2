"""The vote store: every observation raw and once, keyed by content.

A vote is one row of integers that name interned texts. The first commit of a question wins and
is never changed; what is committed survives a kill at any moment; any number of threads and
processes may write at once.
"""

import math
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine, Row, select

from judges.canonical import canonical_json, text_digest
from judges.errors import DataError
from judges.records import Question, Vote
from judges.store.columns import VoteColumns, read_columns
from judges.store.database_errors import database_errors
from judges.store.schema import (
    CACHE_MIB,
    LIST,
    NO_TEXT,
    database_url,
    open_database,
    votes,
    writing,
)
from judges.store.texts import bodies_of, chunks, encode, intern, known_ids

Key = tuple[int, int, int, int, int, int]
"""A vote's primary key: conversation, setting, first, second, sample, principle."""


class VoteStore:
    """Votes in one SQLite file or PostgreSQL database. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def open(cls, url: str | None = None, cache_mib: int = CACHE_MIB) -> Self:
        """The store at a URL, else at `CHARTER_DATABASE_URL`, else in `CHARTER_HOME`; made if new.

        Memory: `cache_mib` for each thread's connection to an SQLite file.

        Raises: ConfigError for an unusable URL; DataError when the database cannot be used.
        """
        return cls(open_database(database_url(url), cache_mib))

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def __enter__(self) -> Self:
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

        Cost: no model call; one read for thousands of questions.
        """
        named = [_digests(question) for question in questions]
        with database_errors(self.engine), self.engine.begin() as connection:
            ids = known_ids(connection, {digest for digests in named for digest in digests})
            wanted = {
                _key(question, digests, ids): question
                for question, digests in zip(questions, named, strict=True)
                if all(digest in ids for digest in digests)
            }
            rows = _rows_at(connection, wanted.keys())
            bodies = bodies_of(connection, named_texts(rows.values()))
        return {wanted[key]: vote_of_row(wanted[key], row, bodies) for key, row in rows.items()}

    def add(self, new: Sequence[Vote], bodies: Iterable[str]) -> int:
        """How many of the votes were new; one transaction, in which the first commit wins.

        The bodies are the texts whose digests the votes name; known ones may be left out. A text
        that was erased stays erased.
        Raises: DataError for a digest that neither the store nor the bodies know, for a scored
        vote without a number, or when the database cannot take it; nothing is stored then.
        """
        given = {*bodies, *(vote.provenance for vote in new)}
        given |= {vote.rationale for vote in new if vote.rationale is not None}
        given |= {list_text(v.question) for v in new if len(v.question.completions) > 2}
        return self.add_encoded(new, {text_digest(body): encode(body) for body in given})

    def add_encoded(self, new: Sequence[Vote], bodies: Mapping[str, bytes | None]) -> int:
        """As `add`, with all bodies by digest; None brings in a text that is erased for good."""
        provenance = {vote.provenance: text_digest(vote.provenance) for vote in new}
        named = [(*_digests(vote.question), provenance[vote.provenance]) for vote in new]
        rationale = {v.rationale: text_digest(v.rationale) for v in new if v.rationale is not None}
        needed = {digest for digests in named for digest in digests} | bodies.keys()
        for vote in new:
            _check_numbers(vote)
        now = int(time.time())
        with database_errors(self.engine), writing(self.engine) as connection:
            ids = intern(connection, needed, bodies)
            rows = [
                (
                    *_key(vote.question, digests, ids),
                    *_values(vote, ids[digests[-1]], now),
                    None if vote.rationale is None else ids[rationale[vote.rationale]],
                )
                for vote, digests in zip(new, named, strict=True)
            ]
            return _insert_votes(connection, rows)

    def ids(self, digests: Sequence[str]) -> npt.NDArray[np.int64]:
        """The integers that name texts in this store's columns; 0 for an unknown one."""
        with database_errors(self.engine), self.engine.begin() as connection:
            known = known_ids(connection, set(digests))
        return np.fromiter((known.get(digest, 0) for digest in digests), np.int64, len(digests))

    def texts(self, digests: Sequence[str]) -> dict[str, str | None]:
        """The bodies of the texts that are known; None for one that was erased."""
        with database_errors(self.engine), self.engine.begin() as connection:
            known = known_ids(connection, set(digests))
            bodies = bodies_of(connection, known.values())
        return {digest: bodies[number] for digest, number in known.items()}

    def columns(
        self,
        setting_digests: Sequence[str],
        conversation_digests: Sequence[str],
        principle_digests: Sequence[str] | None = None,
    ) -> VoteColumns:
        """All votes under the settings on the conversations, as arrays; one read, no records.

        With principles, only those about their texts, scopes and rules.

        Raises: DataError when a digest is given twice.
        """
        self._refuse_repeats("setting", setting_digests)
        self._refuse_repeats("conversation", conversation_digests)
        settings, conversations = self.ids(setting_digests), self.ids(conversation_digests)
        principles = None if principle_digests is None else self.ids(principle_digests)
        with database_errors(self.engine):
            return read_columns(self.engine, settings, conversations, principles)

    def _refuse_repeats(self, name: str, digests: Sequence[str]) -> None:
        if len(set(digests)) != len(digests):
            twice = next(digest for i, digest in enumerate(digests) if digest in digests[:i])
            raise DataError(f"{self.where}: {name} {twice} is asked for twice; ask for it once")


def list_text(question: Question) -> str:
    """The interned text that stands for a group of completions."""
    return canonical_json(question.completions)


def _digests(question: Question) -> tuple[str, ...]:
    """Setting, principle, conversation, completions, and the group if it is one.

    The store must know all of them before it can hold the question.
    """
    digests = (question.setting, question.principle, question.conversation, *question.completions)
    if len(question.completions) > 2:
        return (*digests, text_digest(list_text(question)))
    return digests


def _key(question: Question, digests: Sequence[str], ids: Mapping[str, int]) -> Key:
    """The primary key of the question's vote."""
    setting, principle, conversation = (ids[digest] for digest in digests[:3])
    count = len(question.completions)
    first = ids[digests[3]] if count else NO_TEXT
    second = ids[digests[4]] if count > 1 else NO_TEXT
    if count > 2:
        first, second = ids[digests[3 + count]], LIST
    return conversation, setting, first, second, question.sample, principle


def _check_numbers(vote: Vote) -> None:
    numbers = (*vote.logprobs, *(x for x in (vote.value, vote.label_mass) if x is not None))
    if any(map(math.isnan, numbers)) or (vote.status == "scored" and vote.value is None):
        raise DataError(
            f"vote {vote.question.key}: {vote.status} with value {vote.value}, label mass "
            f"{vote.label_mass}, log-probabilities {vote.logprobs}; store what has no number as "
            "unscored, with its reason"
        )


def _values(vote: Vote, provenance: int, now: int) -> tuple[Any, ...]:
    """The columns after the key."""
    return (
        vote.prompt_tokens,
        vote.cached_tokens,
        provenance,
        now,
        vote.value,
        vote.label_mass,
        vote.status == "scored",
        vote.reason,
        np.array(vote.logprobs, "<f8").tobytes(),
    )


def named_texts(rows: Iterable[Row[Any]]) -> set[int]:
    """The texts that come along with rows: where the votes are from, and why."""
    return {
        number
        for row in rows
        for number in (row.provenance_id, row.rationale_id)
        if number is not None
    }


def vote_of_row(question: Question, row: Row[Any], bodies: Mapping[int, str | None]) -> Vote:
    """The vote that a row holds; an erased provenance reads as none, as does a rationale."""
    return Vote(
        question=question,
        status="scored" if row.scored else "unscored",
        reason=row.reason,
        logprobs=tuple(np.frombuffer(row.logprobs, "<f8").tolist()),
        label_mass=row.label_mass,
        value=row.value,
        prompt_tokens=row.prompt_tokens,
        cached_tokens=row.cached_tokens,
        provenance=bodies[row.provenance_id] or "",
        rationale=None if row.rationale_id is None else bodies[row.rationale_id],
    )


def _insert_votes(connection: Connection, rows: list[tuple[Any, ...]]) -> int:
    """How many rows were new."""
    if not rows:
        return 0
    # Sorted, so that two writers lock the same rows in the same order.
    rows.sort(key=lambda row: row[:6])
    # As the driver takes it: SQLAlchemy's handling of each row's parameters takes longer than
    # all the rest of `add`.
    names = [column.name for column in votes.columns]
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    result = connection.exec_driver_sql(
        f"INSERT INTO votes ({', '.join(names)}) VALUES ({', '.join([mark] * len(names))}) "
        "ON CONFLICT DO NOTHING",
        rows,
        execution_options={"preserve_rowcount": True},
    )
    return result.rowcount


def _rows_at(connection: Connection, keys: Collection[Key]) -> dict[Key, Row[Any]]:
    """The stored rows among the keys."""
    settings = {key[1] for key in keys}
    found: dict[Key, Row[Any]] = {}
    for conversations in chunks({key[0] for key in keys}):
        on_these = votes.c.conversation_id.in_(conversations), votes.c.setting_id.in_(settings)
        for row in connection.execute(select(votes).where(*on_these)):
            conversation, setting, first, second, sample, principle, *_ = row
            key = conversation, setting, first, second, sample, principle
            if key in keys:
                found[key] = row
    return found
