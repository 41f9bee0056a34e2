"""Keys: only hashes kept, scopes, expiry, revoking, rotation, the audit log, nothing in logs."""

import base64
import io
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, select

from charter import main
from judges.errors import ConfigError
from service import access
from service.keys import (
    create_key,
    find_key,
    list_keys,
    revoke_key,
    rotate_key,
)
from service.logs import JsonLines
from service.settings import Settings
from service.storage.database import open_service_database, service_url
from service.storage.tables import api_keys, audit_log, key_uses

Open = Callable[..., Any]
ASKED = {"constitution": "plain-speech", "prompt": "p", "completions": ["a b c", "d"]}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = open_service_database(service_url(Settings(home=tmp_path)))
    yield made
    made.dispose()


@pytest.fixture
async def guarded(opened: Open, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    monkeypatch.setattr(access, "REMEMBERED_S", 0.0)
    async with opened(keys_required=True) as client:
        yield client


def rows(engine: Engine, table: Any) -> list[Any]:
    with engine.begin() as connection:
        return list(connection.execute(select(table)))


def test_a_key_is_kept_as_a_hash_and_found_by_its_whole_text(engine: Engine) -> None:
    key = create_key(engine, "team-a", ["label"], name="for tests")
    _, number, secret = key.split("_", 2)
    assert secret.encode() not in Path(str(engine.url.database)).read_bytes()
    found = find_key(engine, key)
    assert found is not None and (found.id, found.tenant, found.state) == (
        number,
        "team-a",
        "active",
    )
    for wrong in (key[:-1], key + "x", key.replace(secret, secret[::-1]), "", "charter_x_y"):
        assert find_key(engine, wrong) is None
    assert secret not in repr(list_keys(engine))


@pytest.mark.parametrize("tenant", ["../up", "Team", "a b", "", "a" * 65, "x\n"])
def test_a_tenant_is_a_name_and_no_path(engine: Engine, tenant: str) -> None:
    with pytest.raises(ConfigError, match="tenant is"):
        create_key(engine, tenant, ["label"])


def test_a_rotated_key_works_on_for_its_grace_only(engine: Engine) -> None:
    old = create_key(engine, "one", ["label", "train"], rate_per_minute=7)
    number = old.split("_")[1]
    new = find_key(engine, rotate_key(engine, number, grace_s=60))
    before = find_key(engine, old)
    assert before is not None and before.state == "active" and before.revoked_at is not None
    assert new is not None
    assert (new.scopes, new.rate_per_minute) == (("label", "train"), 7)
    revoke_key(engine, number)
    again = find_key(engine, old)
    assert again is not None and again.state == "revoked"
    with pytest.raises(ConfigError, match="is revoked"):
        rotate_key(engine, number)
    with pytest.raises(ConfigError, match="no key"):
        revoke_key(engine, "0" * 12)


async def test_a_revoked_and_an_expired_key_are_refused_and_on_record(guarded: Any) -> None:
    engine = guarded.app.state.service.database
    key = create_key(engine, "one", ["label"])
    late = create_key(engine, "one", ["label"], days=0)
    for form in (
        {"Authorization": f"Bearer {key}"},
        {"X-Api-Key": key},
        {"Authorization": "Basic " + base64.b64encode(f"any:{key}".encode()).decode()},
    ):
        assert (await guarded.post("/v1/compare", json=ASKED, headers=form)).status_code == 200
    revoke_key(engine, key.split("_")[1])
    for refused in (key, late):
        answer = await guarded.post("/v1/compare", json=ASKED, headers={"X-Api-Key": refused})
        assert answer.status_code == 401
    told = [(row.action, row.subject) for row in rows(engine, audit_log)]
    assert ("revoked key used", "/v1/compare") in told
    assert ("expired key used", "/v1/compare") in told
    await guarded.app.state.service.gate.flush()
    (used,) = [row for row in rows(engine, key_uses) if row.key_id == key.split("_")[1]]
    assert (used.requests, used.refused) == (3, 1)
    assert all(row.last_used_at for row in rows(engine, api_keys))


@pytest.mark.parametrize(
    "given",
    [
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic !!!"},
        {"X-Api-Key": "charter_000000000000_" + "x" * 43},
        {"Authorization": "Bearer é".encode()},
    ],
    ids=["no key of ours", "no Basic", "an unknown id", "no ASCII"],
)
async def test_what_is_no_key_is_401(guarded: Any, given: dict[str, Any]) -> None:
    assert (await guarded.post("/v1/rank", json=ASKED, headers=given)).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 200, id="from this machine"),
        pytest.param({"Host": "127.0.0.1:8000"}, 200, id="by its address"),
        pytest.param({"Host": "evil.example"}, 403, id="by a name that was made to point here"),
        pytest.param({"Origin": "https://evil.example"}, 403, id="from another site's page"),
        pytest.param({"Origin": "null"}, 403, id="from a page that hides its site"),
        pytest.param({"Origin": "http://localhost:3000"}, 200, id="from a page of this machine"),
    ],
)
async def test_without_keys_only_this_machine_is_served(
    client: httpx.AsyncClient, headers: dict[str, str], status: int
) -> None:
    answer = await client.post("/v1/compare", json=ASKED, headers=headers)
    assert answer.status_code == status


def test_serving_others_without_a_key_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--host", "0.0.0.0", "--judge", "fake", "--port", "0"]) == 2
    assert "charter keys create" in capsys.readouterr().err


def test_keys_by_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "create", "--tenant", "team-a", "--scope", "label", "--days", "9"]) == 0
    key = capsys.readouterr().out.strip()
    number = key.split("_")[1]
    assert main(["keys", "list"]) == 0
    assert f"{number}  active  team-a  label" in capsys.readouterr().out
    assert main(["keys", "rotate", number]) == 0
    assert capsys.readouterr().out.startswith("charter_")
    assert main(["keys", "revoke", number]) == 0
    assert main(["keys", "list"]) == 0
    listed = capsys.readouterr().out
    assert f"{number}  revoked" in listed and key not in listed
    assert main(["keys", "create", "--tenant", "Bad One"]) == 2
    assert main(["keys", "create", "--tenant", "a", "--scope", "root"]) == 2


async def test_no_secret_and_no_judged_text_stands_in_any_log(
    opened: Open,
    judges: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("ENGINE_KEY", "sk-very-secret")
    judges(
        '[default]\nurl = "http://127.0.0.1:9"\nmodel = "m"\napi_key_variable = "ENGINE_KEY"\n'
        '[fake]\ntransport = "fake"\n'
    )
    seen = io.StringIO()
    handler = logging.StreamHandler(seen)
    handler.setFormatter(JsonLines())
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    async with opened(keys_required=True, judges=("fake",)) as client:
        key = create_key(client.app.state.service.database, "one", ["label"])
        asked = ASKED | {"prompt": "private words"}
        for headers in ({"X-Api-Key": key}, {"Authorization": f"Bearer {key}x"}):
            await client.post("/v1/compare", json=asked, headers=headers)
        await client.post(f"/v1/rank?key={key}", json=asked, headers={"X-Api-Key": key})
        logging.getLogger("charter.service").warning("a careless %s", key)
        logging.getLogger("charter.service").warning("at postgresql://u:p4ss@h/d")
    logged = seen.getvalue()
    assert '"path": "/v1/compare"' in logged and '"key_id": "' in logged
    for secret in (key, key.split("_", 2)[2], "private words", "sk-very-secret", "p4ss"):
        assert secret not in logged
