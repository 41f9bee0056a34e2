"""The judges of a service: opened when they can be, and anew when an engine is gone."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest

from judges.errors import ModelError
from judges.judge import Judge
from judges.model import Choice, Failure, ModelPrompt
from judges.models.fake import FakeModel, FakeSettings
from judges.records import Message
from service.errors import ApiError
from service.judging import pool as pools
from service.judging.pool import JudgePool

AB = (" A", " B")


class Mortal(FakeModel):
    """Answers until its engine is gone."""

    alive = True
    busy = False
    """Lets everybody wait longer than a probe does."""
    ends_with: asyncio.Event | None = None
    """Lets all but probes wait until then, and breaks off."""

    async def choose(
        self, prompts: Sequence[ModelPrompt], options: tuple[str, ...]
    ) -> list[Choice | Failure]:
        """As the fake, or an engine's failure."""
        if self.busy:
            await asyncio.sleep(0.1)
        if self.ends_with and prompts[0] is not pools.PROBE:
            await self.ends_with.wait()
            raise RuntimeError("Session is closed")
        if self.alive:
            return await super().choose(prompts, options)
        gone = Failure(status="error", reason="engine_error", detail="connection refused")
        return [gone] * len(prompts)


class Engines:
    """Opens judges, and remembers what it opened and closed."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.opened: list[Mortal] = []
        self.closed = 0
        self.closing = asyncio.Event()

    async def open(self, names: Sequence[str], stack: AsyncExitStack) -> list[Judge]:
        """The next outcome: a seed of the fake, or an error."""
        outcome = self.outcomes.pop(0) if self.outcomes else 0
        if isinstance(outcome, Exception):
            raise outcome
        self.opened.append(Mortal(FakeSettings(seed=outcome)))
        stack.callback(self._close)
        return [Judge(names[0], self.opened[-1])]

    def _close(self) -> None:
        self.closed += 1
        self.closing.set()


def asked(number: int) -> ModelPrompt:
    return ModelPrompt(messages=(Message(role="user", content=f"A or B, number {number}?"),))


async def until(holds: Any) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "RETRY_S", 0.01)


async def stop(keeping: "asyncio.Task[None]", pool: JudgePool) -> None:
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping
    await pool.close()


async def test_an_adapter_of_a_judge_is_asked_through_lanes_and_opened_anew_with_it() -> None:
    opened = [Mortal(), Mortal()]
    adapters = [Mortal(FakeSettings(seed=5)), Mortal(FakeSettings(seed=5))]
    made = [
        Judge("one", base, families=(("harmlessness", adapter),))
        for base, adapter in zip(opened, adapters, strict=True)
    ]

    async def open_next(_names: Sequence[str], _stack: AsyncExitStack) -> list[Judge]:
        return [made.pop(0)]

    pool = JudgePool(["one"], open_them=open_next, watch_s=0.01)
    keeping = asyncio.create_task(pool.keep_open())
    await until(lambda: pool.problem is None)
    (judge,) = pool.judges([])
    await judge.under("harmlessness").model.choose([pools.PROBE], AB)
    assert (adapters[0].prompts, adapters[1].prompts) == (1, 0)
    opened[0].alive = False
    await until(lambda: not made)
    await until(lambda: judge.model.inner is opened[1])  # type: ignore[attr-defined]
    await judge.under("harmlessness").model.choose([pools.PROBE], AB)
    assert (adapters[0].prompts, adapters[1].prompts) == (1, 1)
    await stop(keeping, pool)


async def test_an_engine_that_comes_later_is_waited_for() -> None:
    engines = Engines(ModelError("not there yet"), OSError("nor now"))
    pool = JudgePool(["one"], open_them=engines.open)
    assert pool.problem == "one: the judge is being opened"
    keeping = asyncio.create_task(pool.keep_open())
    await until(lambda: pool.problem is None)
    assert await pool.answers() is None
    await stop(keeping, pool)
    assert engines.closed == 1


async def test_one_judge_away_does_not_keep_the_others_from_working() -> None:
    async def open_them(names: Sequence[str], _: AsyncExitStack) -> list[Judge]:
        if names[0] == "away":
            raise ModelError("connection refused")
        return [Judge(names[0], FakeModel())]

    pool = JudgePool(["away", "here"], open_them=open_them)
    keeping = asyncio.create_task(pool.keep_open())
    await until(lambda: pool.problem == "away: connection refused")
    assert [judge.name for judge in pool.judges(["here"])] == ["here"]
    with pytest.raises(ApiError, match="connection refused"):
        pool.judges([])
    await stop(keeping, pool)


async def test_a_dead_engine_is_replaced_under_those_who_use_it() -> None:
    engines = Engines(0, ModelError("still starting"), 0)
    pool = JudgePool(["one"], open_them=engines.open, watch_s=0.01)
    keeping = asyncio.create_task(pool.keep_open())
    await until(lambda: pool.problem is None)
    (judge,) = pool.judges([])
    engines.opened[0].alive = False
    assert "connection refused" in str(await pool.answers())
    await until(lambda: len(engines.opened) == 2 and engines.closed == 1)
    (answer,) = await judge.model.choose([asked(0)], AB)
    assert isinstance(answer, Choice)
    assert await pool.answers() is None
    await stop(keeping, pool)


async def test_other_weights_are_never_passed_off_as_the_same_judge() -> None:
    engines = Engines(0, 1, 1, 1)
    pool = JudgePool(["one"], open_them=engines.open, watch_s=0.01)
    keeping = asyncio.create_task(pool.keep_open())
    await until(lambda: pool.problem is None)
    engines.opened[0].alive = False
    await until(lambda: pool.problem is not None)
    assert "restart the service" in str(pool.problem)
    await stop(keeping, pool)


async def test_a_busy_judge_is_not_taken_for_dead_and_a_silent_one_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools, "PROBE_S", 0.01)
    engines = Engines(0, 0)
    pool = JudgePool(["one"], open_them=engines.open, watch_s=0.2)
    keeping = asyncio.create_task(pool.keep_open())
    await until(lambda: pool.problem is None)
    (judge,) = pool.judges([])
    engines.opened[0].busy = True
    for number in range(5):
        answering = asyncio.create_task(judge.model.choose([asked(number)], AB))
        await asyncio.sleep(0)
        assert await pool.answers() is None
        assert isinstance((await answering)[0], Choice)
    assert len(engines.opened) == 1
    monkeypatch.setattr(pools, "BUSY_S", 0.0)
    answering = asyncio.create_task(judge.model.choose([asked(9)], AB))
    assert "no answer within" in str(await pool.answers())
    await until(lambda: len(engines.opened) == 2)
    await answering
    await stop(keeping, pool)


async def test_what_is_in_flight_is_asked_of_the_engine_that_is_new() -> None:
    engines = Engines(0, 0)
    pool = JudgePool(["one"], open_them=engines.open, watch_s=0.01)
    keeping = asyncio.create_task(pool.keep_open())
    await until(lambda: pool.problem is None)
    (judge,) = pool.judges([])
    engines.opened[0].alive, engines.opened[0].ends_with = False, engines.closing
    answer = await asyncio.create_task(judge.model.choose([asked(0)], AB))
    assert isinstance(answer[0], Choice) and len(engines.opened) == 2
    await stop(keeping, pool)
