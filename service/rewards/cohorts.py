"""Groups put together on the server: samples of one prompt that wait for each other.

Group-relative judging needs all completions of a prompt at once, but frameworks call once a
sample, from many processes. Calls of one prompt in one run wait until the group is whole or its
time is up, are judged as a group, and each gets its own reward. A group whose time is up is judged
as far as it came, or goes unscored; who comes late is ranked among those already judged, whose
votes are stored and cost nothing. Everything is bounded: groups, waiting calls, and how long the
texts of an unfinished group are kept.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from judges.canonical import text_digest
from judges.records import Record
from service.rewards.samples import Reward, Sample, no_reward

LATE_S = 1.0
"""How long one who comes late to a judged group waits for others who do."""
Partial = Literal["rank", "unscored"]
JudgeGroup = Callable[[Sequence[Sample], int], Awaitable[list[Reward]]]
"""Rewards of a whole group, in order; so many of its first were judged and answered before."""


class CohortRules(Record):
    """How groups come together."""

    size: Annotated[int, Field(ge=2, le=64)] = 8
    """Samples of a prompt in a group: GRPO's `num_generations`."""
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """How long a group waits after its first sample; well below the client's own timeout."""
    partial: Partial = "rank"
    """What becomes of a group whose time is up: judged as far as it came, or unscored."""


class CohortLimits(Record):
    """How much may be waiting and remembered."""

    waiting: int = 16_384
    """Calls that may wait at once; one more is refused, to come again."""
    groups: int = 16_384
    """Groups kept, whole ones not counted; the one untouched for longest goes first."""
    remembered: int = 65_536
    """Rewards of named samples kept, so that a repeated call gets the same answer."""
    keep_s: float = 300.0
    """How long an unfinished group is kept for those who come late."""


class CohortsFull(Exception):
    """More calls wait than may."""


@dataclass(eq=False)
class _Seat:
    sample: Sample
    answer: asyncio.Future[Reward]
    callers: int = 1


@dataclass(eq=False)
class _Cohort:
    rules: CohortRules
    judge: JudgeGroup
    waiting: list[_Seat] = field(default_factory=list)
    judged: list[Sample] = field(default_factory=list)
    alarm: asyncio.TimerHandle | None = None


