"""A client that gives up on a real connection leaves its group, and may come again."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp

from service.app import create_app
from service.context import Service
from service.settings import Settings
from tests.service.client.conftest import served

AT = "/v1/rewards?constitution=plain-speech@1.0.0&group=2&group_timeout=30"


def body(text: str) -> dict[str, Any]:
    return {"samples": [{"prompt": "Tea?", "completion": text}]}


async def test_a_client_that_hangs_up_is_no_member_of_its_group(tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path / "home", judges=("fake",)))
    service: Service = app.state.service
    with served(app) as url:
        cohorts = service.rewards.cohorts
        async with aiohttp.ClientSession(url) as session:
            gone = asyncio.create_task(session.post(AT, json=body("gone")))
            await until(lambda: cohorts.waiting == 1)
            gone.cancel()
            await until(lambda: cohorts.waiting == 0)
            assert len(cohorts) == 0
            both = await asyncio.gather(*(session.post(AT, json=body(t)) for t in ("a b", "c d e")))
            told = [await answer.json() for answer in both]
    assert sum(one["rewards"][0]["value"] for one in told) == 1.0


async def until(holds: Any) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)
