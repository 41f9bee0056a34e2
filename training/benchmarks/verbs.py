"""What the benchmarks of training do: read files, call one function, print what came of it."""

import argparse
import json
from collections.abc import Sequence

from judges.cards.labelled import read_labelled
from judges.constitutions.files import load_constitution
from judges.errors import ConfigError
from judges.preferences import read_rankings
from judges.records import Message
from judges.verbs import emit
from training.rewards.examples import RankedPrompt, from_pairs, from_rankings


def run_reward_encoding(options: argparse.Namespace) -> int:
    """`charter benchmark reward-encoding`"""
    from training.benchmarks.reward_encoding import benchmark_reward_encoding

    told = benchmark_reward_encoding(
        options.model, options.completions, options.tokens, options.repeats
    )
    emit(json.dumps(told, indent=2))
    return 0


def run_reward_labels(options: argparse.Namespace) -> int:
    """`charter benchmark reward-labels`"""
    from training.benchmarks.reward_labels import benchmark_reward_labels
    from training.benchmarks.states import read_states

    prompts = _ranked(options) if options.rankings else _labelled(options)
    stated = read_states(
        prompts, options.model, options.prompts, options.max_length, options.states
    )
    told = benchmark_reward_labels(stated, options.right, options.draws, options.seed)
    emit(json.dumps(told, indent=2))
    return 0


def run_preference_methods(options: argparse.Namespace) -> int:
    """`charter benchmark preference-methods`"""
    from training.benchmarks.preference_methods import METHODS, benchmark_methods, dump

    unknown = [name for name in options.methods if name not in METHODS]
    if unknown:
        raise ConfigError(f"--methods {unknown[0]}: use {', '.join(map(repr, METHODS))}")
    if options.noise is not None and not 0.5 < options.noise < 1:
        raise ConfigError(f"--noise is {options.noise}; use a share above 0.5 and below 1")
    told = benchmark_methods(
        options.preferences,
        options.out,
        options.methods or list(METHODS),
        options.seeds,
        options.steps,
        options.learning_rate,
        options.noise,
        options.model,
        options.samples,
    )
    emit(dump(told))
    return 0


def run_online_methods(options: argparse.Namespace) -> int:
    """`charter benchmark online-methods`"""
    from training.benchmarks.online_methods import METHODS, benchmark_online_methods, dump

    unknown = [name for name in options.methods if name not in METHODS]
    if unknown:
        raise ConfigError(f"--methods {unknown[0]}: use {', '.join(map(repr, METHODS))}")
    told = benchmark_online_methods(
        options.out,
        options.methods or list(METHODS),
        options.seeds,
        options.steps,
        options.points,
        options.learning_rate,
        options.model,
    )
    emit(dump(told))
    return 0


def run_reward_heads(options: argparse.Namespace) -> int:
    """`charter benchmark reward-heads`"""
    from training.benchmarks.reward_heads import benchmark_reward_heads
    from training.benchmarks.states import read_states

    constitution = load_constitution(options.constitution)
    prompts = _ranked(options, [principle.id for principle in constitution.principles])
    stated = read_states(
        prompts, options.model, options.prompts, options.max_length, options.states
    )
    told = benchmark_reward_heads(stated, constitution, options.factor, options.draws, options.seed)
    emit(json.dumps(told, indent=2))
    return 0


def run_over_optimisation(options: argparse.Namespace) -> int:
    """`charter benchmark over-optimisation`"""
    from judges.items import load_items
    from training.benchmarks.over_optimisation import (
        benchmark_over_optimisation,
        fake_items,
        make_pool,
    )

    constitution = load_constitution(options.constitution)
    items = (
        load_items(options.completions)
        if options.completions
        else fake_items(options.prompts, options.samples)
    )
    told = benchmark_over_optimisation(
        make_pool(items, constitution), options.members, options.pairs, options.flaw, options.seeds
    )
    emit(json.dumps(told, indent=2))
    return 0


def run_hacked_ppo(options: argparse.Namespace) -> int:
    """`charter benchmark hacked-ppo`"""
    from training.benchmarks.hacked_ppo import LIKED, benchmark_hacked_ppo

    if options.members >= LIKED:
        raise ConfigError(
            f"--members is {options.members}; use {LIKED - 1} at most, so that each labeller, the "
            "held-out one too, likes a word of its own"
        )
    told = benchmark_hacked_ppo(
        options.out,
        options.members,
        options.flaw,
        options.seeds,
        options.steps,
        options.looks,
        options.learning_rate,
        options.model,
    )
    emit(json.dumps(told, indent=1))
    return 0


def run_training_speed(options: argparse.Namespace) -> int:
    """`charter benchmark training-speed`"""
    from training.benchmarks.trainer_sides import SIDES
    from training.benchmarks.training_speed import benchmark_training_speed

    told = benchmark_training_speed(
        options.methods or list(SIDES),
        options.model,
        options.shape,
        options.rows,
        options.tokens,
        options.batch,
        options.steps,
        options.repeats,
    )
    emit(json.dumps(told, indent=2))
    return 0


def _ranked(
    options: argparse.Namespace, principles: Sequence[str] | None = None
) -> list[RankedPrompt]:
    lines = enumerate(read_rankings(options.rankings), 1)
    return from_rankings(
        ((f"{options.rankings}:{number}", line) for number, line in lines), principles
    )


def _labelled(options: argparse.Namespace) -> list[RankedPrompt]:
    """Pairs that people labelled; ties are left out."""
    found = []
    for number, pair in enumerate(read_labelled(options.data), 1):
        if pair.preferred == 0.5:
            continue
        prompt = [message.model_dump() for message in pair.item.prompt]
        first, second = (
            [Message(role="assistant", content=one.text).model_dump()]
            for one in pair.item.completions
        )
        found.append((f"{options.data}:{number}", prompt, first, second, pair.preferred))
    return from_pairs(found)


def run_ppo_optimum(options: argparse.Namespace) -> int:
    """`charter benchmark ppo-optimum`"""
    from training.ppo.optimum import Problem, as_table, attempts

    bandit = Problem(longest=1, vocabulary=16)
    told = {
        "bandit": attempts(bandit, options.seeds, adapters=False),
        "whole": attempts(Problem(), options.seeds, adapters=False),
    }
    if options.adapters:
        told["adapters"] = attempts(Problem(), options.seeds, adapters=True)
    if options.json:
        emit(json.dumps({name: [one.told() for one in found] for name, found in told.items()}))
    else:
        emit(as_table(told))
    return 0
