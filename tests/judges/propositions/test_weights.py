"""Weights are a record with an identity, and survive the file."""

from pathlib import Path

import numpy as np
import pytest

from judges.errors import DataError
from judges.propositions.fit import fit_weights
from judges.propositions.weights import PropositionWeights, read_weights, write_weights


@pytest.fixture
def weights() -> PropositionWeights:
    phi = np.array([[1.0, 0.2], [0.0, 0.1], [0.9, 0.5], [0.1, 0.5]])
    return fit_weights(phi, ["a", "b"], np.array([[0, 1], [2, 3]]), [0, 0, 1, 1])


def test_a_file_gives_the_same_weights_back(tmp_path: Path, weights: PropositionWeights) -> None:
    write_weights(tmp_path / "w.json", weights)
    assert read_weights(tmp_path / "w.json") == weights


def test_the_digest_moves_with_what_scores_and_with_nothing_else(
    weights: PropositionWeights,
) -> None:
    assert weights.model_copy(update={"seed": 5}).digest == weights.digest
    assert weights.model_copy(update={"weights": (1.0, 2.0)}).digest != weights.digest
    assert weights.model_copy(update={"with_base_reward": True}).digest != weights.digest


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.json").write_text('{"names": []}')
    with pytest.raises(DataError, match=r"w\.json: no proposition weights"):
        read_weights(tmp_path / "w.json")
