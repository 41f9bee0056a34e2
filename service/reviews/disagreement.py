"""Which pairs of stored rankings are worth a person's time: those that judging disagrees on. Pure.

Between principles: how evenly they pull both ways. Between orders: how far the probability moves
when the two completions change places. Between judges: how far apart they are, where the same
completions were ranked by several. Between 0 and 1 each; a pair counts by its largest.
"""

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from random import Random
from typing import Any, Literal, NamedTuple

from judges.canonical import digest
from judges.errors import DataError
from judges.records import Message, Probability, Record

Between = Literal["principles", "orders", "judges"]
Drawn = Literal["disagreement", "random"]
UNDECIDED = 0.1
"""What a verdict of one half counts beside disagreement: it settles which of equals goes first."""
SPARE = 8
"""Pairs kept for each one wanted while rankings are read: many may be of one prompt."""
HELD = 200_000
"""Most pairs whose several judges are remembered while rankings are read."""


class ReviewPair(Record):
    """A pair for people to judge, and what was judged of it so far."""

    prompt: tuple[Message, ...]
    """What both answer."""
    first: str
    """One completion; which one is first follows from the texts alone, so that it tells nothing."""
    second: str
    """The other."""
    p: Probability
    """P(first over second), the mean of the judges."""
    principles: dict[str, Probability]
    """The same by each principle."""
    disagreement: float
    """0: all agree; 1: they could not disagree more."""
    between: Between
    """Where the disagreement is largest."""
    drawn: Drawn = "disagreement"
    """How it was chosen; only what was drawn at random tells of the judge in general."""
    source: str = ""
    """Id of the ranking it comes from."""
    digests: dict[str, str | None]
    """Constitution, judge and calibration behind the verdict."""

    @property
    def id(self) -> str:
        """Names the pair by its content: the same pair is the same review."""
        turns = [[turn.role, turn.content] for turn in self.prompt]
        return "review-" + digest([turns, self.first, self.second])[:24]


class _Judged(NamedTuple):
    p: float
    disagreement: float
    between: Between
    by: str


def chosen_pairs(
    rankings: Iterable[Mapping[str, Any]],
    limit: int,
    *,
    per_prompt: int = 1,
    random_share: float = 0.1,
    seed: int = 0,
) -> list[ReviewPair]:
    """The pairs of some ranking lines to review, the highest disagreement first.

    `random_share` of them are drawn at random from all others, so that agreement with people can
    also be told for the judge in general. Memory: the chosen pairs, and a number for each pair.
    Raises: DataError for a line that is no ranking with its texts.
    """
    by_chance = round(limit * random_share)
    rng = Random(seed)
    best: list[tuple[float, int, ReviewPair]] = []
    drawn: list[ReviewPair] = []
    judged: dict[str, _Judged] = {}
    for count, read in enumerate(_pairs(rankings), start=1):
        pair = _with_others(read, judged)
        heapq.heappush(best, (pair.disagreement, count, pair))
        if len(best) > SPARE * limit:
            heapq.heappop(best)
        if len(drawn) < by_chance:
            drawn.append(pair)
        elif by_chance and (place := rng.randrange(count)) < by_chance:
            drawn[place] = pair
    ordered = [pair for _, _, pair in sorted(best, key=lambda one: one[:2], reverse=True)]
    kept = _spread(ordered, limit - by_chance, per_prompt)
    for pair in drawn:  # also one that was chosen: what is drawn must be a sample of all
        kept[pair.id] = kept.get(pair.id, pair).model_copy(update={"drawn": "random"})
    return list(kept.values())


def _spread(pairs: Iterable[ReviewPair], limit: int, per_prompt: int) -> dict[str, ReviewPair]:
    """The first of the pairs, at most so many of one prompt."""
    kept: dict[str, ReviewPair] = {}
    taken: Counter[str] = Counter()
    for pair in pairs:
        prompt = digest([[turn.role, turn.content] for turn in pair.prompt])
        if len(kept) < limit and pair.id not in kept and taken[prompt] < per_prompt:
            taken[prompt] += 1
            kept[pair.id] = pair
    return kept


