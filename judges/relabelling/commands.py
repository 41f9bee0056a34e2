"""The verb `relabel`: its flags; its work is imported when it runs."""

from pathlib import Path

from judges.commands import (
    Verbs,
    add_budget_flag,
    add_judge_flags,
    add_rate_flag,
    add_verb,
    later,
    share,
)


def add_verbs(verbs: Verbs) -> None:
    """Add relabel to the command line."""
    from judges.cards.commands import add_gate_flags

    parser = add_verb(
        verbs,
        "relabel",
        "Rank a run again under an edited constitution: ask only for the votes it lacks",
        later("run_relabel", "judges.relabelling.verbs"),
    )
    parser.add_argument("--rankings", type=Path, required=True, help="output of `charter rank`")
    parser.add_argument("--constitution", required=True, metavar="X", help="name@version or path")
    parser.add_argument("--output", type=Path, required=True, help="rankings file to write")
    parser.add_argument(
        "--estimate",
        action="store_true",
        help="print which votes are lacking and what they cost, and judge nothing",
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
