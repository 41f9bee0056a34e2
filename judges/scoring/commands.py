"""The verbs score and fit-statements: their flags; their work is imported when one runs."""

from pathlib import Path

from judges.commands import Verbs, add_judge_flags, add_verb, later, share


def add_verbs(verbs: Verbs) -> None:
    """Add score and fit-statements to the command line."""
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
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="fitted by `charter fit-statements`: adds a reward to each completion",
    )
    add_judge_flags(parser)
    fit = add_verb(
        verbs,
        "fit-statements",
        "Fit weights of a constitution's propositions so that they order completions as ranked",
        later("run_fit_statements", "judges.scoring.verbs"),
    )
    fit.add_argument("--scores", type=Path, required=True, help="output of `charter score`")
    fit.add_argument("--rankings", type=Path, required=True, help="output of `charter rank`")
    fit.add_argument("--output", type=Path, required=True, help="weights file to write (JSON)")
    fit.add_argument("--seed", type=int, default=0, help="puts prompts into folds (0)")
