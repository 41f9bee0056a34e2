"""What `charter tamper` and `charter recall` do: labelled pairs made; judges measured on them."""

import argparse
import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson

from judges.constitutions.constitution import Constitution, Principle
from judges.constitutions.files import load_constitution
from judges.errors import DataError
from judges.items import load_items
from judges.jsonl import Journal, dump_line, parse_line, read_jsonl, replacing, write_jsonl
from judges.judge_files import open_judges
from judges.model import ChatModel, Sampling
from judges.progress import progress, say
from judges.records import Item
from judges.store.vote_store import VoteStore
from judges.tampering.pairs import TamperedPair, alone, golden_pairs, read_pairs
from judges.tampering.report import critique_copies, measure_critiques, measure_recall
from judges.tampering.tamper import (
    Tampering,
    asked_digest,
    attempt_id,
    request_digest,
    tamper,
)
from judges.verbs import refuse_same, say_resumed


def run_tamper(options: argparse.Namespace) -> int:
    """`charter tamper`"""
    constitution = load_constitution(options.constitution)
    items = load_items(options.input)
    refuse_same(options.input, options.output)
    how = Tampering(
        sampling=Sampling(temperature=0.0, max_tokens=options.max_tokens, seed=options.seed),
        most_changed=options.most_changed,
        use_model=not options.no_model,
    )
    asked = [(i, p) for i in items for p in chosen_principles(constitution, options.principles)]
    kept = {principle.id for _, principle in asked}
    golden = [g for g in golden_pairs(constitution) if options.golden and g.principle in kept]

    async def run() -> Counter[str]:
        async with AsyncExitStack() as stack:
            model = await _model(options.policy, how, stack)
            return await tamper_file(asked, constitution, model, how, options.output)

    status = asyncio.run(run())
    pairs = [row["pair"] for _, row in read_jsonl(attempts_of(options.output)) if row["pair"]]
    pairs += [pair.model_dump(mode="json") for pair in golden]
    write_jsonl(options.output, pairs)
    say(f"{options.output}: {len(pairs)} pairs, {len(golden)} of them golden tests")
    say(f"{attempts_of(options.output)}: " + ", ".join(f"{n} {s}" for s, n in status.items()))
    if status["error"]:
        say(f"the model failed on {status['error']} copies; run again to ask for these only")
        return 1
    return 0


def attempts_of(output: Path) -> Path:
    """Where every attempt stands, the refused ones with their reason."""
    return output.with_suffix(".attempts.jsonl")


def chosen_principles(constitution: Constitution, ids: str | None) -> Sequence[Principle]:
    """The principles that a person named, or all. Raises: ConstitutionError for an unknown id."""
    if ids is None:
        return constitution.principles
    wanted = {name.strip() for name in ids.split(",")}
    for name in wanted:
        alone(constitution, name)
    return [principle for principle in constitution.principles if principle.id in wanted]


async def _model(policy: str | None, how: Tampering, stack: AsyncExitStack) -> ChatModel | None:
    if not how.use_model:
        return None
    from judges.policies import open_policy

    return await open_policy(policy, stack)


async def tamper_file(
    asked: Sequence[tuple[Item, Principle]],
    constitution: Constitution,
    model: ChatModel | None,
    how: Tampering,
    output: Path,
) -> Counter[str]:
    """Keep every attempt beside the output; returns how many were made, and refused for what.

    A second run asks only for what is new, changed, or ended in an error.
    """
    rules = {p.id: p.question_text("rule") for p in constitution.principles if p.rule is not None}
    made_with = {
        "policy": model.capabilities().fingerprint if model else None,
        "request": request_digest(),
        "rules": rules,
        **how.model_dump(mode="json"),
    }
    made_with = parse_line(dump_line(made_with), "settings")  # as a file gives them back
    names = {attempt_id(*one): asked_digest(*one) for one in asked}

    def keep(row: Mapping[str, Any]) -> bool:
        same = row.get("made_with") == made_with and row.get("status") != "error"
        return same and names.get(str(row["id"])) == row.get("asked")

    with Journal(attempts_of(output), keep) as journal:
        left = [one for one in asked if attempt_id(*one) not in journal]
        say_resumed(len(journal), len(asked), output)
        with progress("tampering", "copies") as report:
            async for attempts in tamper(left, constitution, model, how, report):
                lines = [attempt.model_dump(mode="json") for attempt in attempts]
                journal.append([line | {"made_with": made_with} for line in lines])
        status = Counter(_outcome(row) for row in journal.rows())
        journal.finish(names)
    return status


def _outcome(row: Mapping[str, Any]) -> str:
    """`made`, `error`, or the reason of a refusal."""
    return str(row["reason"] if row["status"] == "refused" else row["status"])


def run_recall(options: argparse.Namespace) -> int:
    """`charter recall`"""
    constitution = load_constitution(options.constitution)
    refuse_same(options.pairs, options.output)
    pairs = list(read_pairs(options.pairs))
    if not pairs:
        raise DataError(f"{options.pairs}: no pairs; `charter tamper` makes some")

    async def run() -> dict[str, Any]:
        async with AsyncExitStack() as stack:
            store = stack.enter_context(VoteStore.open(options.store))
            return await _recalled(pairs, constitution, store, stack, options)

    report = asyncio.run(run())
    with replacing(options.output) as file:
        file.write(orjson.dumps(report, option=orjson.OPT_INDENT_2) + b"\n")
    for row in report["recall"]:
        say(f"{row['principle']}: recall {_told(row['recall'])}, {row['unscored']} unscored")
    for row in report["critiques"][:1]:
        say(f"critiques: precision {_told(row['precision'])}, recall {_told(row['recall'])}")
    say(f"{options.output}: written")
    return 0


async def _recalled(
    pairs: Sequence[TamperedPair],
    constitution: Constitution,
    store: VoteStore,
    stack: AsyncExitStack,
    options: argparse.Namespace,
) -> dict[str, Any]:
    judges = await open_judges(options.judge, stack)
    report: dict[str, Any] = {
        "constitution": constitution.reference,
        "judges": [judge.name for judge in judges],
        "pairs": len(pairs),
        "recall": [
            row.model_dump(mode="json")
            for row in await measure_recall(pairs, constitution, judges, store)
        ],
        "critiques": [],
    }
    if options.critiques:
        sampling = Sampling(max_tokens=options.max_tokens, seed=options.seed)
        spans, outcomes = await critique_copies(pairs, constitution, judges[0].model, sampling)
        scores = measure_critiques(pairs, spans)
        report["critiques"] = [row.model_dump(mode="json") for row in scores]
        report["critique_outcomes"] = dict(outcomes)
    return report


def _told(estimate: Mapping[str, Any] | None) -> str:
    if estimate is None:
        return "unknown"
    return "{value:.2f} (95 % interval {low:.2f} to {high:.2f}, n {n})".format(**estimate)
