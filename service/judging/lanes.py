"""One model for many callers: prompts of different requests share engine requests, in fair turns.

Interactive prompts go first. Batches get at least every fourth request while both wait, and never
all the slots, so that neither starves. Within a lane, tenants take turns.
"""

import asyncio
import itertools
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

from judges.model import Capabilities, ChatModel, Choice, Completion, Failure, ModelPrompt, Sampling
from service.tracing import Tracing

Lane = Literal["interactive", "batch"]
LANES: tuple[Lane, ...] = ("interactive", "batch")
BATCH_SHARE = 4
"""Of so many requests, one is a batch's while both lanes wait."""
RECENT_S = 1.0
"""So long after an interactive prompt, batches leave half the slots free."""
Send = Callable[[Any, Sequence[ModelPrompt]], Awaitable[list[Any]]]


@dataclass(frozen=True)
class Turn:
    """On whose behalf a model is asked."""

    lane: Lane = "interactive"
    tenant: str = "local"


TURN: ContextVar[Turn] = ContextVar("turn", default=Turn())  # noqa: B039 (frozen)


@dataclass(frozen=True)
class _Entry:
    group: Hashable
    prompt: ModelPrompt
    answer: "asyncio.Future[Any]"


@dataclass
class Counts:
    """What a model was asked through its lanes."""

    requests: int = 0
    prompts: int = 0


class LanedModel:
    """A `ChatModel` in front of another, for use from one event loop."""

    def __init__(
        self,
        inner: ChatModel,
        *,
        tracing: Tracing | None = None,
        prompts_per_request: int = 32,
        requests_in_flight: int = 4,
        completions_in_flight: int = 64,
    ) -> None:
        self.inner, self._tracing = inner, tracing or Tracing()
        self.encoder = getattr(inner, "encoder", None)
        self.counts = Counts()
        self._flying, self._heard_at = 0, 0.0
        self._choosing = _Queue(self._choose, prompts_per_request, requests_in_flight)
        self._completing = _Queue(self._complete, 1, completions_in_flight)

    def capabilities(self) -> Capabilities:
        """What the model behind can do."""
        return self.inner.capabilities()

    def vote_sampling(self) -> dict[str, Any]:
        """What the model behind says of how its choices are drawn."""
        told = getattr(self.inner, "vote_sampling", None)
        return dict(told()) if told else {}

    async def choose(
        self, prompts: Sequence[ModelPrompt], options: tuple[str, ...]
    ) -> list[Choice | Failure]:
        """As the model behind, prompts of other callers in the same requests."""
        return await self._choosing.ask(options, prompts)

    async def complete(
        self, prompts: Sequence[ModelPrompt], sampling: Sampling
    ) -> list[tuple[Completion, ...] | Failure]:
        """As the model behind, in turns with other callers."""
        return await self._completing.ask(_Drawn(sampling), prompts)

    async def close(self) -> None:
        """Release what the model behind holds."""
        await self.inner.close()

    def waiting(self) -> dict[Lane, int]:
        """Prompts that no request holds yet, by lane."""
        return {
            lane: self._choosing.waiting(lane) + self._completing.waiting(lane) for lane in LANES
        }

    async def _choose(self, options: Any, prompts: Sequence[ModelPrompt]) -> list[Any]:
        self._count(prompts)
        with self._tracing.engine("choose", len(prompts)):
            return await self._answers(lambda inner: inner.choose(prompts, options))

    async def _complete(self, drawn: Any, prompts: Sequence[ModelPrompt]) -> list[Any]:
        self._count(prompts)
        with self._tracing.engine("complete", len(prompts)):
            return await self._answers(lambda inner: inner.complete(prompts, drawn.sampling))

    async def _answers(self, ask: Callable[[ChatModel], Awaitable[Sequence[Any]]]) -> list[Any]:
        """What the model behind answers; of its successor where it was replaced meanwhile."""
        asked = self.inner
        if not self._flying:
            self._heard_at = time.monotonic()
        self._flying += 1
        try:
            answers = list(await ask(asked))
        except Exception:
            if self.inner is asked:
                raise
            answers = list(await ask(self.inner))
        finally:
            self._flying -= 1
        if not all(isinstance(one, Failure) and one.status == "error" for one in answers):
            self._heard_at = time.monotonic()
        return answers

    def silent_s(self) -> float:
        """How long it has been asked something and answered nothing; infinite if not asked."""
        return time.monotonic() - self._heard_at if self._flying else float("inf")

    def _count(self, prompts: Sequence[ModelPrompt]) -> None:
        self.counts.requests += 1
        self.counts.prompts += len(prompts)


