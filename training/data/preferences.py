"""Preference rows as trainers need them: checked one by one, each fault with its line."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from judges.errors import DataError
from judges.formats.messages import Messages, short
from judges.formats.pairs import EVEN, RawPair, parse_pairs, probability
from judges.records import Record
from training.data.reading import RowSet, read_source
from training.data.sources import DataSource

Labels = Literal["soft", "hard", "clamped", "told"]
"""As they are; the likelier side as certainly better; cut off; or as they are, 1 where none is."""


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


def better_first(
    row: Mapping[str, Any], where: str, pairing: str, dropped: Counter[str]
) -> Iterator[RawPair]:
    """The pairs of a row, turned round where the label says so; ties are counted and left out."""
    for pair in parse_pairs(row, where, pairing, dropped):
        p = probability(pair.p_chosen, where)
        if p == EVEN:
            dropped["tie"] += 1
        elif p is None or p > EVEN:
            yield pair
        else:
            yield pair._replace(chosen=pair.rejected, rejected=pair.chosen, p_chosen=1 - p)


def read_preferences(
    source: Path | DataSource, labels: Labels, clamp: tuple[float, float] = (0.4, 0.6)
) -> RowSet[PreferencePair]:
    """The preference pairs of a file in any known format, or of a folder's train.jsonl.

    Columns other than TRL's, `p_chosen`, `weight` and `digests` are left alone.
    Raises: DataError naming file and line for a row that cannot be trained on, or no row at all.
    """
    source = source if isinstance(source, DataSource) else DataSource(path=source)
    pairs_of = better_first if labels == "hard" else parse_pairs

    def parse(row: Mapping[str, Any], where: str, lost: Counter[str]) -> Iterator[PreferencePair]:
        for raw in pairs_of(row, where, source.pairing, lost):
            yield PreferencePair.model_construct(
                place=where,
                prompt=raw.prompt,
                chosen=raw.chosen,
                rejected=raw.rejected,
                p_chosen=_label(raw.p_chosen, labels, clamp, source.certainty, where),
                weight=_weight(raw.weight, where),
            )

    return read_source(source, parse, "make some with `charter preferences`")


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


def _weight(weight: Any, where: str) -> float:
    if weight is None:
        return 1.0
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
        raise DataError(f"{where}: weight is {short(weight)}; use a number above 0")
    return float(weight)
