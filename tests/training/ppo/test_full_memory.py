"""Full memory is told with the knobs that these methods have; other errors are left alone."""

from pathlib import Path

import pytest

from judges.errors import ModelError
from tests.training.ppo.tiny_run import make_recipe
from training.ppo.full_memory import naming_knobs


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory."), MemoryError()], ids=str)
def test_full_memory_names_the_knobs_with_their_values(tmp_path: Path, error: Exception) -> None:
    recipe = make_recipe(tmp_path, tmp_path, optimisation={"micro_batch_tokens": 600})
    with (
        pytest.raises(ModelError, match=r'micro_batch_tokens 600 -> 300, .*value\.kind = "shared"'),
        naming_knobs(recipe),
    ):
        raise error


def test_another_error_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shapes"), naming_knobs(make_recipe(tmp_path, tmp_path)):
        raise RuntimeError("shapes differ")
