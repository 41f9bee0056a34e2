"""Every failure of every route has one shape, the right status, and a request id."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from judges.errors import (
    ConfigError,
    ConstitutionError,
    DataError,
    ModelError,
    VerdictError,
)
from service.app import create_app
from service.edge import OPEN_TO_ALL
from service.errors import ApiError, as_api_error
from service.keys import create_key
from service.settings import Settings

Open = Callable[..., Any]
PLACES = {"{name}": "plain-speech", "{version}": "1.0.0"}


def routes() -> Iterator[tuple[str, str, bool]]:
    """Every method and address that is documented, places filled in, and if it reads a body."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        app = create_app(Settings(home=Path(folder), judges=("fake",)))
        document = app.openapi()
        app.state.service.votes.close()
        app.state.service.database.dispose()
    for path, methods in document["paths"].items():
        for place, value in PLACES.items():
            path = path.replace(place, value)
        for part in [part for part in path.split("/") if part.startswith("{")]:
            path = path.replace(part, "none-such")
        for method, operation in methods.items():
            yield method.upper(), path, "requestBody" in operation


READS = {(method, path): reads for method, path, reads in routes()}
ROUTES = sorted(READS)
GUARDED = [one for one in ROUTES if one[1] not in OPEN_TO_ALL]
POSTS = [one for one in GUARDED if one[0] == "POST"]


def refused(answer: httpx.Response, status: int) -> dict[str, str]:
    """The error of an answer, its shape checked."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error"} and set(body["error"]) == {"code", "message", "hint"}
    assert all(isinstance(text, str) and text for text in body["error"].values()), body
    assert answer.headers["x-request-id"]
    return dict(body["error"])


@pytest.fixture
async def guarded(opened: Open) -> AsyncIterator[httpx.AsyncClient]:
    async with opened(keys_required=True, max_body_bytes=2000) as client:
        yield client


def key(client: httpx.AsyncClient, *scopes: Any, **limits: Any) -> dict[str, str]:
    database = client.app.state.service.database  # type: ignore[attr-defined]
    return {"Authorization": f"Bearer {create_key(database, 'one', scopes, **limits)}"}


async def test_every_route_without_a_key_is_401_and_with_a_poor_one_403(
    guarded: httpx.AsyncClient,
) -> None:
    poor = [key(guarded, scope) for scope in ("label", "publish", "train")]
    for method, path in GUARDED:
        answer = await guarded.request(method, path)
        assert refused(answer, 401)["code"] == "no_key"
        assert answer.headers["www-authenticate"] == "Bearer"
        told = []
        for headers in poor:
            typed = headers | {"Content-Type": "application/json"}
            told.append(await guarded.request(method, path, content=b"{}", headers=typed))
        lacking = [answer for answer in told if answer.status_code == 403]
        assert lacking, path
        assert {refused(answer, 403)["code"] for answer in lacking} == {"forbidden"}


async def test_every_route_knows_its_methods_and_unknown_addresses_are_404(
    guarded: httpx.AsyncClient,
) -> None:
    own = key(guarded, "admin")
    for _, path in ROUTES:
        answer = await guarded.request("TRACE", path, headers=own)
        assert refused(answer, 405)["code"] == "method_not_allowed"
        assert answer.headers["allow"]
    assert refused(await guarded.get("/v1/nowhere", headers=own), 404)["code"] == "not_found"


async def chunks(count: int, size: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b" " * size


async def test_every_route_refuses_too_large_a_body_however_it_is_sent(
    guarded: httpx.AsyncClient,
) -> None:
    own = key(guarded, "admin") | {"Content-Type": "application/json"}
    for _, path in POSTS:
        if path == "/v1/files":
            continue
        declared = await guarded.post(path, content=b" " * 3000, headers=own)
        assert refused(declared, 413)["code"] == "too_large"
        chunked = await guarded.post(path, content=chunks(30, 100), headers=own)
        if READS["POST", path]:
            assert refused(chunked, 413)["code"] == "too_large"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"{", 400, id="half an object"),
        pytest.param(b"[]", 422, id="no object"),
        pytest.param(b'{"a": NaN}', 400, id="NaN"),
        pytest.param(b'{"a": "\\ud800"}', 400, id="half a character"),
        pytest.param(b"\xff\xfe", 400, id="no UTF-8"),
        pytest.param(b'{"nonsense": 1}', 422, id="an unknown key"),
        pytest.param(b"[" * 1900, 400, id="brackets without end"),
    ],
)
async def test_judging_routes_refuse_what_is_no_request(
    client: httpx.AsyncClient, body: bytes, status: int
) -> None:
    for verb in ("rank", "compare", "score", "critique", "revise"):
        answer = await client.post(
            f"/v1/{verb}", content=body, headers={"Content-Type": "application/json"}
        )
        refused(answer, status)


async def test_a_mistyped_key_is_guessed(client: httpx.AsyncClient) -> None:
    asked = {"constitution": "plain-speech", "promt": "p", "completions": ["a", "b"]}
    error = refused(await client.post("/v1/rank", json=asked), 422)
    assert "promt" in error["message"] and "did you mean 'prompt'" in error["message"]


async def test_every_route_counts_a_keys_rate(opened: Open) -> None:
    async with opened(keys_required=True) as client:
        for method, path in GUARDED:
            own = key(client, "admin", rate_per_minute=6)
            body: Any = {"content": b"{}", "headers": own | {"Content-Type": "application/json"}}
            await client.request(method, path, **body)
            answer = await client.request(method, path, **body)
            assert refused(answer, 429)["code"] == "too_many_requests"
            assert 1 <= int(answer.headers["retry-after"]) <= 10


async def test_a_key_may_have_so_many_requests_at_once(
    opened: Open, judges: Callable[[str], None]
) -> None:
    judges('[slow]\ntransport = "fake"\nfake = {latency_s = 0.3}\n')
    async with opened(keys_required=True, judges=("slow",)) as client:
        own = key(client, "label", concurrency=2)
        asked = {"constitution": "plain-speech", "prompt": "p", "completions": ["a b", "c"]}
        answers = await asyncio.gather(
            *(client.post("/v1/compare", json=asked, headers=own) for _ in range(5))
        )
        assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429, 429]
        assert (await client.post("/v1/compare", json=asked, headers=own)).status_code == 200


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ConstitutionError("x"), 422, "invalid_constitution"),
        (ConfigError("x"), 422, "invalid_request"),
        (DataError("x"), 422, "invalid_data"),
        (DataError("postgresql://u@h/d: away"), 503, "store_unavailable"),
        (ModelError("x"), 503, "engine_unavailable"),
        (VerdictError("x"), 503, "cannot_judge"),
        (TimeoutError(), 504, "deadline_passed"),
        (ApiError(418, "teapot", "x"), 418, "teapot"),
        (KeyError("secret"), 500, "internal_error"),
    ],
    ids=repr,
)
def test_the_table_of_exceptions(error: Exception, status: int, code: str) -> None:
    told = as_api_error(error)
    assert (told.status, told.code) == (status, code)
    assert "secret" not in told.message and "postgresql" not in told.message
    assert ("Retry-After" in told.headers) == (status == 503)
