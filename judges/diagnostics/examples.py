"""Pairs worth reading: a few, of different prompts, with their texts."""

from collections.abc import Sequence

import numpy as np

from judges.aggregate import Floats
from judges.calibration.estimates import IntArray
from judges.diagnostics.pair_votes import PairVotes
from judges.diagnostics.run_files import Run, read_texts
from judges.records import Probability, Record


class Example(Record):
    """One pair of a run, with its texts."""

    id: str
    """The ranking's id."""
    slice: str
    """The part of the data it belongs to."""
    prompt: str
    """The conversation, a line a turn."""
    first: str
    """One completion."""
    second: str
    """The other."""
    p: Probability | None
    """P(first better); None where unscored."""
    p_after: Probability | None = None
    """The same under the new constitution, where two are compared."""
    preferred: Probability | None = None
    """What people say: 1 the first, 0 the second, 0.5 a tie; None: no label."""
    moved_by: str = ""
    """The principle that moved it most, where two constitutions are compared."""


def one_a_prompt(votes: PairVotes, order: IntArray, most: int) -> list[int]:
    """The first pairs in this order, at most one of a prompt."""
    chosen: dict[int, int] = {}
    for pair in order.tolist():
        if len(chosen) == most:
            break
        chosen.setdefault(int(votes.group_R[votes.ranking_B[pair]]), pair)
    return list(chosen.values())


def read_examples(
    run: Run,
    votes: PairVotes,
    pairs: Sequence[int],
    p_B: Floats,
    label_B: Floats,
    *,
    after_B: Floats | None = None,
    moved_by: Sequence[str] = (),
) -> tuple[Example, ...]:
    """The chosen pairs with their texts, read from the run's file."""
    lines = read_texts(run, {int(votes.ranking_B[pair]) for pair in pairs})
    told = []
    for number, pair in enumerate(pairs):
        ranking = int(votes.ranking_B[pair])
        line, (i, j) = lines[ranking], votes.side_B2[pair].tolist()
        told.append(
            Example(
                id=run.ballots[ranking].id,
                slice=run.slices[ranking],
                prompt="\n".join(f"{turn['role']}: {turn['content']}" for turn in line["prompt"]),
                first=line["completions"][i],
                second=line["completions"][j],
                p=_known(p_B[pair]),
                p_after=None if after_B is None else _known(after_B[pair]),
                preferred=_known(label_B[pair]),
                moved_by=moved_by[number] if moved_by else "",
            )
        )
    return tuple(told)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
