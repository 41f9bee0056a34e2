"""Does re-weighting heads replace retraining? Agreement with relabelling under edited weights.

One reward model has a head for each principle, fitted once. Each weight in turn is multiplied and
divided; the labels of unseen prompts are made anew from their votes, by the aggregation that
rankings are made by. Against them: the same heads, aggregated under the new weights, and a reward
model of the whole that is fitted anew on the relabelled training pairs, or left as it was.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from judges.aggregate import Floats, aggregate, scheme_of
from judges.calibration.estimates import mean_estimate, share_estimate
from judges.constitutions.constitution import Constitution
from judges.errors import DataError
from training.benchmarks.states import StatedPrompt, fit_best, split_prompts
from training.rewards.accuracy import TIE, outcomes

SUREST = 30.0
"""Log-odds that a label of 0 or 1 stands for."""
MODELS = ("heads", "retrained", "as it was")


def benchmark_reward_heads(
    prompts: Sequence[StatedPrompt],
    constitution: Constitution,
    factor: float,
    draws: int,
    seed: int,
) -> dict[str, Any]:
    """Agreement of each model with the relabelled pairs of unseen prompts, over all and flipped.

    `prompts` have a head of labels for each principle, in order. Raises: DataError when no edit
    flips a label.
    """
    old = [_relabelled(one.ranked.p_HNN, one.ranked.applies_H, constitution) for one in prompts]
    edits = list(_edits(constitution, factor))
    told: dict[str, list[float]] = {name: [] for name in MODELS}
    groups: list[int] = []
    flipped: list[bool] = []
    fits = 0
    for draw in range(draws):
        train, rest = split_prompts(prompts, np.random.default_rng([seed, draw]))
        learnt = [prompts[i] for i in train]
        heads = fit_best(learnt, [one.ranked.p_HNN for one in learnt])
        (before,) = fit_best(learnt, [old[i][None] for i in train])
        for _, edited in edits:
            new = [_relabelled(one.ranked.p_HNN, one.ranked.applies_H, edited) for one in prompts]
            (after,) = fit_best(learnt, [new[i][None] for i in train])
            fits += 1
            for i in rest:
                rewards = prompts[i].states_ND @ heads.T
                gaps = rewards.T[:, :, None] - rewards.T[:, None, :]
                by_heads = _verdict(gaps, prompts[i].ranked.applies_H, edited)
                told["heads"] += _agreement(by_heads, new[i])
                for name, head in (("retrained", after), ("as it was", before)):
                    told[name] += outcomes(prompts[i].states_ND @ head, new[i])
                turned = _turned(old[i], new[i])
                flipped += turned
                groups += [i] * len(turned)
    some = np.array(flipped)
    if not some.any():
        raise DataError(f"no label flips when weights change by {factor}; raise --factor")
    return {
        "prompts": len(prompts),
        "edits": len(edits),
        "draws": draws,
        "retrained_models": fits,
        "flipped": float(some.mean()),
        "all": _compare(told, np.ones(len(some), bool), groups, seed),
        "flipped_pairs": _compare(told, some, groups, seed),
    }


def _edits(constitution: Constitution, factor: float) -> Iterator[tuple[str, Constitution]]:
    """The constitution with each weight in turn multiplied and divided."""
    for principle in constitution.principles:
        for name, scale in ((f"{principle.id} x", factor), (f"{principle.id} /", 1 / factor)):
            changed = principle.model_copy(update={"weight": principle.weight * scale})
            principles = tuple(
                changed if one.id == principle.id else one for one in constitution.principles
            )
            yield name, constitution.model_copy(update={"principles": principles})


def _relabelled(p_PNN: Floats, applies_P: Floats, constitution: Constitution) -> Floats:
    """The labels of a prompt's pairs under a constitution, from each principle's own."""
    inside = np.clip(p_PNN, 1e-13, 1 - 1e-13)
    logits = np.clip(np.log(inside) - np.log1p(-inside), -SUREST, SUREST)
    return _verdict(logits, applies_P, constitution)


def _verdict(logit_PNN: Floats, applies_P: Floats, constitution: Constitution) -> Floats:
    verdicts = aggregate(logit_PNN[None], applies_P[None], scheme_of(constitution))
    return np.asarray(verdicts.p_RNN[0])


def _told(p_NN: Floats) -> tuple[Any, Any]:
    """The pairs whose label names a better side, as `outcomes` takes them."""
    i, j = np.triu_indices(len(p_NN), 1)
    label = p_NN[i, j] - 0.5
    told = ~np.isnan(label) & (np.abs(label) >= TIE) & (label != 0)
    return i[told], j[told]


def _agreement(p_NN: Floats, label_NN: Floats) -> list[float]:
    """For each pair with a better side: 1 where the verdict names it too, 0.5 where none."""
    i, j = _told(label_NN)
    side = np.sign(np.nan_to_num(p_NN[i, j] - 0.5)) * np.sign(label_NN[i, j] - 0.5)
    return list((0.5 + 0.5 * side).tolist())


def _turned(old_NN: Floats, new_NN: Floats) -> list[bool]:
    """Of each pair with a better side now, whether it was the other before."""
    i, j = _told(new_NN)
    before, now = old_NN[i, j] - 0.5, new_NN[i, j] - 0.5
    return list((np.sign(np.nan_to_num(before)) == -np.sign(now)).tolist())


def _compare(
    told: dict[str, list[float]], some: Any, groups: Sequence[int], seed: int
) -> dict[str, Any]:
    values = {name: np.array(one)[some] for name, one in told.items()}
    kept = np.array(groups)[some]
    return {
        **{name: share_estimate(one, kept).model_dump() for name, one in values.items()},
        "heads_minus_retrained": mean_estimate(
            values["heads"] - values["retrained"], kept, seed=seed
        ).model_dump(),
    }
