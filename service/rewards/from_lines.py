"""Rewards out of score and ranking lines, as `/v1/score` and `/v1/rank` give them. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from service.rewards.samples import Reward, no_reward

Ask = Literal["yes-no", "rating"]
Line = Mapping[str, Any]


def rewards_from_scores(line: Line, count: int, ask: Ask) -> list[Reward]:
    """The reward of each completion of a score line.

    Units: 0 to 1: the constitution's score by P(yes), or its mean rating from 1 to 10 on that
    scale.
    """
    if "reasons" not in line:
        return [no_reward(str(line["reason"]), str(line.get("detail", "")))] * count
    values = line["scores"] if ask == "yes-no" else [_share(r) for r in line["ratings"]]
    parts = {
        name: part["score"] if ask == "yes-no" else [_share(r) for r in part["rating"]]
        for name, part in line["principles"].items()
    }
    return [
        _reward(line, value, line["reasons"][n], {name: p[n] for name, p in parts.items()})
        for n, value in enumerate(values)
    ]


def rewards_from_ranking(line: Line, count: int) -> list[Reward]:
    """The reward of each completion of a group: its mean chance to beat another of the group.

    Units: 0 to 1, half on average. By the ranking's Bradley-Terry scores, so also where not every
    pair was judged.
    """
    if not line.get("ranking"):
        return [no_reward(str(line["reason"]), str(line.get("detail", "")))] * count
    scores = line["scores"]
    gap = _mean_gap(line["principles"])
    unranked = line["unranked"]
    return [
        _reward(
            line,
            _chance(scores, n),
            unranked.get(str(n), line["reason"]),
            {name: _row_mean(part["p"], n) for name, part in line["principles"].items()},
            gap,
        )
        for n in range(count)
    ]


def _reward(
    line: Line,
    value: float | None,
    reason: str | None,
    parts: Mapping[str, float | None],
    gap: float | None = None,
) -> Reward:
    value = _number(value)
    return Reward(
        value=value,
        reason=None if value is not None else reason or "missing_vote",
        detail="" if value is not None else str(line.get("detail", "")),
        principles={n: p for n, part in parts.items() if (p := _number(part)) is not None},
        order_gap=gap,
        constitution=line["digests"]["constitution"],
    )


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _share(rating: float | None) -> float | None:
    return None if _number(rating) is None or rating is None else (rating - 1) / 9


def _chance(scores: Sequence[float | None], n: int) -> float | None:
    own = _number(scores[n])
    others = [s for m, s in enumerate(scores) if m != n and _number(s) is not None]
    if own is None or not others:
        return None
    return sum(1 / (1 + math.exp(other - own)) for other in others if other is not None) / len(
        others
    )


def _row_mean(p: Sequence[Sequence[float | None]], n: int) -> float | None:
    known = [x for m, x in enumerate(p[n]) if m != n and _number(x) is not None and x is not None]
    return sum(known) / len(known) if known else None


def _mean_gap(principles: Mapping[str, Any]) -> float | None:
    gaps = [_number(part.get("order_gap")) for part in principles.values()]
    known = [abs(gap) for gap in gaps if gap is not None]
    return sum(known) / len(known) if known else None
