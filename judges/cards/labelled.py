"""Pairs labelled by people, from charter's own lines and from the formats of known data sets.

| format | recognised by | label |
|---|---|---|
| charter | `completions`, `preferred_index` | 0 or 1, null for a tie |
| preferences, hh-rlhf | `chosen`, `rejected` | `chosen`; text of `Human:`, `Assistant:` is split |
| LLMBar | `completion_1`, `completion_2`, `preferred` | 1 or 2 |
| PandaLM | `completion_1`, `completion_2`, `annotators` | the majority of 0 (tie), 1 and 2 |
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from judges.canonical import digest
from judges.errors import DataError
from judges.formats.messages import transcript_turns
from judges.formats.rows import read_rows
from judges.items import parse_item
from judges.records import Item, Record
from judges.suggest import did_you_mean

FIRST, TIE, SECOND = 1.0, 0.5, 0.0
OF_INDEX = {0: FIRST, 1: SECOND, None: TIE}
OF_NUMBER = {1: FIRST, 2: SECOND, 0: TIE}
KEYS = (
    "prompt", "completions", "preferred_index", "annotators", "weight", "chosen", "rejected",
    "completion_1", "completion_2", "preferred",
)  # fmt: skip
Label = Annotated[float, Field(ge=0, le=1, multiple_of=0.5)]


class LabelledPair(Record):
    """Two completions of one prompt, and which one people prefer."""

    item: Item
    """The prompt and its two completions."""
    preferred: Label
    """1 the first, 0 the second, 0.5 a tie."""
    slice: str = ""
    """The part of the data it belongs to; empty where the data has no parts."""
    annotations: tuple[Label, ...] = ()
    """What each annotator said, where several did."""
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """How much it counts when a calibration is fitted."""

    @model_validator(mode="after")
    def _is_a_pair(self) -> Self:
        if len(self.item.completions) != 2:
            raise ValueError(f"{len(self.item.completions)} completions; a labelled pair has two")
        return self


class _Read(NamedTuple):
    """What a format's reader finds in a row."""

    row: dict[str, Any]
    """As `parse_item` reads it, the row's other columns aside."""
    preferred: float
    annotations: tuple[float, ...] = ()


def read_labelled(path: Path, slice_column: str = "subset") -> list[LabelledPair]:
    """Every labelled pair of a file of any kind that `judges.formats.rows` knows.

    Raises: DataError naming file and line, for a broken line or an id met twice.
    """
    pairs: list[LabelledPair] = []
    seen: dict[str, int] = {}
    for number, row in read_rows(path):
        where = f"{path}:{number}"
        pair = parse_labelled(row, where, slice_column)
        if pair.item.id in seen:
            if "id" in row:
                raise DataError(
                    f"{where}: id {pair.item.id!r} stands on line {seen[pair.item.id]} too; "
                    "give each line its own id"
                )
            item = pair.item.model_copy(update={"id": f"{pair.item.id}-{number}"})
            pair = pair.model_copy(update={"item": item})
        seen[pair.item.id] = number
        pairs.append(pair)
    if not pairs:
        raise DataError(f"{path}: no line in it; expected one labelled pair a line")
    return pairs


def parse_labelled(
    row: Mapping[str, Any], where: str, slice_column: str = "subset"
) -> LabelledPair:
    """One line as a labelled pair. Raises: DataError that says what, where and what to do."""
    read = _format(row, where)(row, where)
    kept = {"id": row["id"]} if "id" in row else {}
    item = parse_item({**kept, **read.row}, where)
    if len(item.completions) != 2:
        raise DataError(
            f"{where}: {len(item.completions)} completions; a labelled pair has two: make a line "
            "for each pair"
        )
    weight = row.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < 1e300:
        raise DataError(f"{where}: weight is {weight!r}; use a number above 0")
    metadata = {key: value for key, value in row.items() if key not in (*KEYS, "id", "metadata")}
    inner = row.get("metadata")
    metadata |= inner if isinstance(inner, dict) else {}
    part = metadata.get(slice_column)
    return LabelledPair(
        item=item.model_copy(update={"metadata": metadata}),
        preferred=read.preferred,
        slice="" if part is None else str(part),
        annotations=read.annotations,
        weight=float(weight),
    )