@dataclass(frozen=True, eq=False)
class _Drawn:
    """A sampling as a group of its own: its JSON Schema cannot be hashed."""

    sampling: Sampling


@dataclass
class _Queue:
    """Prompts waiting for a slot, by lane and tenant."""

    send: Send
    size: int
    slots: int
    _lanes: dict[Lane, "OrderedDict[str, deque[_Entry]]"] = field(
        default_factory=lambda: {lane: OrderedDict() for lane in LANES}
    )
    _running: dict[Lane, int] = field(default_factory=lambda: dict.fromkeys(LANES, 0))
    _turns: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _interactive_at: float = float("-inf")
    _awake: bool = False
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    async def ask(self, group: Hashable, prompts: Sequence[ModelPrompt]) -> list[Any]:
        """The answer to each prompt; those of a cancelled caller are passed over."""
        turn, loop = TURN.get(), asyncio.get_running_loop()
        if turn.lane == "interactive":
            self._interactive_at = time.monotonic()
        entries = [_Entry(group, prompt, loop.create_future()) for prompt in prompts]
        self._lanes[turn.lane].setdefault(turn.tenant, deque()).extend(entries)
        self._wake(loop)
        return await asyncio.gather(*(entry.answer for entry in entries))

    def waiting(self, lane: Lane) -> int:
        """Prompts of a lane that wait."""
        return sum(len(entries) for entries in self._lanes[lane].values())

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        """Fill slots after all callers of this moment have put down what they ask."""
        if not self._awake:
            self._awake = True
            loop.call_soon(self._fill)

    def _fill(self) -> None:
        self._awake = False
        while (lane := self._next_lane()) is not None:
            if batch := self._take(lane):
                self._running[lane] += 1
                task = asyncio.get_running_loop().create_task(self._run(lane, batch))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _next_lane(self) -> Lane | None:
        """Whose turn it is; None while nobody waits, or every slot is taken."""
        if sum(self._running.values()) >= self.slots:
            return None
        waits = {lane: bool(self._lanes[lane]) for lane in LANES}
        room = self._running["batch"] < self._batch_slots()
        if waits["interactive"]:
            if waits["batch"] and room and next(self._turns) % BATCH_SHARE == 0:
                return "batch"
            return "interactive"
        return "batch" if waits["batch"] and room else None

    def _batch_slots(self) -> int:
        busy = time.monotonic() - self._interactive_at < RECENT_S
        return max(1, self.slots // 2 if busy else self.slots - 1)

    def _take(self, lane: Lane) -> list[_Entry]:
        """Up to a request's worth of prompts of one group, tenants in turn."""
        tenants = self._lanes[lane]
        share = -(-self.size // max(1, len(tenants)))
        batch: list[_Entry] = []
        for tenant in list(tenants):
            entries = tenants[tenant]
            left = min(share, self.size - len(batch))
            while entries and left:
                if entries[0].answer.done():
                    entries.popleft()
                    continue
                if (
                    batch
                    and entries[0].group is not batch[0].group
                    and (entries[0].group != batch[0].group)
                ):
                    break
                batch.append(entries.popleft())
                left -= 1
            if entries:
                tenants.move_to_end(tenant)
            else:
                del tenants[tenant]
        return batch

    async def _run(self, lane: Lane, batch: Sequence[_Entry]) -> None:
        try:
            answers = await self.send(batch[0].group, [entry.prompt for entry in batch])
            for entry, answer in zip(batch, answers, strict=True):
                if not entry.answer.done():
                    entry.answer.set_result(answer)
        except Exception as error:
            for entry in batch:
                if not entry.answer.done():
                    entry.answer.set_exception(error)
        finally:
            self._running[lane] -= 1
            self._fill()
