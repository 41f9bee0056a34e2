"""Why a completion has no place in a ranking, told from its votes and verdicts."""

from collections import Counter
from collections.abc import Collection, Mapping

import numpy as np

from judges.aggregate import Bools, Floats
from judges.records import Reason, Vote
from judges.tally import EMPTY, Ballot


def why_unranked(
    ballot: Ballot,
    ranking: Collection[int],
    votes: Collection[Vote],
    p_NN: Floats,
    abstained_NN: Bools,
) -> dict[int, Reason]:
    """The reason for each completion of a ballot that is not in its ranking."""
    empty = [completion == EMPTY for completion in ballot.completions]
    reasons: dict[int, Reason] = {}
    for index in range(len(empty)):
        if index in ranking:
            continue
        if empty[index]:
            reasons[index] = "empty_completion"
        elif all(empty[:index] + empty[index + 1 :]):
            reasons[index] = "one_completion"
        elif abstained_NN[index].any():
            reasons[index] = "below_abstention_threshold"
        elif np.count_nonzero(~np.isnan(p_NN[index])) > 1:  # the diagonal is always there
            reasons[index] = "not_connected"
        else:
            reasons[index] = _reason_told(ballot.completions[index], votes)
    return reasons


def _reason_told(completion: str, votes: Collection[Vote]) -> Reason:
    """The commonest reason among the votes on a completion, else on its prompt."""
    failed = [vote for vote in votes if vote.reason is not None]
    for about in (
        [vote.reason for vote in failed if completion in vote.question.completions],
        [vote.reason for vote in failed if not vote.question.completions],
    ):
        if about:
            return Counter(about).most_common(1)[0][0] or "missing_vote"
    return "missing_vote"


def reason_of_all(reasons: Mapping[int, Reason]) -> Reason:
    """The one reason for a ballot of which nothing could be ranked: the commonest."""
    # A completion that stands alone does so because all others are empty.
    telling = [reason for reason in reasons.values() if reason != "one_completion"]
    return Counter(telling or reasons.values()).most_common(1)[0][0]
