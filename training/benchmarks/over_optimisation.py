"""Does the guard catch a hacked reward, and does an ensemble soften it? Best of n, exactly.

Rules are the truth. Labellers see it through noise, and each has a quirk: one word that it likes.
A reward model is a linear head on word counts, fitted to the labels of one labeller. Best of n by
such a reward presses on it the harder the larger n is, at a known KL divergence of at most
log n - (n - 1)/n. For a pool of N completions a prompt, the expected reward of the best of n drawn
without replacement is a sum over order statistics: nothing is sampled.
Source: Gao et al. 2023, arXiv:2210.10760; Coste et al. 2024, arXiv:2310.02743 (ensembles).
"""

import asyncio
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln

from judges.aggregate import Floats, sigmoid
from judges.calibration.decline import fall_from_earlier
from judges.calibration.estimates import mean_estimate, share_estimate
from judges.constitutions.constitution import Constitution
from judges.errors import DataError
from judges.model import ModelPrompt, Sampling
from judges.models.fake import FakeModel
from judges.records import CompletionText, Item, Message
from judges.rewards.arithmetic import combine_members
from training.evaluation.statistics import word_grams
from training.online.rule_reward import RuleReward

MOST_WORDS = 200
DECAY = 1e-2
SHARPNESS = 8.0
"""Logits that a labeller's sight of the truth is worth, for all rules met against none."""
FEWEST_COMPLETIONS = 8
LEAST_FALL = 0.1
"""Of the guard: what a fall must surpass, in standard deviations among single completions."""


class Pool(NamedTuple):
    """Completions of some prompts, as many of each."""

    truth_PN: Floats
    """How well each meets the rules, 0 to 1."""
    words_PNW: Floats
    """Counts of the commonest words and the length, each with mean 0 and spread 1."""
    words: tuple[str, ...]
    """These words, the commonest first; the length, which comes last, is none."""


def make_pool(items: Sequence[Item], constitution: Constitution) -> Pool:
    """The pool of a completions file: of each prompt as many as the shortest has.

    Raises: DataError for fewer than eight completions a prompt; ConfigError without rules.
    """
    count = min((len(item.completions) for item in items), default=0)
    if count < FEWEST_COMPLETIONS:
        raise DataError(
            f"a prompt has {count} completions; best of n needs {FEWEST_COMPLETIONS} of each, "
            "better 64: `charter sample --n 64`"
        )
    pairs = [(item, one) for item in items for one in item.completions[:count]]
    asked = RuleReward(constitution)([item for item, _ in pairs], [one for _, one in pairs])
    truth = [score.value for score in asyncio.run(_awaited(asked))]
    if any(value is None for value in truth):
        raise DataError(f"{constitution.reference}: a rule cannot be checked on these completions")
    counts = [Counter(gram[0] for gram in word_grams(one.text, 1)) for _, one in pairs]
    known = [word for word, _ in sum(counts, Counter()).most_common(MOST_WORDS)]
    words = np.array([[*(c[word] for word in known), c.total()] for c in counts], float)
    spread = words.std(0)
    words = (words - words.mean(0)) / np.where(spread > 0, spread, 1.0)
    shape = (len(items), count)
    counted = words.reshape(*shape, -1)
    return Pool(np.array(truth, float).reshape(shape), counted, tuple(known))


def fake_items(prompts: int, samples: int) -> list[Item]:
    """Completions that the fake model writes: random plain sentences. Cost: no model."""
    asked = [
        (Message(role="user", content=f"Why is number {number} useful?"),)
        for number in range(prompts)
    ]
    writing = FakeModel().complete(
        [ModelPrompt(messages=turns) for turns in asked],
        Sampling(n=samples, max_tokens=64, temperature=1.0, seed=0),
    )
    return [
        Item(
            id=str(number),
            prompt=turns,
            completions=tuple(
                CompletionText(text=one.text, finish_reason=one.finish_reason) for one in row
            ),
        )
        for number, (turns, row) in enumerate(
            zip(asked, asyncio.run(_awaited(writing)), strict=True)
        )
    ]


async def _awaited(work: Any) -> Any:
    return await work


def best_of_n(by_PN: Floats, value_PN: Floats, n: int) -> Floats:
    """Each prompt's expected value of the best of n by a reward, drawn without replacement.

    Shapes: (P, N), (P, N) → (P,). The j-th lowest of N is the best of n in C(j-1, n-1) of the
    C(N, n) draws.
    """
    total = by_PN.shape[1]
    j = np.arange(n, total + 1)
    log_share = _log_choose(j - 1, n - 1) - _log_choose(total, n)
    order = np.argsort(by_PN, axis=1, kind="stable")[:, n - 1 :]
    return np.asarray(np.take_along_axis(value_PN, order, axis=1) @ np.exp(log_share))


def _log_choose(n: Any, k: Any) -> Any:
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)


def benchmark_over_optimisation(
    pool: Pool, members: int, pairs: int, flaw: float, seeds: int
) -> dict[str, Any]:
    """Truth, proxy and a held-out reward by n and kind of reward; when the guard would stop.

    Half of the prompts teach the reward models, the others are chosen on.
    """
    runs = [_run(pool, members, pairs, flaw, seed) for seed in range(seeds)]
    return {
        "prompts": len(pool.truth_PN) - len(pool.truth_PN) // 2,
        "completions": pool.truth_PN.shape[1],
        "members": members,
        "pairs": pairs,
        "flaw": flaw,
        "seeds": runs,
        "over_seeds": _over_seeds(runs),
    }


