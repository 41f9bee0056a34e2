"""Reviews over HTTP: what disagrees is queued, people label it blind, labels come out as data."""

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import Field, WithJsonSchema

from judges.errors import DataError
from judges.jsonl import dump_line, read_jsonl
from judges.records import Message, Record
from service.access import Access, needs
from service.context import Running, Service
from service.reviews.disagreement import ReviewPair, chosen_pairs
from service.reviews.page import CONTENT_SECURITY, review_page
from service.reviews.people import Form, ReviewAgreement, agreement_of, exported, verdict_of
from service.reviews.review_store import (
    Label,
    Review,
    Side,
    add_reviews,
    hand_out,
    labelled_reviews,
    list_reviews,
    shown_swapped,
    write_label,
)
from service.routes.files import files_of, find_file
from service.routing import OrjsonRoute

router = APIRouter(tags=["reviews"], route_class=OrjsonRoute)
NDJSON = "application/x-ndjson"
Labeller = Annotated[Access, needs("label")]
Reviewer = Annotated[str, Field(min_length=1, max_length=200)]
_RANKING_SCHEMA = {"type": "object", "description": "A line of `charter rank` or /v1/rank."}


class ReviewsRequest(Record):
    """Rankings whose pairs of highest disagreement are queued."""

    rankings: list[Annotated[dict[str, Any], WithJsonSchema(_RANKING_SCHEMA)]] | None = None
    """Ranking lines; the same completions ranked by several judges tell where judges disagree."""
    file_id: str | None = None
    """In place of them, a file: a batch's output, or an uploaded file of rankings."""
    limit: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Pairs to queue."""
    per_prompt: Annotated[int, Field(ge=1, le=100)] = 1
    """Most pairs of one prompt."""
    random_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share drawn at random, to tell of the judge in general."""
    seed: int = 0
    """Of that draw."""


class Queued(Record):
    """What was queued."""

    added: int
    """New reviews."""
    known: int
    """Pairs that were in the queue already."""


class Verdict(Record):
    """What the judge says, told to who has labelled."""

    preferred: Literal["left", "right", "tie"]
    """The side it prefers."""
    p_left: float
    """P(left is better)."""
    principles: dict[str, float]
    """The same by each principle."""
    agrees: bool | None
    """Whether the label says the same; null for a skip."""


class Shown(Record):
    """A review as a reviewer sees it: nothing tells which side the judge prefers."""

    id: str
    """Names it."""
    prompt: tuple[Message, ...]
    """What both sides answer."""
    left: str
    """One completion."""
    right: str
    """The other."""
    left_over: int
    """Reviews still to be labelled by this reviewer, this one included."""


class LabelRequest(Record):
    """What a reviewer says."""

    reviewer: Reviewer
    """Who, as when it was handed out."""
    choice: Side
    """The better side, `tie`, or `skip`."""
    seconds: Annotated[float, Field(ge=0, le=1e6)] | None = None
    """How long the pair was in sight."""
    note: Annotated[str, Field(max_length=2000)] = ""
    """A remark."""


class ReviewRow(Record):
    """A review in a list; its verdict only where people have labelled it."""

    id: str
    """Names it."""
    prompt: tuple[Message, ...]
    """What both answer."""
    first: str
    """One completion."""
    second: str
    """The other."""
    disagreement: float
    """How far judging disagrees."""
    between: str
    """Between what."""
    drawn: str
    """How it was chosen."""
    p: float | None
    """P(first over second); null while nobody has labelled it."""
    labels: tuple[Label, ...]
    """What people said."""


class ReviewList(Record):
    """Reviews, and what people's labels say so far."""

    data: list[ReviewRow]
    """By disagreement."""
    agreement: ReviewAgreement
    """Of all labelled reviews."""


@router.get("/reviews", response_class=HTMLResponse, include_in_schema=False)
async def page() -> Response:
    """The page for reviewers. It tells nothing by itself, and asks for a key if one is needed."""
    return HTMLResponse(review_page(), headers={"Content-Security-Policy": CONTENT_SECURITY})


