"""Batches of prompts of like length, in an order that the seed and the epoch alone decide.

Padding is what a batch of short and long texts pays for. Prompts are drawn at random, then sorted
by length within stretches of many batches, and the batches shuffled: what a batch holds stays as
good as random. transformers' own sampler draws from the global generator, so that a resumed run
would see its later epochs in another order.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

STRETCH = 50
"""Batches sorted together."""


class LengthOrder(Sampler[int]):
    """Places of prompts, a batch of like length after the other; a permutation each epoch."""

    def __init__(self, lengths: Sequence[int], batch: int, seed: int) -> None:
        super().__init__()
        self.lengths, self.batch, self.seed, self.epoch = np.array(lengths), batch, seed, 0

    def __len__(self) -> int:
        return len(self.lengths)

    def set_epoch(self, epoch: int) -> None:
        """Which epoch the next order is for."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(len(self.lengths))
        stretch = STRETCH * self.batch
        batches = []
        for start in range(0, len(order), stretch):
            some = order[start : start + stretch]
            some = some[np.argsort(-self.lengths[some], kind="stable")]
            batches += [some[at : at + self.batch] for at in range(0, len(some), self.batch)]
        # A batch that is not full stands last: accelerate fills it up from the first.
        full = [one for one in batches if len(one) == self.batch]
        rest = [one for one in batches if len(one) < self.batch]
        shuffled = [full[i] for i in rng.permutation(len(full))]
        yield from (int(place) for one in [*shuffled, *rest] for place in one)
