"""The state of one watched run: evidence of each signal, a history for people, and alarms.

A pure function of the blocks it is given and of the run's name; a few hundred kilobytes at most.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field

from judges.canonical import digest
from judges.records import Record
from service.watch.drift import Drift
from service.watch.signals import CHANNELS, EXPECTED, SIGNALS, Channel, Signal, Totals, Watched

BASELINE = 8
"""Blocks that a change is measured against: the first ones."""
RECENT = 8
"""Blocks that the present is the mean of."""
POINTS = 256
"""Points of the history kept of each channel; beyond it, neighbours are joined."""


class RunSettings(Record):
    """How a run is watched. `PUT /v1/runs/{id}` sets it; a run seen first is watched with these."""

    gold_constitution: str | None = None
    """Reference of a constitution whose principles the policy is not trained on."""
    gold_judge: str | None = None
    """Name of a judge held out of training; without one, the run's own under the gold
    constitution."""
    gold_share: Annotated[float, Field(gt=0, le=1)] = 0.125
    """Share of the samples that the gold judges too."""
    canary_every: Annotated[int, Field(ge=0)] = 32
    """Samples between two canaries, items with a known right answer; 0 for none."""
    false_alarms: Annotated[float, Field(gt=0, le=0.5)] = 0.01
    """Chance that a run in which nothing changes ever has an alarm, however long it goes on."""
    stop_on: tuple[Signal, ...] = ("gold_gap", "gold_down", "exploits", "canaries")
    """Signals whose alarm asks the training run to stop."""
    tolerance: dict[Signal, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """The least change that matters, where another than the usual is wanted."""


class Alarm(Record):
    """A signal that has risen for certain, by more than is tolerated."""

    signal: Signal
    """Which."""
    at: int
    """Samples seen when it was raised."""
    before: float
    """Mean of its quantity over the first blocks."""
    now: float
    """Mean over the latest blocks."""
    evidence: float
    """Natural logarithm of the evidence against no change."""


class Standing(Record):
    """One signal now."""

    signal: Signal
    """Which."""
    says: str
    """What it means."""
    before: float | None
    """Mean of its quantity over the first blocks; None before there are any."""
    now: float | None
    """Mean over the latest blocks."""
    evidence: float
    """Natural logarithm of the evidence against no change; above `needed` it is certain."""
    needed: float
    """Where the chance of a false alarm, of all signals together, is as set."""
    drifted: bool
    """Whether it has risen for certain, at whatever size."""
    stops: bool
    """Whether its alarm asks the run to stop."""


@dataclass
class _History:
    """Means of a channel's quantities over time, thinned as it grows."""

    points: list[dict[str, Any]] = field(default_factory=list)
    span: int = 1
    """Blocks in a point."""

    def add(self, at: int, means: Mapping[str, float]) -> None:
        if self.points and self.points[-1]["blocks"] < self.span:
            self.points[-1] = _joined(self.points[-1], {"at": at, "blocks": 1, **means})
        else:
            self.points.append({"at": at, "blocks": 1, **means})
        if len(self.points) > POINTS:
            pairs = zip(self.points[::2], self.points[1::2], strict=False)
            odd = self.points[-1:] if len(self.points) % 2 else []
            self.points = [_joined(a, b) for a, b in pairs] + odd
            self.span *= 2


