"""A store, and one run with planted principles."""

from collections.abc import Iterator

import pytest

from judges.diagnostics.run_files import Run
from judges.store.vote_store import VoteStore
from tests.judges.diagnostics.made_run import planted, planted_items, planted_judge, ranked_run


@pytest.fixture(scope="session")
def planted_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VoteStore]:
    """A store that holds the planted run's votes."""
    with VoteStore.open(f"sqlite:///{tmp_path_factory.mktemp('planted')}/votes.db") as opened:
        yield opened


@pytest.fixture(scope="session")
def planted_run(planted_store: VoteStore, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """120 pairs, ranked under all planted principles."""
    folder = tmp_path_factory.mktemp("run")
    return ranked_run(folder, planted_store, planted_items(), planted(), planted_judge())
