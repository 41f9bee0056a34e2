"""Reviews are handed out blind and labelled once, on both databases."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from judges.store.schema import database_url as as_url
from service.errors import ApiError
from service.reviews.disagreement import chosen_pairs
from service.reviews.people import agreement_of, exported
from service.reviews.review_store import (
    Side,
    add_reviews,
    hand_out,
    labelled_reviews,
    list_reviews,
    shown_swapped,
    write_label,
)
from service.storage.database import open_service_database
from tests.service.reviews.made_rankings import ranking

PAIRS = chosen_pairs([ranking(f"n{k}", 0.5 + k / 20) for k in range(10)], 10, random_share=0)


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    engine = open_service_database(as_url(database_url))
    yield engine
    engine.dispose()


def test_a_pair_is_queued_once(database: Engine) -> None:
    assert add_reviews(database, "t", PAIRS[:4]) == 4
    assert add_reviews(database, "t", PAIRS) == 6
    assert len(list_reviews(database, "t")) == 10
    assert list_reviews(database, "other") == []


def test_each_reviewer_gets_each_review_until_it_is_labelled(database: Engine) -> None:
    add_reviews(database, "t", PAIRS[:3])
    seen: list[str] = []
    while found := hand_out(database, "t", "ada"):
        review, left = found
        assert left == 3 - len(seen)
        again = hand_out(database, "t", "ada")
        assert again is not None and again[0].id == review.id
        write_label(database, "t", review.id, "ada", "left")
        seen.append(review.id)
    assert len(set(seen)) == 3
    other = hand_out(database, "t", "bo")
    assert other is not None and other[1] == 3


def test_what_nobody_has_labelled_is_asked_first(database: Engine) -> None:
    add_reviews(database, "t", PAIRS[:2])
    first = hand_out(database, "t", "ada")
    assert first is not None
    write_label(database, "t", first[0].id, "ada", "tie")
    other = hand_out(database, "t", "bo")
    assert other is not None and other[0].id != first[0].id


def test_a_label_is_of_the_text_whatever_side_it_stood_on_and_final(database: Engine) -> None:
    add_reviews(database, "t", PAIRS[:1])
    sides: dict[str, Side] = {}
    for reviewer in (f"r{k}" for k in range(8)):
        found = hand_out(database, "t", reviewer)
        assert found is not None
        review = found[0]
        swapped = shown_swapped(review.id, reviewer)
        side: Side = "right" if swapped else "left"  # always the stored first
        told = write_label(database, "t", review.id, reviewer, side, seconds=1.5)
        assert told.labels[-1].choice == "first"
        sides[reviewer] = side
        with pytest.raises(ApiError, match="has labelled") as refused:
            write_label(database, "t", review.id, reviewer, "tie")
        assert refused.value.status == 409
    assert set(sides.values()) == {"left", "right"}
    with pytest.raises(ApiError, match="was not handed out"):
        write_label(database, "t", PAIRS[0].id, "stranger", "left")


def test_several_people_at_once_lose_no_label(database: Engine) -> None:
    add_reviews(database, "t", PAIRS)

    def work(reviewer: str) -> int:
        done = 0
        while found := hand_out(database, "t", reviewer):
            write_label(database, "t", found[0].id, reviewer, "left", seconds=0.5)
            done += 1
        return done

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, ["a", "b", "c", "d"])) == [10] * 4
    held = list(labelled_reviews(database, "t", page=3))
    assert len(held) == 10
    assert all(len(review.labels) == 4 for review in held)
    told = agreement_of(held)
    assert told.people is not None and told.people.n == 10
    by = {one.drawn: one for one in told.judge}
    assert (by["random"].reviews, by["disagreement"].labels) == (0, 40)
    assert by["disagreement"].median_seconds == 0.5


def test_skips_and_ties_make_no_precedent(database: Engine) -> None:
    add_reviews(database, "t", PAIRS[:3])
    sides: tuple[Side, ...] = ("skip", "tie", "left")
    for side in sides:
        found = hand_out(database, "t", "ada")
        assert found is not None
        write_label(database, "t", found[0].id, "ada", side)
    held = list_reviews(database, "t")
    assert len(list(exported(held, "labelled"))) == 2
    assert len(list(exported(held, "precedents"))) == 1
