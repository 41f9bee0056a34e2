"""What list, show, lint and diff do: load, call one function, print."""

import argparse
import difflib
import json
from collections.abc import Iterator
from typing import Any

from judges.constitutions.constitution import Constitution
from judges.constitutions.diff import UNITS, Change, Diff, compare, headline
from judges.constitutions.files import (
    find_constitution,
    list_constitutions,
    load_constitution,
)
from judges.constitutions.lint import Finding, lint_constitution
from judges.constitutions.misfits import name_place
from judges.constitutions.published import deprecations
from judges.constitutions.semver import demanded_step, next_version
from judges.constitutions.yaml_source import YamlSource, read_yaml
from judges.errors import ConstitutionError
from judges.progress import say
from judges.verbs import emit

JUDGED_TEXTS = (
    "text",
    "applies_when",
    "critique",
    "revise",
    "prompt",
    "content",
    "better",
    "worse",
)


def run_list(options: argparse.Namespace) -> int:  # noqa: ARG001 - every verb's form
    """`charter constitution list`"""
    faults: list[str] = []
    for file in list_constitutions():
        try:
            constitution = load_constitution(str(file.path), warn=False)
            old = file.reference in deprecations(file.path.parent.parent)
        except ConstitutionError as error:
            faults.append(str(error))
            continue
        n = len(constitution.principles)
        mark = "  (deprecated)" if old else ""
        emit(f"{constitution.reference:32} {n:3} principles  {constitution.title}{mark}")
    for fault in dict.fromkeys(faults):
        say(f"left out: {fault}")
    return 1 if faults else 0


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
    source, cut = None, []
    if not options.reference.startswith("sha256:"):
        path = find_constitution(options.reference)
        source = read_yaml(path.read_bytes(), str(path))
        cut = list(_cut_texts(source))
    for finding in findings:
        emit(f"{_place(finding, source) or constitution.reference}: {finding.sentence}")
    for line in cut:
        emit(line)
    count = len(findings) + len(cut)
    say(f"{constitution.reference}: loads; {count} finding{'' if count == 1 else 's'}")
    return 1 if any(finding.forbids for finding in findings) else 0


def _cut_texts(source: YamlSource) -> Iterator[str]:
    """Texts for a judge that lack what stands behind a '#'; a remark there is seldom meant."""
    for place in source.cut:
        if place[-1] in JUDGED_TEXTS:
            yield (
                f"{source.position(place)}: {name_place(place, source)} ends before the '#', which "
                "begins a remark; if it belongs to the text, put the text in quotes (cut-text)"
            )


def _place(finding: Finding, source: YamlSource | None) -> str | None:
    """Where the principle of a finding stands; None when a parent's file has it."""
    if source is None or finding.principle is None:
        return None
    for index, principle in enumerate(source.data.get("principles", [])):
        if principle.get("id") == finding.principle:
            return source.position(("principles", index))
    return None


def run_diff(options: argparse.Namespace) -> int:
    """`charter constitution diff`"""
    before = load_constitution(options.before, warn=False)
    after = load_constitution(options.after, warn=False)
    diff = compare(before, after)
    told, lines, rest = _estimated(after, diff, options)
    if options.json:
        step = demanded_step(diff)
        more = {"step": step, "estimates": told, "lacking": rest}
        emit(json.dumps(diff.model_dump() | more, indent=2))
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
    for line in lines:
        emit(line)
    if rest:
        emit(f"and {rest} votes on what did not change, not stored yet either")
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
        yield "to judge again (`charter relabel`; all other votes are kept):"
        for question in judged:
            what = {"applies": "scope", "yes_no": "statement"}.get(question.kind, "text")
            yield f"  {question.principle}, {what}: {UNITS[question.kind]} and judge"
    if checked := [question.principle for question in diff.wanted if question.kind == "rule"]:
        yield f"to check again by code (`charter relabel`, no model call): {', '.join(checked)}"
    if any(change.cost == "labels" for change in diff.changes):
        also = "" if not diff.wanted else ", in the same run"
        yield f"to aggregate again{also} (no model call; `charter reweigh` when that is all)"
    if any(change.cost == "revisions" for change in diff.changes):
        yield "to critique and revise again (`charter critique`, `charter revise`); no new votes"
    if diff.cost == "nothing":
        yield "nothing is to be done again: all votes and labels stay"


def _estimated(
    after: Constitution, diff: Diff, options: argparse.Namespace
) -> tuple[list[dict[str, Any]], list[str], int]:
    """What the edit costs each judge, as data and in words, and votes that are lacking besides."""
    if not (options.input or options.rankings):
        return [], [], 0
    # What it takes to count would make every other verb here twice as slow to start.
    from judges.constitutions.edit_cost import estimate_edit
    from judges.cost_text import estimate_lines

    told, rest = estimate_edit(after, diff, options)
    return (
        [one.model_dump() for one in told],
        [line for t in told for line in estimate_lines(t)],
        rest,
    )
