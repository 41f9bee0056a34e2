"""The verbs of training: flags here, their work in `training.verbs`, imported when one runs."""

import argparse
from pathlib import Path
from typing import NamedTuple

from judges.commands import Verbs, add_judge_flags, add_verb, later, no_verb, whole


class Method(NamedTuple):
    """One `charter train METHOD`."""

    name: str
    """The word after `charter train`."""
    help: str
    """One line of help."""
    module: str
    """Where the two names below are; importing it loads neither torch nor TRL."""
    recipe: str
    """The recipe's class."""
    train: str
    """What trains by a recipe: `train(recipe, *, resume, progress, message)`."""


METHODS = (
    Method("sft", "Supervised fine-tuning on revisions", "training.methods.sft", "SftRecipe",
           "train_sft"),
    Method("dpo", "Direct preference optimisation, with the judge's probability as soft label",
           "training.methods.dpo", "DpoRecipe", "train_dpo"),
    Method("kto", "Single completions, good or bad, instead of pairs", "training.methods.kto",
           "KtoRecipe", "train_kto"),
    Method("orpo", "Likelihood of the chosen side and odds ratio; no reference model",
           "training.methods.reference_free", "OrpoRecipe", "train_pairs"),
    Method("cpo", "Likelihood of the chosen side and log-probability gap; no reference model",
           "training.methods.reference_free", "CpoRecipe", "train_pairs"),
    Method("simpo", "Mean log-probability of a token as reward; no reference model",
           "training.methods.reference_free", "SimpoRecipe", "train_pairs"),
    Method("alphapo", "SimPO with a shaped reward; no reference model",
           "training.methods.reference_free", "AlphaPoRecipe", "train_pairs"),
    Method("reward", "A reward model: of the whole, or with a head for each principle",
           "training.rewards.train", "RewardRecipe", "train_reward"),
    Method("judge",
           "Distil a judge of one family of principles, from people's labels or a larger judge's",
           "training.distilled_judge.distil", "JudgeRecipe", "train_judge"),
    Method("ppo",
           "Proximal policy optimisation on any reward: rules, judges, reward models, servers, "
           "sums",
           "training.ppo.ppo", "PpoRecipe", "train_ppo"),
    Method("online-dpo",
           "DPO on pairs that the policy has just written, judged in the loop, on any reward",
           "training.online_dpo.online_dpo", "OnlineDpoRecipe", "train_online_dpo"),
    Method("grpo", "Group relative policy optimisation, by TRL, on any reward",
           "training.online.group_methods", "GrpoRecipe", "train_grpo"),
    Method("rloo", "REINFORCE with the rest of the group as baseline, by TRL, on any reward",
           "training.online.group_methods", "RlooRecipe", "train_rloo"),
)  # fmt: skip
"""What `charter train` can do; a new method is its file and one line here."""


def add_verbs(verbs: Verbs) -> None:
    """Add train, reward, best-of, evaluate and demo to the command line."""
    from training.benchmarks.commands import add_benchmarks
    from training.online.commands import add_verbs as add_best_of_verb
    from training.rewards.commands import add_verbs as add_reward_verb

    _add_train(verbs)
    add_reward_verb(verbs)
    add_benchmarks(verbs)
    add_best_of_verb(verbs)
    _add_evaluate(verbs)
    _add_demo(verbs)


def _add_train(verbs: Verbs) -> None:
    parser = add_verb(verbs, "train", "Train a model on preferences", no_verb)
    names = parser.add_subparsers(metavar="METHOD", required=True)
    for method in METHODS:
        verb = add_verb(names, method.name, method.help, later("run_train", "training.verbs"))
        verb.set_defaults(method=method)
        verb.add_argument("--config", type=Path, required=True, metavar="RECIPE", help="a .toml")
        verb.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            dest="overrides",
            help="override a recipe's key, such as trainer.max_steps=20; repeatable",
        )
        verb.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
        verb.add_argument("--dry-run", action="store_true", help="print the manifest and stop")


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
    parser.add_argument("--samples", type=whole, default=2, help="completions a prompt (2)")
    parser.add_argument("--temperature", type=float, default=0.8, help="of both policies (0.8)")
    parser.add_argument("--max-tokens", type=whole, default=256, help="longest completion (256)")
    parser.add_argument("--seed", type=int, default=0, help="draws samples and bootstrap (0)")
    parser.add_argument("--report", type=Path, metavar="HTML", help="one page with plots to write")
    parser.add_argument(
        "--answers",
        type=Path,
        metavar="FOLDER",
        help="keep all answers here; killed, the same command goes on from them",
    )
    _add_losses(parser)
    add_judge_flags(parser)


def _add_losses(parser: argparse.ArgumentParser) -> None:
    """What a policy may have lost meanwhile."""
    parser.add_argument(
        "--refusals",
        type=Path,
        metavar="PROBES",
        help="prompts labelled safe or unsafe, as of XSTest: how often each policy refuses them",
    )
    parser.add_argument(
        "--refusals-by",
        choices=("wording", "judge"),
        default="wording",
        help="what tells a refusal: its wording, or a vote of the judges (wording)",
    )
    parser.add_argument(
        "--capability",
        nargs="?",
        type=Path,
        const=True,
        metavar="QUESTIONS",
        help="how likely right answers are to each policy; without a file, 100 questions of ours",
    )
    parser.add_argument(
        "--sycophancy",
        nargs="?",
        type=Path,
        const=True,
        metavar="DISPUTES",
        help="whether each policy sides with whoever tells a dispute, and gives in when a user "
        "holds a wrong choice against its answer to --capability's questions; without a file, "
        "24 disputes of ours",
    )
    parser.add_argument(
        "--lm-eval",
        nargs=2,
        type=Path,
        metavar=("BEFORE", "AFTER"),
        help="results files of lm-evaluation-harness, of --against and of --policy",
    )


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
