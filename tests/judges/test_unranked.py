"""The reason a completion is not ranked is the one a person would give."""

import numpy as np
import pytest

from judges.records import Question, Reason, Vote
from judges.tally import EMPTY, Ballot, Settings
from judges.unranked import reason_of_all, why_unranked

NAN = float("nan")


def ballot(*completions: str) -> Ballot:
    return Ballot(
        id="a",
        conversation="c",
        completions=completions,
        settings=Settings(pair=("s",), applies=("t",), rule="r"),
    )


def vote(reason: Reason | None, *completions: str) -> Vote:
    return Vote(
        question=Question(setting="s", principle="p", conversation="c", completions=completions),
        status="unscored" if reason else "scored",
        reason=reason,
    )


def why(
    votes: list[Vote],
    *completions: str,
    ranking: tuple[int, ...] = (),
    seen: tuple[tuple[int, int], ...] = (),
    abstained: tuple[tuple[int, int], ...] = (),
) -> dict[int, Reason]:
    n = len(completions)
    p, abstains = np.full((n, n), NAN), np.zeros((n, n), bool)
    np.fill_diagonal(p, 0.5)
    for i, j in seen:
        p[i, j] = p[j, i] = 0.6
    for i, j in abstained:
        abstains[i, j] = abstains[j, i] = True
    return why_unranked(ballot(*completions), ranking, votes, p, abstains)


def test_islands_are_not_connected_whatever_their_other_votes_say() -> None:
    found = why(
        [vote("refused", "a", "c")],
        *"abcde",
        ranking=(0, 1, 2),
        seen=((0, 1), (1, 2), (3, 4)),
    )
    assert found == {3: "not_connected", 4: "not_connected"}


def test_the_commonest_reason_of_its_own_votes_is_told() -> None:
    votes = [
        vote("too_long", "a", "b"),
        vote("refused", "b", "a"),
        vote("refused", "b", "c"),
        vote("truncated", "c", "d"),
        vote(None, "a", "c"),
    ]
    assert why(votes, *"abcd", ranking=(0, 2)) == {1: "refused", 3: "truncated"}


def test_a_failed_scope_is_told_where_no_vote_of_its_own_failed() -> None:
    votes = [vote("low_label_mass"), vote("refused", "a", "b")]
    assert why(votes, *"abc") == {0: "refused", 1: "refused", 2: "low_label_mass"}


def test_abstaining_empty_and_missing_are_told_apart() -> None:
    found = why([], "a", "b", EMPTY, "d", abstained=((0, 1),))
    assert found == {
        0: "below_abstention_threshold",
        1: "below_abstention_threshold",
        2: "empty_completion",
        3: "missing_vote",
    }


@pytest.mark.parametrize(
    ("reasons", "told"),
    [
        pytest.param(["too_long", "refused", "refused"], "refused", id="the commonest"),
        pytest.param(
            ["one_completion", "empty_completion"], "empty_completion", id="emptiness over solitude"
        ),
        pytest.param(["one_completion"], "one_completion", id="solitude where nothing else is"),
    ],
)
def test_the_reason_of_the_whole(reasons: list[Reason], told: Reason) -> None:
    assert reason_of_all(dict(enumerate(reasons))) == told
