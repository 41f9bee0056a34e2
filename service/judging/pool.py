"""The judges that requests may name, opened once and shared by all."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from judges.errors import CharterError
from judges.judge import Judge
from judges.judge_files import open_judges
from judges.layout import PAIR_OPTIONS, PREFILL
from judges.model import ModelPrompt
from judges.records import Message
from judges.suggest import did_you_mean
from service.errors import ApiError
from service.judging.lanes import LANES, Lane, LanedModel
from service.tracing import Tracing

PROBE = ModelPrompt(messages=(Message(role="user", content="A or B?"),), prefill=PREFILL)
PROBE_S = 10.0
RETRY_S = 5.0


class JudgePool:
    """Judges by name. Everything here runs on the judging loop, but for `names` and `problem`."""

    def __init__(self, names: Sequence[str], tracing: Tracing | None = None) -> None:
        self._tracing = tracing or Tracing()
        self.names = tuple(dict.fromkeys(names))
        self.problem: str | None = "the judges are being opened"
        """Why nothing can be judged now; None when all judges are there."""
        self._judges: dict[str, Judge] = {}
        self._stack = AsyncExitStack()

    async def open_for_ever(self) -> None:
        """Open the judges, again and again until all are there: an engine may be started later."""
        while self.problem is not None:
            try:
                await self._open()
            except CharterError as error:
                self.problem = str(error)
                await asyncio.sleep(RETRY_S)

    async def _open(self) -> None:
        for name in self.names:
            if name not in self._judges:
                (judge,) = await open_judges([name], self._stack)
                self._judges[name] = replace(
                    judge, model=LanedModel(judge.model, tracing=self._tracing)
                )
        self.problem = None

    async def close(self) -> None:
        """Release connections and leases."""
        await self._stack.aclose()

    def judges(self, names: Sequence[str]) -> list[Judge]:
        """The judges named, else the usual one.

        Raises: ApiError 422 for one that is not served, 503 while they are being opened.
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
                    503, "engine_unavailable", f"judge {name!r}: {self.problem}",
                    "try again soon; GET /ready says when", retry_after_s=RETRY_S,
                )  # fmt: skip
        return [self._judges[name] for name in wanted]

    async def answers(self) -> str | None:
        """Why the usual judge gives no answer to a question; None when it does."""
        if self.problem is not None:
            return self.problem
        try:
            async with asyncio.timeout(PROBE_S):
                model = self._judges[self.names[0]].model
                (answer,) = await model.choose([PROBE], PAIR_OPTIONS)
        except (CharterError, TimeoutError) as error:
            return f"{type(error).__name__}: {error}"
        return getattr(answer, "detail", None) if getattr(answer, "status", "") == "error" else None

    def waiting(self) -> dict[Lane, int]:
        """Prompts that wait for a request to the engines, by lane."""
        models = [j.model for j in self._judges.values() if isinstance(j.model, LanedModel)]
        return {lane: sum(model.waiting()[lane] for model in models) for lane in LANES}
