"""Our rewards as TRL's reward functions: waited for, checked, and never a made-up number.

TRL leaves a completion for which every function says None out of its group. One for which only some
do would have the group's mean in what it lacks; so here all say None together. A part that none of
a prompt's completions has, such as a principle that is not about this prompt, is None for all of
them, and then counts nothing.
"""

from collections.abc import Callable, Sequence
from typing import Any

from judges.records import CompletionText, Item
from training.online.background import Background
from training.online.reward import Reward, Score
from training.online.waiting import Patience, patient_scores, refuse_too_few


class TrlReward:
    """One reward of ours behind one or several functions of TRL's kind."""

    def __init__(
        self,
        reward: Reward,
        items: Sequence[Item],
        eos_token_ids: Sequence[int],
        patience: Patience,
        background: Background,
        say: Callable[[str], None],
        parts: Sequence[str] = (),
    ) -> None:
        """`parts`: those of the reward that TRL is to normalise apart; none: the whole reward."""
        self.parts = tuple(parts)
        self._reward, self._items, self._eos = reward, items, set(eos_token_ids)
        self._patience, self._background, self._say = patience, background, say
        self._asked: tuple[Any, list[Score]] | None = None

    def functions(self) -> list[Callable[..., list[float | None]]]:
        """A function for the whole reward, or for each part; a step asks for all of them once."""
        if not self.parts:
            return [self._function("reward", lambda score: score.value)]

        def reading(name: str) -> Callable[[Score], float | None]:
            return lambda score: score.parts.get(name)

        return [self._function(name, reading(name)) for name in self.parts]

    def _function(
        self, name: str, read: Callable[[Score], float | None]
    ) -> Callable[..., list[float | None]]:
        def function(
            completions: Sequence[Any], completion_ids: Sequence[Any], row: Sequence[int], **_: Any
        ) -> list[float | None]:
            scores = self.scores(completions, completion_ids, row)
            return [None if score.value is None else read(score) for score in scores]

        function.__name__ = name  # what TRL logs it by
        return function

    def remember(
        self, completions: Sequence[Any], rows: Sequence[int], scores: Sequence[Score]
    ) -> None:
        """Take these scores as given, should they be asked for next."""
        texts = [_text(completion) for completion in completions]
        self._asked = ((tuple(rows), tuple(texts)), list(scores))

    def scores(
        self, completions: Sequence[Any], completion_ids: Sequence[Any], rows: Sequence[int]
    ) -> list[Score]:
        """A score for each completion, waited for; what was asked last is known already.

        Raises: RewardAway, VerdictError.
        """
        texts = [_text(completion) for completion in completions]
        key = (tuple(rows), tuple(texts))
        if self._asked is None or self._asked[0] != key:
            made = [
                CompletionText(
                    text=text,
                    finish_reason="stop" if self._eos & {*map(int, ids[-1:])} else "length",
                    tokens=len(ids),
                )
                for text, ids in zip(texts, completion_ids, strict=True)
            ]
            items = [self._items[row] for row in rows]
            asking = patient_scores(self._reward, items, made, self._patience, self._say)
            scores = self._background.run(asking)
            if self.parts:
                scores = leave_out_incomplete(scores, rows, self.parts)
                refuse_too_few(scores, self._reward.name, self._patience)
            self._asked = (key, scores)
        return self._asked[1]


def leave_out_incomplete(
    scores: Sequence[Score], rows: Sequence[int], parts: Sequence[str]
) -> list[Score]:
    """The scores; without a value where a part is missing that others of the same row have."""
    had: dict[int, set[str]] = {}
    for score, row in zip(scores, rows, strict=True):
        if score.value is not None:
            own = {name for name in parts if score.parts.get(name) is not None}
            had.setdefault(row, set()).update(own)
    return [
        score if score.value is None else _complete(score, had[row], parts)
        for score, row in zip(scores, rows, strict=True)
    ]


def _complete(score: Score, had: set[str], parts: Sequence[str]) -> Score:
    wanted = [name for name in parts if name in had] or parts
    missing = next((name for name in wanted if score.parts.get(name) is None), None)
    if missing is None:
        return score
    detail = f"its part {missing!r} is missing"
    return score.model_copy(update={"value": None, "reason": "missing_vote", "detail": detail})


def _text(completion: Any) -> str:
    """The text of a completion as TRL hands it on: a string, or a list of messages."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"])
