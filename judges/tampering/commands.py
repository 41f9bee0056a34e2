"""The verbs `tamper` and `recall`: their flags; their work is imported when one runs."""

from pathlib import Path

from judges.commands import Verbs, add_judge_flags, add_verb, later, share, whole


def add_verbs(verbs: Verbs) -> None:
    """Add tamper and recall to the command line."""
    _add_tamper(verbs)
    _add_recall(verbs)


def _add_tamper(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "tamper",
        "Copy good completions so that each copy violates one principle: pairs with known labels",
        later("run_tamper", "judges.tampering.verbs"),
    )
    parser.add_argument("--constitution", required=True, metavar="X", help="name@version or path")
    parser.add_argument(
        "--input",
        type=Path,
        required=True,
        help="completions, of which each line's first is used, or preference rows",
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="PAIRS.jsonl to write; what became of every copy goes to PAIRS.attempts.jsonl",
    )
    parser.add_argument("--principles", metavar="ID,ID", help="only these (all)")
    parser.add_argument(
        "--policy", metavar="PATH|URL", help="model folder, adapter, URL#MODEL, `fake` (embedded)"
    )
    parser.add_argument(
        "--no-model",
        action="store_true",
        help="violate only what code can: use it where no model is strong enough to edit",
    )
    parser.add_argument(
        "--golden", action="store_true", help="add the constitution's golden tests as pairs"
    )
    parser.add_argument(
        "--most-changed",
        type=share,
        default=0.5,
        metavar="SHARE",
        help="refuse a model's copy with a larger share of words changed (0.5)",
    )
    parser.add_argument("--max-tokens", type=whole, default=1024, help="longest copy (1024)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same copies (0)")


def _add_recall(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "recall",
        "Say, by principle, how often a judge sees that it was violated in tampered pairs",
        later("run_recall", "judges.tampering.verbs"),
    )
    parser.add_argument(
        "--pairs", type=Path, required=True, help="PAIRS.jsonl, as `charter tamper` writes it"
    )
    parser.add_argument("--constitution", required=True, metavar="X", help="name@version or path")
    parser.add_argument("--output", type=Path, required=True, help="REPORT.json to write")
    parser.add_argument(
        "--critiques",
        action="store_true",
        help="also have the first judge critique each copy: precision and recall of its quotes",
    )
    parser.add_argument("--max-tokens", type=whole, default=512, help="longest critique (512)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same critiques (0)")
    add_judge_flags(parser)
