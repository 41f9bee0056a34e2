"""One look at a policy: what its completions are worth, and what they look like.

Each number rests on completions of the same held-out prompts and has its n and its interval over
prompts.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from judges.calibration.decline import Fall, fall_from_earlier
from judges.calibration.estimates import Estimate, mean_estimate, share_estimate
from judges.records import CompletionText, Record
from training.evaluation.refusals import refusal_share
from training.evaluation.statistics import distinct_n, sane
from training.online.reward import Score

PROXY = "proxy"
EXAMPLES = 4
VARIANCE = "variance"
"""The part of a score that says how far the members of an ensemble disagree."""


class Answer(NamedTuple):
    """A completion as the guard sees it."""

    prompt: int
    """Row of its prompt."""
    completion: CompletionText
    kl: float | None
    """Nats from the reference, along the completion; None where not measured."""


class Observation(Record):
    """One look; a line of guard.jsonl."""

    step: int
    """Steps done when the guard looked; 0 is before the first."""
    completions: int
    """Completions of the held-out prompts."""
    proxy: Estimate | None
    """The reward that is trained on; None where nothing was scored."""
    held_out: dict[str, Estimate | None]
    """Each reward that is not trained on."""
    kl: Estimate | None
    """KL divergence from the reference, nats a completion; None where not measured."""
    words: Estimate
    """Words a completion."""
    sane: Estimate
    """Share of finished sentences in no loop."""
    distinct_2: float
    """Distinct word pairs over all word pairs of these completions; falls as they grow longer."""
    repeated: Estimate
    """Share of completions that are word for word another prompt's."""
    refused: Estimate | None
    """Share of safe prompts refused; None where none are given."""
    variance: Estimate | None
    """How far the members of an ensemble of reward models disagree; None without one."""
    unscored: dict[str, int]
    """Completions without a number, by reward."""
    falls: dict[str, Fall]
    """Each held-out reward against its earlier looks."""
    stopped: str | None = None
    """Why the run ends here."""
    seconds: float
    """What the look took."""
    prompts: str = ""
    """Digest of the held-out prompts: looks at others cannot be compared."""
    examples: tuple[str, ...] = ()
    """The first prompts' completions, not a selection."""
    values: dict[str, tuple[float | None, ...]]
    """Each prompt's mean reward, by reward: what falls are computed from."""


def observe(
    step: int,
    answers: Sequence[Answer],
    scores: Mapping[str, Sequence[Score]],
    safe: Sequence[str],
    prompts: int,
    earlier: Sequence[Observation],
    planned: int,
    level: float,
    seed: int,
    seconds: float,
    least_fall: float = 0.0,
) -> Observation:
    """The numbers of a look. `scores` are named, the proxy among them; `safe` may be empty."""
    rows = [one.prompt for one in answers]
    values = {name: _prompt_means(rows, told, prompts) for name, told in scores.items()}
    held_out = [name for name in scores if name != PROXY]
    texts = [one.completion.text for one in answers]
    kls = [(row, one.kl) for row, one in zip(rows, answers, strict=True) if one.kl is not None]
    each = level / len(held_out)
    return Observation(
        step=step,
        completions=len(answers),
        proxy=_mean(rows, [one.value for one in scores[PROXY]], seed),
        held_out={n: _mean(rows, [one.value for one in scores[n]], seed) for n in held_out},
        kl=_mean([row for row, _ in kls], [kl for _, kl in kls], seed),
        words=mean_estimate(np.array([len(t.split()) for t in texts], float), rows, seed=seed),
        sane=share_estimate(np.array([sane(one.completion) for one in answers], float), rows),
        distinct_2=distinct_n(texts, 2),
        repeated=share_estimate(_repeated(rows, texts), rows),
        refused=refusal_share(safe) if safe else None,
        variance=_mean(rows, [_variance(one) for one in scores[PROXY]], seed),
        unscored={n: sum(one.value is None for one in told) for n, told in scores.items()},
        falls={
            name: fall
            for name in held_out
            if (fall := _fall(name, values[name], earlier, planned, each, seed, least_fall))
            is not None
        },
        seconds=round(seconds, 2),
        examples=tuple(texts[:EXAMPLES]),
        values=values,
    )


def best_of(looks: Sequence[Observation]) -> Observation | None:
    """The look whose first held-out reward is highest; None before any has been scored."""

    def first(look: Observation) -> float:
        found = next(iter(look.held_out.values()))
        return -np.inf if found is None else found.value

    found = max(looks, key=first, default=None)
    return None if found is None or first(found) == -np.inf else found


def _fall(
    name: str,
    now: Sequence[float | None],
    earlier: Sequence[Observation],
    planned: int,
    level: float,
    seed: int,
    least: float,
) -> Fall | None:
    table = [*(look.values[name] for look in earlier), now]
    values_TN = np.array([[np.nan if v is None else v for v in row] for row in table], float)
    spread = float(np.nanstd(values_TN[0])) if np.isfinite(values_TN[0]).any() else 0.0
    return fall_from_earlier(values_TN, planned, level, seed, more_than=least * spread)


def _mean(rows: Sequence[int], values: Sequence[float | None], seed: int) -> Estimate | None:
    kept = [(row, value) for row, value in zip(rows, values, strict=True) if value is not None]
    if not kept:
        return None
    return mean_estimate(np.array([v for _, v in kept]), [row for row, _ in kept], seed=seed)


def _prompt_means(
    rows: Sequence[int], scores: Sequence[Score], prompts: int
) -> tuple[float | None, ...]:
    told: list[list[float]] = [[] for _ in range(prompts)]
    for row, score in zip(rows, scores, strict=True):
        if score.value is not None:
            told[row].append(score.value)
    return tuple(float(np.mean(one)) if one else None for one in told)


def _variance(score: Score) -> float | None:
    found = [v for name, v in score.parts.items() if name.rpartition("/")[2] == VARIANCE]
    return found[0] if found else None


def _repeated(rows: Sequence[int], texts: Sequence[str]) -> npt.NDArray[np.float64]:
    prompts: dict[str, set[int]] = {}
    for row, text in zip(rows, texts, strict=True):
        prompts.setdefault(text, set()).add(row)
    return np.array([len(prompts[text]) > 1 for text in texts], float)
