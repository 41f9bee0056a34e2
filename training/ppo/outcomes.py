"""What became of a step's completions, over all processes, in numbers for metrics and decisions."""

import statistics as arithmetic
from collections.abc import Sequence
from typing import Any, NamedTuple

from judges.errors import CharterError, ModelError
from training.online.reward import Score, part_means
from training.ppo.experience import Drawn


class Outcome(NamedTuple):
    """One completion and its reward."""

    score: Score
    finished: bool
    tokens: int


def gather_outcomes(
    drawn: Sequence[Drawn], scores: Sequence[Score], failure: CharterError | None, processes: int
) -> list[Outcome]:
    """The outcomes of all processes, in each of them.

    Raises: the failure, where there is one; ModelError in the other processes, so that none waits
    for one that stopped.
    """
    if processes == 1:
        if failure is not None:
            raise failure
        return [Outcome(*row) for row in _rows(drawn, scores)]
    from accelerate.utils import gather_object

    stopped = [words for words in gather_object([str(failure) if failure else None]) if words]
    if failure is not None:
        raise failure
    if stopped:
        raise ModelError(f"another process of this run stopped: {stopped[0]}")
    return [Outcome(*row) for row in gather_object(_rows(drawn, scores))]


def _rows(drawn: Sequence[Drawn], scores: Sequence[Score]) -> list[tuple[Score, bool, int]]:
    return [
        (score, one.finished, len(one.sequence.completion))
        for one, score in zip(drawn, scores, strict=True)
    ]


def scored_values(outcomes: Sequence[Outcome]) -> list[float]:
    """The rewards there are."""
    return [one.score.value for one in outcomes if one.score.value is not None]


def outcome_metrics(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Metrics of a step's completions and rewards."""
    values = scored_values(outcomes)
    parts = part_means([one.score for one in outcomes])
    return {
        "reward": arithmetic.fmean(values),
        "reward_std": arithmetic.pstdev(values),
        **{f"reward/{name}": mean for name, mean in parts.items()},
        "unscored": len(outcomes) - len(values),
        "finished": arithmetic.fmean(float(one.finished) for one in outcomes),
        "completion_tokens": arithmetic.fmean(one.tokens for one in outcomes),
    }


def sample_lines(
    step: int, drawn: Sequence[Drawn], scores: Sequence[Score]
) -> list[dict[str, Any]]:
    """Completions with their rewards as lines of samples.jsonl."""
    return [
        {
            "step": step,
            "id": one.prompt_id,
            "completion": one.text,
            "finished": one.finished,
            "reward": score.value,
            "reason": score.reason,
            "parts": score.parts,
        }
        for one, score in zip(drawn, scores, strict=True)
    ]
