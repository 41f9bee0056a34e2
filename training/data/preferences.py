"""Preference rows as trainers need them: checked one by one, each fault with its line."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from judges.errors import DataError
from judges.records import Record
from training.data.messages import Messages, short
from training.data.pair_formats import RawPair, parse_pairs
from training.data.sources import DataSource
from training.runs.recipe import DataUsed

Labels = Literal["soft", "hard", "clamped", "told"]
"""As they are; chosen as certainly better; cut off; or as they are, and where nothing is told, 1."""


class PreferencePair(Record):
    """One pair to train on."""

    place: str
    """`file:line` it is from."""
    prompt: Messages
    """The conversation so far."""
    chosen: Messages
    """The completion called better."""
    rejected: Messages
    """The completion called worse."""
    p_chosen: float
    """The label: the probability that chosen is better; 1 for hard labels."""
    weight: float = 1.0
    """How much its loss counts."""


class PreferenceSet(Record):
    """All pairs of a file, with what they say of their own making."""

    used: DataUsed
    """The file, as a manifest pins it."""
    pairs: tuple[PreferencePair, ...]
    """Its rows, in order."""
    dropped: dict[str, int]
    """Pairs of rankings and ratings that are none, by reason."""

    @property
    def rows(self) -> tuple[PreferencePair, ...]:
        """Its pairs."""
        return self.pairs

    def places(self, rows: Sequence[int]) -> str:
        """`file:line` of some pairs, for messages."""
        return ", ".join(self.pairs[row].place for row in rows)


def read_preferences(
    source: Path | DataSource, labels: Labels, clamp: tuple[float, float] = (0.4, 0.6)
) -> PreferenceSet:
    """The preference pairs of a file in any known format, or of a folder's train.jsonl.

    Columns other than TRL's, `p_chosen`, `weight` and `digests` are left alone.
    Raises: DataError naming file and line for a row that cannot be trained on, or no row at all.
    """
    source = source if isinstance(source, DataSource) else DataSource(path=source)
    pairs: list[PreferencePair] = []
    digests: dict[str, dict[str, None]] = {}
    dropped: Counter[str] = Counter()
    for where, row in source.rows():
        for raw in parse_pairs(row, where, source.pairing, dropped):
            pairs.append(_pair(raw, labels, clamp, source.certainty, where))
        for name, value in digests_of(row, where).items():
            digests.setdefault(name, {})[value] = None
    if not pairs:
        left = f" ({dict(dropped)} left out)" if dropped else ""
        raise DataError(
            f"{source.file}: no preference row in it{left}; make some with `charter preferences`"
        )
    return PreferenceSet.model_construct(
        used=DataUsed(
            path=str(source.file),
            sha256=source.sha256(),
            rows=len(pairs),
            digests={name: tuple(sorted(values)) for name, values in sorted(digests.items())},
        ),
        pairs=tuple(pairs),
        dropped=dict(dropped),
    )


def _pair(
    raw: RawPair, labels: Labels, clamp: tuple[float, float], certainty: float | None, where: str
) -> PreferencePair:
    if raw.chosen == raw.rejected:
        raise DataError(f"{where}: chosen and rejected are the same; drop this row")
    return PreferencePair.model_construct(
        place=where,
        prompt=raw.prompt,
        chosen=raw.chosen,
        rejected=raw.rejected,
        p_chosen=_label(raw.p_chosen, labels, clamp, certainty, where),
        weight=_weight(raw.weight, where),
    )


def _label(
    given: Any, labels: Labels, clamp: tuple[float, float], certainty: float | None, where: str
) -> float:
    p = probability(given, where)
    p = certainty if p is None else p
    if labels == "hard" or (labels == "told" and p is None):
        return 1.0
    if p is None:
        raise DataError(
            f'{where}: no `p_chosen`, which labels = "{labels}" trains on; give its source '
            "`certainty = 0.9` beside `path` (how sure such a row is), or set "
            'labels = "hard"'
        )
    return min(max(p, clamp[0]), clamp[1]) if labels == "clamped" else p


def probability(p: Any, where: str) -> float | None:
    """A row's `p_chosen`; None where it has none. Raises: DataError when it is no probability."""
    if p is None:
        return None
    if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p <= 1 or math.isnan(p):
        raise DataError(f"{where}: p_chosen is {short(p)}; use a probability from 0 to 1")
    return float(p)


def _weight(weight: Any, where: str) -> float:
    if weight is None:
        return 1.0
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
        raise DataError(f"{where}: weight is {short(weight)}; use a number above 0")
    return float(weight)


def digests_of(row: Mapping[str, Any], where: str) -> dict[str, str]:
    """Constitution, judge and calibration digests that a row names. Raises: DataError."""
    digests = row.get("digests") or {}
    if not isinstance(digests, dict):
        raise DataError(f"{where}: digests is {short(digests)}; use an object of digests")
    return {str(name): str(value) for name, value in digests.items() if value}
