"""Where samples of all frameworks become rewards: alone or in groups, watched as they pass."""

import asyncio
import math
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

from pydantic import Field

from judges.canonical import digest
from judges.constitutions.constitution import Constitution
from judges.records import CompletionText, Item, Record
from service.access import Access
from service.context import Service
from service.errors import ApiError
from service.judging.desk import WINDOW, Line
from service.judging.lanes import Lane
from service.judging.requests import Name, RankRequest, Reference, ScoreRequest
from service.judging.tasks import Task
from service.rewards.cohorts import CohortRules, Cohorts, CohortsFull
from service.rewards.from_lines import Ask, rewards_from_ranking, rewards_from_scores
from service.rewards.samples import Reward, Sample
from service.watch.canaries import canary_missed, make_canary
from service.watch.run_metrics import add_run_metrics
from service.watch.signals import Observation, gold_quantities, observe
from service.watch.watcher import OpenRun, Place, Watch, falls_in

BESIDE = 512
"""Gold votes and canaries that may be under way; beyond it they are left out."""
DRAIN_LOOK_S = 0.25
"""How often it is looked whether the service is told to stop."""
FEW = 4
"""Groups up to so many are judged by all pairs, larger ones by half again as many as samples."""


class RewardsAsked(Record):
    """How rewards are made: what an adapter's address says."""

    constitution: Reference
    """By which constitution."""
    judge: tuple[Name, ...] = ()
    """By which judges; without one, the usual."""
    ask: Ask = "yes-no"
    """How a sample alone is judged."""
    cohort: CohortRules | None = None
    """With it, samples of one prompt are ranked as a group."""
    run: Annotated[str, Field(max_length=200)] = ""
    """The training run, to be watched under this name; none, and nothing is watched."""
    step: str = ""
    """Sets groups of one prompt apart, where a framework tells its step."""
    deadline_s: float = 120.0
    """Seconds for judging, waiting for a group aside."""


