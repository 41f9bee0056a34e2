"""Preferences as inverse constitutional AI publishes them: CSV with both texts of a pair.

Columns `text_a`, `text_b` and `preferred_text` (text_a or text_b). A text that begins with
`Instruction:` and goes on with `Output:` is split into prompt and completion.
"""

import csv
import io
import re
from pathlib import Path

from judges.cards.labelled import FIRST, SECOND, LabelledPair
from judges.errors import DataError
from judges.jsonl import read_text
from judges.records import CompletionText, Item, Message

COLUMNS = ("text_a", "text_b", "preferred_text")
LABELS = {"text_a": FIRST, "text_b": SECOND}
SPLIT = re.compile(r"\s*Instruction:\s*(.*?)\s*\n\s*Output:\s*(.*)", re.DOTALL)


def read_pairwise_csv(path: Path) -> list[LabelledPair]:
    """The labelled pairs of a file. Raises: DataError naming file and line."""
    reader = csv.reader(io.StringIO(read_text(path).removeprefix("\ufeff"), newline=""))
    header = next(reader, [])
    absent = [name for name in COLUMNS if name not in header]
    if absent:
        raise DataError(f"{path}:1: no column {absent[0]!r}; {', '.join(COLUMNS)} are needed")
    pairs: list[LabelledPair] = []
    for row in reader:
        where = f"{path}:{reader.line_num}"
        if len(row) != len(header):
            raise DataError(f"{where}: {len(row)} cells for {len(header)} columns; check quotes")
        cells = dict(zip(header, row, strict=True))
        pairs.append(_pair(cells, len(pairs), where))
    if not pairs:
        raise DataError(f"{path}: no pair in it")
    return pairs


def _pair(cells: dict[str, str], number: int, where: str) -> LabelledPair:
    preferred = LABELS.get(cells["preferred_text"].strip())
    if preferred is None:
        raise DataError(
            f"{where}: preferred_text is {cells['preferred_text']!r}; use text_a or text_b"
        )
    parts = [SPLIT.fullmatch(cells[name]) for name in ("text_a", "text_b")]
    prompts = [part[1] if part else "" for part in parts]
    texts = [part[2] if part else cells[name] for part, name in zip(parts, COLUMNS, strict=False)]
    if prompts[0] != prompts[1]:
        raise DataError(f"{where}: the texts answer different instructions; pair like with like")
    item = Item(
        id=str(number),
        prompt=(Message(role="user", content=prompts[0]),),
        completions=tuple(CompletionText(text=text) for text in texts),
    )
    return LabelledPair(item=item, preferred=preferred)
