"""Ranking lines with planted disagreement."""

from typing import Any


def ranking(
    name: str,
    p: float,
    *,
    principles: dict[str, float] | None = None,
    gap: float = 0.0,
    judge: str = "j" * 64,
    texts: tuple[str, str] | None = None,
) -> dict[str, Any]:
    """A line that ranks two completions."""
    told = principles or {"only": p}
    return {
        "id": name,
        "status": "scored",
        "prompt": [{"role": "user", "content": f"What is {name}?"}],
        "completions": list(texts or (f"{name} is good.", f"{name} is bad.")),
        "p": [[0.5, p], [1 - p, 0.5]],
        "principles": {
            key: {"p": [[0.5, x], [1 - x, 0.5]], "order_gap": gap} for key, x in told.items()
        },
        "digests": {"constitution": "c" * 64, "judge": judge, "calibration": None},
    }
