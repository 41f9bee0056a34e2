"""What the training verbs do: read files, call one function, say what came of it."""

import argparse
import asyncio
import json
from contextlib import AsyncExitStack
from importlib import import_module
from typing import TYPE_CHECKING

from judges.constitutions.files import load_constitution
from judges.items import load_prompts
from judges.jsonl import replacing
from judges.judge_files import open_judges
from judges.progress import progress, say
from judges.store.vote_store import VoteStore
from judges.verbs import emit

if TYPE_CHECKING:
    from training.evaluation.evaluate import Evaluation


def run_train(options: argparse.Namespace) -> int:
    """`charter train METHOD`"""
    from training.runs.manifest import make_manifest
    from training.runs.recipe_files import load_recipe

    module = import_module(options.method.module)
    recipe = load_recipe(options.config, getattr(module, options.method.recipe), options.overrides)
    if options.dry_run:
        emit(make_manifest(recipe).model_dump_json(indent=2))
        return 0
    with progress("training", "steps") as report:
        summary = getattr(module, options.method.train)(
            recipe,
            resume=options.resume,
            progress=lambda step, total, loss: report(step, total),  # noqa: ARG005
        )
    say(f"{recipe.output}: {summary}")
    return 0


def run_evaluate(options: argparse.Namespace) -> int:
    """`charter evaluate`"""
    from training.evaluation.capability import QUESTIONS, read_questions
    from training.evaluation.evaluate import Evaluation, EvaluationSettings, evaluate
    from training.evaluation.harness import read_harness
    from training.evaluation.narrators import DISPUTES, read_disputes
    from training.evaluation.refusals import read_probes

    constitution = load_constitution(options.constitution)
    prompts = load_prompts(options.prompts)
    probes = read_probes(options.refusals) if options.refusals else []
    asked = QUESTIONS if options.capability is True else options.capability
    questions = read_questions(asked) if asked else []
    told = DISPUTES if options.sycophancy is True else options.sycophancy
    disputes = read_disputes(told) if told else []
    pushed = (questions or read_questions(QUESTIONS)) if disputes else []
    benchmarks = read_harness(*options.lm_eval) if options.lm_eval else ()
    settings = EvaluationSettings(
        samples=options.samples,
        temperature=options.temperature,
        max_tokens=options.max_tokens,
        seed=options.seed,
        refusals_by=options.refusals_by,
    )

    async def run() -> Evaluation:
        async with AsyncExitStack() as stack:
            judges = await open_judges(options.judge, stack)
            with progress("judging", "pairs") as report:
                return await evaluate(
                    options.policy, options.against, constitution, prompts, judges, store,
                    settings, report, probes=probes, questions=questions,
                    disputes=disputes, pushed=pushed, answers=options.answers,
                )  # fmt: skip

    with VoteStore.open(options.store) as store:
        evaluation = asyncio.run(run()).model_copy(update={"benchmarks": benchmarks})
    _write(options, evaluation)
    return 0


def _write(options: argparse.Namespace, evaluation: "Evaluation") -> None:
    from training.evaluation.page import evaluation_page, warnings

    text = evaluation.model_dump_json(indent=2)
    if options.output is None:
        emit(text)
    else:
        with replacing(options.output) as file:
            file.write(text.encode())
    if options.report is not None:
        with replacing(options.report) as file:
            file.write(evaluation_page(evaluation).encode())
    rate, floor = evaluation.win_rate, evaluation.noise_floor
    level = rate.length_controlled
    at_length = (
        f"; at equal length {level.value:.3f} ({level.low:.3f} to {level.high:.3f})"
        if level
        else ""
    )
    say(
        f"win rate {rate.rate:.3f} (95 % interval {rate.low:.3f} to {rate.high:.3f}, n {rate.n})"
        f"{at_length}; noise floor {floor.rate:.3f}; "
        f"sane {evaluation.against_text.sane.mean:.2f} -> {evaluation.policy_text.sane.mean:.2f}"
    )
    for line in warnings(evaluation):
        say(line)


def run_demo(options: argparse.Namespace) -> int:
    """`charter demo`"""
    from training.demo.demo import run_demo as run

    summary = run(options.out, options.seed)
    emit(json.dumps(summary, indent=2))
    return 0
