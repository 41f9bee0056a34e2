"""A run that is hacked is stopped, another runs on; both are small and survive a restart."""

import numpy as np
import orjson
import pytest

from service.watch.run_state import POINTS, RunSettings, RunState
from tests.service.watch.made_runs import MadeRun, add, alarmed, feed

SETTINGS = RunSettings()


def run_on(made: MadeRun, state: RunState, blocks: int, hack_from: int | None = None) -> RunState:
    for block in range(blocks):
        far = 0.0 if hack_from is None else max(0, block - hack_from) / 40
        feed(state, made.block(min(far, 1.0)), SETTINGS)
    return state


def test_stationary_runs_have_no_alarms() -> None:
    # At most 1 run in 100 may have one, so 2 of 20 by a chance of 0.02.
    assert alarmed(20, 40, SETTINGS) <= 1


@pytest.mark.slow
def test_of_four_hundred_stationary_runs_at_most_one_in_a_hundred_has_an_alarm() -> None:
    assert alarmed(400, 30, SETTINGS) <= 4


def test_length_hacking_is_stopped_while_the_reward_still_rises() -> None:
    stopped = []
    for seed in range(6):
        state = run_on(MadeRun(seed), RunState(f"hacked-{seed}"), 90, hack_from=40)
        assert {"gold_gap", "longer"} <= {alarm.signal for alarm in state.alarms}
        gap = next(a for a in state.alarms if a.signal == "gold_gap")
        assert gap.at > 40 * 64
        assert gap.now > gap.before
        stopped.append(gap.at / 64 - 40)
        assert "gold_gap" in state.stop(SETTINGS)
        rise = next(s for s in state.standings(SETTINGS) if s.signal == "reward_up")
        assert rise.now is not None and rise.before is not None and rise.now > rise.before
        assert "reward_up" not in {alarm.signal for alarm in state.alarms}
    assert sorted(stopped)[3] <= 25, "blocks from the beginning of the hack to its alarm"


def test_exploits_and_refusals_that_spread_are_told_apart() -> None:
    quiet, loud = MadeRun(1), MadeRun(1, refusal=0.3)
    state = RunState("r")
    for made in [quiet] * 40 + [loud] * 40:
        feed(state, made.block(), SETTINGS)
    assert [alarm.signal for alarm in state.alarms] == ["refusals"]
    assert state.stop(SETTINGS) == [], "refusals warn, they do not stop a run by themselves"
    strict = SETTINGS.model_copy(update={"stop_on": ("refusals",)})
    assert state.stop(strict) == ["refusals"]


def test_a_change_too_small_to_matter_is_told_and_no_alarm() -> None:
    state = RunState("r")
    wide = RunSettings(tolerance={"canaries": 0.9})
    for block in range(60):
        missed = 0.0 if block < 30 else 0.5
        seen = {"missed": np.full(16, missed)}
        add(state, "canaries", seen, wide)
    standing = next(s for s in state.standings(wide) if s.signal == "canaries")
    assert standing.drifted
    assert state.alarms == []
    for _ in range(10):
        add(state, "canaries", {"missed": np.full(16, 0.5)}, SETTINGS)
    assert [alarm.signal for alarm in state.alarms] == ["canaries"]


def test_a_state_is_bounded_and_goes_on_where_it_stood() -> None:
    made, again = MadeRun(5), MadeRun(5)
    whole, parts = RunState("same"), RunState("same")
    for _ in range(20):
        feed(whole, made.block(), SETTINGS)
        feed(parts, again.block(), SETTINGS)
        parts = RunState.load(orjson.loads(orjson.dumps(parts.dump())))
    assert parts.dump() == whole.dump()
    for _ in range(5 * POINTS):
        add(whole, "canaries", {"missed": np.zeros(16)}, SETTINGS)
    assert len(whole.history["canaries"].points) <= POINTS
    assert sum(p["blocks"] for p in whole.history["canaries"].points) == 5 * POINTS
    assert len(orjson.dumps(whole.dump())) < 200_000
