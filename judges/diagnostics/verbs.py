"""What `charter constitution diagnose` and `impact` do: read, measure, write the page, say it."""

import argparse
import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from judges.constitutions.constitution import Constitution
from judges.constitutions.diff import compare
from judges.constitutions.files import load_constitution
from judges.diagnostics.diagnosis import Bounds, diagnose
from judges.diagnostics.impact import preview
from judges.diagnostics.impact_report import Impact
from judges.diagnostics.impact_text import impact_lines
from judges.diagnostics.page import diagnosis_page, findings, impact_page
from judges.diagnostics.rejudge import lacking_principles, rejudge
from judges.diagnostics.run_files import Run, read_run
from judges.diagnostics.sampling import draw
from judges.errors import ConfigError
from judges.jsonl import replacing
from judges.judge import Judge
from judges.judge_files import open_judges
from judges.progress import progress, say
from judges.ranking_verbs import budget_wanted, prices_of, speed_wanted
from judges.relabelling.cast import method_of, refuse_other_judges
from judges.relabelling.estimate import estimate_plan
from judges.relabelling.plan import Plan, edit_digests, plan_relabel
from judges.store.vote_store import VoteStore
from judges.verbs import emit, refuse_same


def run_diagnose(options: argparse.Namespace) -> int:
    """`charter constitution diagnose`"""
    _check_output(options)
    constitution = load_constitution(options.constitution)
    run = read_run(options.rankings, options.slice)
    bounds = Bounds(
        dead=options.dead,
        correlation=options.correlation,
        flips=options.flips,
        near=options.near,
    )
    with VoteStore.open(options.store) as store:
        found = diagnose(
            run, constitution, store,
            labels=options.labels, bounds=bounds, slice_column=options.slice, seed=options.seed,
        )  # fmt: skip
    _write(options.output, diagnosis_page(found))
    if options.json:
        emit(found.model_dump_json(indent=2))
        return 0
    for one in findings(found):
        emit(one)
    emit(f"{found.scored} of {found.pairs} pairs scored, {found.labelled} labelled")
    return 0


def run_impact(options: argparse.Namespace) -> int:
    """`charter constitution impact`"""
    _check_output(options)
    old, new = load_constitution(options.old), load_constitution(options.new)
    run = read_run(options.rankings, options.slice)
    only = edit_digests(new, compare(old, new))
    with VoteStore.open(options.store) as store:
        plan = plan_relabel(options.rankings, new, store, only)
        found = asyncio.run(_previewed(run, plan, (old, new), options, store))
    _write(options.output, impact_page(found))
    if options.json:
        emit(found.model_dump_json(indent=2))
    else:
        for line in impact_lines(found):
            emit(line)
    return 0


async def _previewed(
    run: Run,
    plan: Plan,
    edit: tuple[Constitution, Constitution],
    options: argparse.Namespace,
    store: VoteStore,
) -> Impact:
    """The preview, after judging a sample where votes are lacking and one is asked for."""
    sample, cost = None, []
    sampling = options.sample is not None and bool(plan.votes or plan.checks)
    async with AsyncExitStack() as stack:
        judges: list[Judge] = []
        if plan.votes and (sampling or options.judge):
            judges = await open_judges(options.judge, stack)
            refuse_other_judges(plan, judges, method_of(plan.settings, store))
        if sampling:
            drawn = draw(run, options.sample, options.seed)
            with progress("judging a sample", "prompts") as report:
                sample = await rejudge(
                    run, drawn, plan, edit, judges, store,
                    budget=budget_wanted(options), progress=report,
                )  # fmt: skip
            plan = plan_relabel(options.rankings, edit[1], store, plan.topics_counted)
        if judges and plan.votes:
            prices = prices_of(options.judge)
            cost = estimate_plan(
                plan, edit[1], judges, store, rate=speed_wanted(options), prices=prices
            )
    whole = sample is None or not (plan.votes or plan.checks)
    return preview(
        run, *edit, store,
        labels=options.labels, cost=tuple(cost), lacking=lacking_principles(plan),
        sample=None if whole else sample, slice_column=options.slice, seed=options.seed,
    )  # fmt: skip


def _check_output(options: argparse.Namespace) -> None:
    """Raises: ConfigError for an output that is no page, or that is an input."""
    if options.output.suffix != ".html":
        raise ConfigError(f"--output {options.output} · writes a page · name it REPORT.html")
    refuse_same(options.rankings, options.output)


def _write(path: Path, page: str) -> None:
    with replacing(path) as file:
        file.write(page.encode("utf-8"))
    say(f"{path}: written")
