"""Which prompts of a run are judged to preview an edit: more of those that it is likely to turn.

Strata are parts of the data times how near a prompt's nearest pair is to a tie: an edit turns near
pairs first. Prompts are taken by a hash of their text and a seed: the same seed takes the same
prompts again, and a larger sample holds nearly all of a smaller one, so their votes are paid once.
Source: allocation by size times spread, Neyman 1934; the spreads are guessed, which costs width
where they are wrong, never validity.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass

import numpy as np

from judges.aggregate import Floats
from judges.calibration.estimates import IntArray
from judges.diagnostics.run_files import Run

BANDS = (("near a tie", 0.1, 0.5), ("leaning", 0.25, 0.4), ("clear", 0.4, 0.3), ("sure", 1.0, 0.2))
"""|p - 0.5| of a prompt's nearest pair up to which it is in a band, and how much flips may vary."""
UNSCORED = ("unscored", 0.3)
LEAST = 2
"""Prompts taken of each stratum: fewer would not show how much they vary."""


@dataclass(frozen=True)
class Drawn:
    """A stratified sample of a run's prompts. Axis suffixes: `_U` prompts, `_H` strata."""

    names: tuple[str, ...]
    """The strata, alike ones side by side."""
    stratum_U: IntArray
    """Of each prompt."""
    unit_R: IntArray
    """The prompt of each ranking."""
    order: IntArray
    """The prompts taken, all strata mixed evenly: a beginning is a sample too."""


def draw(run: Run, size: int, seed: int) -> Drawn:
    """A sample of about so many prompts, all of them where there are no more."""
    unit_R = run.groups
    first_U = np.unique(unit_R, return_index=True)[1]
    near_U = np.full(len(first_U), np.inf)
    np.minimum.at(near_U, unit_R, np.nan_to_num(run.nearness, nan=np.inf))
    band_U = np.searchsorted([upper for _, upper, _ in BANDS], near_U, side="right")
    parts = _parts([run.slices[row] for row in first_U.tolist()], size)
    keys = sorted(set(zip(parts, band_U.tolist(), strict=True)))
    place = {key: h for h, key in enumerate(keys)}
    stratum_U = np.array([place[key] for key in zip(parts, band_U.tolist(), strict=True)])
    spread = np.array([(*(s for *_, s in BANDS), UNSCORED[1])[band] for _, band in keys])
    taken_H = _allocate(np.bincount(stratum_U), spread, size)
    named = (*(name for name, *_ in BANDS), UNSCORED[0])
    several = len(set(parts)) > 1
    names = [f"{part or 'no part'}, {named[b]}" if several else named[b] for part, b in keys]
    return Drawn(
        names=tuple(names),
        stratum_U=stratum_U,
        unit_R=unit_R,
        order=_ordered(stratum_U, taken_H, _hashes(run, first_U, seed)),
    )


def _parts(slices: list[str], size: int) -> list[str]:
    """The part of the data of each prompt; small parts together where there are too many."""
    most = max(1, size // (4 * LEAST * len(BANDS)))
    kept = {part for part, _ in Counter(slices).most_common(most)}
    if len(set(slices)) <= most:
        return slices
    return [part if part in kept and most > 1 else "other parts" for part in slices]


def _allocate(size_H: IntArray, spread_H: Floats, size: int) -> IntArray:
    """How many of each stratum are taken."""
    wanted = size_H * spread_H * size / max(1e-9, float((size_H * spread_H).sum()))
    taken = np.minimum(size_H, LEAST)
    while taken.sum() < min(size, size_H.sum()):
        taken[np.argmax(np.where(taken < size_H, wanted - taken, -np.inf))] += 1
    return np.asarray(taken)


def _hashes(run: Run, first_U: IntArray, seed: int) -> list[str]:
    names = [run.ballots[row].conversation for row in first_U.tolist()]
    return [hashlib.sha256(f"{seed} {name}".encode()).hexdigest() for name in names]


def _ordered(stratum_U: IntArray, taken_H: IntArray, hashes: list[str]) -> IntArray:
    """The prompts taken, each stratum's spread evenly over the whole order."""
    chosen: list[tuple[float, str, int]] = []
    by_hash = sorted(range(len(hashes)), key=lambda unit: hashes[unit])
    so_far: Counter[int] = Counter()
    for unit in by_hash:
        stratum = int(stratum_U[unit])
        if so_far[stratum] < taken_H[stratum]:
            so_far[stratum] += 1
            chosen.append(((so_far[stratum] - 0.5) / taken_H[stratum], hashes[unit], unit))
    return np.array([unit for *_, unit in sorted(chosen)], np.int64)
