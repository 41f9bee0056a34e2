"""The verb `judge-card` and the flags of its gate; the work is imported when it runs."""

import argparse
from pathlib import Path

from judges.commands import Verbs, add_ask_flag, add_judge_flags, add_verb, later, share, whole


def add_verbs(verbs: Verbs) -> None:
    """Add judge-card to the command line."""
    parser = add_verb(
        verbs,
        "judge-card",
        "Measure a judge against people's labels: card.json, a page, a fitted temperature",
        later("run_judge_card", "judges.cards.verbs"),
    )
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="LABELLED",
        help="JSONL, also .gz: `completions` with `preferred_index`, `chosen` and `rejected`, or "
        "pairs as LLMBar and PandaLM have them",
    )
    parser.add_argument("--constitution", required=True, metavar="X", help="name@version or path")
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="CARD.json to write; CARD.html and the calibration are written beside it",
    )
    parser.add_argument("--limit", type=whole, metavar="N", help="only so many pairs, drawn (all)")
    parser.add_argument(
        "--slice", default="subset", metavar="COLUMN", help="parts of the data (subset)"
    )
    parser.add_argument(
        "--inversion-pairs",
        type=_count,
        default=200,
        metavar="N",
        help="most pairs judged again under negated principles; 0 leaves it out (200)",
    )
    parser.add_argument(
        "--alpha",
        type=_inner,
        default=0.2,
        metavar="SHARE",
        help="disagreement with people allowed above the abstention threshold (0.2)",
    )
    parser.add_argument(
        "--delta",
        type=_inner,
        default=0.1,
        metavar="SHARE",
        help="chance allowed that the threshold's guarantee is wrong (0.1)",
    )
    add_ask_flag(parser)
    parser.add_argument(
        "--attacks", action="store_true", help="also attack the judge from the worse completion"
    )
    parser.add_argument(
        "--attack-pairs",
        type=whole,
        default=20,
        metavar="N",
        help="most pairs attacked; each is judged again some fifty times (20)",
    )
    parser.add_argument("--seed", type=int, default=0, help="draws pairs, folds, resamples (0)")
    add_judge_flags(parser)


def add_gate_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of a verb that labels with judges."""
    parser.add_argument(
        "--card",
        type=Path,
        metavar="FILE",
        help="the judge's card (the one that `charter judge-card` kept)",
    )
    parser.add_argument(
        "--require-card",
        action="store_true",
        help="refuse a judge without a card, or with one not better than chance",
    )


def _count(text: str) -> int:
    return 0 if text == "0" else whole(text)


def _inner(text: str) -> float:
    """A share that is neither 0 nor 1."""
    if not 0 < (value := share(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value
