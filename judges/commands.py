"""The verbs of judging: their flags here, their work in modules imported when one runs."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

KINDS: dict[str, Any] = {"pairs": "pair", "yes-no": "yes_no", "rating": "point", "list": "list"}
"""How --ask names each kind of question."""
STORE = "judges.store.verbs"
Verbs = Any  # argparse's own type for sub-parsers is private


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs from sample to votes to the command line."""
    from judges.audit.commands import add_verbs as add_audit_verb
    from judges.benchmarks.commands import add_verbs as add_benchmark_verb
    from judges.cards.commands import add_verbs as add_card_verb
    from judges.constitutions.commands import add_verbs as add_constitution_verbs
    from judges.critiques.commands import add_verbs as add_critique_verbs
    from judges.ranking_commands import add_verbs as add_ranking_verbs
    from judges.relabelling.commands import add_verbs as add_relabel_verb
    from judges.scoring.commands import add_verbs as add_score_verb
    from judges.tampering.commands import add_verbs as add_tamper_verb

    _add_sample(verbs)
    add_critique_verbs(verbs)
    add_ranking_verbs(verbs)
    add_relabel_verb(verbs)
    add_score_verb(verbs)
    add_tamper_verb(verbs)
    add_card_verb(verbs)
    add_audit_verb(verbs)
    add_constitution_verbs(verbs)
    _add_votes(verbs)
    add_benchmark_verb(verbs)


def add_verb(
    verbs: Verbs, name: str, help_text: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    """One verb: its help, and what runs it."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=help_text, description=help_text, allow_abbrev=False
    )
    parser.set_defaults(run=run, parser=parser)
    return parser


def later(name: str, module: str) -> Callable[[argparse.Namespace], int]:
    """A function imported only when its verb runs."""

    def run(options: argparse.Namespace) -> int:
        from importlib import import_module

        return int(getattr(import_module(module), name)(options) or 0)

    return run


def whole(text: str) -> int:
    """A whole number from 1 up, as argparse reads it."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def share(text: str, most: float = 1.0) -> float:
    """A number from 0 to 1, as argparse reads it."""
    if not 0 <= (value := float(text)) <= most:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and {most:g}")
    return value


def not_negative(text: str) -> float:
    """A finite number from 0 up, as argparse reads it."""
    if not 0 <= (value := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 up")
    return value


def add_sampling_flags(parser: argparse.ArgumentParser, n: int) -> None:
    """The flags of drawing completions."""
    parser.add_argument("--n", type=whole, default=n, help=f"completions a prompt ({n})")
    parser.add_argument("--temperature", type=not_negative, default=0.8, help="0 is greedy (0.8)")
    parser.add_argument("--top-p", type=share, default=1.0, help="nucleus mass (1.0)")
    parser.add_argument("--max-tokens", type=whole, default=256, help="longest completion (256)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same completions (0)")


def add_judge_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of every verb that votes."""
    parser.add_argument(
        "--judge",
        action="append",
        default=[],
        metavar="NAME",
        help="a judge of judges.toml, `default` or `fake`; repeat for a panel",
    )
    add_store_flag(parser)


def add_ask_flag(parser: argparse.ArgumentParser) -> None:
    """The flag that says how judges are asked about completions."""
    parser.add_argument(
        "--ask",
        choices=tuple(KINDS),
        default="pairs",
        help="compare pairs in both orders; ask of each completion alone whether, or from 1 to 10 "
        "how well, it follows a principle; or for the best of the whole group (pairs)",
    )


def add_rate_flag(parser: argparse.ArgumentParser) -> None:
    """The flag that says how fast a judge is, for estimates."""
    parser.add_argument(
        "--rate",
        type=rate,
        metavar="KEY=N",
        help="the judge's speed for the estimate, votes=N or (fresh prompt) tokens=N a second "
        "(measured on its stored votes)",
    )


def rate(text: str) -> tuple[str, float]:
    """A speed such as votes=20, as argparse reads it."""
    name, _, value = text.partition("=")
    if name not in ("votes", "tokens") or not value or not not_negative(value):
        raise argparse.ArgumentTypeError(f"{text!r} is none of votes=N, tokens=N, N above 0")
    return name, not_negative(value)


def limit(text: str) -> tuple[str, float]:
    """A limit such as votes=1000, as argparse reads it."""
    name, _, value = text.partition("=")
    if name not in ("votes", "tokens", "seconds") or not value:
        raise argparse.ArgumentTypeError(f"{text!r} is none of votes=N, tokens=N, seconds=N")
    return name, not_negative(value)


def add_budget_flag(parser: argparse.ArgumentParser) -> None:
    """The flag that ends asking early."""
    parser.add_argument(
        "--budget",
        action="append",
        type=limit,
        default=[],
        metavar="KEY=N",
        help="stop asking at so many votes, tokens or seconds; a second run goes on",
    )


def add_store_flag(parser: argparse.ArgumentParser) -> None:
    """The flag that says where votes are kept."""
    parser.add_argument(
        "--store",
        metavar="URL",
        help="vote store, sqlite:///FILE or postgresql://… (CHARTER_DATABASE_URL)",
    )


def _add_sample(verbs: Verbs) -> None:
    run = later("run_sample", "judges.sample_verbs")
    parser = add_verb(verbs, "sample", "Draw completions from a policy", run)
    parser.add_argument("--prompts", type=Path, required=True, help="JSONL with `id`, `prompt`")
    parser.add_argument("--output", type=Path, required=True, help="completions file to write")
    parser.add_argument(
        "--policy", metavar="PATH|URL", help="model folder, adapter, URL#MODEL, `fake` (embedded)"
    )
    parser.add_argument("--system", help="system turn put before prompts that have none")
    add_sampling_flags(parser, n=4)


def _add_votes(verbs: Verbs) -> None:
    parser = add_verb(verbs, "votes", "Look after the vote store", no_verb)
    inner = parser.add_subparsers(metavar="VERB", required=True)
    stats = add_verb(
        inner, "stats", "Count votes by kind, judge and status", later("run_stats", STORE)
    )
    export = add_verb(inner, "export", "Write all votes to a file", later("run_export", STORE))
    export.add_argument("--output", type=Path, required=True, help=".jsonl or .parquet file")
    merge = add_verb(
        inner, "merge", "Take over votes of an export or another store", later("run_merge", STORE)
    )
    merge.add_argument("source", metavar="FILE|URL", help="an export, or a store's URL")
    erase = add_verb(
        inner, "erase", "Erase a text for good; its votes stay", later("run_erase", STORE)
    )
    group = erase.add_mutually_exclusive_group(required=True)
    group.add_argument("--text", help="the text itself")
    group.add_argument("--file", type=Path, help="a file that holds exactly the text")
    for verb in (stats, export, merge, erase):
        add_store_flag(verb)


def no_verb(options: argparse.Namespace) -> int:
    """What runs when only a group of verbs was named."""
    options.parser.error("a verb is needed; see --help")
    return 2
