"""The verbs rank, reweigh and preferences: their flags; their work is imported when one runs."""

from pathlib import Path

from judges.commands import (
    Verbs,
    add_ask_flag,
    add_budget_flag,
    add_judge_flags,
    add_rate_flag,
    add_store_flag,
    add_verb,
    later,
    share,
    whole,
)

RANKING = "judges.ranking_verbs"


def add_verbs(verbs: Verbs) -> None:
    """Add rank, reweigh and preferences to the command line."""
    _add_rank(verbs)
    _add_reweigh(verbs)
    _add_preferences(verbs)


def _add_rank(verbs: Verbs) -> None:
    from judges.cards.commands import add_gate_flags

    parser = add_verb(
        verbs,
        "rank",
        "Rank each prompt's completions under a constitution",
        later("run_rank", RANKING),
    )
    parser.add_argument("--constitution", required=True, metavar="X", help="name@version or path")
    parser.add_argument("--input", type=Path, required=True, help="completions, or preference rows")
    parser.add_argument("--output", type=Path, required=True, help="rankings file to write")
    parser.add_argument(
        "--pairs",
        choices=("all", "ring", "chain", "active", "random"),
        default="all",
        help="which pairs are judged: all; `chain`, each with the next; `ring`, that and last with "
        "first; `active`, a random ring, then the most telling; `random`, for comparison (all)",
    )
    parser.add_argument(
        "--pairs-budget",
        type=whole,
        metavar="N",
        help="active, random: most pairs an item (half again as many as completions)",
    )
    parser.add_argument(
        "--pairs-goal",
        choices=("order", "best"),
        help="active: stop early when the whole order is settled, or when the best is (order)",
    )
    add_ask_flag(parser)
    parser.add_argument(
        "--samples",
        type=whole,
        metavar="N",
        help="votes a question (as often as the judges reason; 4 shuffles of a list)",
    )
    parser.add_argument(
        "--panel",
        default="mean",
        metavar="HOW",
        help="how several judges are combined: mean, majority, or a stacker.json (mean)",
    )
    parser.add_argument(
        "--estimate",
        action="store_true",
        help="print what it would cost, in votes, tokens and seconds, and judge nothing",
    )
    add_rate_flag(parser)
    add_budget_flag(parser)
    parser.add_argument(
        "--max-unscored",
        type=share,
        default=0.1,
        metavar="SHARE",
        help="exit 3 when a larger share of items is not scored (0.1)",
    )
    add_gate_flags(parser)
    add_judge_flags(parser)


def _add_reweigh(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "reweigh",
        "Rank again from stored votes under edited weights; never calls a model",
        later("run_reweigh", RANKING),
    )
    parser.add_argument("--rankings", type=Path, required=True, help="output of `charter rank`")
    parser.add_argument("--constitution", required=True, metavar="X", help="name@version or path")
    parser.add_argument("--output", type=Path, required=True, help="rankings file to write")
    add_store_flag(parser)


def _add_preferences(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "preferences",
        "Turn rankings into preference rows",
        later("run_preferences", RANKING),
    )
    parser.add_argument("--rankings", type=Path, required=True, help="output of `charter rank`")
    parser.add_argument(
        "--output", type=Path, required=True, help="dataset folder, or a .jsonl file"
    )
    parser.add_argument(
        "--pairing",
        choices=("all", "best-worst"),
        default="all",
        help="every scored pair, or the best against the worst (all)",
    )
    parser.add_argument(
        "--minimum-margin",
        type=margin,
        default=0.05,
        metavar="P",
        help="drop pairs with |p - 0.5| below it as ties; 0 keeps near-ties (0.05)",
    )


def margin(text: str) -> float:
    """A distance of a probability from 0.5, as argparse reads it."""
    return share(text, most=0.5)
