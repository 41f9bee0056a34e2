"""Both databases that hold votes: the same tests run on each."""

from collections.abc import Iterator

import pytest

from judges.store.vote_store import VoteStore


@pytest.fixture
def store(database_url: str) -> Iterator[VoteStore]:
    """An empty vote store of each kind."""
    with VoteStore.open(database_url) as opened:
        yield opened
