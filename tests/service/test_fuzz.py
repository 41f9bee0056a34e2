"""Requests made up from the OpenAPI document: whatever comes, no answer is a 5xx or shapeless."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings

from service.app import create_app
from service.keys import create_key
from service.settings import Settings

EXAMPLES = 15
"""For each operation; `schemathesis run` against a running service tries as many as you like."""
OWN_SHAPE = ("/ready", "/adapters/", "/v1/rewards")
"""Where an answer of 503 is a truthful one, or in another framework's words."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A real server on a real port, with the fake judge."""
    home: Path = tmp_path_factory.mktemp("fuzzed")
    app = create_app(
        Settings(
            home=home,
            judges=("fake",),
            max_deadline_s=5,
            max_votes=200,
            key_rate=10**6,
            key_concurrency=100,
        )
    )
    key = create_key(app.state.service.database, "fuzz", ["admin"])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", key
    server.should_exit = True
    thread.join(30)
    assert not thread.is_alive()


def check(case: Any, address: str, key: str) -> int:
    """One request; the status, its answer checked."""
    answer = case.call(base_url=address, headers={"Authorization": f"Bearer {key}"})
    told = f"{case.method} {case.path} {case.body!r}: {answer.status_code} {answer.content[:300]!r}"
    assert answer.status_code < 500 or case.path.startswith(OWN_SHAPE), told
    assert answer.headers["x-request-id"], told
    if answer.status_code >= 400 and not case.path.startswith(OWN_SHAPE):
        assert set(answer.json()["error"]) == {"code", "message", "hint"}, told
    return int(answer.status_code)


@pytest.mark.slow
def test_made_up_requests_are_answered_in_shape(served: tuple[str, str]) -> None:
    address, key = served
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    statuses: list[int] = []
    found: Any
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def send(case: Any) -> None:
            statuses.append(check(case, address, key))

        send()
    assert len(statuses) > 10 * EXAMPLES
    assert 200 in statuses and 422 in statuses
