"""samples.jsonl in a run folder: a few completions of each step, for people to read."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from judges.jsonl import dump_line, replacing


class SamplesFile:
    """Lines with a `step`; what a resumed run does again is cut off first."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "samples.jsonl"

    def cut(self, step: int) -> None:
        """Drop the lines of later steps, and one that a kill left half-written."""
        if not self.path.exists():
            return
        kept = []
        for line in self.path.read_bytes().splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                break
            if row["step"] <= step:
                kept.append(row)
        with replacing(self.path) as file:
            file.writelines(dump_line(row) for row in kept)

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add lines."""
        with self.path.open("ab") as file:
            file.writelines(dump_line(row) for row in rows)
