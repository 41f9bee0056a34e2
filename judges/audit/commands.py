"""The verb `audit`: its flags; its work is imported when it runs."""

from pathlib import Path

from judges.commands import Verbs, add_verb, later, not_negative, share


def add_verbs(verbs: Verbs) -> None:
    """Add audit to the command line."""
    parser = add_verb(
        verbs,
        "audit",
        "Look for biases, noise, copies and leaks in preference data before training on it",
        later("run_audit", "judges.audit.verbs"),
    )
    parser.add_argument(
        "--preferences",
        type=Path,
        required=True,
        metavar="P",
        help="preference rows, or labelled pairs as `charter judge-card` reads them; also .gz",
    )
    parser.add_argument(
        "--rankings", type=Path, metavar="R", help="their rankings: order gaps, ties, circles"
    )
    parser.add_argument(
        "--without-rationale",
        type=Path,
        metavar="R",
        help="rankings of the same completions by the judge without reasoning: labels that turn",
    )
    parser.add_argument(
        "--against",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a file held out: its prompts must not be trained on; repeatable",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="report to write: .html, .json")
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")
    parser.add_argument(
        "--fail-on", choices=("info", "warning", "error"), help="exit 1 at such a finding or graver"
    )
    parser.add_argument(
        "--weighted", action="store_true", help="count pairs by |2·p_chosen - 1|, not all alike"
    )
    parser.add_argument(
        "--false-discoveries",
        type=share,
        default=0.05,
        metavar="SHARE",
        help="share of favoured features that may be false (0.05)",
    )
    parser.add_argument(
        "--control",
        choices=("bh", "by"),
        default="bh",
        help="Benjamini-Hochberg, or Benjamini-Yekutieli for any dependence (bh)",
    )
    parser.add_argument(
        "--least-effect",
        type=not_negative,
        default=0.2,
        metavar="LOG_ODDS",
        help="smaller effects are no finding (0.2)",
    )
    parser.add_argument(
        "--languages", action="store_true", help="tell languages apart: a millisecond a text"
    )
    parser.add_argument("--seed", type=int, default=0, help="draws resamples (0)")
