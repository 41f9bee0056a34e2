"""Watched training runs: how they stand, how they are watched, and a page for people."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import HTMLResponse

from judges.records import Record
from service.access import Access, needs
from service.context import Running
from service.errors import ApiError
from service.routing import OrjsonRoute
from service.watch.page import run_page
from service.watch.run_state import Alarm, RunSettings, Standing
from service.watch.run_store import Run, RunSummary, forget_run, list_runs, read_run, set_run
from service.watch.signals import CHANNELS

router = APIRouter(tags=["runs"], route_class=OrjsonRoute)
Reader = Annotated[Access, needs("label")]
Trainer = Annotated[Access, needs("train")]
Name = Annotated[str, Path(min_length=1, max_length=200)]


class RunAnswer(Record):
    """A watched run as it stands."""

    id: str
    """Its name."""
    samples: int
    """Samples seen, in full blocks."""
    stop: list[str]
    """The signals for which it should stop; empty while all is well."""
    run_mean: float | None
    """Mean reward so far."""
    signals: list[Standing]
    """How each signal stands."""
    alarms: list[Alarm]
    """Alarms raised, in order."""
    history: dict[str, list[dict[str, float]]]
    """Means over time, by channel: `at` is the number of samples."""
    settings: RunSettings
    """How it is watched."""
    created_at: float
    """Seconds since 1970."""
    updated_at: float
    """Seconds since 1970."""


class RunList(Record):
    """Runs, the last seen first."""

    data: list[RunSummary]
    """At most a hundred."""


@router.get("/v1/runs")
async def runs(service: Running, access: Reader) -> RunList:
    """The training runs that have been watched."""
    return RunList(data=await asyncio.to_thread(list_runs, service.database, access.tenant))


@router.get("/v1/runs/{name:path}", response_model=RunAnswer)
async def run(
    name: Name, request: Request, service: Running, access: Reader
) -> RunAnswer | Response:
    """How a run stands; a page for people where the client would rather have HTML."""
    await service.rewards.watch.flush()
    found = await asyncio.to_thread(read_run, service.database, access.tenant, name)
    if found is None:
        raise _unknown(name)
    if "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(run_page(found))
    return _told(found)


@router.put("/v1/runs/{name:path}")
async def watch_run(
    name: Name, settings: RunSettings, service: Running, access: Trainer
) -> RunAnswer:
    """Say how a run is watched, before it begins or while it goes on."""
    if settings.gold_constitution is not None:
        service.library.load(settings.gold_constitution, access.tenant)
    if settings.gold_judge is not None:
        service.pool.judges([settings.gold_judge])
    found = await asyncio.to_thread(set_run, service.database, access.tenant, name, settings)
    (await service.rewards.watch.look((access.tenant, name))).take(found)
    return _told(found)


@router.delete("/v1/runs/{name:path}", status_code=204)
async def forget(name: Name, service: Running, access: Trainer) -> Response:
    """Forget a run, so that its name begins anew."""
    await service.rewards.watch.flush()
    service.rewards.watch.forget((access.tenant, name))
    if not await asyncio.to_thread(forget_run, service.database, access.tenant, name):
        raise _unknown(name)
    return Response(status_code=204)


def _unknown(name: str) -> ApiError:
    return ApiError(
        404, "unknown_run", f"run {name!r} is not known", "send samples with ?run=, or PUT it first"
    )


def _told(found: Run) -> RunAnswer:
    state = found.state
    return RunAnswer(
        id=found.id,
        samples=state.samples,
        stop=list(found.stop),
        run_mean=state.run_mean(),
        signals=state.standings(found.settings),
        alarms=state.alarms,
        history={channel: state.history[channel].points for channel in CHANNELS},
        settings=found.settings,
        created_at=found.created_at,
        updated_at=found.updated_at,
    )
