"""The verbs `constitution diagnose` and `constitution impact`: their flags, no more."""

import argparse
from pathlib import Path

from judges.commands import (
    Verbs,
    add_budget_flag,
    add_judge_flags,
    add_rate_flag,
    add_store_flag,
    add_verb,
    later,
    share,
    whole,
)


def add_verbs(inner: Verbs) -> None:
    """Add diagnose and impact to the verbs of `charter constitution`."""
    _add_diagnose(inner)
    _add_impact(inner)


def _add_diagnose(inner: Verbs) -> None:
    parser = add_verb(
        inner,
        "diagnose",
        "What each principle does in a run: decides, contradicts, repeats, or leaves open",
        later("run_diagnose", "judges.diagnostics.verbs"),
    )
    parser.add_argument("--constitution", required=True, metavar="X", help="name@version or path")
    _add_run_flags(parser)
    for name, default, what in (
        ("dead", 0.01, "a principle is dead that surely decides less than this share of pairs"),
        ("correlation", 0.9, "redundant: correlation with another surely at least this …"),
        ("flips", 0.02, "… and surely less than this share of labels flips without it"),
        ("near", 0.1, "a gap: every principle's p is closer to 0.5 than this"),
    ):
        parser.add_argument(
            f"--{name}", type=share, default=default, metavar="SHARE", help=f"{what} ({default:g})"
        )
    add_store_flag(parser)


def _add_impact(inner: Verbs) -> None:
    parser = add_verb(
        inner,
        "impact",
        "What an edit would change in a run, from stored votes and a sample judged again",
        later("run_impact", "judges.diagnostics.verbs"),
    )
    parser.add_argument("old", metavar="OLD", help="name@version, name, or path")
    parser.add_argument("new", metavar="NEW", help="the edited one")
    _add_run_flags(parser)
    parser.add_argument(
        "--sample",
        type=whole,
        metavar="N",
        help="judge about N prompts under NEW, only what the edit asks, and estimate the whole "
        "run; the votes stay in the store (judge nothing)",
    )
    add_rate_flag(parser)
    add_budget_flag(parser)
    add_judge_flags(parser)


def _add_run_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rankings", type=Path, required=True, metavar="R", help="what `charter rank` wrote"
    )
    parser.add_argument(
        "--labels", type=Path, metavar="LABELLED", help="people's labels, as for judge-card"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="REPORT.html", help="page to write"
    )
    parser.add_argument("--json", action="store_true", help="print all numbers as JSON")
    parser.add_argument(
        "--slice", default="subset", metavar="COLUMN", help="metadata that parts the data (subset)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="draws resamples, and the sample: the same one takes the same prompts (0)",
    )
