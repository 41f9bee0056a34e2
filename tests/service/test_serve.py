"""A real `charter serve`: stops gracefully, tells what it does, survives slow and rude clients."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from judges.models.fake import FakeSettings
from service.benchmarks.serving import from_clients, short_items

ROOT = Path(__file__).resolve().parents[2]
ASKED = {"constitution": "plain-speech", "prompt": "p", "completions": ["a b c", "d"]}
RUN = "import sys, charter; sys.exit(charter.main(sys.argv[1:]))"
Served = tuple["subprocess.Popen[bytes]", str, Path]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts a service in a process of its own; what is left of it is killed."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(latency_s: float = 0.0, **environment: str) -> Served:
        (tmp_path / "judges.toml").write_text(
            f'[fake]\ntransport = "fake"\nfake = {{latency_s = {latency_s}}}\n'
        )
        assert FakeSettings(latency_s=latency_s)
        variables = {"CHARTER_HOME": str(tmp_path), "CHARTER_JUDGES": f"{tmp_path}/judges.toml"}
        log = tmp_path / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-c", RUN, "serve", "--port", "0", "--judge", "fake"],
                cwd=ROOT, env=os.environ | variables | environment, stderr=file,
            )  # fmt: skip
        processes.append(process)
        for _ in range(600):
            if found := re.search(r"charter serves on (\S+);", log.read_text("utf-8")):
                break
            time.sleep(0.1)
        assert found, log.read_text("utf-8")
        address = found[1]
        for _ in range(600):
            try:
                if httpx.get(f"{address}/ready").status_code == 200:
                    break
            except httpx.ConnectError:
                pass
            time.sleep(0.05)
        return process, address, log

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.slow
async def test_told_to_stop_it_finishes_what_is_begun(serve: Callable[..., Served]) -> None:
    process, address, log = serve(0.6)
    async with httpx.AsyncClient(base_url=address, timeout=30) as client:
        begun = asyncio.create_task(client.post("/v1/compare", json=ASKED))
        await asyncio.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        answer = await begun
    assert answer.status_code == 200 and answer.json()["status"] == "scored"
    assert await asyncio.to_thread(process.wait, 20) in (0, -signal.SIGTERM)
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines() if line[0] == "{"]
    told = [line for line in lines if line["message"] == "request"]
    assert {"request_id", "method", "path", "status", "seconds", "level", "at"} <= set(told[-1])
    assert "Traceback" not in log.read_text("utf-8")


@pytest.mark.slow
async def test_killed_it_has_lost_no_vote_that_it_answered_with(
    serve: Callable[..., Served],
) -> None:
    process, address, _ = serve()
    items = short_items(40, "killed")
    async with httpx.AsyncClient(base_url=address, timeout=30) as client:

        async def call(item: Any) -> float:
            body = {
                "constitution": "plain-speech",
                "prompt": item.prompt[0].content,
                "completions": [c.text for c in item.completions],
            }
            answer = await client.post("/v1/compare", json=body)
            assert answer.json()["status"] == "scored"
            return float(answer.json()["usage"]["new_votes"])

        first = await from_clients(8, items, call)
        assert sum(first) > 0
    process.kill()
    process.wait()
    process, address, _ = serve()
    async with httpx.AsyncClient(base_url=address, timeout=30) as client:
        again = await from_clients(8, items, call)
    assert sum(again) == 0


@pytest.mark.slow
async def test_rude_clients_take_nothing_from_the_others(serve: Callable[..., Served]) -> None:
    """Half-sent bodies, endless headers, no reading, hanging up: others are answered."""
    _, address, _ = serve(CHARTER_BODY_S="0.5")
    host, port = address.removeprefix("http://").split(":")
    place = (host, int(port))
    rows = [dict(ASKED, id=str(k)) for k in range(2000)]
    for row in rows:
        del row["constitution"]
    many = json.dumps({"constitution": "plain-speech", "items": rows}).encode()
    head = b"POST /v1/compare HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    held: list[socket.socket] = []
    for sent in (
        head + b"Content-Length: 1000\r\n\r\n{",
        head + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
        head + b"X-Long: " + b"x" * 200_000,
        head + b"Content-Length: %d\r\n\r\n" % len(many) + many,
        head + b"Content-Length: -5\r\n\r\n{}",
        b"\x00\x01\x02 nonsense\r\n\r\n",
    ) * 5:
        link = socket.create_connection(place)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.sendall(sent)
        held.append(link)
    async with httpx.AsyncClient(base_url=address, timeout=30) as client:
        for k in range(10):
            answer = await client.post("/v1/compare", json=ASKED | {"prompt": f"fair {k}"})
            assert answer.status_code == 200
        for link in held:
            link.close()
        answer = await client.get("/ready")
        assert answer.status_code == 200
        inside = 1.0
        for _ in range(100):
            text = (await client.get("/metrics")).text
            found = re.search(r"^charter_items_inside (\S+)", text, re.MULTILINE)
            assert found
            if not (inside := float(found[1])):
                break
            await asyncio.sleep(0.1)
        assert inside == 0
        assert 'status="500"' not in text
