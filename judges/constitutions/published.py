"""What is published in a folder of constitutions: digests.json, which only ever grows.

Beside it deprecated.json says which versions should be used no more; they still load.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from judges.constitutions.constitution import Constitution, ExactReference
from judges.constitutions.rules import Prose
from judges.errors import ConstitutionError
from judges.jsonl import replacing
from judges.records import Record


class Deprecation(Record):
    """Why a published version should be used no more."""

    reason: Prose
    """What is wrong with it."""
    successor: ExactReference | None = None
    """What to use instead."""


def published_digests(folder: Path) -> dict[str, str]:
    """The overall digest of every published version in a folder, by exact reference.

    Raises: ConstitutionError when digests.json is not what `record_digest` wrote.
    """
    path = Path(folder) / "digests.json"
    digests = _read_mapping(path)
    if not all(isinstance(digest, str) for digest in digests.values()):
        raise ConstitutionError(f"{path}: is no mapping of name@version to digest; restore it")
    return digests


def record_digest(constitution: Constitution, folder: Path) -> None:
    """Publish a version: from now on a file that says otherwise is refused.

    Raises: ConstitutionError when the version is published with other content.
    """
    with _alone(folder):
        digests = published_digests(folder)
        refuse_changed(constitution, digests, str(folder))
        _write_mapping(
            Path(folder) / "digests.json", digests | {constitution.reference: constitution.digest}
        )


def deprecations(folder: Path) -> dict[str, Deprecation]:
    """The versions of a folder that should be used no more, by exact reference.

    Raises: ConstitutionError when deprecated.json is not what `record_deprecation` wrote.
    """
    path = Path(folder) / "deprecated.json"
    try:
        return {
            reference: Deprecation.model_validate(record)
            for reference, record in _read_mapping(path).items()
        }
    except ValidationError as error:
        raise ConstitutionError(
            f"{path}: is no mapping of name@version to reason and successor; restore it"
        ) from error


def record_deprecation(reference: str, deprecation: Deprecation, folder: Path) -> None:
    """Say of a version that it should be used no more, in place of what was said before."""
    with _alone(folder):
        said = deprecations(folder) | {reference: deprecation}
        _write_mapping(
            Path(folder) / "deprecated.json",
            {each: record.model_dump(exclude_none=True) for each, record in said.items()},
        )


def _read_mapping(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        mapping = json.loads(path.read_bytes())
    except ValueError as error:
        raise ConstitutionError(f"{path}: is not JSON ({error}); restore it") from error
    if not isinstance(mapping, dict):
        raise ConstitutionError(f"{path}: is no mapping; restore it")
    return mapping


def _write_mapping(path: Path, mapping: Mapping[str, Any]) -> None:
    with replacing(path) as file:
        file.write((json.dumps(mapping, indent=2, sort_keys=True) + "\n").encode())


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """The folder locked, so that of two who publish at once neither loses the other's line."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def refuse_changed(constitution: Constitution, digests: Mapping[str, str], where: str) -> None:
    """Nothing, unless a published version now says something else.

    Raises: ConstitutionError naming both digests.
    """
    published = digests.get(constitution.reference, constitution.digest)
    if published != constitution.digest:
        raise ConstitutionError(
            f"{where}: {constitution.reference} is published with digest {published[:12]}…, but "
            f"this text has {constitution.digest[:12]}…; a published version never changes: "
            f"undo the edit, or save it as a new version"
        )
