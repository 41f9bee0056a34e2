"""Judging over HTTP: one item gives one object, many give a stream of lines."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from judges.jsonl import dump_line
from service.access import Access, needs
from service.context import Running, Service
from service.errors import ApiError
from service.judging.answers import (
    CompareLine,
    CritiqueLine,
    RankLine,
    ReviseLine,
    ScoreLine,
    documented,
)
from service.judging.desk import Line
from service.judging.items import one_item, parse_items
from service.judging.requests import (
    SINGLE,
    CompareRequest,
    CritiqueRequest,
    JudgingRequest,
    RankRequest,
    ReviseRequest,
    ScoreRequest,
)
from service.routing import OrjsonRoute

router = APIRouter(tags=["judging"], route_class=OrjsonRoute)
NDJSON = "application/x-ndjson"
Labeller = Annotated[Access, needs("label")]
DeadlineHeader = Annotated[
    float | None,
    Header(gt=0, allow_inf_nan=False, description="Seconds; `deadline_s` in the body goes first"),
]


@router.post("/v1/rank", responses=documented(RankLine))
async def rank(
    asked: RankRequest, service: Running, access: Labeller, x_deadline_s: DeadlineHeader = None
) -> Response:
    """Put completions in order: scores, ranking, the probability of each pair, per principle."""
    return await judge(asked, service, access, x_deadline_s)


@router.post("/v1/compare", responses=documented(CompareLine))
async def compare(
    asked: CompareRequest, service: Running, access: Labeller, x_deadline_s: DeadlineHeader = None
) -> Response:
    """Say which of two completions is better, how surely, and by which principles."""
    return await judge(asked, service, access, x_deadline_s)


@router.post("/v1/score", responses=documented(ScoreLine))
async def score(
    asked: ScoreRequest, service: Running, access: Labeller, x_deadline_s: DeadlineHeader = None
) -> Response:
    """Score completions one by one, without an opponent."""
    return await judge(asked, service, access, x_deadline_s)


@router.post("/v1/critique", responses=documented(CritiqueLine))
async def critique(
    asked: CritiqueRequest, service: Running, access: Labeller, x_deadline_s: DeadlineHeader = None
) -> Response:
    """Say where completions fall short of principles, quoting the words at fault."""
    return await judge(asked, service, access, x_deadline_s)


@router.post("/v1/revise", responses=documented(ReviseLine))
async def revise(
    asked: ReviseRequest, service: Running, access: Labeller, x_deadline_s: DeadlineHeader = None
) -> Response:
    """Critique and rewrite completions, round after round; mark what got no better."""
    return await judge(asked, service, access, x_deadline_s)


async def judge(
    asked: JudgingRequest, service: Service, access: Access, deadline_s: float | None
) -> Response:
    """One object for one item, NDJSON for many. Raises: ApiError for what is neither."""
    single = asked.single
    if (asked.items is None) == (not single):
        raise ApiError(
            422, "invalid_request",
            "a request holds either `prompt` and `completions`, or `items`",
            "send one of the two",
        )  # fmt: skip
    task = await asyncio.to_thread(service.task, asked, access.tenant)
    if asked.items is not None:
        return await _many(asked, service, access, task, asked.deadline_s or deadline_s)
    item = one_item({key: single[key] for key in SINGLE if key in single}, task)
    wait = service.deadline(asked.deadline_s or deadline_s, service.settings.deadline_s)
    line = await service.desk.judge(task, item, service.turn(access), wait)
    return Response(dump_line(line), media_type="application/json")


async def _many(
    asked: JudgingRequest, service: Service, access: Access, task: Any, deadline_s: float | None
) -> Response:
    rows = asked.items or []
    if len(rows) > service.settings.max_items:
        raise ApiError(
            413, "too_many_items",
            f"{len(rows)} items; at most {service.settings.max_items} in one list",
            "send a batch: POST /v1/batches",
        )  # fmt: skip
    service.desk.refuse_when_full()
    # Thousands of items take long enough to hold up everybody else's requests.
    good, bad = await asyncio.to_thread(parse_items, rows, task)
    wait = service.deadline(deadline_s, service.settings.max_deadline_s)
    lines = service.desk.stream(task, good, service.turn(access), wait)
    return _Stream(_ndjson(bad, lines), media_type=NDJSON)


class _Stream(StreamingResponse):
    """A stream whose source is closed at once when the client goes away."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all, or as much as is taken."""
        async with aclosing(self.body_iterator):  # type: ignore[type-var]
            await super().__call__(scope, receive, send)


async def _ndjson(bad: list[Line], lines: AsyncGenerator[Line]) -> AsyncGenerator[bytes]:
    for line in bad:
        yield dump_line(line)
    async with aclosing(lines):
        async for line in lines:
            yield dump_line(line)
