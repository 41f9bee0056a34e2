"""A run in which chosen answers lose their likelihood is told of once, and only then."""

import pytest

from training.methods.displacement import FALL, METRIC, STEPS, DisplacementWatch


def watched(values: list[float], relative: bool) -> list[str]:
    said: list[str] = []
    watch = DisplacementWatch(said.append, relative)
    for step, value in enumerate(values, start=1):
        watch.see(step, {METRIC: value})
    return said


def test_a_fall_below_the_reference_is_told_once() -> None:
    (text,) = watched([-2 * FALL] * (3 * STEPS), relative=True)
    assert text.startswith(f"step {STEPS}: the chosen answers became less likely by 1.00 nats")
    assert "learning_rate" in text


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([-0.9 * FALL] * 30, id="a small fall"),
        pytest.param([0.3] * 30, id="a rise"),
        pytest.param([-9.0] * (STEPS - 1), id="too few steps to say"),
        pytest.param([-9.0, *[0.9] * 30], id="one step"),
    ],
)
def test_what_is_healthy_is_not_told(values: list[float]) -> None:
    assert watched(values, relative=True) == []


def test_without_a_reference_the_first_steps_are_what_it_is_measured_by() -> None:
    assert watched([-3.0] * 30, relative=False) == []
    assert len(watched([-3.0] * STEPS + [-3.0 - 2 * FALL] * STEPS, relative=False)) == 1


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("killed", [1, STEPS - 1, STEPS + 3])
def test_a_resumed_run_is_watched_as_if_it_had_never_stopped(killed: int, relative: bool) -> None:
    values = [-1.0] * STEPS + [-1.0 - 2 * FALL] * STEPS if not relative else [-1.0] * STEPS
    lines = [{"step": step, METRIC: value} for step, value in enumerate(values, start=1)]
    said: list[str] = []
    watch = DisplacementWatch(said.append, relative, lines[:killed])
    for line in lines[killed:]:
        watch.see(int(line["step"]), line)
    before = watched(values[:killed], relative)
    assert [*before, *said] == watched(values, relative)
    assert len(watched(values, relative)) == 1


def test_steps_without_the_metric_are_passed_over() -> None:
    watch = DisplacementWatch(pytest.fail, relative=True)
    watch.see(1, {"loss": 0.5})
