"""Lanes to the engine: callers share requests, batches never starve a compare nor are starved."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest

from judges.model import Choice, Failure, ModelPrompt, Sampling
from judges.models.fake import FakeModel, FakeSettings
from judges.records import Message
from service.judging.lanes import TURN, Lane, LanedModel, Turn

AB = ("A", "B")
LATENCY = 0.02


def prompts(count: int, name: str = "p") -> list[ModelPrompt]:
    return [
        ModelPrompt(messages=(Message(role="user", content=f"{name} {k}"),)) for k in range(count)
    ]


def laned(latency_s: float = 0.0, **sizes: Any) -> tuple[LanedModel, FakeModel]:
    fake = FakeModel(FakeSettings(latency_s=latency_s))
    return LanedModel(fake, **sizes), fake


async def ask(
    model: LanedModel, asked: Sequence[ModelPrompt], lane: Lane, tenant: str = "one"
) -> tuple[float, list[Choice | Failure]]:
    TURN.set(Turn(lane, tenant))
    start = time.monotonic()
    answers = await model.choose(asked, AB)
    return time.monotonic() - start, answers


async def test_answers_are_those_of_the_model_behind_in_order() -> None:
    model, fake = laned()
    asked = prompts(100)
    assert await model.choose(asked, AB) == await fake.choose(asked, AB)
    sampling = Sampling(n=2, json_schema={"type": "object"})
    assert await model.complete(asked[:3], sampling) == await fake.complete(asked[:3], sampling)


async def test_many_small_callers_share_few_requests() -> None:
    model, fake = laned(LATENCY)
    await asyncio.gather(*(model.choose(prompts(2, f"c{k}"), AB) for k in range(64)))
    assert fake.prompts == 128
    assert fake.calls == 4


async def test_only_prompts_with_the_same_options_share_a_request() -> None:
    model, fake = laned(LATENCY)
    asked = [model.choose(prompts(4, f"c{k}"), (AB, ("yes", "no"))[k % 2]) for k in range(8)]
    for answers in await asyncio.gather(*asked):
        assert len(answers) == 4
    assert fake.prompts == 32


async def test_a_compare_does_not_wait_for_the_batch_before_it() -> None:
    model, _ = laned(LATENCY, prompts_per_request=8, requests_in_flight=4)
    batch = asyncio.create_task(ask(model, prompts(800, "batch"), "batch"))
    await asyncio.sleep(2 * LATENCY)
    seconds, _ = await asyncio.create_task(ask(model, prompts(2, "compare"), "interactive"))
    assert not batch.done()
    took, _ = await batch
    # The batch has at least 100 requests to go, three at a time; the compare one, at once.
    assert seconds < took / 4


async def test_a_batch_goes_on_under_a_stream_of_compares() -> None:
    model, fake = laned(LATENCY, prompts_per_request=8, requests_in_flight=2)
    done = asyncio.Event()

    async def compares(name: int) -> int:
        asked = 0
        while not done.is_set():
            await ask(model, prompts(8, f"{name}-{asked}"), "interactive")
            asked += 8
        return asked

    streams = [asyncio.create_task(compares(k)) for k in range(8)]
    await asyncio.sleep(LATENCY)
    before = fake.prompts
    await asyncio.create_task(ask(model, prompts(80, "batch"), "batch"))
    meanwhile = fake.prompts - before
    done.set()
    await asyncio.gather(*streams)
    # A quarter of the requests was the batch's: not less than a sixth, not more than a half.
    assert 160 <= meanwhile <= 480


async def test_tenants_take_turns_in_a_lane() -> None:
    model, fake = laned(LATENCY, prompts_per_request=8, requests_in_flight=1)
    large = asyncio.create_task(ask(model, prompts(400, "large"), "interactive", "large"))
    await asyncio.sleep(LATENCY)
    small = asyncio.create_task(ask(model, prompts(8, "small"), "interactive", "small"))
    await small
    # In turns, a third request is the small tenant's; behind the large one it would be the last.
    assert not large.done() and fake.calls <= 6
    large.cancel()
    with pytest.raises(asyncio.CancelledError):
        await large


async def test_prompts_of_a_caller_that_gave_up_are_not_sent() -> None:
    model, fake = laned(LATENCY, prompts_per_request=4, requests_in_flight=1)
    first = asyncio.create_task(ask(model, prompts(4, "first"), "interactive"))
    gone = asyncio.create_task(ask(model, prompts(400, "gone"), "interactive"))
    await asyncio.sleep(LATENCY / 2)
    gone.cancel()
    await first
    assert await ask(model, prompts(1, "last"), "interactive")
    assert fake.prompts <= 4 + 4 + 1
    assert model.waiting() == {"interactive": 0, "batch": 0}


class Broken(FakeModel):
    """Fails as a whole."""

    async def choose(
        self, prompts: Sequence[ModelPrompt], options: tuple[str, ...]
    ) -> list[Choice | Failure]:
        """Raises: OSError."""
        raise OSError(f"{len(prompts)} prompts, {options}")


async def test_a_failure_of_the_model_reaches_every_caller() -> None:
    model = LanedModel(Broken())
    told = await asyncio.gather(
        *(model.choose(prompts(3), AB) for _ in range(5)), return_exceptions=True
    )
    assert [type(one) for one in told] == [OSError] * 5
