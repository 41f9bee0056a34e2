"""Judges' pair votes as a reward: the completions of one prompt, compared with each other.

Rewards are the least-squares fit of differences to the log-odds of all judged pairs, with mean 0 in
each prompt. So the difference of two completions is exactly their judged log-odds where only these
two are; where all pairs are judged, a reward is the mean log-odds against the group.
Source: Jiang et al. 2011, arXiv:0811.1067 (HodgeRank).
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Literal

import numpy as np

from judges.constitutions.constitution import Constitution
from judges.judge import Judge
from judges.rank import rank
from judges.records import CompletionText, Item
from judges.store.vote_store import VoteStore
from training.online.reward import Score

SUREST = 1e-4
"""A probability is taken to be no nearer to 0 or 1: log-odds stay within 9.2."""


class RankingReward:
    """Log-odds of winning against the other completions of the prompt, under a constitution.

    Its votes are stored: a step that a killed run does again asks for none that it had.
    """

    name = "ranking"

    def __init__(
        self,
        constitution: Constitution,
        judges: Sequence[Judge],
        store: VoteStore,
        pairs: Literal["all", "ring"],
        stack: AsyncExitStack,
    ) -> None:
        """`stack` holds the judges' connections and the store; `close` closes it."""
        self._constitution, self._judges, self._store = constitution, judges, store
        self._pairs, self._stack = pairs, stack

    async def __call__(
        self, prompts: Sequence[Item], completions: Sequence[CompletionText]
    ) -> list[Score]:
        """A score for each completion, those of one prompt together.

        Cost: two votes for each judged pair, principle and judge. A prompt whose judging failed is
        away as a whole; so it is asked again as a whole.
        Raises: ModelError when a judge answers nothing at all.
        """
        places: dict[str, list[int]] = {}
        for place, prompt in enumerate(prompts):
            places.setdefault(prompt.id, []).append(place)
        items = [
            prompts[own[0]].model_copy(
                update={"completions": tuple(completions[place] for place in own)}
            )
            for own in places.values()
        ]
        asked = rank(items, self._constitution, self._judges, self._store, pairs=self._pairs)
        lines = [line async for part in asked for line in part]
        scores: dict[int, Score] = {}
        for own, line in zip(places.values(), lines, strict=True):
            scores |= zip(own, read_line(line, len(own)), strict=True)
        return [scores[place] for place in range(len(prompts))]

    async def close(self) -> None:
        """Close the judges and the store."""
        await self._stack.aclose()


def read_line(line: dict[str, Any], count: int) -> list[Score]:
    """A score for each completion of a ranking line."""
    if line["status"] == "error":
        detail = str(line.get("detail", ""))
        return [Score(value=None, reason="engine_error", detail=detail, retry=True)] * count
    found = fit_rewards(np.asarray(line["p"], dtype=float), sorted(line["ranking"]))
    reasons = line["unranked"]
    return [
        Score(value=found[place])
        if place in found
        else Score(value=None, reason=reasons.get(str(place), line["reason"] or "missing_vote"))
        for place in range(count)
    ]


def fit_rewards(p_NN: Any, ranked: Sequence[int]) -> dict[int, float]:
    """The rewards of the completions that pairs connect, by place. Units: log-odds, mean 0."""
    pairs = [
        (i, j) for i in ranked for j in ranked if i < j and np.isfinite(p_NN[i, j])
    ]  # fmt: skip
    if not pairs:
        return {}
    column = {place: number for number, place in enumerate(ranked)}
    design = np.zeros((len(pairs), len(ranked)))
    for row, (i, j) in enumerate(pairs):
        design[row, column[i]], design[row, column[j]] = 1.0, -1.0
    p = np.clip([p_NN[pair] for pair in pairs], SUREST, 1 - SUREST)
    # Of all solutions the shortest, which has mean 0.
    fitted = np.linalg.lstsq(design, np.log(p / (1 - p)), rcond=None)[0]
    return {place: float(fitted[number]) for place, number in column.items()}
