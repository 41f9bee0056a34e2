"""Whether the process lives, and whether it can work: for load balancers, and for Prometheus."""

import asyncio
from collections.abc import Callable
from typing import Literal

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from judges.errors import CharterError
from judges.records import Record
from service.context import Running, Service
from service.logs import blotted

router = APIRouter(tags=["operation"])
STORE_S = 5.0


class Health(Record):
    """The process lives."""

    status: Literal["ok"] = "ok"
    """Always `ok`: a process that does not live says nothing."""


class Ready(Record):
    """Whether requests can be served now."""

    ready: bool
    """All of the checks hold."""
    checks: dict[str, str]
    """Each check: `ok`, or what is wrong."""


@router.get("/health")
async def health() -> Health:
    """Whether the process lives. Needs no key, touches nothing."""
    return Health()


@router.get("/ready", responses={503: {"model": Ready, "description": "Not ready, and why"}})
async def ready(service: Running) -> Response:
    """Whether the stores can be reached, the judge answers, and the service is not stopping."""
    checks = {
        "votes": _store(service),
        "database": _database(service),
        "judge": service.loop.run(service.pool.answers()),
        **{name: check() for name, check in service.ready_checks.items()},
    }
    told = dict(zip(checks, await asyncio.gather(*checks.values()), strict=True))
    told["draining"] = "the service is stopping" if service.draining else None
    answer = Ready(
        ready=not any(told.values()),
        checks={name: blotted(problem) if problem else "ok" for name, problem in told.items()},
    )
    return JSONResponse(answer.model_dump(), 200 if answer.ready else 503)


@router.get("/metrics", include_in_schema=False)
async def metrics(service: Running) -> Response:
    """Prometheus metrics."""
    return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)


async def _store(service: Service) -> str | None:
    return await _within(lambda: service.votes.ids(["00" * 32]))


async def _database(service: Service) -> str | None:
    return await _within(service.gate.reachable)


async def _within(look: Callable[[], object]) -> str | None:
    try:
        async with asyncio.timeout(STORE_S):
            await asyncio.to_thread(look)
    except (CharterError, TimeoutError) as error:
        return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return None
