"""What tokens cost, and the most that a run may spend, watched while it runs."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from judges.records import Record


class Prices(Record):
    """What a judge's tokens cost, in any one currency."""

    prompt: float = 0.0
    """A million prompt tokens read afresh."""
    cached: float = 0.0
    """A million prompt tokens found in the cache."""
    completion: float = 0.0
    """A million tokens written."""


@dataclass
class Budget:
    """The most that a run may spend; once reached, nothing more is asked."""

    tokens: int | None = None
    """Prompt and completion tokens."""
    votes: int | None = None
    """New votes."""
    seconds: float | None = None
    """Wall-clock time."""
    _spent_votes: int = 0
    _spent_tokens: int = 0
    _start: float = field(default_factory=time.monotonic)

    def spend(self, usage: Mapping[str, int]) -> None:
        """Count what a line says it used."""
        self._spent_votes += usage["new_votes"]
        self._spent_tokens += usage["prompt_tokens"] + usage["new_votes"]

    def window(self, size: int) -> int:
        """How many questions may go out together, so that little is asked beyond the limit."""
        return size if self.votes is None else int(min(size, max(16, self.votes // 4)))

    def reached(self, out: int = 0) -> str | None:
        """Which limit is reached, in words, were `out` votes cast; None if something is left."""
        passed = time.monotonic() - self._start
        for name, limit, spent in (
            ("votes", self.votes, self._spent_votes + out),
            ("tokens", self.tokens, self._spent_tokens),
            ("seconds", self.seconds, passed),
        ):
            if limit is not None and spent >= limit:
                return f"{spent:.0f} of {limit:.0f} {name} are spent"
        return None
