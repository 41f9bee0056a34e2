"""The keys of a recipe that say which rows are trained on, and how many may be lost."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from training.runs.recipe import RunRecipe

Share = Annotated[float, Field(ge=0, le=1)]


class DataRecipe(RunRecipe):
    """What every method that reads rows is told about them."""

    held_out_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of prompts kept for evaluation; all rows of a prompt are on the same side."""
    keep_away: tuple[Path, ...] = ()
    """Files whose prompts must not be trained on: rows with one of them, or nearly, are dropped."""
    check_copies: bool = True
    """Drop rows that repeat an earlier one; count those that contradict one, or nearly have a
    prompt that is held out."""
    max_dropped: Share = 0.05
    """Largest share of rows that may be dropped: of each file as empty or otherwise unusable, of
    the mix as too long or leaked. Ties and repeats do not count."""
    max_cut: Share = 0.1
    """Largest share of rows that may be cut off at max_length."""
