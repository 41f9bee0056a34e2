"""The verb `best-of`: its flags; its work is imported when it runs."""

from pathlib import Path

from judges.commands import Verbs, add_verb, later, whole


def add_verbs(verbs: Verbs) -> None:
    """Add best-of to the command line."""
    best = add_verb(
        verbs,
        "best-of",
        "Keep the completions that a reward likes most: best of n, rejection sampling",
        later("run_best_of", "training.online.verbs"),
    )
    best.add_argument(
        "--rewards", type=Path, required=True, metavar="TOML", help="[[rewards]], as in recipes"
    )
    best.add_argument("--input", type=Path, required=True, metavar="C", help="completions, JSONL")
    best.add_argument(
        "--output", type=Path, required=True, help="rows to fine-tune on: prompt, completion"
    )
    best.add_argument("--pairs", type=Path, help="also write best against worst as preferences")
    best.add_argument("--keep", type=whole, default=1, help="completions kept a prompt (1)")
    best.add_argument(
        "--at-least", type=float, default=float("-inf"), help="least reward that is kept (any)"
    )
