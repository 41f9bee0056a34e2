"""The nearest known name, or file, for messages about unknown ones."""

import difflib
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

MOST_LOOKED_AT = 10_000
"""Names in a folder; a mistyped path is no reason to read a huge one."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the nearest known name, or nothing when none is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""


def no_such_file(path: Path) -> str:
    """What to say of a path where no file is: what is there instead, as far as it helps."""
    folder = path.parent
    if not folder.is_dir():
        return f"{path}: no such file, as there is no folder {str(folder)!r}; check the path"
    try:
        names = [entry.name for entry in islice(folder.iterdir(), MOST_LOOKED_AT)]
    except OSError:
        names = []
    # One more ".jsonl" is no likeness.
    alike = [name for name in names if Path(name).suffix == path.suffix] or names
    near = difflib.get_close_matches(path.stem, [Path(name).stem for name in alike], n=1)
    hint = did_you_mean(path.name, [name for name in alike if Path(name).stem in near])
    return f"{path}: no such file{hint or '; check the path'}"
