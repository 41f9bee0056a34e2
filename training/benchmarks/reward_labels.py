"""Which labels teach a reward model best when the judge errs, by planted noise of known size.

The truth is the better side of each pair. A planted judge sees it through noise: its evidence is
x = d·t + ε, with t = ±1 and ε standard normal, right in a share Φ(d) of pairs. Told as p = σ(2d·x)
its doubt is exact; told as σ(4·2d·x) it is far too sure, as judges are that reason first. The same
evidence is then taken as it is, as certainty, or clamped, and each reward model is asked about the
truth of pairs of other prompts.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import norm

from judges.aggregate import Floats, sigmoid
from judges.calibration.estimates import mean_estimate, share_estimate
from judges.errors import ConfigError
from training.benchmarks.states import StatedPrompt, fit_best, split_prompts
from training.rewards.accuracy import TIE, beside_length, outcomes
from training.rewards.examples import Labels, relabel

KINDS: tuple[Labels, ...] = ("soft", "hard", "clamped")
JUDGES = {"calibrated": 1.0, "overconfident": 4.0}
CLAMP = 0.6


def benchmark_reward_labels(
    prompts: Sequence[StatedPrompt], right: float, draws: int, seed: int
) -> dict[str, Any]:
    """Accuracy on unseen pairs by kind of label and judge, and paired differences from soft.

    Without noise it stands beside what preferring the shorter and the longer completion, by
    characters, get of the same pairs, and how far it is above the better of the two.

    Raises: ConfigError for a share that no such judge has right.
    """
    if not 0.5 < right < 1:
        raise ConfigError(f"--right is {right}; use a share above 0.5 and below 1")
    told: dict[tuple[str, str], list[float]] = {}
    groups: list[int] = []
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw])
        train, rest = split_prompts(prompts, rng)
        evidence = [_evidence(prompts[i].ranked.p_HNN[0], right, rng) for i in train]
        for judge, sureness in JUDGES.items():
            for kind in KINDS:
                labels = [_labels(x, right, sureness, kind) for x in evidence]
                (head,) = fit_best([prompts[i] for i in train], labels)
                told.setdefault((judge, kind), []).extend(_right(prompts, rest, head))
        (head,) = fit_best([prompts[i] for i in train], [prompts[i].ranked.p_HNN for i in train])
        told.setdefault(("truth", "labels"), []).extend(_right(prompts, rest, head))
        told.setdefault(("truth", "longer"), []).extend(_longer(prompts, rest))
        groups += _groups(prompts, rest)
    right_N, longer_N = (np.array(told.pop(("truth", name))) for name in ("labels", "longer"))
    return {
        "prompts": len(prompts),
        "pairs": sum(one.ranked.pairs for one in prompts),
        "judge_right": right,
        "draws": draws,
        "without_noise": {
            "accuracy": share_estimate(right_N, groups).model_dump(),
            **beside_length(right_N, longer_N, groups, seed).model_dump(),
        },
        "accuracy": {
            f"{judge}, {kind}": share_estimate(np.array(values), groups).model_dump()
            for (judge, kind), values in told.items()
        },
        "soft_minus": {
            f"{judge}, {kind}": mean_estimate(
                np.array(told[judge, "soft"]) - np.array(told[judge, kind]), groups, seed=seed
            ).model_dump()
            for judge in JUDGES
            for kind in KINDS[1:]
        },
    }


def _evidence(p_NN: Floats, right: float, rng: np.random.Generator) -> Floats:
    """What the planted judge sees of each pair, antisymmetric; NaN where there is no truth."""
    truth = np.where(np.abs(p_NN - 0.5) < TIE, np.nan, np.sign(p_NN - 0.5))
    noise = np.triu(rng.normal(size=truth.shape), 1)
    return np.asarray(norm.ppf(right) * truth + noise - noise.T)


def _labels(x_NN: Floats, right: float, sureness: float, kind: Labels) -> Floats:
    p = sigmoid(sureness * 2 * norm.ppf(right) * x_NN)
    return relabel(p[None], kind, CLAMP)


def _right(prompts: Sequence[StatedPrompt], places: Sequence[int], head: Floats) -> list[float]:
    return [
        right
        for i in places
        for right in outcomes(prompts[i].states_ND @ head, prompts[i].ranked.p_HNN[0])
    ]


def _longer(prompts: Sequence[StatedPrompt], places: Sequence[int]) -> list[float]:
    """What preferring the completion of more characters gets of the same pairs."""
    return [
        right
        for i in places
        for right in outcomes(
            np.array([len(text[0].content) for text in prompts[i].ranked.completions], float),
            prompts[i].ranked.p_HNN[0],
        )
    ]


def _groups(prompts: Sequence[StatedPrompt], places: Sequence[int]) -> list[int]:
    """The prompt of each pair that `_right` tells of: the same in every draw."""
    counts = [
        len(outcomes(np.zeros(len(prompts[i].states_ND)), prompts[i].ranked.p_HNN[0]))
        for i in places
    ]
    return [i for i, count in zip(places, counts, strict=True) for _ in range(count)]
