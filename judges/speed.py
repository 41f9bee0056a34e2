"""How fast a judge votes: measured on the votes that the store holds, or said by the user."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from sqlalchemy import func, select

from judges.store.schema import votes
from judges.store.vote_store import VoteStore

PAUSE_S = 30
"""Votes further apart than this were not cast in one go."""
LEAST = 64
"""Fewer votes tell no speed."""
STRETCHES = 20
"""Equal parts of the busy time, whose speeds say how steady it is."""


@dataclass(frozen=True)
class Speed:
    """How much a judge does in a second, and how steady that is."""

    value: float
    low: float
    """The tenth part of the time was slower."""
    high: float
    """The tenth part of the time was quicker."""
    unit: Literal["votes", "tokens"]
    """Votes, or prompt tokens that no earlier prompt begins with."""
    told: str
    """Where it comes from."""

    def in_tokens(self, fresh_each: float) -> "Speed":
        """The speed in fresh tokens, where a vote was so many: what an engine's time goes with."""
        return replace(
            self,
            value=self.value * fresh_each,
            low=self.low * fresh_each,
            high=self.high * fresh_each,
            unit="tokens",
            told=f"{self.told}, at about {fresh_each:.0f} fresh tokens each",
        )


def given_speed(unit: Literal["votes", "tokens"], value: float) -> Speed:
    """A speed that the user gives, taken as sure."""
    return Speed(value, value, value, unit, f"{value:g} {unit} a second, as given")


def measure_speed(store: VoteStore, settings: Collection[str]) -> Speed | None:
    """How fast votes under these settings came in, pauses left out; None for too few.

    Cost: one scan of the votes.
    """
    ids = [int(number) for number in store.ids(sorted(settings)) if number]
    if not ids:
        return None
    with store.engine.begin() as connection:
        found = connection.execute(
            select(votes.c.created_at, func.count())
            .where(votes.c.setting_id.in_(ids))
            .group_by(votes.c.created_at)
            .order_by(votes.c.created_at)
        ).all()
    second_S, votes_S = (
        (np.array(column, float) for column in zip(*found, strict=True))
        if (found)
        else (np.zeros(0), np.zeros(0))
    )
    gap_S = np.diff(second_S)
    busy = gap_S <= PAUSE_S
    if votes_S[1:][busy].sum() < LEAST:
        return None
    # The votes of a second came in since the second before it.
    time, cast = np.cumsum(gap_S[busy]), np.cumsum(votes_S[1:][busy])
    value = float(cast[-1] / time[-1])
    cuts = np.interp(np.linspace(0, time[-1], STRETCHES + 1), np.r_[0, time], np.r_[0, cast])
    each = np.diff(cuts) * STRETCHES / time[-1]
    low, high = np.quantile(each, (0.1, 0.9))
    return Speed(
        value=value,
        low=max(1e-9, min(value, float(low))),
        high=max(value, float(high)),
        unit="votes",
        told=f"{value:.3g} votes a second over {cast[-1]:.0f} votes in {time[-1]:.0f} s",
    )
