"""What `charter critique` and `charter revise` do: files, models, one function, what came of it."""

import argparse
import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from judges.canonical import digest
from judges.constitutions.constitution import Constitution, Principle
from judges.constitutions.files import load_constitution
from judges.critiques.check import Check
from judges.critiques.critique import critique_items
from judges.critiques.examples import load_shots, shots_digest
from judges.critiques.layout import Shot, template_digest
from judges.critiques.output import Output
from judges.critiques.plan import ALL, chosen_principles
from judges.critiques.revise import Revising, revise
from judges.critiques.sft import SFTRounds, sft_rows
from judges.errors import ConfigError
from judges.items import load_items
from judges.jsonl import read_jsonl, write_jsonl
from judges.judge import settings_of
from judges.judge_files import open_judges
from judges.model import ChatModel, Sampling
from judges.progress import progress, say
from judges.records import Item
from judges.store.vote_store import VoteStore
from judges.verbs import EXIT_UNSCORED, refuse_same

ROUNDS = 4
"""Critique-revision pairs for each completion, as published."""


def run_critique(options: argparse.Namespace) -> int:
    """`charter critique`"""
    constitution = load_constitution(options.constitution)
    items = load_items(options.input)
    refuse_same(options.input, options.output)
    principles = chosen_principles(constitution, options.principles, ["critique"])
    shots = load_shots(options.few_shot, constitution)
    status = asyncio.run(
        critique_file(
            items,
            constitution,
            principles,
            options.judge,
            _sampling(options),
            options.output,
            attempts=options.attempts,
            shots=shots,
        )
    )
    return _told(options, status)


async def critique_file(
    items: list[Item],
    constitution: Constitution,
    principles: Sequence[Principle],
    judge: str | None,
    sampling: Sampling,
    output: Path,
    *,
    attempts: int = 3,
    shots: Sequence[Shot] = (),
) -> Counter[str]:
    """Critique to a file; returns how many items have each status.

    A second run asks only about items that are new, changed, or ended in an error.
    """
    async with AsyncExitStack() as stack:
        (critic,) = await open_judges([judge] if judge else [], stack)
        made = {
            **_made(constitution, principles, critic.model, sampling, shots),
            "attempts": attempts,
        }
        file = Output(output, items, made, _digests(constitution, made), stack)
        with progress("critiquing", "prompts") as report:
            lines = critique_items(
                file.left,
                principles,
                critic.model,
                sampling,
                attempts=attempts,
                shots=shots,
                progress=report,
            )
            return await file.write(lines)


def run_revise(options: argparse.Namespace) -> int:
    """`charter revise`"""
    constitution = load_constitution(options.constitution)
    items = load_items(options.input)
    _refuse_clashes(options)
    principles = chosen_principles(constitution, options.principles, ["critique", "revise"])
    shots = load_shots(options.few_shot, constitution)
    in_turn = options.principles == ALL

    async def run() -> Counter[str]:
        async with AsyncExitStack() as stack:
            judges = await open_judges(options.judge, stack)
            store = None
            if not options.no_check:
                store = stack.enter_context(VoteStore.open(options.store))
            how = Revising(
                constitution=constitution,
                principles=principles,
                critic=judges[0].model,
                reviser=await _reviser(options.policy, judges[0].model, stack),
                sampling=_sampling(options),
                rounds=len(principles) if in_turn else options.rounds or ROUNDS,
                seed=options.seed,
                in_turn=in_turn,
                attempts=options.attempts,
                always=options.always,
                shots=shots,
                check=Check(judges, store) if store else None,
            )
            return await revise_file(items, how, options.output)

    status = asyncio.run(run())
    say_rounds(options.output)
    if options.sft is not None:
        write_sft(options.output, options.sft, options.sft_rounds)
    return _told(options, status)