def _joined(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    blocks = a["blocks"] + b["blocks"]
    told: dict[str, Any] = {"at": b["at"], "blocks": blocks}
    for name in (a.keys() | b.keys()) - {"at", "blocks"}:
        if name in a and name in b:
            told[name] = (a[name] * a["blocks"] + b[name] * b["blocks"]) / blocks
        else:
            told[name] = a.get(name, b.get(name))
    return told


@dataclass
class RunState:
    """Everything that is known of a run."""

    run: str
    samples: int = 0
    """Samples in finished blocks."""
    blocks: dict[Channel, int] = field(default_factory=lambda: dict.fromkeys(CHANNELS, 0))
    totals: dict[str, list[float]] = field(default_factory=dict)
    """Sum and number of each quantity over the whole run."""
    first: dict[str, list[float]] = field(default_factory=dict)
    """Means of the first blocks, by quantity."""
    recent: dict[str, list[float]] = field(default_factory=dict)
    """Means of the latest blocks, by quantity."""
    history: dict[Channel, _History] = field(
        default_factory=lambda: {channel: _History() for channel in CHANNELS}
    )
    drift: Drift = field(default_factory=lambda: Drift.fresh(len(SIGNALS)))
    alarms: list[Alarm] = field(default_factory=list)

    def add_block(self, channel: Channel, totals: Totals, settings: RunSettings) -> list[Alarm]:
        """Take in a block's sums; returns the alarms that it raises, each signal's once."""
        means = {name: total / number for name, (total, number) in totals.items() if number}
        for name, (total, number) in totals.items():
            held = self.totals.setdefault(name, [0.0, 0])
            self.totals[name] = [held[0] + total, held[1] + number]
        if channel == "samples":
            self.samples += max((number for _, number in totals.values()), default=0)
        values = [_value(one, channel, means) for one in SIGNALS]
        self.drift.add(values, self._luck(channel))
        self.blocks[channel] += 1
        for name, mean in means.items():
            if len(first := self.first.setdefault(name, [])) < BASELINE:
                first.append(mean)
            self.recent[name] = [*self.recent.get(name, []), mean][-RECENT:]
        self.history[channel].add(self.samples, means)
        return self._raise_alarms(settings)

    def standings(self, settings: RunSettings) -> list[Standing]:
        """How each signal stands, in order."""
        needed = float(np.log((len(SIGNALS) - len(EXPECTED)) / settings.false_alarms))
        return [
            Standing(
                signal=one.name,
                says=one.says,
                before=_mean(self.first.get(one.quantity)),
                now=_mean(self.recent.get(one.quantity)),
                evidence=float(evidence),
                needed=needed,
                drifted=bool(evidence >= needed),
                stops=one.name in settings.stop_on,
            )
            for one, evidence in zip(SIGNALS, self.drift.evidence_S(), strict=True)
        ]

    def stop(self, settings: RunSettings) -> list[Signal]:
        """The signals for which the run should stop; none while all is well."""
        return [alarm.signal for alarm in self.alarms if alarm.signal in settings.stop_on]

    def run_mean(self) -> float | None:
        """The mean reward of the run so far."""
        total, number = self.totals.get("reward", (0.0, 0))
        return total / number if number else None

    def _luck(self, channel: Channel) -> list[float]:
        """The lots of a block: of the run's name and the block, so that a repeat draws the same."""
        drawn = digest([self.run, channel, self.blocks[channel]])
        rng = np.random.default_rng(int(drawn[:16], 16))
        return list(1.0 - rng.random(len(SIGNALS)))

    def _raise_alarms(self, settings: RunSettings) -> list[Alarm]:
        raised = {alarm.signal for alarm in self.alarms} | EXPECTED
        new = [
            Alarm(signal=s.signal, at=self.samples, before=s.before, now=s.now, evidence=s.evidence)
            for one, s in zip(SIGNALS, self.standings(settings), strict=True)
            if s.drifted and s.signal not in raised and s.before is not None and s.now is not None
            if _change(one, s.before, s.now) >= settings.tolerance.get(s.signal, one.tolerance)
        ]
        self.alarms += new
        return new

    def dump(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "run": self.run,
            "samples": self.samples,
            "blocks": self.blocks,
            "totals": self.totals,
            "first": self.first,
            "recent": self.recent,
            "history": {c: [h.span, h.points] for c, h in self.history.items()},
            "signals": [one.name for one in SIGNALS],
            "drift": self.drift.dump(),
            "alarms": [alarm.model_dump() for alarm in self.alarms],
        }

    @classmethod
    def load(cls, kept: Mapping[str, Any]) -> Self:
        """What `dump` wrote."""
        return cls(
            run=kept["run"],
            samples=kept["samples"],
            blocks=dict(kept["blocks"]),
            totals=dict(kept["totals"]),
            first=dict(kept["first"]),
            recent=dict(kept["recent"]),
            history={c: _History(points, span) for c, (span, points) in kept["history"].items()},
            drift=Drift.load(kept["drift"]),
            alarms=[Alarm.model_validate(alarm) for alarm in kept["alarms"]],
        )


def _value(one: Watched, channel: Channel, means: Mapping[str, float]) -> float:
    """A block's value of a signal, NaN where the block says nothing of it."""
    if one.channel != channel or one.quantity not in means:
        return float("nan")
    return 1 - means[one.quantity] if one.falls else means[one.quantity]


def _change(one: Watched, before: float, now: float) -> float:
    return before - now if one.falls else now - before


def _mean(values: list[float] | None) -> float | None:
    return sum(values) / len(values) if values else None
