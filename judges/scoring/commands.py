"""The verb `score`: its flags; its work is imported when it runs."""

from pathlib import Path

from judges.commands import Verbs, add_judge_flags, add_verb, later, share


def add_verbs(verbs: Verbs) -> None:
    """Add score to the command line."""
    parser = add_verb(
        verbs,
        "score",
        "Score each completion alone: P(yes), mean rating, statements and rules",
        later("run_score", "judges.scoring.verbs"),
    )
    parser.add_argument("--constitution", required=True, metavar="X", help="name@version or path")
    parser.add_argument("--input", type=Path, required=True, help="completions, or preference rows")
    parser.add_argument("--output", type=Path, required=True, help="scores file to write")
    parser.add_argument(
        "--ask",
        choices=("yes-no", "rating", "both"),
        default="both",
        help="whether a completion follows a principle, how well from 1 to 10, or both (both)",
    )
    parser.add_argument(
        "--max-unscored",
        type=share,
        default=0.1,
        metavar="SHARE",
        help="exit 3 when a larger share of items has no score at all (0.1)",
    )
    add_judge_flags(parser)
