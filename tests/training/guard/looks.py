"""Looks at an invented policy, and rewards at odds with each other."""

from collections.abc import Sequence

from judges.records import CompletionText, Item
from training.guard.observation import PROXY, Answer, Observation, observe
from training.online.reward import Score


def look(
    step: int,
    rewards: Sequence[float | None],
    held_out: Sequence[float | None],
    earlier: Sequence[Observation] = (),
    **changes: object,
) -> Observation:
    """A look at one completion a prompt, KL growing with the step."""
    answers = [
        Answer(row, CompletionText(text=f"Answer {row} has a few plain words."), 0.25 * step)
        for row in range(len(rewards))
    ]
    scores = {
        PROXY: [Score(value=one, parts={"model/variance": 0.5}) for one in rewards],
        "rules": [Score(value=one) for one in held_out],
    }
    found = observe(
        step, answers, scores, ["I cannot help with that.", "Gladly."], len(rewards), earlier,
        4, 0.05, 0, 1.0,
    )  # fmt: skip
    return found.model_copy(update=changes)


def not_letters(
    _prompts: Sequence[Item], completions: Sequence[CompletionText]
) -> list[float | None]:
    """The share of what is no plain small letter: what `letters` drives down."""
    return [
        1 - sum("a" <= letter <= "z" for letter in one.text) / max(1, len(one.text))
        for one in completions
    ]
