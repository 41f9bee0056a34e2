"""The verbs of training: flags here, their work in `training.verbs`, imported when one runs."""

from pathlib import Path

from judges.commands import Verbs, add_judge_flags, add_verb, later


def add_verbs(verbs: Verbs) -> None:
    """Add train, evaluate and demo to the command line."""
    _add_train(verbs)
    _add_evaluate(verbs)
    _add_demo(verbs)


def _add_train(verbs: Verbs) -> None:
    parser = add_verb(verbs, "train", "Train a policy on preferences", later("no_method"))
    methods = parser.add_subparsers(metavar="METHOD", required=True)
    dpo = add_verb(
        methods,
        "dpo",
        "Direct preference optimisation, with the judge's probability as soft label",
        later("run_train_dpo", "training.verbs"),
    )
    dpo.add_argument("--config", type=Path, required=True, metavar="RECIPE", help="recipe.toml")
    dpo.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="override a recipe's key, such as trainer.max_steps=20; repeatable",
    )
    dpo.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    dpo.add_argument("--dry-run", action="store_true", help="print the manifest and stop")


def _add_evaluate(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "evaluate",
        "Compare a policy with another on held-out prompts, under a constitution",
        later("run_evaluate", "training.verbs"),
    )
    for flag, help_text in (
        ("--policy", "adapter, model folder, URL#MODEL or `embedded`"),
        ("--against", "what it is compared with (embedded)"),
    ):
        parser.add_argument(flag, metavar="PATH|URL", default="embedded", help=help_text)
    parser.add_argument("--constitution", required=True, metavar="X", help="name@version or path")
    parser.add_argument("--prompts", type=Path, required=True, help="held-out prompts, JSONL")
    parser.add_argument("--output", type=Path, help="JSON file to write (stdout)")
    parser.add_argument("--samples", type=int, default=2, help="completions a prompt (2)")
    parser.add_argument("--temperature", type=float, default=0.8, help="of both policies (0.8)")
    parser.add_argument("--max-tokens", type=int, default=256, help="longest completion (256)")
    parser.add_argument("--seed", type=int, default=0, help="draws samples and bootstrap (0)")
    add_judge_flags(parser)


def _add_demo(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "demo",
        "The whole path on the embedded model: sample, rank, train, evaluate, reweigh, report",
        later("run_demo", "training.verbs"),
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/demo"), help="run folder (runs/demo)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of sampling and training (0)")