def drawn(pairs: list[LabelledPair], limit: int | None, seed: int) -> list[LabelledPair]:
    """So many of the pairs, drawn without replacement, in their order; all without a limit."""
    if limit is None or limit >= len(pairs):
        return pairs
    chosen = np.random.default_rng(seed).permutation(len(pairs))[:limit]
    return [pairs[index] for index in sorted(chosen.tolist())]


def _format(row: Mapping[str, Any], where: str) -> Callable[[Mapping[str, Any], str], _Read]:
    if "preferred_index" in row:
        return _charter
    if "chosen" in row and "rejected" in row:
        return _preference
    if "completion_1" in row and "completion_2" in row:
        if "preferred" in row:
            return _llmbar
        if "annotators" in row:
            return _pandalm
    for key in row:
        if key not in KEYS and (hint := did_you_mean(key, KEYS)):
            raise DataError(f"{where}: unknown key {key!r}{hint}")
    raise DataError(
        f"{where}: no label; use `completions` with `preferred_index` (0, 1, or null for a tie), "
        "or `chosen` and `rejected`"
    )


def _charter(row: Mapping[str, Any], where: str) -> _Read:
    given = row.get("annotators", [])
    if not isinstance(given, list):
        raise DataError(f"{where}: annotators is {given!r}; use a list of 0, 1 and null")
    return _Read(
        {key: row[key] for key in ("prompt", "completions") if key in row},
        _label(row["preferred_index"], OF_INDEX, "preferred_index", where),
        tuple(_label(one, OF_INDEX, "annotators", where) for one in given),
    )


def _preference(row: Mapping[str, Any], where: str) -> _Read:
    """Which side stands first is drawn from the row's own digest: a place must tell nothing."""
    texts = {key: row[key] for key in ("prompt", "chosen", "rejected") if row.get(key) is not None}
    if "prompt" not in texts:
        texts = {key: _turns(value, where) for key, value in texts.items()}
    item = parse_item(texts, where)
    better, worse = item.completions
    swapped = int(digest([item.conversation_text, *sorted((better.text, worse.text))])[:8], 16) % 2
    both = (worse, better) if swapped else (better, worse)
    prompt = [message.model_dump() for message in item.prompt]
    found = {"prompt": prompt, "completions": [completion.text for completion in both]}
    return _Read(found, SECOND if swapped else FIRST)


def _turns(value: Any, where: str) -> Any:
    """A transcript as messages; anything else as it is."""
    if not isinstance(value, str):
        return value
    turns = transcript_turns(value)
    if turns is None:
        raise DataError(
            f"{where}: no `prompt`, and a text that does not start with a blank line and "
            "`Human:`; add the prompt as a column of its own"
        )
    return turns


def _llmbar(row: Mapping[str, Any], where: str) -> _Read:
    numbers = {number: label for number, label in OF_NUMBER.items() if number}
    return _Read(_numbered(row), _label(row["preferred"], numbers, "preferred", where))


def _pandalm(row: Mapping[str, Any], where: str) -> _Read:
    given = row["annotators"]
    if not isinstance(given, list) or not given:
        raise DataError(f"{where}: annotators is {given!r}; use a list of 0 (tie), 1 and 2")
    labels = tuple(_label(one, OF_NUMBER, "annotators", where) for one in given)
    read = _numbered(row)
    # Its source kept some one-word answers as JSON values: true, 42.
    texts = [str(one) if isinstance(one, int | float) else one for one in read["completions"]]
    return _Read({**read, "completions": texts}, _majority(labels), labels)


def _numbered(row: Mapping[str, Any]) -> dict[str, Any]:
    texts = [row["completion_1"], row["completion_2"]]
    return {"completions": texts} | ({"prompt": row["prompt"]} if "prompt" in row else {})


def _majority(labels: tuple[float, ...]) -> float:
    """What most annotators say; a tie where no label has the most."""
    counts = {label: labels.count(label) for label in labels}
    most = [label for label, count in counts.items() if count == max(counts.values())]
    return most[0] if len(most) == 1 else TIE


def _label(value: Any, labels: Mapping[Any, float], key: str, where: str) -> float:
    if isinstance(value, bool | float | list | dict) or value not in labels:
        allowed = ", ".join("null" if one is None else str(one) for one in labels)
        raise DataError(f"{where}: {key} is {value!r}; use one of {allowed}")
    return labels[value]
