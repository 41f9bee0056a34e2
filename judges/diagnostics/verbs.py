"""What `charter constitution diagnose` and `impact` do: read, measure, write the page, say it."""

import argparse
import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from judges.constitutions.constitution import Constitution
from judges.constitutions.files import load_constitution
from judges.cost import JudgeEstimate, estimate
from judges.diagnostics.diagnosis import Bounds, diagnose
from judges.diagnostics.golden_votes import usual_settings
from judges.diagnostics.impact import preview
from judges.diagnostics.impact_report import Impact
from judges.diagnostics.needed_votes import only, silent_principles
from judges.diagnostics.page import diagnosis_page, findings, impact_page
from judges.diagnostics.pair_votes import gather_votes
from judges.diagnostics.run_files import Run, read_run
from judges.errors import ConfigError
from judges.items import ITEM_KEYS, parse_item
from judges.jsonl import read_jsonl, replacing
from judges.judge import Method
from judges.judge_files import find_judges, open_judges
from judges.progress import say
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
    with VoteStore.open(options.store) as store:
        found = preview(
            run, old, new, store,
            labels=options.labels, cost=_cost(run, new, options, store),
            slice_column=options.slice, seed=options.seed,
        )  # fmt: skip
    _write(options.output, impact_page(found))
    if options.json:
        emit(found.model_dump_json(indent=2))
    else:
        _say_impact(found)
    return 0


def _say_impact(found: Impact) -> None:
    for need in found.needs:
        how = ", checked by code" if need.checked_by_code else ""
        emit(f"{need.principle} needs {need.votes} votes{how}; left out of this preview")
    for cost in found.cost:
        about = "" if cost.exact else "about "
        emit(f"  {cost.judge}: {cost.questions - cost.stored} votes, {about}{cost.prompt_tokens} "
             "prompt tokens")  # fmt: skip
    flips = found.flips
    if flips.share is None:
        emit("no pair has a verdict under both constitutions")
        return
    one = flips.share
    emit(
        f"{100 * one.value:.1f} % of labels flip ({100 * one.low:.1f} to {100 * one.high:.1f} %, "
        f"n {one.n}): {flips.turned} turned, {flips.to_tie} become ties, {flips.from_tie} were"
    )
    if found.agreement.difference is not None:
        gain = found.agreement.difference
        emit(
            f"agreement with people {100 * gain.value:+.1f} points ({100 * gain.low:+.1f} to "
            f"{100 * gain.high:+.1f}, n {gain.n})"
        )


def _cost(
    run: Run, constitution: Constitution, options: argparse.Namespace, store: VoteStore
) -> tuple[JudgeEstimate, ...]:
    """What lacking votes cost with the judges named; nothing is opened where none is named."""
    if not options.judge:
        return ()
    silent = silent_principles(gather_votes(run.ballots, constitution, store))
    if not silent:
        return ()
    items = [
        parse_item({key: row[key] for key in ITEM_KEYS if key in row}, f"{run.path}:{number}")
        for number, row in read_jsonl(run.path)
    ]
    settings = usual_settings(run.ballots)
    method = Method.model_validate({"kind": settings.kind, "samples": settings.samples})

    async def estimated() -> list[JudgeEstimate]:
        async with AsyncExitStack() as stack:
            judges = await open_judges(options.judge, stack)
            prices = {n: one.price for n, one in find_judges(options.judge) if one.price}
            return estimate(
                items, only(constitution, silent), judges, store,
                method=method, prices=prices,
            )  # fmt: skip

    return tuple(asyncio.run(estimated()))


def _check_output(options: argparse.Namespace) -> None:
    """Raises: ConfigError for an output that is no page, or that is an input."""
    if options.output.suffix != ".html":
        raise ConfigError(f"--output {options.output} · writes a page · name it REPORT.html")
    refuse_same(options.rankings, options.output)


def _write(path: Path, page: str) -> None:
    with replacing(path) as file:
        file.write(page.encode("utf-8"))
    say(f"{path}: written")