def _refuse_clashes(options: argparse.Namespace) -> None:
    refuse_same(options.input, options.output)
    if options.principles == ALL and options.rounds:
        raise ConfigError(
            f"--rounds {options.rounds} with --principles all, which makes a round of each; leave "
            "one of them out"
        )
    if options.sft is None:
        return
    if options.sft.resolve() in (options.input.resolve(), options.output.resolve()):
        raise ConfigError(f"--sft {options.sft} is the input or the output; name another file")


async def _reviser(policy: str | None, critic: ChatModel, stack: AsyncExitStack) -> ChatModel:
    if policy is None:
        return critic
    from judges.policies import open_policy

    return await open_policy(policy, stack)


async def revise_file(items: list[Item], how: Revising, output: Path) -> Counter[str]:
    """Revise to a file; returns how many items have each status.

    A second run revises only items that are new, changed, or ended in an error.
    """
    async with AsyncExitStack() as stack:
        made = {
            **_made(how.constitution, how.principles, how.critic, how.sampling, how.shots),
            "attempts": how.attempts,
            "reviser": how.reviser.capabilities().fingerprint,
            "rounds": how.rounds,
            "seed": how.seed,
            "in_turn": how.in_turn,
            "always": how.always,
            "check": _check_made(how),
        }
        file = Output(output, items, made, _digests(how.constitution, made), stack)
        with progress("revising", "prompts") as report:
            return await file.write(revise(file.left, how, report))


def say_rounds(output: Path) -> None:
    """Tell how the rounds of a revisions file ended."""
    ended = Counter(
        made["status"]
        for _, line in read_jsonl(output)
        for completion in line["completions"]
        for made in completion["rounds"]
    )
    say(f"{output}: rounds: " + ", ".join(f"{n} {name}" for name, n in ended.most_common()))


def write_sft(revisions: Path, output: Path, rounds: SFTRounds) -> int:
    """Write the rows of a revisions file to fine-tune on; returns their number."""
    count = write_jsonl(output, sft_rows((line for _, line in read_jsonl(revisions)), rounds))
    say(f"{output}: {count} rows")
    return count


def _sampling(options: argparse.Namespace) -> Sampling:
    return Sampling(
        max_tokens=options.max_tokens,
        temperature=options.temperature,
        top_p=options.top_p,
        seed=options.seed,
    )


def _told(options: argparse.Namespace, status: Counter[str]) -> int:
    """Say what came of the items; the exit code."""
    total, lost = sum(status.values()), sum(status.values()) - status["scored"]
    say(f"{options.output}: " + ", ".join(f"{n} {name}" for name, n in sorted(status.items())))
    if lost > options.max_unscored * total:
        say(f"{lost} of {total} items came to nothing, more than --max-unscored allows")
        return EXIT_UNSCORED
    return 0


def _made(
    constitution: Constitution,
    principles: Sequence[Principle],
    critic: ChatModel,
    sampling: Sampling,
    shots: Sequence[Shot],
) -> dict[str, Any]:
    """Everything that a line depends on besides its item: another one, and it is made anew."""
    able = critic.capabilities()
    return {
        "critic": able.fingerprint,
        "template": template_digest(able.transport),
        "requests": constitution.digests.revision,
        "principles": [principle.id for principle in principles],
        "sampling": sampling.model_dump(mode="json", exclude={"n", "logprobs", "json_schema"}),
        "few_shot": shots_digest(shots),
    }


def _check_made(how: Revising) -> dict[str, Any] | None:
    if how.check is None:
        return None
    settings = settings_of(how.check.judges)
    return {
        "judge": "+".join(settings.pair),
        "settings": digest(settings.model_dump(mode="json")),
        "judged": how.constitution.digests.judged,
        "thresholds": how.constitution.aggregate.model_dump(mode="json"),
    }


def _digests(constitution: Constitution, made: Mapping[str, Any]) -> dict[str, Any]:
    """What a row traced back to this line must be able to name."""
    check = made.get("check")
    return {
        "constitution": constitution.digest,
        "revision": constitution.digests.revision,
        "critic": made["critic"],
        "reviser": made.get("reviser"),
        "judge": check["judge"] if check else None,
        "few_shot": made["few_shot"],
    }
