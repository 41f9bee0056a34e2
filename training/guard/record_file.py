"""guard.jsonl: a line a look, cut back when a run is resumed from before it."""

import json
from pathlib import Path

from judges.jsonl import dump_line, replacing
from training.guard.observation import Observation


class GuardFile:
    """The looks of a run."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "guard.jsonl"

    def read(self, last_step: int) -> list[Observation]:
        """The looks up to a step; later ones, and a half-written line, leave the file."""
        if not self.path.exists():
            return []
        kept = []
        for line in self.path.read_bytes().splitlines():
            try:
                look = Observation.model_validate(json.loads(line))
            except ValueError:
                break  # the line a kill left half-written is the last one
            if look.step <= last_step:
                kept.append(look)
        with replacing(self.path) as file:
            file.writelines(dump_line(look.model_dump(mode="json")) for look in kept)
        return kept

    def append(self, look: Observation) -> None:
        """Add a look."""
        with self.path.open("ab") as file:
            file.write(dump_line(look.model_dump(mode="json")))