def _pairs(rankings: Iterable[Mapping[str, Any]]) -> Iterator[ReviewPair]:
    for number, line in enumerate(rankings, start=1):
        body = line.get("response", {}).get("body", line) if "custom_id" in line else line
        if not isinstance(body, Mapping) or body.get("status") != "scored":
            continue
        try:
            yield from _pairs_of(body)
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise DataError(
                f"ranking {number}: {type(error).__name__} {error}; send lines of `charter rank`, "
                "/v1/rank or /v1/compare, with their prompt and completions"
            ) from None


def _pairs_of(line: Mapping[str, Any]) -> Iterator[ReviewPair]:
    texts = line["completions"]
    for i, j in combinations(range(len(texts)), 2):
        p = _cell(line["p"], i, j)
        if p is None or texts[i] == texts[j] or not (texts[i].strip() and texts[j].strip()):
            continue
        told = {
            name: cell
            for name, part in line["principles"].items()
            if (cell := _cell(part["p"], i, j)) is not None
        }
        gaps = [abs(part["order_gap"]) for part in line["principles"].values()
                if part.get("order_gap") is not None]  # fmt: skip
        pulls = {"principles": _split(told.values()), "orders": _moved(p, max(gaps, default=0.0))}
        yield _ordered(line, (texts[i], texts[j]), p, told, pulls)


def _ordered(
    line: Mapping[str, Any],
    texts: tuple[str, str],
    p: float,
    told: Mapping[str, float],
    pulls: Mapping[str, float],
) -> ReviewPair:
    swapped = digest(texts[0]) > digest(texts[1])
    between = max(pulls, key=lambda name: pulls[name])
    return ReviewPair.model_validate(
        {
            "prompt": line["prompt"],
            "first": texts[1] if swapped else texts[0],
            "second": texts[0] if swapped else texts[1],
            "p": 1 - p if swapped else p,
            "principles": {n: 1 - x if swapped else x for n, x in told.items()},
            "disagreement": _worth(max(pulls.values()), p),
            "between": between,
            "source": str(line["id"]),
            "digests": {
                k: line["digests"].get(k) for k in ("constitution", "judge", "calibration")
            },
        }
    )


def _with_others(pair: ReviewPair, judged: dict[str, _Judged]) -> ReviewPair:
    """The pair with what other judges said of it; the same ranking read twice counts once."""
    by = digest(pair.digests)
    one = judged.get(pair.id)
    if one is None or one.by == by:
        if len(judged) < HELD:
            judged[pair.id] = _Judged(pair.p, pair.disagreement, pair.between, by)
        return pair
    apart, p = abs(one.p - pair.p), (one.p + pair.p) / 2
    pulls: dict[Between, float] = {one.between: one.disagreement}
    pulls[pair.between] = max(pair.disagreement, pulls.get(pair.between, 0.0))
    pulls["judges"] = max(_worth(apart, p), pulls.get("judges", 0.0))
    between = max(pulls, key=lambda name: pulls[name])
    judged[pair.id] = _Judged(p, pulls[between], between, by)
    return pair.model_copy(update={"p": p, "disagreement": pulls[between], "between": between})


def _worth(disagreement: float, p: float) -> float:
    return disagreement + UNDECIDED * (1 - abs(2 * p - 1))


def _cell(p: Any, i: int, j: int) -> float | None:
    value = p if not isinstance(p, list | tuple) else p[i][j]
    return None if value is None or math.isnan(value) else float(value)


def _split(p: Iterable[float]) -> float:
    """How evenly principles pull both ways: 1 where two are sure of opposite things."""
    signs = [2 * one - 1 for one in p]
    if len(signs) < 2:
        return 0.0
    ahead, behind = sum(max(s, 0.0) for s in signs), sum(max(-s, 0.0) for s in signs)
    return min(1.0, 2 * min(ahead, behind) / len(signs))


def _moved(p: float, gap: float) -> float:
    """How far the probability moves when the two change places."""
    inside = min(max(p, 1e-6), 1 - 1e-6)
    logit = math.log(inside / (1 - inside))
    return _sigmoid(logit + gap / 2) - _sigmoid(logit - gap / 2)


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0
