"""The verb `reward`: the flags of each; their work is imported when one runs."""

from pathlib import Path

from judges.commands import Verbs, add_verb, later, no_verb, whole

HERE = "training.rewards.verbs"


def add_verbs(verbs: Verbs) -> None:
    """Add reward to the command line."""
    parser = add_verb(verbs, "reward", "Export a trained reward model, and score with it", no_verb)
    names = parser.add_subparsers(metavar="NAME", required=True)
    _add_export(names)
    _add_score(names)


def _add_export(names: Verbs) -> None:
    export = add_verb(
        names,
        "export",
        "Write a trained reward model as a folder that vLLM serves, with the command to serve it",
        later("run_export", HERE),
    )
    export.add_argument("run", type=Path, help="folder of a finished `charter train reward`")
    export.add_argument("--output", type=Path, required=True, help="folder to write; must be empty")
    export.add_argument(
        "--reference",
        type=Path,
        metavar="C",
        help="completions that heads are standardised on (those trained on)",
    )
    export.add_argument(
        "--length",
        choices=("keep", "take-off"),
        default="keep",
        help="take off what longer answers to the same prompt gain by length alone (keep)",
    )
    export.add_argument(
        "--dtype",
        choices=("bfloat16", "float32"),
        default="bfloat16",
        help="of the weights (bfloat16)",
    )
    export.add_argument(
        "--most-reference", type=whole, default=1000, help="reference completions at most (1000)"
    )


def _add_score(names: Verbs) -> None:
    score = add_verb(
        names,
        "score",
        "Rewards of completions by one exported model, or an ensemble of several",
        later("run_score", HERE),
    )
    score.add_argument(
        "--model",
        type=Path,
        action="append",
        required=True,
        dest="models",
        metavar="FOLDER",
        help="exported reward model; several make an ensemble",
    )
    score.add_argument(
        "--url",
        action="append",
        default=[],
        dest="urls",
        help="server of each model, in their order; without, they are loaded here",
    )
    score.add_argument("--input", type=Path, required=True, metavar="C", help="completions, JSONL")
    score.add_argument("--output", type=Path, help="JSONL to write (stdout)")
    score.add_argument("--constitution", metavar="X", help="what weighs a model's principle heads")
    score.add_argument(
        "--combine",
        choices=("mean", "min", "pessimistic"),
        default="mean",
        help="members' mean, least, or mean less penalty x variance (mean)",
    )
    score.add_argument(
        "--penalty", type=float, default=0.5, help="of pessimistic: 0.5 for best-of-n, 0.1 for PPO"
    )
