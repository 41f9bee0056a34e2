"""Log-probabilities of completions alone: what TRL does on a GPU, on a CPU too."""

from collections.abc import Iterator
from contextlib import contextmanager

import trl.trainer.utils


@contextmanager
def scoring_completions_only(device: str) -> Iterator[None]:
    """On a CPU, have TRL project only completion tokens to the vocabulary, as it does on a GPU.

    Off the GPU TRL projects prompt tokens as well and throws the result away: a quarter of a DPO
    step of the embedded model, a seventh of one of SFT.
    """
    if device != "cpu":
        yield
        return
    before = trl.trainer.utils._use_triton
    # Only asked whether to leave prompt tokens out; the kernels ask their own module.
    trl.trainer.utils._use_triton = lambda _: True
    try:
        yield
    finally:
        trl.trainer.utils._use_triton = before
