"""Labels of people, found again among a run's pairs by what the pairs say."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from judges.aggregate import Floats
from judges.canonical import text_digest
from judges.cards.labelled import LabelledPair, read_labelled
from judges.diagnostics.pair_votes import TIE, PairVotes
from judges.errors import DataError
from judges.tally import Ballot


def labels_of(
    votes: PairVotes, ballots: Sequence[Ballot], labels: Path | None, slice_column: str = "subset"
) -> Floats:
    """What people say of each pair, of a labelled file; NaN where they say nothing, or no file.

    Raises: DataError when no label is of any pair.
    """
    if labels is None:
        return np.full(len(votes.ranking_B), np.nan)
    label_B = match_labels(votes, ballots, read_labelled(labels, slice_column))
    if np.isnan(label_B).all():
        raise DataError(
            f"{labels}: none of its pairs is in the rankings; give labels of the same prompts and "
            "completions, letter for letter"
        )
    return label_B


def match_labels(
    votes: PairVotes, ballots: Sequence[Ballot], pairs: Sequence[LabelledPair]
) -> Floats:
    """1 where people prefer the first, 0 the second, 0.5 a tie or contrary labels; NaN: no label.

    Which completion stands first in the labels does not matter. Shapes: → (B,).
    """
    known: dict[tuple[str, str, str], float] = {}
    for pair in pairs:
        conversation = text_digest(pair.item.conversation_text)
        first, second = (text_digest(one.text) for one in pair.item.completions)
        for key, label in (
            ((conversation, first, second), pair.preferred),
            ((conversation, second, first), 1 - pair.preferred),
        ):
            known[key] = label if known.get(key, label) == label else TIE
    label_B = np.full(len(votes.ranking_B), np.nan)
    if known:
        places = zip(votes.ranking_B.tolist(), votes.side_B2.tolist(), strict=True)
        for row, (ranking, (i, j)) in enumerate(places):
            ballot = ballots[ranking]
            key = (ballot.conversation, ballot.completions[i], ballot.completions[j])
            label_B[row] = known.get(key, np.nan)
    return label_B
