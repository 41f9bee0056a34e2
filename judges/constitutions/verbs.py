"""What list, show, lint, test and diff do: load, call one function, print."""

import argparse
import asyncio
import difflib
import json
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack

from judges.constitutions.constitution import Constitution
from judges.constitutions.diff import UNITS, Change, Diff, compare, headline
from judges.constitutions.files import (
    find_constitution,
    list_constitutions,
    load_constitution,
)
from judges.constitutions.lint import Finding, lint_constitution
from judges.constitutions.published import deprecations
from judges.constitutions.semver import demanded_step, next_version
from judges.constitutions.yaml_source import YamlSource, read_yaml
from judges.cost import JudgeEstimate, estimate
from judges.golden import GoldenResult, run_golden_tests
from judges.intervals import wilson
from judges.items import load_items
from judges.judge_files import open_judges
from judges.progress import say
from judges.store.vote_store import VoteStore
from judges.verbs import emit


def run_list(options: argparse.Namespace) -> int:  # noqa: ARG001 - every verb's form
    """`charter constitution list`"""
    for file in list_constitutions():
        constitution = load_constitution(str(file.path), warn=False)
        n = len(constitution.principles)
        old = file.reference in deprecations(file.path.parent.parent)
        mark = "  (deprecated)" if old else ""
        emit(f"{constitution.reference:32} {n:3} principles  {constitution.title}{mark}")
    return 0


def run_show(options: argparse.Namespace) -> int:
    """`charter constitution show`"""
    constitution = load_constitution(options.reference)
    if options.json:
        emit(constitution.model_dump_json(indent=2))
        return 0
    emit(f"{constitution.reference}  {constitution.title}  ({constitution.licence})")
    emit(f"digest {constitution.digest}")
    for name, value in constitution.digests.model_dump().items():
        emit(f"  {name:10} {value}")
    for principle in constitution.principles:
        what = principle.text or f"rule {principle.rule.model_dump() if principle.rule else ''}"
        emit(f"\n{principle.id}  [{principle.tier}, weight {principle.weight:g}]")
        emit(f"  {what}")
        if principle.applies_when:
            emit(f"  applies when: {principle.applies_when}")
    return 0


def run_lint(options: argparse.Namespace) -> int:
    """`charter constitution lint`: exit code 1 for what forbids publishing."""
    constitution = load_constitution(options.reference)
    findings = lint_constitution(constitution)
    source = None
    if not options.reference.startswith("sha256:"):
        path = find_constitution(options.reference)
        source = read_yaml(path.read_bytes(), str(path))
    for finding in findings:
        emit(f"{_place(finding, source) or constitution.reference}: {finding.sentence}")
    say(f"{constitution.reference}: loads; {len(findings)} findings")
    return 1 if any(finding.forbids for finding in findings) else 0


def _place(finding: Finding, source: YamlSource | None) -> str | None:
    """Where the principle of a finding stands; None when a parent's file has it."""
    if source is None or finding.principle is None:
        return None
    for index, principle in enumerate(source.data.get("principles", [])):
        if principle.get("id") == finding.principle:
            return source.position(("principles", index))
    return None


def run_test(options: argparse.Namespace) -> int:
    """`charter constitution test`: exit code 1 when a test is not passed."""
    constitution = load_constitution(options.reference)

    async def run() -> list[GoldenResult]:
        async with AsyncExitStack() as stack:
            judges = await open_judges(options.judge, stack)
            return await run_golden_tests(constitution, judges, store)

    with VoteStore.open(options.store) as store:
        results = asyncio.run(run())
    passed = sum(result.passed for result in results)
    low, high = wilson(passed, len(results))
    if options.json:
        emit(json.dumps([result.model_dump() for result in results], indent=2))
    else:
        for result in results:
            p = "unscored" if result.p is None else f"p {result.p:.3f}"
            mark = "pass" if result.passed else "FAIL"
            emit(f"{mark}  {result.principle}:{result.test}  {p}")
    say(f"passed {passed} of {len(results)} (95 % interval {low:.2f} to {high:.2f})")
    return 0 if passed == len(results) else 1


