"""What is published in a folder of constitutions: digests.json, which only ever grows."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from judges.constitutions.constitution import Constitution
from judges.errors import ConstitutionError


def published_digests(folder: Path) -> dict[str, str]:
    """The overall digest of every published version in a folder, by exact reference.

    Raises: ConstitutionError when digests.json is not what `record_digest` wrote.
    """
    path = Path(folder) / "digests.json"
    if not path.exists():
        return {}
    try:
        digests = json.loads(path.read_bytes())
    except ValueError as error:
        raise ConstitutionError(f"{path}: is not JSON ({error}); restore it") from error
    if not isinstance(digests, dict) or not all(isinstance(d, str) for d in digests.values()):
        raise ConstitutionError(f"{path}: is no mapping of name@version to digest; restore it")
    return digests


def record_digest(constitution: Constitution, folder: Path) -> None:
    """Publish a version: from now on a file that says otherwise is refused.

    Raises: ConstitutionError when the version is published with other content.
    """
    digests = published_digests(folder)
    refuse_changed(constitution, digests, str(folder))
    digests[constitution.reference] = constitution.digest
    path = Path(folder) / "digests.json"
    partial = path.with_name(f".digests.{os.getpid()}.json")
    partial.write_text(json.dumps(digests, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    partial.replace(path)


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
