"""Benchmarks of training, added to `charter benchmark`."""

import argparse
from pathlib import Path

from judges.benchmarks.commands import benchmark_names
from judges.commands import Verbs, add_verb, later, whole

HERE = "training.benchmarks.verbs"


def add_benchmarks(verbs: Verbs) -> None:
    """Add the benchmarks of reward models."""
    names = benchmark_names(verbs)
    _add_encoding(names)
    _add_labels(names)
    _add_heads(names)
    _add_optimum(names)
    _add_methods(names)
    _add_online(names)
    _add_over_optimisation(names)
    _add_hacked_ppo(names)
    _add_training_speed(names)


def _add_encoding(names: Verbs) -> None:
    encoding = add_verb(
        names,
        "reward-encoding",
        "A reward model's training step: each completion encoded once, against once a pair",
        later("run_reward_encoding", HERE),
    )
    encoding.add_argument("--model", default="embedded", help="model folder (embedded)")
    encoding.add_argument("--completions", type=whole, default=4, help="of a prompt (4)")
    encoding.add_argument("--tokens", type=whole, default=96, help="words a completion (96)")
    encoding.add_argument("--repeats", type=whole, default=3, help="steps measured of each (3)")


def _add_labels(names: Verbs) -> None:
    labels = add_verb(
        names,
        "reward-labels",
        "Soft, hard and clamped labels of a judge with planted noise, on the same pairs",
        later("run_reward_labels", HERE),
    )
    given = labels.add_mutually_exclusive_group(required=True)
    given.add_argument("--rankings", type=Path, metavar="R", help="whose labels are the truth")
    given.add_argument("--data", type=Path, metavar="LABELLED", help="pairs labelled by people")
    labels.add_argument("--right", type=float, default=0.75, help="share that is right (0.75)")
    labels.add_argument("--draws", type=whole, default=10, help="draws of noise and split (10)")
    _add_shared(labels)


def _add_heads(names: Verbs) -> None:
    heads = add_verb(
        names,
        "reward-heads",
        "Re-weighted heads against a reward model retrained: agreement with relabelling",
        later("run_reward_heads", HERE),
    )
    heads.add_argument("--rankings", type=Path, required=True, metavar="R", help="ranking lines")
    heads.add_argument("--constitution", required=True, metavar="X", help="they were made under")
    heads.add_argument("--factor", type=float, default=8.0, help="of each weight in turn (8)")
    heads.add_argument("--draws", type=whole, default=4, help="draws of the split (4)")
    _add_shared(heads)


def _add_methods(names: Verbs) -> None:
    methods = add_verb(
        names,
        "preference-methods",
        "SFT, DPO and its kin on the same pairs: rules won, KL, sanity on held-out prompts",
        later("run_preference_methods", HERE),
    )
    methods.add_argument(
        "--preferences", type=Path, required=True, metavar="P", help="pairs, as of `charter demo`"
    )
    methods.add_argument("--out", type=Path, required=True, help="folder of runs and results")
    methods.add_argument("--methods", nargs="+", metavar="NAME", default=[], help="which (all)")
    methods.add_argument("--model", default="embedded", help="model folder (embedded)")
    methods.add_argument("--seeds", type=whole, default=2, help="runs of each (2)")
    methods.add_argument("--samples", type=whole, default=2, help="answers a prompt (2)")
    methods.add_argument("--steps", type=whole, default=16, help="steps of four pairs (16)")
    methods.add_argument("--learning-rate", type=float, default=2e-4, help="of all (2e-4)")
    methods.add_argument(
        "--noise",
        type=float,
        metavar="RIGHT",
        help="soft, hard, clamped labels of a judge right so",
    )


def _add_online(names: Verbs) -> None:
    online = add_verb(
        names,
        "online-methods",
        "PPO, GRPO, RLOO, online and offline DPO, best-of-n: same prompts and reward, equal KL",
        later("run_online_methods", HERE),
    )
    online.add_argument("--out", type=Path, required=True, help="folder of runs and results")
    online.add_argument("--methods", nargs="+", metavar="NAME", default=[], help="which (all)")
    online.add_argument("--model", default="embedded", help="model folder (embedded)")
    online.add_argument("--seeds", type=whole, default=2, help="runs of each (2)")
    online.add_argument("--steps", type=whole, default=12, help="steps of 16 completions (12)")
    online.add_argument("--points", type=whole, default=3, help="checkpoints looked at (3)")
    online.add_argument("--learning-rate", type=float, default=3e-4, help="of all (3e-4)")


