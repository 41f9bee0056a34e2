"""A running service on the fake judge, without a network: real stores, real loops."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from service.app import create_app
from service.settings import Settings

Open = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Writes judges.toml for the service."""

    def write(text: str) -> None:
        (tmp_path / "judges.toml").write_text(text)
        monkeypatch.setenv("CHARTER_JUDGES", str(tmp_path / "judges.toml"))

    return write


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service that has started, its judges opened, where they can be."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        for _ in range(100):
            if app.state.service.pool.problem is None:
                break
            await asyncio.sleep(0.01)
        client.app = app  # type: ignore[attr-defined]
        yield client


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Opens a service on the fake judge, with any settings changed."""

    def open_(**changed: Any) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        settings = Settings(home=tmp_path / "home", judges=("fake",)).model_copy(update=changed)
        return running(create_app(settings))

    return open_


@pytest.fixture
async def client(opened: Open) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service as it comes, with the fake judge."""
    async with opened() as made:
        yield made
