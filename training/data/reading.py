"""A file's rows, each read by its method's parser, with what the file loses and what it names."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from judges.errors import DataError
from judges.formats.left_out import LeftOut
from judges.formats.messages import short
from training.data.sources import DataSource
from training.runs.recipe import DataUsed

R_co = TypeVar("R_co", covariant=True)
Parse = Callable[[Mapping[str, Any], str, Counter[str]], Iterable[R_co]]
"""What rows come of an object at a place; what is lost on the way is counted by reason."""


@dataclass(frozen=True)
class RowSet(Generic[R_co]):
    """All rows of a file."""

    used: DataUsed
    """The file, as a manifest pins it."""
    rows: Sequence[R_co]
    """Its rows, in order."""
    left_out: LeftOut
    """What it lost."""


def read_source(source: DataSource, parse: Parse[R_co], advice: str) -> RowSet[R_co]:
    """The rows of a file. Raises: DataError for a faulty one; with `advice` where none is left."""
    rows: list[R_co] = []
    left_out = LeftOut()
    digests: dict[str, set[str]] = {}
    for where, row in source.rows():
        with left_out.row(where) as lost:
            rows.extend(parse(row, where, lost))
        for name, value in _digests_of(row, where).items():
            digests.setdefault(name, set()).add(value)
    if not rows:
        raise left_out.nothing_left(str(source.file), advice)
    used = DataUsed(
        path=str(source.file),
        sha256=source.sha256(),
        rows=len(rows),
        digests={name: tuple(sorted(values)) for name, values in sorted(digests.items())},
    )
    return RowSet(used, rows, left_out)


def _digests_of(row: Mapping[str, Any], where: str) -> dict[str, str]:
    """Constitution, judge and calibration digests that a row names. Raises: DataError."""
    digests = row.get("digests") or {}
    if not isinstance(digests, dict):
        raise DataError(f"{where}: digests is {short(digests)}; use an object of digests")
    return {str(name): str(value) for name, value in digests.items() if value}
