"""Few-shot examples of critiques and revisions, read from a JSONL file and checked line by line.

A line: {"prompt": str | messages, "completion": str, "principle": id, "revision": str,
"critique": {"quote", "comment", "severity"}}. Without `principle`, general requests stand in the
example. An example that quotes what its completion does not say would teach inventing, and is
refused.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from judges.canonical import digest
from judges.constitutions.constitution import Constitution
from judges.critiques.layout import Shot
from judges.critiques.quotes import find_quote
from judges.errors import DataError
from judges.items import first_problem, parse_item, refuse_unknown_keys
from judges.jsonl import read_jsonl
from judges.suggest import did_you_mean

KEYS = ("prompt", "completion", "principle", "critique", "revision")
CRITIQUE_REQUEST = "Quote what serves the user least in the completion, and say why."
REVISION_REQUEST = "Rewrite the completion so that the critique no longer holds."


def load_shots(path: Path | None, constitution: Constitution) -> tuple[Shot, ...]:
    """The examples of a file, each with its principle's requests; none without a file.

    Raises: DataError naming file and line.
    """
    if path is None:
        return ()
    shots = tuple(_shot(row, f"{path}:{n}", constitution) for n, row in read_jsonl(path))
    if not shots:
        raise DataError(f"{path}: no line in it; expected one example a line")
    return shots


def shots_digest(shots: Sequence[Shot]) -> str | None:
    """The digest of examples as they are shown; None where there are none."""
    return digest([shot.model_dump(mode="json") for shot in shots]) if shots else None


def _shot(row: Mapping[str, Any], where: str, constitution: Constitution) -> Shot:
    refuse_unknown_keys(row, KEYS, where)
    for key in ("prompt", "completion", "critique", "revision"):
        if key not in row:
            raise DataError(f"{where}: `{key}` is missing; an example has {', '.join(KEYS)}")
    item = parse_item({"prompt": row["prompt"], "completions": [row["completion"]]}, where)
    critique_request, revision_request = _requests(row.get("principle"), where, constitution)
    try:
        shot = Shot.model_validate(
            {
                "prompt": item.prompt,
                "completion": item.completions[0].text,
                "critique_request": critique_request,
                "critique": row["critique"],
                "revision_request": revision_request,
                "revision": row["revision"],
            }
        )
    except ValidationError as error:
        raise DataError(f"{where}: {first_problem(error)}") from None
    if shot.critique.severity != "none" and not find_quote(shot.critique.quote, shot.completion):
        raise DataError(
            f"{where}: the critique quotes {shot.critique.quote!r}, which its completion does not "
            "say; copy the words"
        )
    return shot


def _requests(name: Any, where: str, constitution: Constitution) -> tuple[str, str]:
    if name is None:
        return CRITIQUE_REQUEST, REVISION_REQUEST
    known = {principle.id: principle for principle in constitution.principles}
    if name not in known:
        raise DataError(
            f"{where}: {constitution.reference} has no principle {name!r}"
            f"{did_you_mean(str(name), known)}; leave `principle` out for general requests"
        )
    found = known[name]
    return found.critique or CRITIQUE_REQUEST, found.revise or REVISION_REQUEST
