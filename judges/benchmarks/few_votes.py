"""Kendall τ against votes spent: the most telling pairs, random pairs and all, on simulated judges.

A simulated judge sees the true strengths, prefers what is shown first, and adds noise to each vote.
Every arm asks it through the functions that `charter rank --pairs` calls, sees the same noise, and
is ranked by the same Bradley–Terry fit; arms are compared item by item, at equal votes.

`scattered` draws pairs at random from all; `random` is the stronger baseline that `rank --pairs
random` offers, which makes sure first that the pairs connect all completions. A completion that no
pair connects is unranked, and agrees with nothing.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from judges.active_pairs import (
    Bools,
    Goal,
    Stop,
    budget_of,
    doubt_of,
    next_pairs,
    opening_pairs,
    posterior_of,
    round_size,
)
from judges.aggregate import Floats, order_completions, sigmoid
from judges.intervals import Z_95

COMPLETIONS = 8
SPREAD = 2.0
"""Standard deviation of the true strengths, in logits."""
POSITION_BIAS = 1.0
"""Logits that a completion gains by being shown first."""
NOISES = (0.1, 0.3, 1.0)
"""Standard deviation of the noise on one vote, in logits."""
TIE_MARGIN = 0.05
VOTES_A_PAIR = 2
ARMS = ("scattered", "random", "active")


def benchmark_few_votes(
    items: int = 1000, seed: int = 0, noises: Sequence[float] = NOISES
) -> dict[str, Any]:
    """For each noise and number of votes: each arm's τ to the truth and to all pairs, and what the
    most telling pairs gain; then where the stop rules stop.

    Units: every number with its 95 % interval over items, and their n.
    Cost: no model call; about half a minute at 1000 items.
    """
    found = [_under_noise(noise, items, seed) for noise in noises]
    return {
        "completions": COMPLETIONS,
        "spread": SPREAD,
        "position_bias": POSITION_BIAS,
        "items": items,
        "seed": seed,
        "columns": "each estimate: mean, low, high of the 95 % interval, n",
        "rows": [row for rows, _ in found for row in rows],
        "stops": [stop for _, stops in found for stop in stops],
    }


def as_table(result: dict[str, Any]) -> str:
    """The rows for reading: τ to the truth by arm, and what `active` gains."""
    lines = ["noise votes  scattered  random  active     all   active - random        to all pairs"]
    for row in result["rows"]:
        tau, gain = row["tau_to_truth"], row["active_minus_random"]
        mean, low, high = (f"{x:+.4f}" for x in gain[:3])
        cells = "  ".join(f"{tau[arm][0]:.4f}" for arm in (*ARMS, "all"))
        near = row["tau_to_all_pairs"]["active"][0]
        lines.append(
            f"{row['noise']:5} {row['votes']:5}     {cells}   {mean} ({low} to {high})   {near:.4f}"
        )
    for stop in result["stops"]:
        votes, right = stop["votes"][0], stop["best_is_right_when_settled"]
        lines.append(
            f"noise {stop['noise']}, goal {stop['goal']}, at most {stop['budget_votes']} votes: "
            f"{votes:.1f} votes, {stop['settled'][0]:.0%} settled, best right in {right[0]:.1%} of "
            f"these (n = {right[3]})"
        )
    return "\n".join(lines)


def _under_noise(
    noise: float, items: int, seed: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rng = np.random.default_rng([seed, round(noise * 1000)])
    truth_RN = rng.normal(0, SPREAD, (items, COMPLETIONS))
    p_RNN = simulate_judge(truth_RN, noise, rng)
    everything = np.broadcast_to(~np.eye(COMPLETIONS, dtype=bool), p_RNN.shape)
    of_all, cycles_of_all = rank_seen(p_RNN, everything)
    seeds = rng.integers(0, 2**62, items).tolist()
    asked = {
        "scattered": _scattered(items, rng),
        "random": [_opened(seeds, count, "random") for count in _counts()],
        "active": _active(p_RNN, seeds, _counts()),
    }
    rows = []
    for place, count in enumerate(_counts()):
        ranked = {arm: rank_seen(p_RNN, asked[arm][place]) for arm in ARMS}
        tau = {arm: kendall(score, truth_RN) for arm, (score, _) in ranked.items()}
        near = {arm: kendall(score, of_all) for arm, (score, _) in ranked.items()}
        rows.append(
            {
                "noise": noise,
                "pairs": count,
                "votes": VOTES_A_PAIR * count,
                "tau_to_truth": {arm: estimate(tau[arm]) for arm in ARMS}
                | {"all": estimate(kendall(of_all, truth_RN))},
                "tau_to_all_pairs": {arm: estimate(near[arm]) for arm in ARMS},
                "active_minus_random": estimate(tau["active"] - tau["random"]),
                "active_minus_scattered": estimate(tau["active"] - tau["scattered"]),
                "cycles": {arm: estimate(seen) for arm, (_, seen) in ranked.items()}
                | {"all": estimate(cycles_of_all)},
            }
        )
    goals: tuple[Goal, ...] = ("order", "best")
    return rows, [_stops(p_RNN, truth_RN, seeds, noise, goal) for goal in goals]


def simulate_judge(truth_RN: Floats, noise: float, rng: np.random.Generator) -> Floats:
    """P(row better than column), both orders of every pair asked once each. (R, N) → (R, N, N)"""
    gap = truth_RN[:, :, None] - truth_RN[:, None, :]
    shown_RNN = gap + POSITION_BIAS + noise * rng.normal(size=gap.shape)
    return sigmoid((shown_RNN - shown_RNN.swapaxes(1, 2)) / 2)


def rank_seen(p_RNN: Floats, asked_RNN: Bools) -> tuple[Floats, Floats]:
    """The scores from the pairs asked, NaN where unranked, and how many cycles they show.

    Shapes: (R, N, N), (R, N, N) → (R, N), (R,)
    """
    diagonal = np.eye(p_RNN.shape[-1], dtype=bool)
    orders = order_completions(np.where(asked_RNN | diagonal, p_RNN, np.nan), TIE_MARGIN)
    scores = np.array([[np.nan if s is None else s for s in order.scores] for order in orders])
    return scores, np.array([len(order.cycles) for order in orders], float)


def kendall(score_RN: Floats, truth_RN: Floats) -> Floats:
    """Kendall's τ of each row; a pair tied or unranked counts 0. Shapes: (R,)"""
    i, j = np.triu_indices(score_RN.shape[-1], 1)
    ours = np.nan_to_num(np.sign(score_RN[:, i] - score_RN[:, j]))
    return np.asarray((ours * np.sign(truth_RN[:, i] - truth_RN[:, j])).mean(1))


