"""A judge as a reward: each completion scored under a constitution, votes kept as always."""

from collections.abc import Sequence
from contextlib import AsyncExitStack

from judges.constitutions.constitution import Constitution
from judges.judge import Judge
from judges.records import CompletionText, Item
from judges.scoring.score import Ask, score
from judges.store.vote_store import VoteStore
from training.online.reward import Score


class JudgeReward:
    """Scores 0 to 1 by judges and rules under a constitution.

    Its votes are stored: a step that a killed run does again asks for none that it had.
    """

    name = "judge"

    def __init__(
        self,
        constitution: Constitution,
        judges: Sequence[Judge],
        store: VoteStore,
        ask: Ask,
        stack: AsyncExitStack,
    ) -> None:
        """`stack` holds the judges' connections and the store; `close` closes it."""
        self._constitution, self._judges, self._store = constitution, judges, store
        self._ask, self._stack = ask, stack

    async def __call__(
        self, prompts: Sequence[Item], completions: Sequence[CompletionText]
    ) -> list[Score]:
        """A score for each completion. Cost: a vote for each principle and judge.

        Raises: ModelError when a judge answers nothing at all.
        """
        items = [
            Item(
                id=f"{prompt.id}#{number}",
                prompt=prompt.prompt,
                completions=(completion,),
                answer=prompt.answer,
            )
            for number, (prompt, completion) in enumerate(zip(prompts, completions, strict=True))
        ]
        lines = [
            line
            async for part in score(
                items, self._constitution, self._judges, self._store, ask=(self._ask,)
            )
            for line in part
        ]
        return [_score(line) for line in lines]

    async def close(self) -> None:
        """Close the judges and the store."""
        await self._stack.aclose()


def _score(line: dict[str, object]) -> Score:
    scores, reasons, principles = line["scores"], line["reasons"], line["principles"]
    assert isinstance(scores, list) and isinstance(reasons, list) and isinstance(principles, dict)
    parts = {name: part["score"][0] for name, part in principles.items()}
    if line["status"] == "error":
        detail = str(line.get("detail", ""))
        return Score(value=None, reason="engine_error", detail=detail, retry=True, parts=parts)
    if scores[0] is None:
        return Score(value=None, reason=reasons[0], parts=parts)
    return Score(value=scores[0], parts=parts)
