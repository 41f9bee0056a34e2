"""What a file loses while it is read: by reason, the first few rows named, faults bounded."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from judges.errors import DataError
from judges.formats.messages import UnusableRowError

NAMED = 3
"""So many rows are named."""
NO_FAULT = ("tie", "identical", "duplicate", "unscored", "not accepted")
"""What teaches nothing though nothing is wrong with it: ties, a prompt's completions that are equal
or met twice, pairs that a ranking never compared, revisions that their check refused."""


class LeftOut:
    """What one file loses."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._first: dict[str, list[str]] = {}

    @contextmanager
    def row(self, where: str) -> Iterator[Counter[str]]:
        """For the reading of one row: a counter by reason; a row that cannot be used is counted."""
        lost: Counter[str] = Counter()
        try:
            yield lost
        except UnusableRowError as error:
            lost[error.reason] += 1
        for reason, count in (+lost).items():
            self.counts[reason] += count
            first = self._first.setdefault(reason, [])
            if len(first) <= NAMED:
                first.append(where)

    def harmless(self, file: str) -> str:
        """What teaches nothing though nothing is wrong with it, as text; empty for nothing."""
        reasons = [reason for reason in self.counts if reason in NO_FAULT]
        return f"{file}: left out while reading: {self._named(reasons)}" if reasons else ""

    def faults(self, file: str, kept: int) -> str:
        """The rows that cannot be used, as text; empty for none. `kept`: rows that can."""
        reasons = self._faulty()
        if not reasons:
            return ""
        lost, whole = sum(self.counts[r] for r in reasons), kept + self.counts.total()
        named = self._named(reasons)
        return f"{file}: {lost} of {whole} rows cannot be used, and are dropped: {named}"

    def check(self, file: str, kept: int, most: float) -> list[str]:
        """What a person should know. Raises: DataError for more faults than a share of `most`."""
        faults = self.faults(file, kept)
        if sum(self.counts[r] for r in self._faulty()) > most * (kept + self.counts.total()):
            raise DataError(
                f"{faults}; that is more than max_dropped = {most:g} allows: mend the data, or "
                "raise max_dropped"
            )
        return [text for text in (self.harmless(file), faults) if text]

    def nothing_left(self, file: str, advice: str) -> DataError:
        """The error for a file without a row to learn from."""
        if self.counts and set(self.counts) == {"tie"}:
            return all_ties(file, self.counts["tie"])
        left = f" (left out: {self.text()})" if self.counts else ""
        return DataError(f"{file}: no row to learn from in it{left}; {advice}")

    def text(self) -> str:
        """All of it, by reason; empty for nothing."""
        return self._named(list(self.counts))

    def _faulty(self) -> list[str]:
        return [reason for reason in self.counts if reason not in NO_FAULT]

    def _named(self, reasons: Sequence[str]) -> str:
        return ", ".join(
            f"{reason} {self.counts[reason]} ({_places(self._first[reason])})" for reason in reasons
        )


def all_ties(file: str, count: int) -> DataError:
    """The error for labels of which none says what is better."""
    return DataError(
        f"{file}: all {count} labels are ties (p_chosen 0.5), so there is nothing to learn; look "
        "at the judge, or sample more varied completions"
    )


def _places(first: Sequence[str]) -> str:
    return ", ".join([*first[:NAMED], "…"] if len(first) > NAMED else first)
