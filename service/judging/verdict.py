"""A ranking of two completions, said as a verdict on the pair."""

from collections.abc import Mapping
from typing import Any

KEPT = ("id", "status", "reason", "detail", "digests", "prompt", "completions", "metadata")
KEPT_LAST = ("usage", "left")


def verdict(line: Mapping[str, Any], tie_margin: float) -> dict[str, Any]:
    """The verdict in a ranking line of two: `p` is the probability that the first is better.

    `preferred` is 0, 1, or null for a tie and where nothing was decided; see `status`.
    """
    p = _first_over_second(line["p"]) if line["status"] == "scored" else None
    preferred = None
    if p is not None and abs(p - 0.5) > tie_margin:
        preferred = 0 if p > 0.5 else 1
    kept = {key: line[key] for key in KEPT if key in line}
    principles = {
        name: {
            "p": _first_over_second(told["p"]),
            "order_gap": _number(told["order_gap"]),
            "applies": _number(told["applies"]),
        }
        for name, told in line["principles"].items()
    }
    told = {"preferred": preferred, "p": p, "principles": principles, "votes": line["votes"]}
    return kept | told | {key: line[key] for key in KEPT_LAST if key in line}


def _first_over_second(p: Any) -> float | None:
    return _number(p[0][1])


def _number(value: Any) -> float | None:
    """None for what is missing, which arrays hold as NaN."""
    return None if value is None or value != value else float(value)