class RewardDesk:
    """Makes rewards with a running service. For the loop that speaks HTTP."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.cohorts = Cohorts()
        self.watch = Watch(service.database)
        self.left_out = 0
        """Gold votes and canaries that were not asked for, because too many were under way."""
        self._beside: set[asyncio.Task[None]] = set()

    async def rewards(
        self, samples: Sequence[Sample], asked: RewardsAsked, access: Access
    ) -> list[Reward]:
        """The reward of each sample, in order.

        Raises: ApiError 404, 422 for what is not there, 429 when too much waits; ModelError when
        the engine is gone.
        """
        constitution = self.service.library.load(asked.constitution, access.tenant)
        self.service.pool.judges(asked.judge)
        if asked.cohort is None:
            rewards = await self.score(samples, constitution, asked, access)
            await self._watch(samples, rewards, asked, access)
            return rewards
        rules = asked.cohort

        async def judge(group: Sequence[Sample], known: int) -> list[Reward]:
            found = await self._rank(group, constitution, asked, access)
            await self._watch(group[known:], found[known:], asked, access)
            return found

        calls = [
            asyncio.create_task(
                self.cohorts.reward(_group(one, constitution, asked, access), one, rules, judge)
            )
            for one in samples
        ]
        try:
            return await asyncio.gather(*calls)
        except CohortsFull as error:
            raise ApiError(
                429, "too_many_waiting", str(error), "wait as long as Retry-After says",
                retry_after_s=2.0,
            ) from None  # fmt: skip
        finally:
            for call in calls:  # one that fails fails the request: the others must not wait on
                call.cancel()

    async def score(
        self,
        samples: Sequence[Sample],
        constitution: Constitution,
        asked: RewardsAsked,
        access: Access,
        lane: Lane = "interactive",
    ) -> list[Reward]:
        """Each sample alone. Cost: a vote for each judged principle or statement."""
        request = ScoreRequest(
            constitution=asked.constitution, judge=asked.judge or None, ask=asked.ask
        )
        task = self.service.task_under(request, constitution)
        together: dict[str, list[int]] = {}
        for number, one in enumerate(samples):
            key = digest([[m.model_dump() for m in one.prompt], one.answer])
            together.setdefault(key, []).append(number)
        rewards: dict[int, Reward] = {}
        room = asyncio.Semaphore(WINDOW)

        async def of_prompt(numbers: Sequence[int]) -> None:
            item = _item([samples[n] for n in numbers])
            async with room:
                line = await self._line(task, item, asked, access, lane)
            found = rewards_from_scores(line, len(numbers), asked.ask)
            rewards.update(zip(numbers, found, strict=True))

        await asyncio.gather(*map(of_prompt, together.values()))
        return [rewards[number] for number in range(len(samples))]

    async def close(self) -> None:
        """Answer those who wait for groups, and write what was observed."""
        await self.cohorts.close()
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)
        await self.watch.flush()

    async def _rank(
        self,
        group: Sequence[Sample],
        constitution: Constitution,
        asked: RewardsAsked,
        access: Access,
    ) -> list[Reward]:
        """The samples of one prompt as a group. Cost: two votes a pair and judged principle."""
        pairs = "all" if len(group) <= FEW else "active"
        request = RankRequest(
            constitution=asked.constitution, judge=asked.judge or None, pairs=pairs
        )
        task = self.service.task_under(request, constitution)
        line = await self._line(task, _item(group), asked, access, "interactive")
        return rewards_from_ranking(line, len(group))

    async def _line(
        self, task: Task, item: Item, asked: RewardsAsked, access: Access, lane: Lane
    ) -> Line:
        wait = self.service.deadline(asked.deadline_s, self.service.settings.deadline_s)
        turn = self.service.turn(access, lane)
        return await self.service.desk.judge(task, item, turn, wait)

    async def _watch(
        self,
        samples: Sequence[Sample],
        rewards: Sequence[Reward],
        asked: RewardsAsked,
        access: Access,
    ) -> None:
        if not asked.run or not samples:
            return
        place = (access.tenant, asked.run)
        run = await self.watch.look(place)
        self.watch.add(place, "samples", await asyncio.to_thread(observe, samples, rewards))
        first, run.seen = run.seen, run.seen + len(samples)
        if run.settings.gold_constitution or run.settings.gold_judge:
            chosen = self._for_gold(place, first, len(samples), run, asked)
            if chosen:
                told = [(samples[n], rewards[n]) for n in chosen]
                self._begin(self._gold(place, run, told, asked, access))
        every = run.settings.canary_every
        for number in range(first // every + 1, run.seen // every + 1) if every else ():
            sample = samples[number * every - first - 1]
            self._begin(self._canary(place, sample, number, asked, access))

    def _for_gold(
        self, place: Place, first: int, count: int, run: OpenRun, asked: RewardsAsked
    ) -> list[int]:
        """Which samples the gold judges too: single ones, or all of a group."""
        share = run.settings.gold_share
        if asked.cohort is not None:
            return list(range(count)) if falls_in(place, first, share) else []
        return [n for n in range(count) if falls_in(place, first + n, share)]

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._beside) >= BESIDE:
            self.left_out += 1
            work.close()
            return
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._beside.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.left_out += 1  # an engine away, a gold constitution that is not there

    async def _gold(
        self,
        place: Place,
        run: OpenRun,
        told: Sequence[tuple[Sample, Reward]],
        asked: RewardsAsked,
        access: Access,
    ) -> None:
        """Have samples judged by what the policy is not trained on, in the batch lane."""
        settings = run.settings
        held_out = RewardsAsked(
            constitution=settings.gold_constitution or asked.constitution,
            judge=(settings.gold_judge,) if settings.gold_judge else asked.judge,
        )
        constitution = self.service.library.load(held_out.constitution, access.tenant)
        samples = [sample for sample, _ in told]
        gold = await self.score(samples, constitution, held_out, access, "batch")
        pairs = [
            (reward.value, found.value)
            for (_, reward), found in zip(told, gold, strict=True)
            if reward.value is not None and found.value is not None
        ]
        if asked.cohort is not None:
            seen = _group_gold(pairs)
        else:
            seen = [Observation(quantities=gold_quantities(*pair)) for pair in pairs]
        self.watch.add(place, "gold", seen)

    async def _canary(
        self, place: Place, sample: Sample, number: int, asked: RewardsAsked, access: Access
    ) -> None:
        constitution = self.service.library.load(asked.constitution, access.tenant)
        canary = make_canary(constitution, sample, number)
        if canary is None:
            return
        (judge,) = self.service.pool.judges(asked.judge[:1])
        missed = await self.service.loop.run(canary_missed(canary, judge))
        if missed is not None:
            seen = Observation(quantities={"missed": float(missed)})
            self.watch.add(place, "canaries", [seen])


@asynccontextmanager
async def rewarding(service: Service) -> AsyncIterator[None]:
    """The reward desk of a running service."""
    service.rewards = RewardDesk(service)
    add_run_metrics(service.metrics, service.rewards.watch)
    hurrying = asyncio.create_task(_hurry_when_draining(service))
    try:
        yield
    finally:
        hurrying.cancel()
        await service.rewards.close()


async def _hurry_when_draining(service: Service) -> None:
    """A service told to stop waits for its answers, so groups must not wait for their samples."""
    while True:
        await asyncio.sleep(DRAIN_LOOK_S)
        if service.draining:
            service.rewards.cohorts.hurry()


def _item(samples: Sequence[Sample]) -> Item:
    return Item(
        id=digest([one.completion for one in samples])[:16],
        prompt=samples[0].prompt,
        completions=tuple(CompletionText(text=one.completion) for one in samples),
        answer=samples[0].answer,
    )


def _group(sample: Sample, constitution: Constitution, asked: RewardsAsked, access: Access) -> str:
    """What names a sample's group: its prompt, in one run, judged in one way."""
    prompt = [message.model_dump() for message in sample.prompt]
    how = asked.model_dump(mode="json", exclude={"constitution"})
    return digest([access.tenant, constitution.digest, how, prompt, sample.answer])


def _group_gold(pairs: Sequence[tuple[float, float]]) -> list[Observation]:
    """Within a group rewards are relative: the gap is the share of pairs gold orders otherwise."""
    apart = [
        (a - b) * (c - d)
        for k, (a, c) in enumerate(pairs)
        for b, d in pairs[:k]
        if a != b and not math.isclose(c, d)
    ]
    if not apart:
        return []
    gap = sum(product < 0 for product in apart) / len(apart)
    gold = sum(found for _, found in pairs) / len(pairs)
    return [Observation(quantities={"gap": gap, "gold": gold})] * len(pairs)
