"""What a store holds in numbers, and how a text leaves it for good."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, TextClause, func, select, text, update

from judges.canonical import canonical_json
from judges.errors import DataError
from judges.records import Record
from judges.store.database_errors import database_errors
from judges.store.schema import texts, votes, writing
from judges.store.texts import bodies_of, chunks, decode, digests_of, encode
from judges.store.vote_store import VoteStore


class SettingCount(Record):
    """The votes cast in one way."""

    setting: str
    """Digest of the setting."""
    kind: str
    """What was asked about: pair, point, list, yes_no, applies or rule."""
    judge: str
    """The judge's fingerprint."""
    votes: int
    """All of them."""
    scored: int
    """Those with a usable answer."""
    unscored: dict[str, int]
    """The others, by reason."""
    prompt_tokens: int
    """Tokens of their prompts."""
    cached_tokens: int
    """Of these, read from the prefix cache."""


class StoreStats(Record):
    """A vote store in numbers."""

    store: str
    """Its URL, without the password."""
    votes: int
    """All votes."""
    settings: tuple[SettingCount, ...]
    """The same by setting, most votes first."""
    texts: int
    """Texts kept, erased ones included."""
    erased: int
    """Texts erased for good."""
    bytes: int
    """Size on disk."""


class Erasure(Record):
    """What an erasure did."""

    erased: tuple[str, ...]
    """Digests of the texts that lost their body now; their votes stay."""
    still_within: tuple[str, ...]
    """Digests of texts that contain the erased one among other things, and stay as they are."""


def store_stats(store: VoteStore) -> StoreStats:
    """The store in numbers. Cost: one scan of all votes."""
    by_answer = (votes.c.setting_id, votes.c.scored, votes.c.reason)
    tokens = func.sum(votes.c.prompt_tokens), func.sum(votes.c.cached_tokens)
    with database_errors(store.engine), store.engine.begin() as connection:
        answers: dict[int, list[Sequence[Any]]] = {}
        counted = select(*by_answer, func.count(), *tokens).group_by(*by_answer)
        for setting, *answer in connection.execute(counted):
            answers.setdefault(setting, []).append(answer)
        digests, bodies = digests_of(connection, answers), bodies_of(connection, answers)
        known, kept = connection.execute(select(func.count(), func.count(texts.c.body))).one()
        size = connection.scalar(text(_SIZE[connection.dialect.name]))
    counts = [_setting_count(digests[id_], bodies[id_], rows) for id_, rows in answers.items()]
    counts.sort(key=lambda count: (-count.votes, count.setting))
    return StoreStats(
        store=store.where,
        votes=sum(count.votes for count in counts),
        settings=tuple(counts),
        texts=known,
        erased=known - kept,
        bytes=int(size),
    )


_SIZE = {
    "sqlite": "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
    # A partitioned table has no bytes of its own.
    "postgresql": "SELECT pg_total_relation_size('texts') + sum(pg_total_relation_size(relid)) "
    "FROM pg_partition_tree('votes')",
}


def _setting_count(digest: str, body: str | None, answers: list[Sequence[Any]]) -> SettingCount:
    # Not as a Setting: a newer charter may have written more fields.
    setting = json.loads(body) if body is not None else {"kind": "erased", "judge": "erased"}
    return SettingCount(
        setting=digest,
        kind=setting["kind"],
        judge=setting["judge"],
        votes=sum(count for _, _, count, *_ in answers),
        scored=sum(count for scored, _, count, *_ in answers if scored),
        unscored={reason or "": count for scored, reason, count, *_ in answers if not scored},
        prompt_tokens=sum(tokens for *_, tokens, _ in answers),
        cached_tokens=sum(tokens for *_, tokens in answers),
    )


def erase_text(store: VoteStore, erased: str) -> Erasure:
    """Take a text's body out of the store for good; its digest and its votes stay.

    Gone are the text itself and every conversation with a turn that is exactly this text, from the
    database's own files too; backups, and PostgreSQL's write-ahead archive, are not ours to reach.
    It is never stored again. Safe to repeat, which finishes an erasure that was killed.
    Cost: one scan of all texts, then the database is rewritten.
    Raises: DataError for an empty text, or while another command keeps old data in use.
    """
    if not erased:
        raise DataError("the text to erase is empty; give the text itself")
    gone, within = {}, []
    with database_errors(store.engine), writing(store.engine) as connection:
        found = select(texts.c.id, texts.c.digest, texts.c.body).where(
            _contains(connection, erased)
        )
        for number, digest, body in connection.execute(found):
            if _is_or_says(decode(body), erased):
                gone[number] = digest.hex()
            else:
                within.append(digest.hex())
        for some in chunks(gone):
            connection.execute(update(texts).where(texts.c.id.in_(some)).values(body=None))
    with database_errors(store.engine):
        _rewrite(store)
    return Erasure(erased=tuple(sorted(gone.values())), still_within=tuple(sorted(within)))


def _contains(connection: Connection, erased: str) -> TextClause:
    """Bodies with the text in them, as it stands or as JSON writes it."""
    as_json = canonical_json(erased)[1:-1]
    find = (
        "instr(body, {}) > 0" if connection.dialect.name == "sqlite" else "position({} in body) > 0"
    )
    clause = text(f"({find.format(':plain')} OR {find.format(':as_json')})")
    return clause.bindparams(plain=encode(erased), as_json=encode(as_json))


def _is_or_says(body: str, erased: str) -> bool:
    """Whether a body is the text, or a conversation with a turn that is."""
    if body == erased:
        return True
    try:
        turns = json.loads(body)
    except ValueError:
        return False
    return isinstance(turns, list) and any(
        isinstance(turn, list) and len(turn) == 2 and turn[1] == erased for turn in turns
    )


def _rewrite(store: VoteStore) -> None:
    """Write the tables anew: an update alone leaves the old bytes in the files."""
    if store.engine.dialect.name == "postgresql":
        with store.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text("VACUUM FULL texts"))
        return
    raw = store.engine.raw_connection()
    try:
        cursor: Any = raw.cursor()
        cursor.execute("VACUUM")
        busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        cursor.close()
    finally:
        raw.close()
    if busy:
        raise DataError(
            f"{store.where}: the text is erased, but another command still reads the log that "
            "holds its bytes; run the same command again when that one has ended"
        )
