"""The application: what it holds, what it answers, what runs beside it. Nothing is global."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from fastapi import APIRouter, FastAPI

from judges.store.vote_store import VoteStore
from service.access import Gate
from service.batches.beside import work_on_batches
from service.context import Service
from service.edge import Edge
from service.errors import ErrorBody, add_error_handlers
from service.impact import work_on_impacts
from service.judging.desk import Desk
from service.judging.loop import JudgingLoop
from service.judging.pool import JudgePool
from service.library import Library
from service.metrics import Metrics
from service.rewards.reward_desk import rewarding
from service.routes import (
    batches,
    constitutions,
    files,
    health,
    judging,
    reviews,
    rewards,
    runs,
    training_jobs,
)
from service.settings import Settings
from service.storage.database import CACHE_MIB, open_service_database, service_url, votes_url
from service.tracing import Tracing, open_tracing
from service.training_jobs.beside import train_beside

ROUTERS: tuple[APIRouter, ...] = (
    health.router,
    judging.router,
    constitutions.router,
    rewards.router,
    runs.router,
    reviews.router,
    files.router,
    batches.router,
    training_jobs.router,
)
"""Every address that the service answers."""

Worker = Callable[[Service], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def _key_uses(service: Service) -> AsyncIterator[None]:
    """Hourly counts of each key's requests, written now and then and at the end."""
    async with _beside(service.gate.flush_for_ever()):
        yield
    await service.gate.flush()


@asynccontextmanager
async def run_judging(service: Service) -> AsyncIterator[None]:
    """The judging loop, with the judges opened on it."""
    service.loop.start()
    opening = service.loop.submit(service.pool.keep_open())
    try:
        yield
    finally:
        opening.cancel()
        await service.loop.run(service.pool.close())
        await service.loop.stop()


WORKERS: tuple[Worker, ...] = (
    run_judging,
    _key_uses,
    rewarding,
    work_on_batches,
    train_beside,
    work_on_impacts,
)
"""What runs beside the requests, entered in order and left in reverse before the stores close."""


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class _Application(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """The document, fit for programs that make clients of it."""
        document = super().openapi()
        # "Either `text` or `rule`" beside the fields: they would make a union of it, or nothing.
        document["components"]["schemas"]["Principle"].pop("oneOf", None)
        return document


def create_app(
    settings: Settings, workers: Sequence[Worker] = (), *, tracing: Tracing | None = None
) -> FastAPI:
    """The service under these settings; its stores are opened now, its judges when it starts.

    Whatever `workers` do, they do it beside the requests, as those of every service.
    Raises: ConfigError, DataError for stores that cannot be opened.
    """
    service = open_service(settings, tracing or open_tracing(settings))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.callback(service.tracing.close)
            stack.callback(service.votes.close)
            stack.callback(service.database.dispose)
            for worker in (*WORKERS, *workers):
                await stack.enter_async_context(worker(service))
            yield
            service.draining = True

    app = _Application(
        title="Charter",
        version="1",
        summary="Judges what language models say against written constitutions.",
        description=DESCRIPTION,
        lifespan=lifespan,
        generate_unique_id_function=lambda route: route.name,
        responses={
            code: {"model": ErrorBody, "description": text} for code, text in FAILURES.items()
        },
    )
    app.state.service = service
    add_error_handlers(app)
    app.add_middleware(Edge, service=service)
    for router in ROUTERS:
        app.include_router(router)
    return app


DESCRIPTION = """\
Every judged item ends as `scored`, `unscored` with a reason, or `error` with a reason: never with
a made-up number. Every error has one shape, `{"error": {"code", "message", "hint"}}`. Every answer
has an `X-Request-Id`; send your own to find it in the logs."""
FAILURES: dict[int | str, str] = {
    401: "No key, or one that is not taken",
    403: "The key lacks the scope",
    404: "There is no such thing",
    413: "Too much at once",
    422: "Something in the request cannot be used",
    429: "Too many requests; Retry-After says how long to wait",
    503: "The judge or a store is away; Retry-After says when to try again",
}


def open_service(settings: Settings, tracing: Tracing) -> Service:
    """All that a running service holds, its stores open."""
    metrics = Metrics()
    votes = VoteStore.open(votes_url(settings), CACHE_MIB)
    database = open_service_database(service_url(settings))
    loop = JudgingLoop()
    pool = JudgePool(settings.judges, tracing)
    desk = Desk(loop, settings.max_waiting, metrics.observe_line)
    metrics.gauge("charter_items_inside", "Items taken, not answered yet", lambda: desk.inside)
    metrics.gauges(
        "charter_prompts_waiting", "Prompts that wait for an engine", "lane", pool.waiting
    )
    service = Service(
        settings=settings,
        votes=votes,
        database=database,
        loop=loop,
        pool=pool,
        desk=desk,
        gate=Gate(database, settings),
        library=Library(settings.home),
        metrics=metrics,
        tracing=tracing,
    )
    metrics.gauge(
        "charter_parts_in_work", "Parts of batches in work here", lambda: service.parts_in_work()
    )
    return service
