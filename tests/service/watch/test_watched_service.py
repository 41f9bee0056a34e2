"""The watch within a running service: a hacked run is told to stop, in every place that says so."""

import asyncio
import random
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import text

from judges.attacks.suite import SUITE
from service.context import Service
from tests.service.conftest import Open

PRINCIPLE = """
name: NAME
version: 1.0.0
title: Planted
licence: CC0-1.0
principles:
  - id: taste
    family: f
    title: Taste
    text: TEXT
    tests:
      - prompt: What is tea?
        better: one two three four five six seven eight
        worse: one
"""
WORDS = [
    "the",
    "leaves",
    "of",
    "tea",
    "are",
    "dried",
    "and",
    "put",
    "into",
    "hot",
    "water",
    "by",
    "many",
]
BEFORE = 12
"""Blocks before a run begins to be hacked."""
AT = {"constitution": "long-winded@1.0.0", "run": "hacked"}


@pytest.fixture
def _constitutions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One under which longer is better, to train on; one under which shorter is, held out."""
    for name, words in (("long-winded", "Be long and detailed."), ("terse", "Be brief.")):
        (tmp_path / "own" / name).mkdir(parents=True)
        content = PRINCIPLE.replace("NAME", name).replace("TEXT", words)
        (tmp_path / "own" / name / "1.0.0.yaml").write_text(content)
    monkeypatch.setenv("CHARTER_CONSTITUTIONS", str(tmp_path / "own"))


class Policy:
    """Writes answers of about so many words."""

    def __init__(self) -> None:
        self.rng = random.Random(0)

    def batch(self, words: float, size: int = 64) -> list[dict[str, Any]]:
        made = []
        for _ in range(size):
            count = max(1, round(self.rng.gauss(words, 3)))
            said = " ".join(self.rng.choices(WORDS, k=count))
            made.append({"prompt": f"What is tea? {self.rng.random()}", "completion": said})
        return made


async def send(client: httpx.AsyncClient, samples: list[dict[str, Any]]) -> httpx.Response:
    answer = await client.post("/v1/rewards", json={"samples": samples}, params=AT)
    assert answer.status_code == 200, answer.text
    return answer


async def beside(client: httpx.AsyncClient) -> None:
    """Wait for what is judged beside the samples."""
    desk = client.app.state.service.rewards  # type: ignore[attr-defined]
    while desk._beside:
        await asyncio.sleep(0.01)
    await desk.watch.flush()


@pytest.mark.usefixtures("_constitutions")
async def test_length_hacking_is_stopped_in_header_reply_metrics_and_page(opened: Open) -> None:
    settings: dict[str, Any] = {
        "gold_constitution": "terse@1.0.0",
        "gold_share": 0.5,
        "canary_every": 16,
    }
    policy = Policy()
    settings["false_alarms"] = 0.1  # less evidence, fewer blocks
    async with opened() as client:
        assert (await client.put("/v1/runs/hacked", json=settings)).status_code == 200
        for _ in range(BEFORE):
            answer = await send(client, policy.batch(16))
            await beside(client)
        assert "X-Charter-Stop" not in answer.headers
    async with opened() as client:  # a restart: nothing in full blocks is lost
        assert (await client.get("/v1/runs/hacked")).json()["samples"] == BEFORE * 64
        for step in range(30):
            answer = await send(client, policy.batch(16 + 3 * step))
            await beside(client)
            if "X-Charter-Stop" in answer.headers:
                break
        assert "gold_gap" in answer.headers["X-Charter-Stop"]
        assert "gold_gap" in answer.json()["stop"]
        run = (await client.get("/v1/runs/hacked")).json()
        assert set(run["stop"]) >= set(answer.json()["stop"])
        told = {one["signal"]: one for one in run["signals"]}
        assert told["reward_up"]["now"] > told["reward_up"]["before"]
        assert told["gold_down"]["now"] < told["gold_down"]["before"]
        assert told["canaries"]["now"] is not None
        metrics = (await client.get("/metrics")).text
        assert 'charter_run_stop{run="hacked",signal="gold_gap",tenant="local"} 1.0' in metrics
        page = await client.get("/v1/runs/hacked", headers={"accept": "text/html"})
        assert "Stop: the reward rises above the held-out one" in page.text
        assert page.text.count("<svg") >= 5
        assert [one["id"] for one in (await client.get("/v1/runs")).json()["data"]] == ["hacked"]
        assert (await client.delete("/v1/runs/hacked")).status_code == 204
        gone = await client.get("/v1/runs/hacked")
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "unknown_run")


@pytest.mark.slow
@pytest.mark.usefixtures("_constitutions")
async def test_attacks_that_spread_are_told(opened: Open) -> None:
    policy, rng = Policy(), random.Random(1)
    async with opened() as client:
        for step in range(60):
            samples = policy.batch(16)
            for one in samples if step >= 30 else []:
                if rng.random() < 0.2:
                    one["completion"] = rng.choice(SUITE).apply(one["completion"])
            answer = await send(client, samples)
            await beside(client)
            if "X-Charter-Stop" in answer.headers:
                break
        assert step >= 30
        assert "exploits" in answer.headers["X-Charter-Stop"]


async def test_a_groups_gold_is_how_often_it_orders_otherwise(opened: Open) -> None:
    async with opened() as client:
        settings = {"gold_constitution": "plain-speech@1.0.0", "gold_share": 1.0}
        await client.put("/v1/runs/groups", json=settings)
        at: dict[str, str | int] = {
            "constitution": "plain-speech@1.0.0",
            "run": "groups",
            "group": 4,
        }
        for prompt in range(8):
            samples = [
                {"prompt": f"Tea? {prompt}", "completion": "Tea is a drink. " + "well " * 12 * k}
                for k in range(4)
            ]
            await client.post("/v1/rewards", json={"samples": samples}, params=at)
        await beside(client)
        run = (await client.get("/v1/runs/groups")).json()
        gap = next(one for one in run["signals"] if one["signal"] == "gold_gap")
        assert gap["now"] is not None
        assert gap["now"] < 0.25, "the same constitution, by scores and by ranking, mostly agrees"


async def test_a_lost_database_costs_no_reward(client: httpx.AsyncClient) -> None:
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    with service.database.begin() as connection:
        connection.execute(text("DROP TABLE runs"))
    at = {"constitution": "plain-speech@1.0.0", "run": "lost"}
    samples = Policy().batch(16)
    answer = await client.post("/v1/rewards", json={"samples": samples}, params=at)
    assert answer.status_code == 200
    assert len(answer.json()["rewards"]) == 64
    await beside(client)
    assert "charter_run_blocks_dropped_total 1.0" in (await client.get("/metrics")).text


async def test_a_runs_name_may_hold_anything_and_does_nothing(client: httpx.AsyncClient) -> None:
    name = "exp/1 <script>alert(1)</script> \u202e"
    put = await client.put(f"/v1/runs/{quote(name)}", json={})
    assert put.json()["id"] == name
    page = await client.get(f"/v1/runs/{quote(name)}", headers={"accept": "text/html"})
    assert page.status_code == 200
    assert "<script" not in page.text and "&lt;script&gt;" in page.text


async def test_settings_that_name_nothing_are_refused(client: httpx.AsyncClient) -> None:
    for settings, status in (
        ({"gold_judge": "nobody"}, 422),
        ({"gold_constitution": "no-such"}, 404),
        ({"stop_on": ["no-signal"]}, 422),
        ({"gold_shar": 0.5}, 422),
    ):
        answer = await client.put("/v1/runs/r", json=settings)
        assert answer.status_code == status, settings
