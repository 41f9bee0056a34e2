"""Reward functions as TRL and verl call them, against a running service."""

import asyncio
import inspect
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from service.client import verl
from service.client.trl import RewardFunction, as_sample
from tests.service.client.conftest import Serve

PLAIN, JUDGED = "plain-speech@1.0.0", "helpful-harmless"
GOOD, BAD = "Tea is a drink.", "Tea is a drink " + "that is, I think, quite a warm one, " * 20
FAILS = '[fake]\ntransport = "fake"\n[fake.fake]\nfail_containing = {UNJUDGEABLE = "truncated"}\n'


class State:
    """What the function reads of TRL's trainer state."""

    global_step = 3


async def test_trl_gets_a_number_for_each_completion_standard_or_conversational(
    address: str,
) -> None:
    reward = RewardFunction(PLAIN, url=address)
    assert inspect.iscoroutinefunction(reward.__call__)
    metrics: dict[str, float] = {}
    columns: dict[str, Any] = {
        "completion_ids": [[1], [2]],
        "trainer_state": State(),
        "topic": [1, 2],
    }
    plain = await reward(
        prompts=["Tea?"] * 2, completions=[GOOD, BAD],
        log_metric=lambda name, value: metrics.update({name: value}), **columns,
    )  # fmt: skip
    assert plain[0] is not None and plain[1] is not None and plain[0] > plain[1]
    turns = [[{"role": "user", "content": "Tea?"}]] * 2
    said = [[{"role": "assistant", "content": text}] for text in (GOOD, BAD)]
    assert await reward(prompts=turns, completions=said) == plain
    assert metrics == {"charter/unscored": 0.0, "charter/stop": 0.0}
    assert await reward(prompts=[], completions=[]) == []


async def test_trl_gets_none_for_what_has_no_reward(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "judges.toml").write_text(FAILS)
    monkeypatch.setenv("CHARTER_JUDGES", str(tmp_path / "judges.toml"))
    with serve() as url:
        reward = RewardFunction(JUDGED, url=url)
        extra: dict[str, list[str | None]] = {}
        values = await reward(
            prompts=["Tea?"] * 2, completions=["UNJUDGEABLE", GOOD],
            log_extra=lambda name, column: extra.update({name: column}),
        )  # fmt: skip
        assert values[0] is None and values[1] is not None
        assert extra == {"charter_reason": ["truncated", None]}
        assert reward.unscored == {"truncated": 1}


async def test_a_group_that_two_processes_sampled_is_one(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    for rank, texts in enumerate(((GOOD, BAD), (GOOD + " Hot.", BAD + " Hot."))):
        monkeypatch.setenv("RANK", str(rank))
        reward = RewardFunction(PLAIN, url=address, run="r", group=4, group_timeout=20)
        calls.append(asyncio.create_task(reward(["Tea?"] * 2, list(texts), trainer_state=State())))
        await asyncio.sleep(0)  # so that it reads its own rank
    values = [value for part in await asyncio.gather(*calls) for value in part]
    assert sum(value or 0 for value in values) == pytest.approx(2, abs=1e-3)


def test_turns_of_an_agent_become_conversation_and_the_last_is_judged() -> None:
    sample = as_sample(
        [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": "Tea?"}],
        [
            {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "look"}}]},
            {"role": "tool", "content": "a plant", "name": "look"},
            {"role": "assistant", "content": [{"type": "text", "text": "A drink."}]},
        ],
        answer="tea",
    )
    assert [turn["role"] for turn in sample["prompt"]] == ["system", "user", "assistant", "tool"]
    assert (sample["completion"], sample["answer"]) == ("A drink.", "tea")


async def test_verl_gets_the_same_numeric_keys_each_time(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "judges.toml").write_text(FAILS)
    monkeypatch.setenv("CHARTER_JUDGES", str(tmp_path / "judges.toml"))
    with serve() as url:
        # verl merges its configured arguments in, and awaits what is a coroutine function.
        assert inspect.iscoroutinefunction(verl.compute_score)
        score = partial(verl.compute_score, constitution=JUDGED, url=url, run="v")
        row = {"prompt": [{"role": "user", "content": "Tea?"}], "num_turns": None}
        asked: dict[str, Any] = {"data_source": "own", "ground_truth": None, "extra_info": row}
        told = await score(solution_str=GOOD, **asked)
        assert told.keys() == {"score", "charter_scored", "charter_stop"}
        assert all(isinstance(value, float) for value in told.values())
        with pytest.raises(verl.NoReward, match="truncated"):
            await score(solution_str="UNJUDGEABLE", **asked)
        with pytest.raises(KeyError, match="verl does not pass it"):
            await score(solution_str=GOOD, **(asked | {"extra_info": {}}))
        await verl._clients[url, None].close()
