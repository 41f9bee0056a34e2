"""Our rewards as TRL's reward functions: waited for, checked, and never a made-up number.

TRL leaves a completion for which every function says None out of its group and out of the update.
One for which only some do would have the others' sum for its reward, as if the lacking ones were
0; so here all say None together.
"""

from collections.abc import Callable, Sequence
from typing import Any

from judges.records import CompletionText, Item
from training.online.background import Background
from training.online.reward import Reward, Score
from training.online.waiting import Patience, patient_scores


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
    ) -> None:
        self._reward, self._items, self._eos = reward, items, set(eos_token_ids)
        self._patience, self._background, self._say = patience, background, say
        self._asked: tuple[Any, list[Score]] | None = None

    def whole(self) -> Callable[..., list[float | None]]:
        """A function that gives the whole reward."""
        return self._function("reward", lambda score: score.value)

    def parts(self, names: Sequence[str]) -> list[Callable[..., list[float | None]]]:
        """A function for each named part of the reward; a step asks for all of them once."""

        def reading(name: str) -> Callable[[Score], float | None]:
            return lambda score: score.parts.get(name)

        return [self._function(name, reading(name)) for name in names]

    def _function(
        self, name: str, read: Callable[[Score], float | None]
    ) -> Callable[..., list[float | None]]:
        def function(
            completions: Sequence[Any],
            completion_ids: Sequence[Any],
            row: Sequence[int],
            log_metric: Callable[[str, float], None] = _log_nowhere,
            **_: Any,
        ) -> list[float | None]:
            scores = self.scores(completions, completion_ids, row)
            log_metric("unscored", float(sum(score.value is None for score in scores)))
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
            self._asked = (key, self._background.run(asking))
        return self._asked[1]


def _log_nowhere(_name: str, _value: float) -> None:
    """Where no trainer logs."""


def _text(completion: Any) -> str:
    """The text of a completion as TRL hands it on: a string, or a list of messages."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"])
