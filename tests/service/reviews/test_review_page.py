"""Reviewing in a real browser by keyboard alone: Chromium, by its own debugging protocol."""

import asyncio
import itertools
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from service.client.client import AsyncClient
from tests.service.client.conftest import served
from tests.service.reviews.made_rankings import ranking

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--no-first-run", "--disable-dev-shm-usage", "--remote-debugging-port=0", "about:blank",
)  # fmt: skip
KEYS = {"Enter": ("Enter", 13, "\r"), "Tab": ("Tab", 9, "")}
HOSTILE = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"


class Tab:
    """A page in the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._numbers = socket, itertools.count(1)

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            told = await self._socket.receive_json(timeout=30)
            if told.get("id") == number:
                assert "error" not in told, told
                return dict(told["result"])

    async def value(self, script: str) -> Any:
        told = await self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return told["result"].get("value")

    async def until(self, script: str) -> None:
        for _ in range(200):
            if await self.value(script):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"never true: {script}; {await self.value('document.body.innerText')}")

    async def press(self, key: str) -> None:
        name, code, text = KEYS[key] if key in KEYS else (key, ord(key.upper()), key)
        for kind in ("keyDown", "keyUp"):
            down = {"text": text} if kind == "keyDown" and text else {}
            await self.call(
                "Input.dispatchKeyEvent", type=kind, key=name, windowsVirtualKeyCode=code, **down
            )


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Tab]:
    if CHROMIUM is None:
        pytest.skip("no chromium here")
    process = subprocess.Popen(
        [CHROMIUM, f"--user-data-dir={folder}", *FLAGS],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, 
        env={**os.environ, "HOME": str(folder)},
    )  # fmt: skip
    try:
        port_file = folder / "DevToolsActivePort"
        for _ in range(600):
            if port_file.exists() and port_file.read_text().strip():
                break
            assert process.poll() is None, "chromium did not start"
            await asyncio.sleep(0.05)
        port = port_file.read_text().split()[0]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                (target,) = [one for one in await answer.json() if one["type"] == "page"]
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                yield Tab(socket)
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    from service.app import create_app
    from service.settings import Settings

    with served(create_app(Settings(home=tmp_path / "home", judges=("fake",)))) as url:
        yield url


@pytest.mark.slow
async def test_a_reviewer_needs_no_mouse_and_hostile_text_does_nothing(
    address: str, tmp_path: Path
) -> None:
    hostile = ranking("b", 0.6, gap=4.0, texts=(HOSTILE, "A drink."))
    async with AsyncClient(address) as client:
        rankings = [ranking("a", 0.9), hostile, ranking("c", 0.55)]
        body = {"rankings": rankings, "random_share": 0}
        await client.requests.json("POST", "/v1/reviews", body)
        async with browser(tmp_path / "browser") as tab:
            await tab.call("Page.navigate", url=f"{address}/reviews")
            await tab.until("document.activeElement && document.activeElement.id === 'reviewer'")
            for key in "ada":
                await tab.press(key)
            await tab.press("Enter")
            await tab.until("!document.getElementById('review').hidden")
            shown = await tab.value("document.getElementById('left').textContent")
            other = await tab.value("document.getElementById('right').textContent")
            assert HOSTILE in (shown, other), "texts are shown as they are"
            assert await tab.value("document.title") == "Reviews"
            await tab.press("1")
            await tab.until("!document.getElementById('verdict').hidden")
            assert "The judge prefers" in await tab.value("document.body.innerText")
            await tab.press("Enter")  # the button for the next has the focus
            for key in ("3", "0"):
                await tab.until("!document.getElementById('choices').hidden")
                await tab.press(key)
                await tab.until("!document.getElementById('verdict').hidden")
                await tab.press("Enter")
            await tab.until("document.body.innerText.includes('Nothing is left to label')")
        rows = (await client.requests.json("GET", "/v1/reviews"))["data"]
    labels = [label for row in rows for label in row["labels"]]
    assert sorted(label["choice"] for label in labels)[-2:] == ["skip", "tie"]
    assert {label["reviewer"] for label in labels} == {"ada"}
    assert all(0 < label["seconds"] < 60 for label in labels)
