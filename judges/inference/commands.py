"""The verb `constitution infer`: its flags; its work is imported when it runs."""

from pathlib import Path

from judges.commands import Verbs, add_judge_flags, add_verb, later, whole


def add_verbs(inner: Verbs) -> None:
    """Add infer to the verbs of `charter constitution`."""
    parser = add_verb(
        inner,
        "infer",
        "Infer principles from preferences, or what a constitution gets wrong about them",
        later("run_infer", "judges.inference.verbs"),
    )
    parser.add_argument(
        "--preferences",
        type=Path,
        required=True,
        metavar="P",
        help="labelled pairs: JSONL with chosen and rejected, or completions and preferred_index; "
        "CSV with text_a, text_b and preferred_text",
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="X.yaml to write, all figures beside it in X.report.json; with --explain, X.md",
    )
    parser.add_argument(
        "--policy",
        metavar="PATH|URL",
        help="the model that proposes: folder, adapter, URL#MODEL, `fake` (the first judge's)",
    )
    parser.add_argument(
        "--no-propose", action="store_true", help="ask no model for candidates, only for votes"
    )
    parser.add_argument(
        "--candidates", type=Path, metavar="FILE", help="your own candidates, one sentence a line"
    )
    parser.add_argument(
        "--no-hypotheses",
        action="store_true",
        help="leave out the shipped hypotheses of style, which code checks",
    )
    parser.add_argument(
        "--explain",
        metavar="CONSTITUTION",
        help="infer from the pairs that this one gets wrong, and write a proposal as text",
    )
    parser.add_argument(
        "--grouped-by",
        choices=("prompt", "pair"),
        default="prompt",
        help="what is kept in one part; `pair` where there are few prompts (prompt)",
    )
    parser.add_argument("--most", type=whole, default=12, help="principles at most (12)")
    parser.add_argument(
        "--support",
        type=whole,
        default=8,
        metavar="N",
        help="pairs that a principle must decide as labelled: fewer where there are few pairs (8)",
    )
    parser.add_argument(
        "--tests", type=int, default=2, help="golden tests a principle; 0 copies no pair (2)"
    )
    parser.add_argument(
        "--licence",
        default="LicenseRef-unstated",
        help="SPDX identifier of the file; golden tests copy pairs (LicenseRef-unstated)",
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same result (0)")
    add_judge_flags(parser)
