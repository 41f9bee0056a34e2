"""A drift is found when there is one, and hardly ever when there is none, whatever the values."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pytest

from service.watch.drift import Drift

RUNS = 300
FloatArray = npt.NDArray[Any]
STATIONARY: dict[str, Callable[[np.random.Generator], FloatArray]] = {
    "normal": lambda rng: 0.5 + 0.02 * rng.standard_normal(RUNS),
    "a rare event": lambda rng: rng.binomial(64, 0.01, RUNS) / 64,
    "always the same": lambda _: np.full(RUNS, 0.25),
    "heavy tails": lambda rng: np.clip(0.3 + 0.02 * rng.standard_t(1.5, RUNS), 0, 1),
}


def alarms(values: Callable[[int], FloatArray], steps: int, runs: int, alpha: float) -> FloatArray:
    """The step at which each run's evidence first suffices; −1 for never."""
    rng = np.random.default_rng(1)
    drift, at = Drift.fresh(runs), np.full(runs, -1)
    for step in range(steps):
        evidence = drift.add(values(step), 1 - rng.random(runs))
        at[(at < 0) & (evidence >= -np.log(alpha))] = step
    return at


@pytest.mark.parametrize("kind", STATIONARY)
def test_false_alarms_keep_their_rate_on_stationary_streams(kind: str) -> None:
    rng = np.random.default_rng(0)
    at = alarms(lambda _: STATIONARY[kind](rng), 40, RUNS, 0.05)
    # Its standard error three times on top; found are about 0.02.
    assert (at >= 0).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / RUNS)


def test_a_step_is_found_within_blocks_and_a_fall_never() -> None:
    rng, runs = np.random.default_rng(0), 100

    def stepped(by: float) -> Callable[[int], FloatArray]:
        return lambda t: 0.5 + 0.02 * (rng.standard_normal(runs) + by * (t >= 60))

    at = alarms(stepped(3), 120, runs, 0.001)
    assert (at >= 60).mean() >= 0.95
    assert np.median(at[at >= 0]) < 60 + 25
    assert (alarms(stepped(-3), 120, runs, 0.001) < 0).all()


def test_a_slow_ramp_is_found() -> None:
    rng, runs = np.random.default_rng(0), 50
    at = alarms(lambda t: 0.5 + 0.02 * rng.standard_normal(runs) + 0.001 * t, 150, runs, 0.001)
    assert (at >= 0).all()


def test_a_stream_without_a_value_stands_still() -> None:
    drift = Drift.fresh(2)
    for _ in range(5):
        drift.add([0.5, np.nan], [0.5, 0.5])
    assert list(drift.seen_S) == [5, 0]
    assert drift.evidence_S()[1] == pytest.approx(0)


def test_what_is_written_goes_on_where_it_stood() -> None:
    rng = np.random.default_rng(3)
    values, luck = rng.random((40, 2)), 1 - rng.random((40, 2))
    whole, parts = Drift.fresh(2), Drift.fresh(2)
    for step in range(40):
        whole.add(values[step], luck[step])
        parts.add(values[step], luck[step])
        parts = Drift.load(orjson.loads(orjson.dumps(parts.dump())))
    assert np.array_equal(whole.evidence_S(), parts.evidence_S())
