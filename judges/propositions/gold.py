"""Completions with people's yes/no labels: the gold data of rule-based rewards, and its questions.

The statements put to a judge are ours, in `rbr_gold.yaml`; the rows are read, never shipped.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from judges.calibration.estimates import FloatArray
from judges.errors import DataError
from judges.items import first_problem
from judges.jsonl import read_jsonl
from judges.propositions.scheme import PropositionScheme, read_scheme
from judges.records import CompletionText, Item, Message, Record
from judges.suggest import did_you_mean

FILE = Path("rbr_gold") / "train.jsonl"
SCHEME_FILE = Path(__file__).with_name("rbr_gold.yaml")
KEYS = ("category", "response_type", "prompt", "completion", "propositions")


class GoldRow(Record):
    """One completion and what people say of it."""

    id: str
    """`FILE-LINE`, such as `train-17`."""
    category: str
    """What the prompt is about and how it is put, as the data's authors code it."""
    kind: str
    """How the prompt ought to be answered: the key of a scheme's classes."""
    prompt: tuple[Message, ...]
    """The conversation."""
    completion: str
    """The completion that people labelled; it may be empty."""
    labels: dict[str, bool]
    """Whether each statement is true of it, by the statement's id."""

    @property
    def item(self) -> Item:
        """The row as an item with one completion."""
        completions = (CompletionText(text=self.completion),)
        metadata = {"category": self.category, "kind": self.kind}
        return Item(id=self.id, prompt=self.prompt, completions=completions, metadata=metadata)


def read_gold(path: Path) -> list[GoldRow]:
    """The labelled completions of a file, or of `FOLDER/rbr_gold/train.jsonl`.

    Raises: DataError naming file and line, also where rows do not label the same statements.
    """
    path = path / FILE if path.is_dir() else path
    rows = [
        _row(row, f"{path.stem}-{number}", f"{path}:{number}") for number, row in read_jsonl(path)
    ]
    if not rows:
        raise DataError(f"{path}: no line in it; expected one JSON object a line")
    for row in rows:
        if row.labels.keys() != rows[0].labels.keys():
            differing = sorted(row.labels.keys() ^ rows[0].labels.keys())
            raise DataError(
                f"{path}: {row.id} and {rows[0].id} do not label the same statements "
                f"({', '.join(differing)}); label all in every row"
            )
    return rows


def gold_scheme() -> PropositionScheme:
    """Our statements for the gold data, one for each of its labels, and its completion classes."""
    return read_scheme(SCHEME_FILE)


def gold_labels(rows: Sequence[GoldRow], names: Sequence[str]) -> FloatArray:
    """1 where a statement is true by people, 0 where not. Shapes: → (N, F), columns as `names`.

    Raises: DataError for a statement that the rows do not label.
    """
    for name in names:
        if rows and name not in rows[0].labels:
            hint = did_you_mean(name, rows[0].labels)
            raise DataError(
                f"no label {name!r} in the rows{hint}; known: {', '.join(rows[0].labels)}"
            )
    return np.array([[row.labels[name] for name in names] for row in rows], dtype=np.float64)


def gold_groups(rows: Sequence[GoldRow]) -> list[str]:
    """The conversation of each row: completions of one prompt are not independent."""
    return [row.item.conversation_text for row in rows]


def _row(row: Mapping[str, Any], identity: str, where: str) -> GoldRow:
    for key in row:
        if key not in KEYS:
            raise DataError(f"{where}: unknown key {key!r}{did_you_mean(key, KEYS)}; remove it")
    for key in KEYS:
        if key not in row:
            raise DataError(f"{where}: {key!r} is missing; rows have {', '.join(KEYS)}")
    labels = row["propositions"]
    if not isinstance(labels, dict) or not all(isinstance(v, bool) for v in labels.values()):
        raise DataError(f"{where}: propositions must map each statement to true or false")
    try:
        return GoldRow(
            id=identity,
            category=row["category"],
            kind=_slug(row["response_type"]),
            prompt=row["prompt"],
            completion=_only_text(row["completion"], where),
            labels={_slug(name): label for name, label in labels.items()},
        )
    except ValidationError as error:
        raise DataError(f"{where}: {first_problem(error)}") from None


def _slug(name: Any) -> str:
    """`Safe Refuse 1` and `apology_x` as ids that constitutions and schemes take."""
    return str(name).lower().replace(" ", "-").replace("_", "-")


def _only_text(completion: Any, where: str) -> str:
    """The text of a completion that is one assistant's message."""
    match completion:
        case [{"role": "assistant", "content": str() as text}]:
            return text
    raise DataError(f"{where}: completion is not one assistant's message with a text")
