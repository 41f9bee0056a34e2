"""What `charter constitution infer` does: read pairs, open the models, write what is found."""

import argparse
import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson

from judges.cards.labelled import LabelledPair, read_labelled
from judges.constitutions.files import load_constitution
from judges.constitutions.lint import lint_constitution
from judges.errors import ConfigError
from judges.inference.candidates import Candidate, read_candidates
from judges.inference.explain import explain, explanation_text
from judges.inference.infer import Inferred, Inferring, infer
from judges.inference.pairwise_csv import read_pairwise_csv
from judges.inference.propose import Proposing
from judges.inference.select import SelectionSettings
from judges.inference.write import inferred_constitution, said, slug, write_constitution
from judges.jsonl import replacing
from judges.judge import Judge
from judges.judge_files import find_judges, open_judges
from judges.model import ChatModel, Sampling
from judges.policies import open_policy
from judges.progress import progress, say
from judges.store.vote_store import VoteStore
from judges.verbs import emit, refuse_same

LIMITS = (
    "the embedded model proposes little that is usable, and its votes are hardly better than "
    "chance: what code checks is found, what must be read is not; name a larger judge by URL"
)


def run_infer(options: argparse.Namespace) -> int:
    """`charter constitution infer`"""
    suffixes = (".md", ".txt") if options.explain else (".yaml", ".yml")
    if options.output.suffix not in suffixes:
        raise ConfigError(f"--output {options.output} · writes a {' or '.join(suffixes)} file")
    refuse_same(options.preferences, options.output)
    read = read_pairwise_csv if options.preferences.suffix == ".csv" else read_labelled
    pairs = read(options.preferences)
    given = read_candidates(options.candidates) if options.candidates else []
    named = [one for _, one in find_judges(options.judge or ["default"])]
    if any(not (one.url or one.model or one.transport == "fake") for one in named):
        say(LIMITS)
    with VoteStore.open(options.store) as store:
        return asyncio.run(_run(options, pairs, given, store))


async def _run(
    options: argparse.Namespace,
    pairs: Sequence[LabelledPair],
    given: Sequence[Candidate],
    store: VoteStore,
) -> int:
    how = settings_of_options(options)
    async with AsyncExitStack() as stack:
        judges = await open_judges(options.judge, stack)
        proposer = await _proposer(options, judges, stack)
        with progress("voting", "pairs") as report:
            if options.explain:
                constitution = load_constitution(options.explain)
                explanation = await explain(
                    pairs, constitution, judges, store, how,
                    proposer=proposer, given=given, tests=options.tests, progress=report,
                )  # fmt: skip
                _write_text(options.output, explanation_text(explanation))
                return 0
            inferred = await infer(
                pairs, judges, store, how, proposer=proposer, given=given, progress=report
            )
    return write_inferred(inferred, options, len(pairs), judges)


def settings_of_options(options: argparse.Namespace) -> Inferring:
    """The settings that the flags make."""
    return Inferring(
        selection=SelectionSettings(
            most=options.most, minimum_support=options.support, seed=options.seed
        ),
        proposing=Proposing(sampling=Sampling(temperature=0.7, max_tokens=600, seed=options.seed)),
        hypotheses=not options.no_hypotheses,
        grouped_by=options.grouped_by,
    )


async def _proposer(
    options: argparse.Namespace, judges: Sequence[Judge], stack: AsyncExitStack
) -> ChatModel | None:
    if options.no_propose:
        return None
    return await open_policy(options.policy, stack) if options.policy else judges[0].model


def write_inferred(
    inferred: Inferred, options: argparse.Namespace, pairs: int, judges: Sequence[Judge]
) -> int:
    """Write the report, and the constitution if anything was kept; 1 when nothing was."""
    report = options.output.with_suffix(".report.json")
    with replacing(report) as file:
        file.write(orjson.dumps(report_of(inferred, pairs), option=orjson.OPT_INDENT_2))
    _tell(inferred, report)
    if not inferred.selection.kept:
        say("no candidate explains the preferences: no constitution is written")
        return 1
    names = ", ".join(judge.name for judge in judges)
    constitution = inferred_constitution(
        slug(options.output.stem, "inferred"),
        inferred.selection,
        inferred.candidates,
        inferred.evidence,
        how=f"Votes by {names}; seed {options.seed}.",
        licence=options.licence,
        tests=options.tests,
    )
    write_constitution(constitution, options.output)
    for finding in lint_constitution(constitution):
        say(f"{finding.principle or 'constitution'}: {finding.check}: {finding.message}")
    for principle in constitution.principles:
        emit(f"{principle.weight:8.3f}  {principle.id:40} {principle.title}")
    say(f"{options.output}: {len(constitution.principles)} principles; `charter constitution test`")
    return 0


def _tell(inferred: Inferred, report: Path) -> None:
    selection, proposals = inferred.selection, inferred.proposals
    if proposals is not None:
        say(
            f"proposed: {len(proposals.candidates)} usable sentences from {proposals.requests} "
            f"requests; failed {proposals.failed}, refused {proposals.refused}"
        )
    say(
        f"{len(selection.candidates)} candidates on {selection.pairs} pairs, "
        f"{inferred.new_votes} new votes; {len(selection.kept)} kept"
    )
    say(f"held out: {said(selection.held_out_accuracy)}; {selection.held_out_unscored} unscored")
    say(f"{report}: what was dropped, and why")


def report_of(inferred: Inferred, pairs: int) -> dict[str, Any]:
    """All figures: every candidate with what it stands for, its tests and why it was dropped."""
    members = {one.representative.id: one for one in inferred.clusters}
    proposals = inferred.proposals
    return {
        "pairs": pairs,
        **inferred.selection.model_dump(mode="json", exclude={"candidates"}),
        "proposals": proposals.model_dump(mode="json", exclude={"candidates"})
        if proposals
        else None,
        "candidates": [
            {
                "text": inferred.candidates[one.id].text,
                "origin": inferred.candidates[one.id].origin,
                "proposed": members[one.id].proposed,
                "members": members[one.id].members,
                **one.model_dump(mode="json"),
            }
            for one in inferred.selection.candidates
        ],
    }


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())
    say(f"{path}: written")
