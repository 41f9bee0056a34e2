"""Constitutions over HTTP: versions, ETags, drafts, publication, tenants kept apart."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.keys import create_key

DRAFT = """\
name: brief
version: {version}
title: Brief
licence: CC0-1.0
description: For tests.
principles:
  - id: brief
    family: style
    title: Brief
    text: {text}
"""


def draft(version: str = "1.0.0", text: str = "Be brief.") -> str:
    return DRAFT.format(version=version, text=text)


async def publish(client: httpx.AsyncClient, yaml: str, **more: Any) -> httpx.Response:
    body = {"action": "publish", "yaml": yaml, "message": "First."}
    return await client.post("/v1/constitutions", json=body, **more)


async def test_what_ships_can_be_listed_read_and_is_not_sent_twice(
    client: httpx.AsyncClient,
) -> None:
    listed = (await client.get("/v1/constitutions")).json()["constitutions"]
    shipped = next(one for one in listed if one["name"] == "helpful-harmless")
    assert shipped["versions"][0]["published"] and not shipped["versions"][0]["own"]
    address = f"/v1/constitutions/helpful-harmless/{shipped['versions'][0]['version']}"
    first = await client.get(address)
    assert first.json()["constitution"]["principles"]
    tag = {"If-None-Match": first.headers["etag"]}
    again = await client.get(address, headers=tag)
    assert (again.status_code, again.content) == (304, b"")
    source = await client.get(address, headers=tag | {"Accept": "application/yaml"})
    assert source.status_code == 200 and "principles:" in source.text


async def test_a_draft_is_checked_published_once_and_compared(client: httpx.AsyncClient) -> None:
    checked = await client.post("/v1/constitutions", json={"yaml": draft()})
    assert checked.json()["valid"] and checked.json()["reference"] == "brief@1.0.0"
    assert (await client.get("/v1/constitutions/brief/1.0.0")).status_code == 404
    made = await publish(client, draft())
    assert made.status_code == 201
    assert made.json()["digest"] == checked.json()["digest"]
    assert (await client.get("/v1/constitutions/brief/1.0.0")).json()["digest"] == (
        made.json()["digest"]
    )
    again = await publish(client, draft(text="Be long."))
    assert (again.status_code, again.json()["error"]["code"]) == (409, "published_already")
    assert (await publish(client, draft("1.0.1", "Be terse."))).status_code == 422
    assert (await publish(client, draft("2.0.0", "Be terse."))).status_code == 201
    diff = await client.get("/v1/constitutions/brief/diff", params={"from": "1.0.0", "to": "2.0.0"})
    assert diff.json()["cost"] == "votes"
    assert [change["what"] for change in diff.json()["changes"]] == ["reworded"]


async def test_faults_of_a_draft_are_told_by_line_without_this_machines_folders(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    told = await client.post("/v1/constitutions", json={"yaml": draft() + "    tier: hihg\n"})
    assert told.status_code == 200 and not told.json()["valid"]
    assert told.json()["faults"][0].startswith("draft:11:")
    refused = await publish(client, draft() + "    tier: hihg\n")
    assert refused.status_code == 422
    for answer in (told, refused):
        assert str(tmp_path) not in answer.text and "/tmp" not in answer.text


@pytest.mark.parametrize(
    "yaml",
    [
        pytest.param("a: &a [x]\nb: [*a, *a]\n", id="anchors, of which bombs are made"),
        pytest.param("a: !!python/object:os.system x\n", id="a tag"),
        pytest.param("[" * 1000, id="a thousand brackets"),
        pytest.param("extends: [../../../etc/passwd@1.0.0]\n" + draft(), id="a path to a parent"),
        pytest.param(draft().replace("name: brief", "name: ../brief"), id="a path for a name"),
    ],
)
async def test_a_hostile_draft_is_refused(
    client: httpx.AsyncClient, tmp_path: Path, yaml: str
) -> None:
    told = await client.post("/v1/constitutions", json={"yaml": yaml})
    assert told.json()["valid"] is False
    assert (await publish(client, yaml)).status_code == 422
    assert not list((tmp_path / "home" / "constitutions").rglob("*.yaml"))


@pytest.mark.parametrize(
    "reference",
    ["../constitutions/plain-speech/1.0.0.yaml", "/etc/passwd", "x.yaml", "a@1/..", "{{7*7}}"],
)
async def test_no_reference_is_a_path(client: httpx.AsyncClient, reference: str) -> None:
    asked = {"constitution": reference, "prompt": "p", "completions": ["a", "b"]}
    answer = await client.post("/v1/rank", json=asked)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_reference")


async def test_tenants_see_their_own_constitutions_only(
    opened: Callable[..., Any],
) -> None:
    async with opened(keys_required=True) as client:
        database = client.app.state.service.database
        keys = {
            name: {"Authorization": f"Bearer {create_key(database, name, ['label', 'publish'])}"}
            for name in ("one", "two")
        }
        assert (await publish(client, draft(), headers=keys["one"])).status_code == 201
        address = "/v1/constitutions/brief/1.0.0"
        assert (await client.get(address, headers=keys["one"])).status_code == 200
        assert (await client.get(address, headers=keys["two"])).status_code == 404
        other = await publish(client, draft(text="Be long."), headers=keys["two"])
        assert other.status_code == 201
        digests = [
            (await client.get(address, headers=key)).json()["digest"] for key in keys.values()
        ]
        assert len(set(digests)) == 2
        reader = {"Authorization": f"Bearer {create_key(database, 'one', ['label'])}"}
        assert (await publish(client, draft("2.0.0"), headers=reader)).status_code == 403


async def test_a_disk_that_takes_nothing_publishes_nothing(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    folder = tmp_path / "home" / "constitutions"
    folder.mkdir(parents=True)
    (folder / "local").symlink_to("/dev/full")
    answer = await publish(client, draft())
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "storage_full")
    assert (await client.get("/health")).status_code == 200
