"""Short versions of the benchmarks that need no engine: batch, faults, load and adapters."""

from pathlib import Path

import pytest

from service.benchmarks.adapters import ADAPTERS, benchmark_adapters
from service.benchmarks.batch import measure_bookkeeping, measure_memory
from service.benchmarks.faults import benchmark_faults
from service.benchmarks.load import benchmark_load


def test_bookkeeping_is_small_change_beside_judging(database_url: str, tmp_path: Path) -> None:
    told = measure_bookkeeping(tmp_path, database_url, parts=20)
    # A vote costs a GPU a millisecond at the very least, a line several.
    assert told["us_a_line"] < 1000


@pytest.mark.slow
def test_memory_does_not_grow_with_the_lines(tmp_path: Path) -> None:
    told = measure_memory(tmp_path, 3000)
    assert told["rss_mb_at"]["100%"] - told["rss_mb_at"]["20%"] < 64


@pytest.mark.slow
def test_kills_lose_nothing_and_repeat_only_what_was_in_flight(postgresql_url: str) -> None:
    told = benchmark_faults(600, 2, postgresql_url, 0)
    assert told["kills"] == 2
    assert (told["status"], told["lines_lost"], told["lines_twice"]) == ("completed", 0, 0)
    assert told["lines_failed"] == 0
    assert told["votes_computed_again"] <= told["in_flight_at_kills"]["sum"]


@pytest.mark.slow
def test_every_call_is_answered_under_faults(postgresql_url: str) -> None:
    told = benchmark_load(0.2, 4, 4, postgresql_url, 3)
    assert sum(told["faults"].values()) >= 1
    assert told["calls_answered"] > 8 and told["calls_lost"] == 0
    assert told["asked_again"]["votes_lost"] == told["asked_again"]["differ"] == 0
    assert told["batches"]["lines"] >= 400
    assert told["batches"]["lines_lost"] == told["batches"]["lines_twice"] == 0


@pytest.mark.slow
def test_each_adapter_rewards_every_sample() -> None:
    told = benchmark_adapters(64)
    assert told.keys() == ADAPTERS.keys()
    assert all(one["samples"] == 256 for one in told.values())
