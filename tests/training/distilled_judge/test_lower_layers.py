"""What the lower layers say is kept whole or not at all."""

from pathlib import Path

import pytest

from judges.errors import DataError
from tests.training.distilled_judge.made_questions import make_recipe
from tests.training.runs.full_disk import full_disk
from training.runs.loading import building_trainer
from training.runs.run_folder import RunFolder
from training.runs.stops import clear_stops


@pytest.mark.slow  # loads torch
def test_a_full_disk_is_told_as_one_and_leaves_nothing(tmp_path: Path) -> None:
    import torch

    from training.distilled_judge.lower_layers import read_states, write_states

    states_TD, file = torch.ones(100, 100), tmp_path / "states" / "one.safetensors"
    run = clear_stops(RunFolder(tmp_path / "run"), make_recipe(tmp_path))
    told, building = pytest.raises(DataError, match="disk is full"), building_trainer(tmp_path)
    with told, run, building, full_disk(10_000):
        write_states(file, states_TD)
    assert not list(file.parent.iterdir())
    write_states(file, states_TD)
    assert read_states(file).equal(states_TD)