def estimate(values: npt.NDArray[Any]) -> list[float]:
    """Mean, low, high of the 95 % interval, and n."""
    n = len(values)
    if n < 2:
        return [float(values.mean()) if n else float("nan"), float("nan"), float("nan"), n]
    mean, half = float(values.mean()), Z_95 * float(values.std(ddof=1)) / n**0.5
    return [round(mean, 5), round(mean - half, 5), round(mean + half, 5), n]


def _counts() -> list[int]:
    """How many pairs are asked when arms are compared: after the ring, after each round."""
    most = COMPLETIONS * (COMPLETIONS - 1) // 2
    return list(range(COMPLETIONS, most - COMPLETIONS + 1, round_size(COMPLETIONS)))


def _scattered(items: int, rng: np.random.Generator) -> list[Bools]:
    i, j = np.triu_indices(COMPLETIONS, 1)
    place_RK = rng.random((items, len(i))).argsort(1).argsort(1)
    made = []
    for count in _counts():
        asked = np.zeros((items, COMPLETIONS, COMPLETIONS), bool)
        asked[:, i, j] = asked[:, j, i] = place_RK < count
        made.append(asked)
    return made


def _opened(seeds: list[int], count: int, mode: Any) -> Bools:
    asked = np.zeros((len(seeds), COMPLETIONS, COMPLETIONS), bool)
    for row, seed in enumerate(seeds):
        for i, j in opening_pairs(COMPLETIONS, count, seed, mode):
            asked[row, i, j] = asked[row, j, i] = True
    return asked


def _active(p_RNN: Floats, seeds: list[int], counts: list[int]) -> list[Bools]:
    """What is asked after each round, never stopping early: so that votes are equal."""
    made = [_opened(seeds, counts[0], "active")]
    for count in counts[1:]:
        made.append(_next(p_RNN, made[-1], count, Stop(doubt=0.0)))
    return made


def _next(p_RNN: Floats, asked_RNN: Bools, budget: int, stop: Stop) -> Bools:
    asked = asked_RNN.copy()
    for row, pairs in enumerate(next_pairs(p_RNN, asked, budget, stop)):
        for i, j in pairs:
            asked[row, i, j] = asked[row, j, i] = True
    return asked


def _stops(
    p_RNN: Floats, truth_RN: Floats, seeds: list[int], noise: float, goal: Goal
) -> dict[str, Any]:
    """What the default budget costs when asking stops as soon as the goal is settled."""
    budget, stop = budget_of(COMPLETIONS, None), Stop(goal, tie_margin=TIE_MARGIN)
    asked = _opened(seeds, budget, "active")
    while (more := _next(p_RNN, asked, budget, stop)).sum() > asked.sum():
        asked = more
    score_RN, _ = rank_seen(p_RNN, asked)
    settled = doubt_of(posterior_of(p_RNN, asked), stop) < stop.doubt
    right = score_RN.argmax(1) == truth_RN.argmax(1)
    return {
        "noise": noise,
        "goal": goal,
        "budget_votes": VOTES_A_PAIR * budget,
        "votes": estimate(VOTES_A_PAIR * asked.sum((1, 2)) / 2),
        "settled": estimate(settled),
        "best_is_right": estimate(right),
        "best_is_right_when_settled": estimate(right[settled]),
        "tau_to_truth": estimate(kendall(score_RN, truth_RN)),
    }
