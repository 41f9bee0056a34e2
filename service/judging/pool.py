"""The judges that requests may name: opened, shared by all, opened anew when an engine is gone."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace

from judges.errors import CharterError, ModelError
from judges.judge import Judge
from judges.judge_files import open_judges
from judges.layout import PAIR_OPTIONS, PREFILL
from judges.model import ChatModel, Failure, ModelPrompt
from judges.records import Message
from judges.suggest import did_you_mean
from service.errors import ApiError
from service.judging.lanes import LANES, Lane, LanedModel
from service.tracing import Tracing

PROBE = ModelPrompt(messages=(Message(role="user", content="A or B?"),), prefill=PREFILL)
PROBE_S = 10.0
RETRY_S = 5.0
WATCH_S = 15.0
"""How often each judge is asked whether it still answers."""
MISSES = 2
"""So many times in a row without an answer, and a judge is opened anew."""
BUSY_S = 120.0
"""A judge that is at work and was heard so recently is busy, though a probe waits in its queue."""
OpenJudges = Callable[[Sequence[str], AsyncExitStack], Awaitable[list[Judge]]]
log = logging.getLogger("charter.judges")


class JudgePool:
    """Judges by name. Everything here runs on the judging loop, but for `names` and `problem`."""

    def __init__(
        self,
        names: Sequence[str],
        tracing: Tracing | None = None,
        *,
        open_them: OpenJudges = open_judges,
        watch_s: float = WATCH_S,
    ) -> None:
        self.names = tuple(dict.fromkeys(names))
        self._tracing, self._open_them, self._watch_s = tracing or Tracing(), open_them, watch_s
        self._judges: dict[str, Judge] = {}
        self._models: dict[str, LanedModel] = {}
        self._families: dict[str, dict[str, LanedModel]] = {}
        self._stacks: dict[str, AsyncExitStack] = {}
        self._problems = dict.fromkeys(self.names, "the judge is being opened")

    @property
    def problem(self) -> str | None:
        """Why a judge cannot be asked yet; None when all are there."""
        return next((f"{name}: {why}" for name, why in self._problems.items()), None)

    async def keep_open(self) -> None:
        """Open every judge, and anew when it is gone, for ever: an engine may come later."""
        await asyncio.gather(*map(self._keep_open, self.names))

    async def _keep_open(self, name: str) -> None:
        misses = 0
        while True:
            if name not in self._judges or misses >= MISSES:
                misses = 0 if await self._open(name) else misses
                await asyncio.sleep(0 if name in self._judges and not misses else RETRY_S)
                continue
            await asyncio.sleep(self._watch_s)
            missed = await self._probe(name)
            misses = misses + 1 if missed else 0
            if missed:
                log.warning("judge %s does not answer: %s", name, missed)

    async def _open(self, name: str) -> bool:
        """Whether the judge is open now. What is in flight goes on with the engine that is new."""
        stack = AsyncExitStack()
        try:
            (judge,) = await self._open_them([name], stack)
            self._take(name, judge)
        except Exception as error:
            await stack.aclose()
            self._problems[name] = f"{error}" or type(error).__name__
            log.warning("judge %s cannot be opened: %s", name, error)
            return False
        old = self._stacks.get(name)
        self._stacks[name] = stack
        self._problems.pop(name, None)
        if old is not None:
            log.warning("judge %s was opened anew", name)
            with suppress(CharterError, OSError):
                await old.aclose()
        return True

    def _take(self, name: str, judge: Judge) -> None:
        """Ask this judge from now on. Raises: ModelError for other weights than before."""
        known = self._models.get(name)
        if known is None:
            self._models[name] = LanedModel(judge.model, tracing=self._tracing)
            self._families[name] = {
                family: LanedModel(model, tracing=self._tracing) for family, model in judge.families
            }
            families = tuple(self._families[name].items())
            self._judges[name] = replace(judge, model=self._models[name], families=families)
            return
        laned, anew = (known, *self._families[name].values()), (judge.model, *_models(judge))
        before, now = ([_fingerprint(model) for model in models] for models in (laned, anew))
        if now != before:
            raise ModelError(
                f"it serves {', '.join(now)} now, and served {', '.join(before)}; restart the "
                "service"
            )
        for model, inner in zip(laned, anew, strict=True):
            model.inner = inner

    async def close(self) -> None:
        """Release connections and leases."""
        for stack in self._stacks.values():
            await stack.aclose()

    def judges(self, names: Sequence[str]) -> list[Judge]:
        """The judges named, else the usual one.

        Raises: ApiError 422 for one that is not served, 503 while it is being opened.
        """
        wanted = list(names) or [self.names[0]]
        for name in wanted:
            if name not in self.names:
                raise ApiError(
                    422, "unknown_judge",
                    f"judge: {name!r} is not served here{did_you_mean(name, self.names)}",
                    f"served are {', '.join(self.names)}; CHARTER_SERVICE_JUDGES names them",
                )  # fmt: skip
            if name not in self._judges:
                raise ApiError(
                    503, "engine_unavailable", f"judge {name!r}: {self._problems.get(name)}",
                    "try again soon; GET /ready says when", retry_after_s=RETRY_S,
                )  # fmt: skip
        return [self._judges[name] for name in wanted]

    async def answers(self) -> str | None:
        """Why some judge cannot be asked, or the usual one does not answer; else None."""
        return self.problem or await self._probe(self.names[0])

    async def _probe(self, name: str) -> str | None:
        """Why a judge gives no answer to a question; None when it does."""
        model = self._models[name]
        try:
            async with asyncio.timeout(PROBE_S):
                (answer,) = await model.inner.choose([PROBE], PAIR_OPTIONS)
        except TimeoutError:
            if model.silent_s() < BUSY_S:
                return None
            return f"no answer within {PROBE_S:.0f} s"
        except (CharterError, OSError) as error:
            return f"{type(error).__name__}: {error}"
        if isinstance(answer, Failure) and answer.status == "error":
            return answer.detail or answer.reason
        return None

    def waiting(self) -> dict[Lane, int]:
        """Prompts that wait for a request to the engines, by lane."""
        models = [*self._models.values()]
        models += [model for some in self._families.values() for model in some.values()]
        return {lane: sum(model.waiting()[lane] for model in models) for lane in LANES}


def _models(judge: Judge) -> list[ChatModel]:
    """The models that vote in its own one's place, in their order."""
    return [model for _, model in judge.families]


def _fingerprint(model: ChatModel) -> str:
    return model.capabilities().fingerprint
