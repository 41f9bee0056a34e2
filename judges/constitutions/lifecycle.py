"""Publishing and deprecating: what a version goes through between a draft and its successor.

FOLDER/NAME/VERSION.yaml is the text, FOLDER/NAME/CHANGELOG.md what changed, FOLDER/digests.json the
promise. The promise is written last: a publication that was cut short is done again.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from judges.constitutions.constitution import (
    EXACT_REFERENCE,
    Constitution,
    constitution_schema_text,
)
from judges.constitutions.diff import Diff, compare, headline
from judges.constitutions.drafts import with_hint
from judges.constitutions.files import (
    constitution_folders,
    find_constitution,
    list_constitutions,
    load_constitution,
)
from judges.constitutions.lint import Finding, lint_constitution
from judges.constitutions.published import (
    Deprecation,
    published_digests,
    record_deprecation,
    record_digest,
)
from judges.constitutions.semver import Step, refuse_wrong_step
from judges.errors import ConstitutionError
from judges.jsonl import read_text, replacing
from judges.records import Record


class Publication(Record):
    """What was published."""

    reference: str
    """`name@version`."""
    digest: str
    """Its overall digest, which no file may change from now on."""
    path: Path
    """The file."""
    previous: str | None
    """The version before it; none for the first."""
    step: Step | None
    """The step from that one; none for the first."""
    findings: tuple[Finding, ...]
    """What lint would look at again; nothing that forbids publishing."""


def publish(
    draft: Path, into: Path, message: str, folders: Sequence[Path] | None = None
) -> Publication:
    """Publish a draft as INTO/NAME/VERSION.yaml; the draft itself is left alone.

    Raises: ConstitutionError for a draft that does not load, lint errors, a version that is there
    already, and a step other than the one that the changes demand.
    """
    searched = _searched(into, folders)
    if not " ".join(message.split()):
        raise ConstitutionError(f"{draft}: the changelog line is empty; say what changed, and why")
    constitution = load_constitution(str(draft), searched)
    target = into / constitution.name / f"{constitution.version}.yaml"
    findings = _checked(constitution, draft)
    text = with_hint(_text(draft), "../schema.json")
    _refuse_taken(constitution, draft, target, text, searched)
    previous = _previous(constitution, searched)
    diff = compare(previous, constitution) if previous else None
    step = None
    if previous is not None and diff is not None:
        step = refuse_wrong_step(previous, constitution, diff, str(draft))
    _write(target, text)
    _write(into / "schema.json", constitution_schema_text())
    _write_changelog(target.with_name("CHANGELOG.md"), constitution, message, diff)
    record_digest(load_constitution(str(target), searched), into)
    return Publication(
        reference=constitution.reference,
        digest=constitution.digest,
        path=target,
        previous=previous.reference if previous else None,
        step=step,
        findings=findings,
    )


def deprecate(
    reference: str, reason: str, successor: str | None, folders: Sequence[Path] | None = None
) -> Path:
    """Say of a published version that it should be used no more; the folder where it says so.

    Raises: ConstitutionError when it is not published, or its successor is not there.
    """
    for each in (reference, successor) if successor else (reference,):
        if not re.fullmatch(EXACT_REFERENCE, each):
            raise ConstitutionError(
                f"constitution {each!r} is not exact; name one version, such as base@1.0.0"
            )
    folder = find_constitution(reference, folders).resolve().parent.parent
    if reference not in published_digests(folder):
        raise ConstitutionError(
            f"{folder}: {reference} is not published; only what others may rely on is deprecated"
        )
    if successor == reference:
        raise ConstitutionError(f"{reference} cannot be its own successor; name another, or none")
    if successor:
        find_constitution(successor, folders)
    if not reason.strip():
        raise ConstitutionError(f"{reference}: the reason is empty; say what is wrong with it")
    record_deprecation(reference, Deprecation(reason=reason, successor=successor), folder)
    return folder


def _searched(into: Path, folders: Sequence[Path] | None) -> tuple[Path, ...]:
    """The folders looked up, that of the publication among them, each once."""
    known = constitution_folders() if folders is None else tuple(folders)
    if into.resolve() in {folder.resolve() for folder in known}:
        return known
    return (*known, into)


def _text(draft: Path) -> str:
    return read_text(draft).removeprefix("\ufeff").replace("\r\n", "\n")


def _checked(constitution: Constitution, draft: Path) -> tuple[Finding, ...]:
    """What lint found. Raises: ConstitutionError for what must not be published."""
    findings = lint_constitution(constitution)
    if faults := [finding for finding in findings if finding.forbids]:
        raise ConstitutionError("\n".join(f"{draft}: {fault.sentence}" for fault in faults))
    return tuple(findings)


def _refuse_taken(
    constitution: Constitution, draft: Path, target: Path, text: str, folders: Sequence[Path]
) -> None:
    """Raises: ConstitutionError when the version is published, or another file is in its place."""
    reference = constitution.reference
    for folder in folders:
        if reference in published_digests(folder):
            raise ConstitutionError(
                f"{draft}: {reference} is published already, in {folder}; a published version "
                "never changes: give the draft a new version"
            )
    there = [
        file.path
        for file in list_constitutions(folders)
        if file.reference == reference and file.path.resolve() != draft.resolve()
    ]
    # A file that says the same was left by a publication that was cut short.
    place = target.resolve()
    if other := [path for path in there if path.resolve() != place or _text(path) != text]:
        raise ConstitutionError(
            f"{draft}: {other[0]} claims {reference} already; remove it, or give the draft a new "
            "version"
        )


def _previous(constitution: Constitution, folders: Sequence[Path]) -> Constitution | None:
    """The newest older version; a first version has none."""
    order = tuple(int(number) for number in constitution.version.split("."))
    older = [
        file
        for file in list_constitutions(folders)
        if file.name == constitution.name and file.order < order
    ]
    return load_constitution(str(older[-1].path), folders, warn=False) if older else None


def _write(path: Path, text: str) -> None:
    if not path.exists() or read_text(path) != text:
        with replacing(path) as file:
            file.write(text.encode())


def _write_changelog(
    path: Path, constitution: Constitution, message: str, diff: Diff | None
) -> None:
    """Put a version's entry on top of the changelog, unless it is there."""
    title = f"# Changes of {constitution.name}\n"
    heading = f"\n## {constitution.version}\n"
    said = read_text(path) if path.exists() else title
    if heading in said:
        return
    changes = "".join(f"- {headline(change)}\n" for change in diff.changes) if diff else ""
    entry = f"{heading}\n{' '.join(message.split())}\n" + (f"\n{changes}" if changes else "")
    head, mark, rest = said.partition("\n## ")
    _write(path, head.rstrip("\n") + "\n" + entry + mark + rest)
