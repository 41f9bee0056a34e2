"""Curves of reward over KL, and methods read off them at equal KL: pure functions of results."""

import itertools
from collections.abc import Sequence
from typing import Any

from training.evaluation.statistics import mean_interval

LEVELS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Nats an answer at which methods are compared, where they reach them."""
COSTS = ("samples", "seconds")
"""What a point took, a mean over the runs of which it is known."""


def summarise(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Every point, pooled over seeds; and each method at the KL values that all curves reach."""
    points: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for line in lines:
        points.setdefault((line["method"], line["step"]), []).append(line)
    curves = [
        {"method": name, "step": step, **_row(runs, _mean([r["kl"] for r in runs]))}
        for (name, step), runs in points.items()
    ]
    return {"points": curves, "at_equal_kl": at_equal_kl(lines)}


def at_equal_kl(
    lines: Sequence[dict[str, Any]], levels: Sequence[float] = LEVELS
) -> dict[str, dict[str, Any]]:
    """Each method at each KL that its curves reach under every seed."""
    seeds = sorted({line["seed"] for line in lines})
    names = [name for name in dict.fromkeys(line["method"] for line in lines) if name != "base"]
    table: dict[str, dict[str, Any]] = {}
    for level in levels:
        row: dict[str, Any] = {}
        for name in names:
            read = [read_curve(_curve(lines, name, seed), level) for seed in seeds]
            reached = [one for one in read if one is not None]
            if reached and len(reached) == len(read):
                row[name] = _row(reached, level)
        table[f"{level:g} nats"] = row
    return table


def _curve(lines: Sequence[dict[str, Any]], name: str, seed: int) -> list[dict[str, Any]]:
    own = [line for line in lines if line["seed"] == seed and line["method"] in ("base", name)]
    return sorted(own, key=lambda line: line["step"])


def read_curve(curve: Sequence[dict[str, Any]], level: float) -> dict[str, Any] | None:
    """A curve's values where its KL first reaches a level, linear between two points; else None."""
    reached = first_reached([_mean([point["kl"]]) for point in curve], level)
    if reached is None:
        return None
    place, part = reached
    before, after = curve[place], curve[place + 1]
    mixed: dict[str, Any] = {
        name: [(1 - part) * a + part * b for a, b in zip(before[name], after[name], strict=True)]
        for name in ("wins", "reward", "sane")
    }
    for name in COSTS:
        ends = (before[name], after[name])
        mixed[name] = None if None in ends else (1 - part) * ends[0] + part * ends[1]
    return mixed | {"prompts": before["prompts"]}


def first_reached(kl: Sequence[float], level: float) -> tuple[int, float] | None:
    """The point before a level is first reached, and the part of the way to the next; else None."""
    for place, (low, high) in enumerate(itertools.pairwise(kl)):
        if low <= level <= high and high > low:
            return place, (level - low) / (high - low)
    return None


def _row(runs: Sequence[dict[str, Any]], kl: float) -> dict[str, Any]:
    prompts = [name for run in runs for name in run["prompts"]]
    told: dict[str, Any] = {"kl": round(kl, 3), "runs": len(runs), "n": len(prompts)}
    for name in ("reward", "wins", "sane"):
        values = [value for run in runs for value in run[name]]
        interval = mean_interval(values, prompts, seed=0)
        told[name] = [round(x, 3) for x in (interval.mean, interval.low, interval.high)]
    for name in COSTS:
        known = [run[name] for run in runs if run[name] is not None]
        told[name] = round(sum(known) / len(known), 1) if known else None
    return told


def _mean(rows: Sequence[Sequence[float]]) -> float:
    values = [value for row in rows for value in row]
    return sum(values) / len(values)
