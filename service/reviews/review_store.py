"""Reviews in the service's database: queued, handed out blind, labelled once. Calls block."""

import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from sqlalchemy import Connection, Engine, and_, exists, func, insert, select, update

from judges.canonical import digest
from judges.records import Record
from judges.store.schema import writing
from service.errors import ApiError
from service.reviews.disagreement import ReviewPair
from service.reviews.tables import review_labels, reviews

Choice = Literal["first", "second", "tie", "skip"]
Side = Literal["left", "right", "tie", "skip"]


class Label(Record):
    """What one reviewer said."""

    reviewer: str
    """Who."""
    choice: Choice
    """Of the pair as it is stored, whatever side was shown where."""
    seconds: float | None
    """Time in sight, as the page measured it."""
    waited_s: float
    """Time from being handed out, by the service's clock."""
    note: str
    """What they remarked."""
    labelled_at: float
    """Seconds since 1970."""


class Review(Record):
    """A pair and its labels."""

    id: str
    """Names it."""
    pair: ReviewPair
    """What is to be judged, and how it was judged."""
    labels: tuple[Label, ...]
    """By people, the first first; skips included."""


def add_reviews(engine: Engine, tenant: str, pairs: Sequence[ReviewPair]) -> int:
    """How many pairs were new; the others are in the queue already."""
    added = 0
    with writing(engine) as connection:
        for pair in pairs:
            place = and_(reviews.c.tenant == tenant, reviews.c.id == pair.id)
            if connection.execute(select(reviews.c.id).where(place)).first() is None:
                connection.execute(
                    insert(reviews).values(
                        tenant=tenant, id=pair.id, pair=pair.model_dump_json(),
                        disagreement=pair.disagreement, labels=0, created_at=time.time(),
                    )
                )  # fmt: skip
                added += 1
    return added


def hand_out(engine: Engine, tenant: str, reviewer: str) -> tuple[Review, int] | None:
    """The next review for someone, and how many are left for them; None when all is labelled.

    Least labelled first, then by disagreement. What was shown and not answered is shown again.
    """
    answered = and_(
        review_labels.c.tenant == tenant,
        review_labels.c.review_id == reviews.c.id,
        review_labels.c.reviewer == reviewer,
        review_labels.c.choice.is_not(None),
    )
    open_ = and_(reviews.c.tenant == tenant, ~exists().where(answered))
    order = (reviews.c.labels, reviews.c.disagreement.desc(), reviews.c.id)
    with writing(engine) as connection:
        row = connection.execute(select(reviews).where(open_).order_by(*order).limit(1)).first()
        if row is None:
            return None
        left = connection.execute(select(func.count()).select_from(reviews).where(open_)).scalar()
        _show(connection, tenant, row.id, reviewer)
    pair = ReviewPair.model_validate_json(row.pair)
    return Review(id=row.id, pair=pair, labels=()), int(left or 0)


def shown_swapped(review: str, reviewer: str) -> bool:
    """Whether someone sees the second completion on the left: by lot, the same each time."""
    return int(digest(["side", review, reviewer])[:8], 16) % 2 == 1


def write_label(
    engine: Engine,
    tenant: str,
    review: str,
    reviewer: str,
    side: Side,
    *,
    seconds: float | None = None,
    note: str = "",
    key_id: str | None = None,
) -> Review:
    """The review with this label on it. A label is final: the verdict is told for it.

    Raises: ApiError 404 for a review not there or not handed out, 409 for a second label.
    """
    now = time.time()
    with writing(engine) as connection:
        shown = connection.execute(_label_row(tenant, review, reviewer)).first()
        if shown is None:
            raise ApiError(
                404, "unknown_review", f"review {review[:80]!r} was not handed out to {reviewer!r}",
                "GET /v1/reviews/next?reviewer= hands one out",
            )  # fmt: skip
        if shown.choice is not None:
            raise ApiError(
                409, "already_labelled", f"{reviewer!r} has labelled {review!r}",
                "a label is final, since the verdict has been told; go on with the next",
            )  # fmt: skip
        values = {
            "choice": _choice(review, reviewer, side), "seconds": seconds, "note": note,
            "waited_s": max(0.0, now - shown.shown_at), "key_id": key_id, "labelled_at": now,
        }  # fmt: skip
        where = _of(tenant, review, reviewer)
        connection.execute(update(review_labels).where(where).values(values))
        if side != "skip":
            place = and_(reviews.c.tenant == tenant, reviews.c.id == review)
            connection.execute(update(reviews).where(place).values(labels=reviews.c.labels + 1))
        found = next(_reviews(connection, tenant, reviews.c.id == review))
    return found


def list_reviews(
    engine: Engine, tenant: str, *, labelled: bool | None = None, limit: int = 100, after: int = 0
) -> list[Review]:
    """Reviews by disagreement, all or those with or without labels."""
    wanted = reviews.c.tenant == tenant
    if labelled is not None:
        wanted = and_(wanted, reviews.c.labels > 0 if labelled else reviews.c.labels == 0)
    with engine.connect() as connection:
        return list(_reviews(connection, tenant, wanted, limit, after))


def labelled_reviews(engine: Engine, tenant: str, page: int = 500) -> Iterator[Review]:
    """Every review with labels, some hundred at a time."""
    start = 0
    while part := list_reviews(engine, tenant, labelled=True, limit=page, after=start):
        yield from part
        start += len(part)


def _choice(review: str, reviewer: str, side: Side) -> Choice:
    if side == "tie" or side == "skip":
        return side
    return "first" if (side == "left") != shown_swapped(review, reviewer) else "second"


def _show(connection: Connection, tenant: str, review: str, reviewer: str) -> None:
    """The clock of a review starts when it is first shown, and anew when it is shown again."""
    now, where = time.time(), _of(tenant, review, reviewer)
    shown = connection.execute(update(review_labels).where(where).values(shown_at=now))
    if not shown.rowcount:
        connection.execute(
            insert(review_labels).values(
                tenant=tenant, review_id=review, reviewer=reviewer, shown_at=now, note=""
            )
        )


def _of(tenant: str, review: str, reviewer: str) -> Any:
    return and_(
        review_labels.c.tenant == tenant,
        review_labels.c.review_id == review,
        review_labels.c.reviewer == reviewer,
    )


def _label_row(tenant: str, review: str, reviewer: str) -> Any:
    return select(review_labels).where(_of(tenant, review, reviewer))


def _reviews(
    connection: Connection, tenant: str, wanted: Any, limit: int = 100, after: int = 0
) -> Iterator[Review]:
    chosen = (
        select(reviews).where(and_(reviews.c.tenant == tenant, wanted))
        .order_by(reviews.c.disagreement.desc(), reviews.c.id).limit(limit).offset(after)
    )  # fmt: skip
    rows = connection.execute(chosen).all()
    said = select(review_labels).where(
        review_labels.c.tenant == tenant,
        review_labels.c.review_id.in_([row.id for row in rows]),
        review_labels.c.choice.is_not(None),
    )
    labels: dict[str, list[Label]] = {}
    for one in connection.execute(said.order_by(review_labels.c.labelled_at)):
        kept = {name: getattr(one, name) for name in Label.model_fields}
        labels.setdefault(one.review_id, []).append(Label.model_validate(kept))
    for row in rows:
        yield Review(
            id=row.id, pair=ReviewPair.model_validate_json(row.pair),
            labels=tuple(labels.get(row.id, ())),
        )  # fmt: skip
