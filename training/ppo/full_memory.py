"""What methods that sample by steps say when memory is full: their own knobs, with their values."""

from collections.abc import Iterator
from contextlib import contextmanager

from judges.errors import ModelError
from training.ppo.recipe import SamplingRecipe


@contextmanager
def naming_knobs(recipe: SamplingRecipe) -> Iterator[None]:
    """Raises: ModelError that names the knobs to turn when memory is full."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        words = str(error).lower()
        if not isinstance(error, MemoryError) and "out of memory" not in words:
            raise
        tokens = recipe.optimisation.micro_batch_tokens
        raise ModelError(
            f"{recipe.output}: out of memory ({words[:120]}); turn one of these, none of which "
            f"changes the result: optimisation.micro_batch_tokens {tokens} -> {tokens // 2}, "
            f"rollout.batch_tokens {recipe.rollout.batch_tokens} -> "
            f"{recipe.rollout.batch_tokens // 2}, gradient_checkpointing = true; or "
            f"{recipe.MEMORY_ADVICE}"
        ) from error
