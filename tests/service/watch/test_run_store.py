"""Runs survive restarts, and several processes at once, on both databases."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from judges.store.schema import database_url as as_url
from service.storage.database import open_service_database
from service.watch.run_state import RunSettings, RunState
from service.watch.run_store import add_blocks, forget_run, list_runs, read_run, set_run
from service.watch.signals import Totals

BLOCK: Totals = {"reward": (32.0, 64), "log_words": (25.6, 64)}


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    engine = open_service_database(as_url(database_url))
    yield engine
    engine.dispose()


def test_blocks_add_up_as_if_one_process_had_seen_them_all(database: Engine) -> None:
    def add(_: int) -> None:
        for _ in range(5):
            add_blocks(database, "t", "run", [("samples", BLOCK)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))
    held = read_run(database, "t", "run")
    assert held is not None
    alone = RunState("run")
    for _ in range(20):
        alone.add_block("samples", BLOCK, RunSettings())
    assert held.state.dump() == alone.dump()
    assert held.state.run_mean() == 0.5


def test_runs_are_their_tenants_own(database: Engine) -> None:
    add_blocks(database, "a", "run", [("samples", BLOCK)])
    set_run(database, "b", "run", RunSettings(gold_judge="wise"))
    assert [one.samples for one in list_runs(database, "a")] == [64]
    assert [one.samples for one in list_runs(database, "b")] == [0]
    assert not forget_run(database, "c", "run")
    assert forget_run(database, "a", "run")
    assert read_run(database, "a", "run") is None
    kept = read_run(database, "b", "run")
    assert kept is not None and kept.settings.gold_judge == "wise"


def test_new_settings_keep_what_is_known(database: Engine) -> None:
    add_blocks(database, "t", "run", [("samples", BLOCK)])
    run = set_run(database, "t", "run", RunSettings(stop_on=("refusals",)))
    assert run.state.samples == 64
    assert run.settings.stop_on == ("refusals",)