class Cohorts:
    """All groups of a process. Its methods are to be called within one event loop."""

    def __init__(self, limits: CohortLimits | None = None) -> None:
        self.limits = limits or CohortLimits()
        self._open: OrderedDict[Hashable, _Cohort] = OrderedDict()
        self._remembered: OrderedDict[Hashable, Reward] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self.waiting = 0
        """Samples waiting now."""

    def __len__(self) -> int:
        return len(self._open)

    async def reward(
        self, key: Hashable, sample: Sample, rules: CohortRules, judge: JudgeGroup
    ) -> Reward:
        """The sample's reward within its group, once the group is whole or its time is up.

        `key` names the group; equal keys come with equal rules. A caller that is cancelled while
        its group is incomplete leaves it.
        Raises: CohortsFull when too many wait; what judging the group raises.
        """
        named = None if sample.identity is None else (key, _name(sample))
        if named in self._remembered:
            return self._remembered[named]
        cohort = self._open.get(key) or _Cohort(rules, judge)
        seat = self._seat(cohort, sample)
        self._keep(key, cohort)
        if cohort.waiting == [seat] and seat.callers == 1:
            late = min(rules.timeout_s, LATE_S) if cohort.judged else rules.timeout_s
            self._set_alarm(key, cohort, late)
        if len(cohort.judged) + len(cohort.waiting) >= rules.size:
            self._close(key, cohort)
        try:
            reward = await asyncio.shield(seat.answer)
        except asyncio.CancelledError:
            self._leave(key, cohort, seat)
            raise
        if named is not None and reward.value is not None:
            self._remember(named, reward)
        return reward

    def hurry(self) -> None:
        """Time is up for every group: who waits is answered now."""
        for key, cohort in list(self._open.items()):
            if cohort.waiting:
                self._quiet(cohort)
                self._time_is_up(key, cohort)

    async def close(self) -> None:
        """Answer all who wait that there is no reward, and finish what is being judged."""
        for key, cohort in list(self._open.items()):
            self._drop(key, cohort, "the service is stopping")
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _keep(self, key: Hashable, cohort: _Cohort) -> None:
        while len(self._open) >= self.limits.groups and key not in self._open:
            oldest = next(iter(self._open))
            self._drop(oldest, self._open[oldest], "too many groups are open")
        self._open[key] = cohort
        self._open.move_to_end(key)

    def _set_alarm(self, key: Hashable, cohort: _Cohort, wait_s: float) -> None:
        self._quiet(cohort)
        loop = asyncio.get_running_loop()
        cohort.alarm = loop.call_later(wait_s, self._time_is_up, key, cohort)

    def _seat(self, cohort: _Cohort, sample: Sample) -> _Seat:
        for seat in cohort.waiting:
            if sample.identity is not None and seat.sample == sample:
                seat.callers += 1
                return seat
        if self.waiting >= self.limits.waiting:
            raise CohortsFull(f"{self.waiting} samples wait for their groups")
        seat = _Seat(sample, asyncio.get_running_loop().create_future())
        cohort.waiting.append(seat)
        self.waiting += 1
        return seat

    def _leave(self, key: Hashable, cohort: _Cohort, seat: _Seat) -> None:
        seat.callers -= 1
        if seat.callers or seat not in cohort.waiting:
            return
        cohort.waiting.remove(seat)
        self.waiting -= 1
        if not cohort.waiting and not cohort.judged and self._open.get(key) is cohort:
            del self._open[key]
            self._quiet(cohort)

    def _close(self, key: Hashable, cohort: _Cohort) -> None:
        """The group is whole: judge it, and let the next samples of the prompt begin another."""
        del self._open[key]
        self._judge(cohort)

    def _time_is_up(self, key: Hashable, cohort: _Cohort) -> None:
        cohort.alarm = None
        if not cohort.waiting or cohort.rules.partial == "unscored":
            self._drop(key, cohort, f"{len(cohort.waiting)} of {cohort.rules.size} samples came")
        elif len(cohort.judged) + len(cohort.waiting) < 2:
            self._drop(key, cohort, "no other sample of its group came")
        else:
            self._judge(cohort)
            self._set_alarm(key, cohort, self.limits.keep_s)

    def _judge(self, cohort: _Cohort) -> None:
        self._quiet(cohort)
        seats, known = cohort.waiting, list(cohort.judged)
        cohort.waiting = []
        cohort.judged += [seat.sample for seat in seats]
        task = asyncio.create_task(self._answer(cohort.judge, known, seats))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(
        self, judge: JudgeGroup, known: Sequence[Sample], seats: Sequence[_Seat]
    ) -> None:
        try:
            rewards = await judge([*known, *(seat.sample for seat in seats)], len(known))
            for seat, reward in zip(seats, rewards[len(known) :], strict=True):
                if not seat.answer.done():
                    seat.answer.set_result(reward)
        except Exception as error:
            for seat in seats:
                if not seat.answer.done():
                    seat.answer.set_exception(error)
                    seat.answer.exception()  # a caller that has gone does not fetch it
        finally:
            self.waiting -= len(seats)

    def _drop(self, key: Hashable, cohort: _Cohort, detail: str) -> None:
        """Forget a group; who still waits in it goes without a reward."""
        if self._open.get(key) is cohort:
            del self._open[key]
        self._quiet(cohort)
        self.waiting -= len(cohort.waiting)
        for seat in cohort.waiting:
            if not seat.answer.done():
                seat.answer.set_result(no_reward("cohort_incomplete", detail))
        cohort.waiting = []

    def _quiet(self, cohort: _Cohort) -> None:
        if cohort.alarm is not None:
            cohort.alarm.cancel()
            cohort.alarm = None

    def _remember(self, named: Hashable, reward: Reward) -> None:
        self._remembered[named] = reward
        while len(self._remembered) > self.limits.remembered:
            self._remembered.popitem(last=False)


def _name(sample: Sample) -> tuple[str | None, str]:
    """What tells a repeated call from another sample: a run begun anew may use its names again."""
    return sample.identity, text_digest(sample.completion)
