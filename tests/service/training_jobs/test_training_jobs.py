"""Training jobs over HTTP. The quick ones fail or are cancelled before anything heavy is loaded."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.keys import create_key
from service.settings import Settings
from service.storage.database import open_service_database, service_url
from service.training_jobs.run import JobFolder
from tests.service.batches.made_batches import uploaded
from tests.service.conftest import Open

JOBS = "/v1/training-jobs"
NOTHING = {"method": "dpo", "recipe": {"model": "embedded", "preferences": "none"}}


async def started(client: httpx.AsyncClient, **changed: Any) -> dict[str, Any]:
    """A new job."""
    answer = await client.post(JOBS, json=NOTHING | {"device": "cpu"} | changed)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def reached(client: httpx.AsyncClient, job: dict[str, Any], *states: str) -> dict[str, Any]:
    """The job once it is in one of the states."""
    for _ in range(1500):
        told: dict[str, Any] = (await client.get(f"{JOBS}/{job['id']}")).json()
        if told["status"] in states:
            return told
        await asyncio.sleep(0.1)
    raise AssertionError(told)


async def test_a_failed_job_says_why_in_one_line(client: httpx.AsyncClient) -> None:
    job = await started(client, metadata={"for": "test"})
    assert job["status"] in ("queued", "running")
    failed = await reached(client, job, "failed")
    assert "preferences" in failed["error"] or "none" in failed["error"]
    assert "\n" not in failed["error"]
    assert failed["metadata"] == {"for": "test"}
    log = await client.get(f"{JOBS}/{job['id']}/log")
    assert failed["error"] in log.text
    events = await client.get(f"{JOBS}/{job['id']}/log", headers={"Accept": "text/event-stream"})
    assert events.text.startswith("id: ")
    assert events.text.endswith("event: end\ndata: {}\n\n")
    listed = (await client.get(JOBS)).json()
    assert [one["id"] for one in listed["data"]] == [job["id"]]


async def test_an_unknown_method_fails_with_what_the_command_says(
    client: httpx.AsyncClient,
) -> None:
    failed = await reached(client, await started(client, method="dop"), "failed")
    assert "dop" in failed["error"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"recipe": {"preferences": "/etc/passwd"}}, "outside your folder"),
        ({"recipe": "../../secrets.toml"}, "outside your folder"),
        ({"recipe": {"preferences": "file-none"}}, "is not there"),
        ({"overrides": {"preferences": "/etc/passwd"}}, "outside your folder"),
        ({"overrides": {"model.x": 1}}, "is a value, not a table"),
        ({"method": "dpo; rm -rf /"}, "charter train --help"),
        ({"method": "--help"}, "charter train --help"),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_what_a_recipe_may_not_say_is_refused(
    client: httpx.AsyncClient, changed: dict[str, Any], said: str
) -> None:
    answer = await client.post(JOBS, json=NOTHING | changed)
    assert answer.status_code == 422
    assert said in answer.json()["error"]["message"]
    assert (await client.get(JOBS)).json()["data"] == []


async def test_jobs_wait_for_a_slot_and_can_be_cancelled_there(opened: Open) -> None:
    async with opened(training_cpu_slots=1) as client:
        first, second = await started(client), await started(client)
        told = (await client.post(f"{JOBS}/{second['id']}/cancel")).json()
        assert told["status"] in ("cancelling", "cancelled")
        await reached(client, first, "failed")
        ended = await reached(client, second, "cancelled")
        assert ended["started_at"] is None
        again = (await client.post(f"{JOBS}/{second['id']}/resume")).json()
        assert again["status"] == "queued"
        await reached(client, second, "failed")


async def test_training_needs_its_scope(opened: Open, tmp_path: Path) -> None:
    database = open_service_database(service_url(Settings(home=tmp_path / "home")))
    keys = [
        create_key(database, "ours", ["label"]),
        create_key(database, "ours", ["train"]),
        create_key(database, "theirs", ["train"]),
    ]
    label, train, other = [{"Authorization": f"Bearer {key}"} for key in keys]
    database.dispose()
    async with opened(keys_required=True, training_cpu_slots=1) as client:
        refused = await client.post(JOBS, json=NOTHING, headers=label)
        assert refused.status_code == 403
        job = (await client.post(JOBS, json=NOTHING | {"device": "cpu"}, headers=train)).json()
        assert (await client.get(f"{JOBS}/{job['id']}", headers=train)).status_code == 200
        for path in ("", "/log", "/metrics", "/artefacts", "/artefacts/summary.json"):
            answer = await client.get(f"{JOBS}/{job['id']}{path}", headers=other)
            assert answer.status_code == 404
        await client.post(f"{JOBS}/{job['id']}/cancel", headers=train)


async def test_artefacts_are_what_lies_in_the_run_folder(opened: Open, tmp_path: Path) -> None:
    async with opened() as client:
        job = await reached(client, await started(client), "failed")
        folder = JobFolder(tmp_path / "home" / "training" / "local" / "jobs" / job["id"])
        (folder.run / "deep").mkdir(parents=True)
        (folder.run / "deep" / "model").write_bytes(b"weights")
        (folder.run / "link").symlink_to(tmp_path / "home" / "votes.db")
        (folder.run / ".lock").touch()
        listed = (await client.get(f"{JOBS}/{job['id']}/artefacts")).json()["data"]
        assert listed == [{"path": "deep/model", "bytes": 7}]
        assert (await client.get(f"{JOBS}/{job['id']}/artefacts/deep/model")).content == b"weights"
        for path in ("link", "../recipe.toml", "..%2Frecipe.toml", ".lock", "deep"):
            answer = await client.get(f"{JOBS}/{job['id']}/artefacts/{path}")
            assert answer.status_code == 404


def preference_rows(count: int) -> str:
    """Rows that a policy can be trained on."""

    def row(number: int) -> dict[str, Any]:
        asked = [{"role": "user", "content": f"What is {number}?"}]
        return {
            "prompt": asked,
            "chosen": [{"role": "assistant", "content": f"It is {number}."}],
            "rejected": [{"role": "assistant", "content": "I do not know. " * 3}],
            "p_chosen": 0.9,
        }

    return "".join(json.dumps(row(number)) + "\n" for number in range(count))


@pytest.mark.slow
async def test_a_real_training_survives_the_service_and_gives_its_artefacts(opened: Open) -> None:
    async with opened() as client:
        file = await uploaded(client, preference_rows(8), purpose="training")
        recipe = {
            "model": "embedded",
            "preferences": file,
            "max_length": 64,
            "lora": {"r": 4},
            "trainer": {"max_steps": 3, "per_device_train_batch_size": 2, "save_steps": 1},
        }
        job = await started(client, recipe=recipe)
        await reached(client, job, "running")
        await asyncio.sleep(1)
    # The service is gone, and comes back: the same process is found again.
    async with opened() as client:
        ended = await reached(client, job, "completed", "failed")
        assert ended["status"] == "completed", ended["error"]
        lines = (await client.get(f"{JOBS}/{job['id']}/metrics")).text.splitlines()
        assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]
        listed = (await client.get(f"{JOBS}/{job['id']}/artefacts")).json()["data"]
        assert {"manifest.json", "metrics.jsonl", "summary.json"} <= {one["path"] for one in listed}
        assert ended["summary"] is not None
