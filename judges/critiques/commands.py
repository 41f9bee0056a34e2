"""The verbs `critique` and `revise`: their flags; their work is imported when one runs."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from judges.commands import add_judge_flags, add_verb, later, not_negative, share, whole

Verbs = Any  # argparse's own type for sub-parsers is private


def add_verbs(verbs: Verbs) -> None:
    """Add critique and revise to the command line."""
    _add_critique(verbs)
    _add_revise(verbs)


def _here(name: str) -> Callable[[argparse.Namespace], int]:
    return later(name, "judges.critiques.verbs")


def _add_critique(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "critique",
        "Say where completions fall short of principles, with the words at fault",
        _here("run_critique"),
    )
    _add_files(parser, "critiques")
    parser.add_argument(
        "--principles", metavar="ID,ID", help="only these (all that have a critique request)"
    )
    parser.add_argument("--judge", metavar="NAME", help="a judge of judges.toml, `default`, `fake`")
    _add_drawing(parser)


def _add_revise(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "revise",
        "Critique and rewrite completions round after round; mark what got no better",
        _here("run_revise"),
    )
    _add_files(parser, "revisions")
    parser.add_argument("--rounds", type=whole, metavar="N", help="rounds for each completion (4)")
    parser.add_argument(
        "--principles",
        metavar="all|ID,ID",
        help="draw from these only; `all`: every one in turn, a round each (draw from all)",
    )
    parser.add_argument(
        "--policy",
        metavar="PATH|URL",
        help="who rewrites: model folder, adapter, URL#MODEL, `fake` (the judge's model)",
    )
    parser.add_argument(
        "--always",
        action="store_true",
        help="revise also where a critique finds nothing wrong, as the published recipe does",
    )
    parser.add_argument(
        "--no-check",
        action="store_true",
        help="do not have the judge compare each revision with what it revised",
    )
    parser.add_argument("--sft", type=Path, metavar="FILE", help="rows to fine-tune on, for TRL")
    parser.add_argument(
        "--sft-rounds",
        choices=("all", "last"),
        default="all",
        help="every accepted revision, or each completion's last (all)",
    )
    _add_drawing(parser)
    add_judge_flags(parser)


def _add_files(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--constitution", required=True, metavar="X", help="name@version or path")
    parser.add_argument("--input", type=Path, required=True, help="completions file")
    parser.add_argument("--output", type=Path, required=True, help=f"{what} file to write")


def _add_drawing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--few-shot", type=Path, metavar="FILE", help="JSONL of worked examples")
    parser.add_argument("--temperature", type=not_negative, default=1.0, help="0 is greedy (1.0)")
    parser.add_argument("--top-p", type=share, default=1.0, help="nucleus mass (1.0)")
    parser.add_argument("--max-tokens", type=whole, default=512, help="longest answer (512)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same answers (0)")
    parser.add_argument(
        "--attempts",
        type=whole,
        default=3,
        help="draws of a critique that is no JSON or quotes what is not there (3)",
    )
    parser.add_argument(
        "--max-unscored",
        type=share,
        default=0.1,
        metavar="SHARE",
        help="exit 3 when a larger share of items came to nothing (0.1)",
    )