def run_diff(options: argparse.Namespace) -> int:
    """`charter constitution diff`"""
    before = load_constitution(options.before, warn=False)
    after = load_constitution(options.after, warn=False)
    diff = compare(before, after)
    told = _estimated(after, diff, options) if options.input else []
    if options.json:
        step = demanded_step(diff)
        counted = [{"edit": edit.model_dump(), "all": whole.model_dump()} for edit, whole in told]
        emit(json.dumps(diff.model_dump() | {"step": step, "estimates": counted}, indent=2))
        return 0
    emit(f"{diff.before} → {diff.after}")
    for change in diff.changes:
        emit(f"  {change.cost:9}  {headline(change)}")
        for line in _wording(change):
            emit(f"             {line}")
    for line in _catching_up(diff):
        emit(line)
    if (step := demanded_step(diff)) and before.name == after.name:
        emit(f"version: the {step} step, {next_version(before.version, step)}")
    for edit, whole in told:
        for line in _said(edit, whole):
            emit(line)
    return 0


def _wording(change: Change) -> Iterator[str]:
    """The words of a changed text, what went and what came marked as git does."""
    if change.what in ("reworded", "rule", "scope", "statement reworded", "critique", "revise"):
        yield marked_words(change.before or "", change.after or "")


def marked_words(before: str, after: str) -> str:
    """`one [-two-]{+three+} four`."""
    old, new = before.split(), after.split()
    parts = []
    for what, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if what == "equal":
            parts.append(" ".join(old[a:b]))
            continue
        gone = f"[-{' '.join(old[a:b])}-]" if b > a else ""
        come = f"{{+{' '.join(new[c:d])}+}}" if d > c else ""
        parts.append(gone + come)
    return " ".join(parts)


def _catching_up(diff: Diff) -> Iterator[str]:
    """What is to be done again, dearest first."""
    if not diff.changes:
        yield "nothing differs"
        return
    if judged := [question for question in diff.wanted if question.kind != "rule"]:
        yield "to judge again (`charter rank`; all other votes are kept):"
        for question in judged:
            what = {"applies": "scope", "yes_no": "statement"}.get(question.kind, "text")
            yield f"  {question.principle}, {what}: {UNITS[question.kind]} and judge"
    if checked := [question.principle for question in diff.wanted if question.kind == "rule"]:
        yield f"to check again by code (`charter rank`, no model call): {', '.join(checked)}"
    if any(change.cost == "labels" for change in diff.changes):
        also = "" if not diff.wanted else ", in the same run"
        yield f"to aggregate again{also} (no model call; `charter reweigh` when that is all)"
    if any(change.cost == "revisions" for change in diff.changes):
        yield "to critique and revise again (`charter critique`, `charter revise`); no new votes"
    if diff.cost == "nothing":
        yield "nothing is to be done again: all votes and labels stay"


def _estimated(
    after: Constitution, diff: Diff, options: argparse.Namespace
) -> list[tuple[JudgeEstimate, JudgeEstimate]]:
    """For each judge what the edit costs, and what ranking as a whole costs. No model call."""
    items = load_items(options.input)

    async def run() -> list[tuple[JudgeEstimate, JudgeEstimate]]:
        async with AsyncExitStack() as stack:
            judges = await open_judges(options.judge, stack)
            edit = estimate(items, after, judges, store, only=diff.wanted_digests)
            whole = estimate(items, after, judges, store)
            return list(zip(edit, whole, strict=True))

    with VoteStore.open(options.store) as store:
        return asyncio.run(run())


def _said(edit: JudgeEstimate, whole: JudgeEstimate) -> Sequence[str]:
    about = "" if edit.exact else "about "
    time = "minutes unknown: the store holds too few votes of this judge"
    if edit.seconds is not None:
        time = f"{edit.seconds / 60:.1f} minutes at the speed of its votes so far"
    new, rest = edit.questions - edit.stored, whole.questions - whole.stored
    lines = [
        f"{edit.judge}: {new} votes for the edit, {edit.stored} more are stored already",
        f"  {about}{edit.prompt_tokens} prompt tokens, {edit.fresh_tokens} of them fresh at least; "
        f"{time}",
    ]
    if rest > new:
        lines.append(f"  and {rest - new} votes on what did not change, not stored yet either")
    return lines