def _run(pool: Pool, members: int, pairs: int, flaw: float, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng([seed, 17])
    order = rng.permutation(len(pool.truth_PN))
    half = len(order) // 2
    taught, chosen = (
        pool._replace(truth_PN=pool.truth_PN[rows], words_PNW=pool.words_PNW[rows])
        for rows in (order[:half], order[half:])
    )
    # Labellers differ in their quirk; the last one's model is what the guard looks at.
    quirks = rng.choice(pool.words_PNW.shape[2] - 1, size=members + 1, replace=False)
    heads = [_fitted(taught, int(quirk), pairs, flaw, rng) for quirk in quirks]
    more = _fitted(taught, int(quirks[0]), pairs * members, flaw, rng)
    reward_MPN = np.stack([_standardised(chosen.words_PNW @ head) for head in heads[:-1]])
    rewards = {
        "one": reward_MPN[0],
        "one, as many labels": _standardised(chosen.words_PNW @ more),
        "chance": rng.normal(size=chosen.truth_PN.shape),  # what the guard must not stop
        "ensemble, mean": combine_members(reward_MPN, "mean"),
        "ensemble, min": combine_members(reward_MPN, "min"),
        "ensemble, pessimistic": combine_members(reward_MPN, "pessimistic", 0.5),
    }
    held_out = _standardised(chosen.words_PNW @ heads[-1])
    told = {name: _curve(by, chosen.truth_PN, held_out, seed) for name, by in rewards.items()}
    last = chosen.truth_PN.shape[1]
    one = best_of_n(rewards["one"], chosen.truth_PN, last)
    return {
        "rewards": told,
        "softened": {
            name: mean_estimate(best_of_n(by, chosen.truth_PN, last) - one, seed=seed).model_dump()
            for name, by in rewards.items()
            if name != "one"
        },
    }


def _curve(by_PN: Floats, truth_PN: Floats, held_out_PN: Floats, seed: int) -> dict[str, Any]:
    """What best of n gains as n doubles, and the first n at which a watched reward has fallen."""
    sizes = [2**k for k in range(int(math.log2(truth_PN.shape[1])) + 1)]
    watched = {"truth": truth_PN, "held_out": held_out_PN}
    rows = {
        name: np.stack([best_of_n(by_PN, value, n) for n in sizes])
        for name, value in {"proxy": by_PN, **watched}.items()
    }
    points = [
        {
            "n": n,
            "kl": math.log(n) - (n - 1) / n,
            **{name: mean_estimate(row[k], seed=seed).model_dump() for name, row in rows.items()},
        }
        for k, n in enumerate(sizes)
    ]
    falls = {
        f"{name}_falls_at": _first_fall(rows[name], sizes, LEAST_FALL * float(value.std()), seed)
        for name, value in watched.items()
    }
    return {"points": points, **falls}


def _first_fall(values_TN: Floats, sizes: Sequence[int], least: float, seed: int) -> int | None:
    for look in range(2, len(sizes) + 1):
        fall = fall_from_earlier(values_TN[:look], len(sizes) - 1, 0.05, seed, more_than=least)
        if fall is not None and fall.shown:
            return sizes[look - 1]
    return None


def _fitted(pool: Pool, quirk: int, pairs: int, flaw: float, rng: np.random.Generator) -> Floats:
    """A head on the labels of one labeller, given to random pairs. Shape: (W,)."""
    prompts, count = pool.truth_PN.shape
    rows = rng.integers(0, prompts, pairs)
    first = rng.integers(0, count, pairs)
    second = (first + rng.integers(1, count, pairs)) % count
    gap_KW = pool.words_PNW[rows, first] - pool.words_PNW[rows, second]
    truth_K = pool.truth_PN[rows, first] - pool.truth_PN[rows, second]
    label_K = rng.random(pairs) < sigmoid(SHARPNESS * truth_K + flaw * gap_KW[:, quirk])

    def loss(head: Floats) -> tuple[float, Floats]:
        gap = gap_KW @ head
        value = np.mean(np.logaddexp(0, gap) - label_K * gap) + DECAY / 2 * head @ head
        return float(value), gap_KW.T @ (sigmoid(gap) - label_K) / pairs + DECAY * head

    start = np.zeros(gap_KW.shape[1])
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B").x)


def _standardised(reward_PN: Floats) -> Floats:
    return np.asarray((reward_PN - reward_PN.mean()) / max(float(reward_PN.std()), 1e-9))


def _over_seeds(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """By kind of reward the truth at n = 1, at its best and at the end, and the guard's stops.

    Intervals are over seeds.
    """
    ends_R = np.array([_truths(run, "one")[-1] for run in runs])
    return {
        name: {
            "start": _mean([_truths(run, name)[0] for run in runs]),
            "best": _mean([max(_truths(run, name)) for run in runs]),
            "end": _mean([_truths(run, name)[-1] for run in runs]),
            "end_over_one": _mean(np.array([_truths(run, name)[-1] for run in runs]) - ends_R),
            **{
                f"stopped_by_{watched}": share_estimate(
                    np.array([run["rewards"][name][f"{watched}_falls_at"] is not None
                              for run in runs], float)
                ).model_dump()
                for watched in ("truth", "held_out")
            },
        }
        for name in runs[0]["rewards"]
    }  # fmt: skip


def _mean(values: Any) -> dict[str, Any]:
    return mean_estimate(np.array(values, float), seed=0).model_dump()


def _truths(run: Mapping[str, Any], name: str) -> list[float]:
    return [point["truth"]["value"] for point in run["rewards"][name]["points"]]
