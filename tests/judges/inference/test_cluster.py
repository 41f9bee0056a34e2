"""Near-equal wordings become one; opposites never do."""

import pytest

from judges.constitutions.rules import EndingRule
from judges.inference.candidates import Candidate
from judges.inference.cluster import cluster, directions, distances


def proposed(*texts: str) -> list[Candidate]:
    return [Candidate(text=text, origin="proposed") for text in texts]


SAME = (
    "The better completion gives a clear and short answer.",
    "The better completion gives a short and clear answer.",
    "The better completion gives a clear, short answer.",
)


def test_wordings_of_one_idea_become_one_and_are_counted() -> None:
    found = cluster(proposed(*SAME, SAME[0], "The better completion cites its sources."))
    assert sorted(one.proposed for one in found) == [1, 4]
    first = max(found, key=lambda one: one.proposed)
    assert set(first.members) == set(SAME)
    assert first.representative.text == SAME[0], "said twice, it is nearest to most"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The better completion is shorter.", "The better completion is longer."),
        ("The better completion uses lists.", "The better completion does not use lists."),
        ("The better completion avoids jargon.", "The better completion uses jargon."),
        ('The better completion mentions "tea".', 'The better completion mentions "ink".'),
        ("The better completion hedges more.", "The better completion hedges less."),
    ],
)
def test_opposites_stay_apart(one: str, other: str) -> None:
    assert directions(one) != directions(other)
    assert len(cluster(proposed(one, other))) == 2


def test_the_order_of_candidates_changes_nothing() -> None:
    texts = [*SAME, "The better completion cites its sources.", "The better completion is kind."]
    assert cluster(proposed(*texts)) == cluster(proposed(*reversed(texts)))


def test_rules_are_only_freed_of_repeats() -> None:
    rule = Candidate(text="Ends as a sentence.", rule=EndingRule(kind="complete_sentence"),
                     origin="hypothesis")  # fmt: skip
    found = cluster([rule, rule, *proposed(SAME[0])])
    assert [one.representative.rule is None for one in found] == [False, True]


def test_distances_are_symmetric_and_zero_to_oneself() -> None:
    distance = distances(SAME)
    assert (distance == distance.T).all()
    assert distance.diagonal().tolist() == [0, 0, 0]
