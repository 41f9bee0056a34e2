"""Where rows come from: files by kind, renamed columns, and how much of each goes into a mix."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from judges.errors import DataError
from judges.formats.rows import read_rows, rows_file
from judges.records import Record


class DataSource(Record):
    """A file to learn from, and its part in a mix."""

    path: Path
    """A .jsonl (may be gzipped), .json or .parquet file, or a folder that holds train.jsonl."""
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Its share of the mix, against the other weights; absent everywhere: all rows of all files."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Your names of columns: {prompt = "question", chosen = "response_j"}."""
    certainty: Annotated[float, Field(gt=0.5, le=1)] | None = None
    """`p_chosen` of rows that have none, such as pairs labelled by people among soft labels."""
    pairing: Literal["all", "best-worst"] = "all"
    """Which pairs of a ranking, or of rated completions, are taken."""

    @property
    def file(self) -> Path:
        """The file itself."""
        return rows_file(self.path)

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Place (`file:line`) and object of each row, its columns renamed. Raises: DataError."""
        file = self.file
        for number, row in read_rows(file):
            where = f"{file}:{number}"
            yield where, self._renamed(row, where)

    def sha256(self) -> str:
        """Digest of the file's bytes."""
        with self.file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def _renamed(self, row: dict[str, Any], where: str) -> dict[str, Any]:
        if not self.columns:
            return row
        for ours, theirs in self.columns.items():
            if theirs not in row:
                raise DataError(
                    f"{where}: no column {theirs!r}, which `columns` calls {ours!r}; it has "
                    f"{', '.join(row)}"
                )
        taken = set(self.columns.values())
        rest = {name: value for name, value in row.items() if name not in taken}
        return {**rest, **{ours: row[theirs] for ours, theirs in self.columns.items()}}


def _one_path_is_a_mix(value: Any) -> Any:
    if isinstance(value, str | Path):
        return ({"path": value},)
    if isinstance(value, Mapping):
        return (value,)
    if isinstance(value, list | tuple):
        return tuple({"path": one} if isinstance(one, str | Path) else one for one in value)
    return value


Sources = Annotated[
    tuple[DataSource, ...], Field(min_length=1), BeforeValidator(_one_path_is_a_mix)
]
"""One path, a list of paths, or tables with `path` and `weight`."""
