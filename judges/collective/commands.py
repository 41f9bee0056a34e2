"""The verb `constitution collect`: its flags; its work is imported when it runs."""

from pathlib import Path

from judges.commands import Verbs, add_verb, later, share, whole


def add_verbs(inner: Verbs) -> None:
    """Add collect to the verbs of `charter constitution`."""
    parser = add_verb(
        inner,
        "collect",
        "Make a constitution of what the opinion groups of some people agree on",
        later("run_collect", "judges.collective.verbs"),
    )
    parser.add_argument(
        "--votes",
        type=Path,
        required=True,
        metavar="CSV",
        help="participant,statement,vote, or participant and one column a statement (Polis)",
    )
    parser.add_argument(
        "--statements", type=Path, required=True, metavar="FILE", help="CSV: statement,text"
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="X.yaml to write, all figures beside it in X.report.json",
    )
    parser.add_argument(
        "--least",
        type=share,
        default=0.5,
        metavar="SHARE",
        help="least probability to agree, geometric mean over opinion groups (0.5)",
    )
    parser.add_argument(
        "--least-seen", type=whole, default=5, help="least voters of each group (5)"
    )
    parser.add_argument(
        "--least-votes", type=whole, default=7, help="votes that place a participant (7)"
    )
    parser.add_argument("--most", type=whole, default=20, help="principles at most (20)")
    parser.add_argument(
        "--most-groups", type=whole, default=5, help="opinion groups at most; 1: no parting (5)"
    )
    parser.add_argument(
        "--licence",
        default="LicenseRef-unstated",
        help="SPDX identifier of the statements (LicenseRef-unstated)",
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same groups (0)")
