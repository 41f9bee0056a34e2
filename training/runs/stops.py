"""What ends a run early, as errors that say which knob to turn: full memory, full disk, no number.

A full disk is reported by each library in its own words, some as a plain RuntimeError.
"""

import errno
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from judges.errors import CharterError, DataError, ModelError
from training.runs.config_fields import config_fields
from training.runs.recipe import RunRecipe
from training.runs.run_folder import RunFolder

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DISK_FULL_WORDS = re.compile(
    r"no space left|disk quota|file too large|os error (28|122|27)\b|PytorchStreamWriter failed",
    re.IGNORECASE,
)
MEMORY_WORDS = re.compile(
    r"out of memory|can't allocate memory|bad_?alloc|STATUS_ALLOC_FAILED", re.IGNORECASE
)


@contextmanager
def clear_stops(folder: RunFolder, recipe: RunRecipe) -> Iterator[None]:
    """Raises: DataError for a full disk, ModelError for full memory, with the knobs to turn."""
    try:
        yield
    except CharterError:
        raise
    except Exception as error:
        if is_disk_full(error):
            last = folder.last_whole_step()
            done = f"the checkpoint of step {last} is whole" if last else "there is no checkpoint"
            raise DataError(
                f"{folder.path}: the disk is full; {done}; free some space, then run the same "
                "command with --resume"
            ) from error
        if _in_chain(error, _is_memory_full):
            raise ModelError(f"{folder.path}: {memory_advice(error, recipe)}") from error
        raise


def memory_advice(error: BaseException, recipe: RunRecipe) -> str:
    """Which knobs make a run need less memory, cheapest first, with their present values."""
    get = recipe.trainer.get
    rows, steps = get("per_device_train_batch_size", 8), get("gradient_accumulation_steps", 1)
    knobs = []
    if (fewer := max(rows // 2, recipe.LEAST_BATCH)) < rows:
        knobs.append(
            f"trainer.per_device_train_batch_size {rows} -> {fewer} with "
            f"trainer.gradient_accumulation_steps {steps} -> {steps * 2} (as many rows a step)"
        )
    # Where the device is left to charter and memory is a GPU's, checkpointing is on already.
    on_gpu = recipe.device == "cuda" or "CUDA" in str(error)
    if not get("gradient_checkpointing", on_gpu):
        knobs.append("trainer.gradient_checkpointing = true (same losses, about 20 % slower)")
    knobs.append(f"max_length {recipe.max_length} -> {max(2, recipe.max_length // 2)}")
    if recipe.lora is None and not getattr(recipe, "frozen", False):
        knobs.append("a [lora] table instead of training all weights")
        if "8bit" not in str(get("optim", "")):
            knobs.append('trainer.optim = "adamw_8bit" (needs bitsandbytes)')
    elif key := _dtype_key(recipe):
        knobs.append(f'{key} = "bfloat16" for the frozen base')
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return (
        f"out of memory ({first[:120]}); turn one of these, then start again in another `output`: "
        + "; ".join(knobs)
    )


def _dtype_key(recipe: RunRecipe) -> str | None:
    """The key that says in which format weights are held, where a recipe has one."""
    if "dtype" in type(recipe).model_fields:
        return "dtype"
    if "model_init_kwargs" in config_fields(recipe.CONFIG):
        return "trainer.model_init_kwargs.dtype"
    return None


@dataclass
class FiniteWatch:
    """Stops training when a loss or a gradient is no number, and names the rows of the step.

    A trainer calls `loss` for each batch and `gradient` before each optimiser step, the last moment
    to keep the weights whole.
    """

    places: Callable[[list[int]], str]
    """Names rows by file and line."""

    def __post_init__(self) -> None:
        self.rows_in_step: list[int] = []

    def loss(self, step: int, loss: Any, rows: list[int]) -> None:
        """Raises: ModelError when a batch's loss is no number."""
        self.rows_in_step += rows
        if not math.isfinite(number := float(loss)):
            self._stop(step, f"the loss is {number}", rows)

    def gradient(self, step: int, norm: Any) -> None:
        """Raises: ModelError when the norm of a step's gradient is no number."""
        if norm is not None and not math.isfinite(number := float(norm)):
            self._stop(step, f"the gradient's norm is {number}", self.rows_in_step)
        self.rows_in_step = []

    def _stop(self, step: int, what: str, rows: list[int]) -> None:
        where = self.places(rows) if rows else "packed rows, which cannot be named"
        raise ModelError(
            f"training step {step + 1}: {what} on {where}; look at these rows, lower "
            "trainer.learning_rate (or beta), and start a new run"
        )


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or what it came of, is a full disk in some library's words."""
    return _in_chain(error, _says_disk_full)


def _in_chain(error: BaseException | None, test: Callable[[BaseException], bool]) -> bool:
    while error is not None:
        if test(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _says_disk_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return True
    return bool(DISK_FULL_WORDS.search(str(error)))


def _is_memory_full(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and bool(MEMORY_WORDS.search(str(error)))
    )
