"""Does a policy refuse what it should, and only that? On prompts in the format of XSTest.

Such a set holds prompts that look unsafe and are not, beside others that are: a policy trained to
be harmless can get the second right by refusing both. Refusals are told by their wording, where
no judge is asked. Of the 900 completions that two people labelled for XSTest, that takes 0.002 of
the compliant ones for refusals, and finds 0.91 of GPT-4's full refusals but 0.06 of those of
Mistral's model, which lectures where others decline: compare a policy with its own past, not
models of different makers, or have a judge tell (`judged_refusals`).
Source: Röttger et al. 2024, arXiv:2308.01263.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from judges.calibration.estimates import Estimate, Groups, share_estimate
from judges.diagnostics.texts import refuses
from judges.errors import DataError
from judges.items import parse_item
from judges.jsonl import read_jsonl, read_text
from judges.records import Item, Record
from training.evaluation.changes import Change, Rows, paired_change

Side = Literal["safe", "unsafe"]
ToldBy = Literal["wording", "judge"]
SIDES: tuple[Side, ...] = ("safe", "unsafe")


class Probe(Record):
    """A prompt that should be answered, or one that should be refused."""

    item: Item
    """The prompt, without completions."""
    side: Side
    """`safe` should be answered however it looks, `unsafe` refused."""
    type: str
    """Its kind, such as homonyms; empty where the file names none."""


class Refusals(Record):
    """What became of refusals between two policies."""

    told_by: ToldBy = "wording"
    """What tells a refusal: its wording, or the judges of the evaluation."""
    over_refusal: Change | None
    """On safe prompts: less is better. None where there are none, or none was answered."""
    refusal: Change | None
    """On unsafe prompts: for most uses, more is better."""
    types: dict[str, Change]
    """Each kind of prompt alone."""
    unanswered: int
    """Prompts left out because one of the policies gave no completion, or none with a verdict."""


def refusal_share(completions: Sequence[str], groups: Groups = None) -> Estimate:
    """The share of completions that open with a refusal, with its Wilson interval.

    `groups` names the prompt of each, where a prompt has several: they are not independent.
    Raises: DataError when there is none.
    """
    return share_estimate(np.array([refuses(text) for text in completions], float), groups)


def refusals_by_wording(completions: Sequence[Sequence[str]]) -> list[list[float]]:
    """1 for each completion that opens with a refusal, else 0. Shapes: a prompt a row, ragged."""
    return [[float(refuses(text)) for text in row] for row in completions]


def compare_refusals(
    probes: Sequence[Probe],
    before: Rows,
    after: Rows,
    seed: int = 0,
    told_by: ToldBy = "wording",
) -> Refusals:
    """How often each policy refuses, and the paired difference.

    `before` and `after` hold 1 for a completion that refuses, else 0. Shapes: a prompt a row.
    """
    kept = [number for number in range(len(probes)) if before[number] and after[number]]

    def change(rows: Sequence[int]) -> Change | None:
        return paired_change([before[r] for r in rows], [after[r] for r in rows], seed, share=True)

    types = {
        name: change([row for row in kept if probes[row].type == name])
        for name in dict.fromkeys(probe.type for probe in probes)
        if name
    }
    return Refusals(
        told_by=told_by,
        over_refusal=change([row for row in kept if probes[row].side == "safe"]),
        refusal=change([row for row in kept if probes[row].side == "unsafe"]),
        types={name: one for name, one in types.items() if one is not None},
        unanswered=len(probes) - len(kept),
    )


def read_probes(path: Path) -> list[Probe]:
    """The prompts of a .jsonl or .csv file with `prompt`, `label` (safe or unsafe), and `type`.

    Raises: DataError with file and line.
    """
    found: list[Probe] = []
    seen: dict[str, int] = {}
    for number, row in _rows(path):
        probe = _probe(row, f"{path}:{number}", len(found))
        if (name := probe.item.id) in seen:
            raise DataError(f"{path}:{number}: id {name!r} stands on line {seen[name]} too")
        seen[name] = number
        found.append(probe)
    if not found:
        raise DataError(f"{path}: no prompt in it; one JSON object a line, or a CSV with a header")
    return found


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if path.suffix.lower() != ".csv":
        yield from read_jsonl(path)
        return
    reader = csv.DictReader(read_text(path).splitlines(keepends=True), strict=True)
    try:
        for row in reader:
            yield reader.line_num, {key: value for key, value in row.items() if key is not None}
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not CSV ({error})") from None


def _probe(row: Mapping[str, Any], where: str, count: int) -> Probe:
    """A row, its columns at the top or under `metadata`; others are passed over."""
    told = {**(row.get("metadata") or {}), **row}
    side = told.get("label")
    if side not in SIDES:
        raise DataError(
            f"{where}: label is {side!r}; use 'safe' for a prompt to answer, 'unsafe' for one to "
            "refuse"
        )
    kept = {"id": told.get("id", str(count + 1)), "prompt": told.get("prompt")}
    if kept["prompt"] is None:
        raise DataError(f"{where}: `prompt` is missing; a string or a list of messages")
    return Probe(
        item=parse_item(kept, where, need_completions=False),
        side=side,
        type=str(told.get("type") or ""),
    )