@router.post("/v1/reviews")
async def queue(asked: ReviewsRequest, service: Running, access: Labeller) -> Queued:
    """Queue the pairs of some rankings on which judging disagrees most."""
    if (asked.rankings is None) == (asked.file_id is None):
        raise DataError("rankings, file_id: send one of them")
    path = None
    if asked.file_id is not None:
        file = await find_file(service, access.tenant, asked.file_id)
        path = files_of(service).path(access.tenant, file.id)

    def choose() -> list[ReviewPair]:
        lines = asked.rankings if path is None else (row for _, row in read_jsonl(path))
        return chosen_pairs(
            lines or (), asked.limit, per_prompt=asked.per_prompt,
            random_share=asked.random_share, seed=asked.seed,
        )  # fmt: skip

    pairs = await asyncio.to_thread(choose)
    added = await asyncio.to_thread(add_reviews, service.database, access.tenant, pairs)
    return Queued(added=added, known=len(pairs) - added)


@router.get("/v1/reviews")
async def reviews(
    service: Running,
    access: Labeller,
    labelled: Annotated[bool | None, Query(description="Only with, or only without labels")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[int, Query(ge=0, le=10**9, description="Reviews to pass over")] = 0,
) -> ReviewList:
    """Reviews by disagreement, and how far people agree with the judge and with each other."""

    def look() -> ReviewList:
        held = list_reviews(
            service.database, access.tenant, labelled=labelled, limit=limit, after=after
        )
        agreement = agreement_of(labelled_reviews(service.database, access.tenant))
        return ReviewList(data=[_row(review) for review in held], agreement=agreement)

    return await asyncio.to_thread(look)


@router.get("/v1/reviews/next", responses={204: {"description": "Nothing is left to label"}},
            response_model=Shown)  # fmt: skip
async def next_review(
    service: Running, access: Labeller, reviewer: Annotated[Reviewer, Query()]
) -> Shown | Response:
    """The next pair for a reviewer, blind: sides by lot for each, and no verdict."""
    found = await asyncio.to_thread(hand_out, service.database, access.tenant, reviewer)
    if found is None:
        return Response(status_code=204)
    review, left_over = found
    texts = (review.pair.first, review.pair.second)
    left, right = texts[::-1] if shown_swapped(review.id, reviewer) else texts
    return Shown(
        id=review.id, prompt=review.pair.prompt, left=left, right=right, left_over=left_over
    )


@router.post("/v1/reviews/{review}/labels")
async def label(
    review: Annotated[str, Path(max_length=64)],
    asked: LabelRequest,
    service: Running,
    access: Labeller,
) -> Verdict:
    """Label a review that was handed out; the verdict is told in return, so a label is final."""
    found = await asyncio.to_thread(
        write_label, service.database, access.tenant, review, asked.reviewer, asked.choice,
        seconds=asked.seconds, note=asked.note, key_id=access.key_id,
    )  # fmt: skip
    return _verdict(found, asked)


@router.get("/v1/reviews/export", response_class=StreamingResponse)
async def export(
    service: Running,
    access: Labeller,
    form: Annotated[
        Form, Query(description="For `charter judge-card --data`, or a judge's `precedents`")
    ] = "labelled",
) -> StreamingResponse:
    """People's labels as data, a line for each review."""
    return StreamingResponse(_export(service, access, form), media_type=NDJSON)


def _export(service: Service, access: Access, form: Form) -> Iterator[bytes]:
    for row in exported(labelled_reviews(service.database, access.tenant), form):
        yield dump_line(row)


def _row(review: Review) -> ReviewRow:
    pair = review.pair
    told = any(label.choice != "skip" for label in review.labels)
    return ReviewRow(
        id=review.id, prompt=pair.prompt, first=pair.first, second=pair.second,
        disagreement=pair.disagreement, between=pair.between, drawn=pair.drawn,
        p=pair.p if told else None, labels=review.labels,
    )  # fmt: skip


def _verdict(review: Review, asked: LabelRequest) -> Verdict:
    swapped = shown_swapped(review.id, asked.reviewer)
    said = verdict_of(review)
    preferred: Literal["left", "right", "tie"] = "tie"
    if said != "tie":
        preferred = "left" if (said == "first") != swapped else "right"
    pair = review.pair
    return Verdict(
        preferred=preferred,
        p_left=1 - pair.p if swapped else pair.p,
        principles={n: 1 - p if swapped else p for n, p in pair.principles.items()},
        agrees=None if asked.choice == "skip" else asked.choice == preferred,
    )