def _add_shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="embedded", help="model folder (embedded)")
    parser.add_argument("--prompts", type=whole, default=400, help="prompts at most (400)")
    parser.add_argument("--max-length", type=whole, default=512, help="tokens a text at most (512)")
    parser.add_argument("--states", type=Path, metavar="FILE", help="keep the model's states here")
    parser.add_argument("--seed", type=int, default=0, help="of noise, split and bootstrap (0)")


def _add_optimum(names: Verbs) -> None:
    optimum = add_verb(
        names,
        "ppo-optimum",
        "PPO against the closed-form optimum, on models whose completions can all be listed",
        later("run_ppo_optimum", HERE),
    )
    optimum.add_argument("--seeds", type=whole, default=5, help="seeds from 0 up (5)")
    optimum.add_argument("--adapters", action="store_true", help="train adapters too")
    optimum.add_argument("--json", action="store_true", help="print JSON: all numbers")


def _add_over_optimisation(names: Verbs) -> None:
    hacked = add_verb(
        names,
        "over-optimisation",
        "Best of n by a flawed reward model: when the guard stops it, what an ensemble changes",
        later("run_over_optimisation", HERE),
    )
    hacked.add_argument(
        "--completions", type=Path, metavar="C", help="64 or more a prompt (written by the fake)"
    )
    hacked.add_argument("--prompts", type=whole, default=64, help="for the fake (64)")
    hacked.add_argument("--samples", type=whole, default=256, help="of each, by the fake (256)")
    hacked.add_argument("--constitution", default="plain-speech@1", metavar="X", help="the rules")
    hacked.add_argument("--members", type=whole, default=5, help="of the ensemble (5)")
    hacked.add_argument("--pairs", type=whole, default=400, help="labelled for each model (400)")
    hacked.add_argument("--flaw", type=float, default=2.0, help="logits a labeller's word is worth")
    hacked.add_argument("--seeds", type=whole, default=5, help="draws of labels and split (5)")


def _add_hacked_ppo(names: Verbs) -> None:
    hacked = add_verb(
        names,
        "hacked-ppo",
        "PPO on one flawed reward model and on an ensemble, watched by the guard",
        later("run_hacked_ppo", HERE),
    )
    hacked.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="runs, results")
    hacked.add_argument("--members", type=whole, default=5, help="of the ensemble, 7 at most (5)")
    hacked.add_argument("--flaw", type=float, default=2.0, help="logits a labeller's word is worth")
    hacked.add_argument("--seeds", type=whole, default=1, help="of models and runs (1)")
    hacked.add_argument("--steps", type=whole, default=24, help="of PPO (24)")
    hacked.add_argument("--looks", type=whole, default=6, help="of the guard, after the first (6)")
    hacked.add_argument("--learning-rate", type=float, default=3e-4, help="of the policy (3e-4)")
    hacked.add_argument("--model", default="embedded", help="model folder (embedded)")


def _add_training_speed(names: Verbs) -> None:
    speed = add_verb(
        names,
        "training-speed",
        "Tokens a second and memory of SFT, reward model and DPO, beside TRL's own trainers",
        later("run_training_speed", HERE),
    )
    speed.add_argument("--methods", nargs="+", metavar="M", help="sft, reward, dpo (all)")
    speed.add_argument("--model", default="embedded", help="model folder (embedded)")
    speed.add_argument("--shape", help="random weights of this size instead: 135m, 360m, 1.7b")
    speed.add_argument("--rows", type=whole, default=64, help="pairs (64)")
    speed.add_argument("--tokens", type=whole, default=96, help="words a completion, at most (96)")
    speed.add_argument("--batch", type=whole, default=4, help="pairs a step (4)")
    speed.add_argument("--steps", type=whole, default=6, help="of a training; 2 warm up (6)")
    speed.add_argument("--repeats", type=whole, default=3, help="trainings of each (3)")
