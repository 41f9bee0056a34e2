"""The order of prompts by length: every prompt once an epoch, like with like, and repeatable."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.rewards.length_order import LengthOrder


@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=300), st.integers(1, 9), st.integers(0, 3)
)
def test_each_epoch_is_a_permutation(lengths: list[int], batch: int, epoch: int) -> None:
    order = LengthOrder(lengths, batch, seed=1)
    order.set_epoch(epoch)
    assert sorted(order) == list(range(len(lengths)))
    assert len(order) == len(lengths)


def test_the_seed_and_the_epoch_decide_and_nothing_else() -> None:
    lengths = np.random.default_rng(0).integers(1, 500, 97).tolist()
    order = LengthOrder(lengths, 4, seed=1)
    np.random.default_rng().normal()
    first, again = list(order), list(LengthOrder(lengths, 4, seed=1))
    assert first == again
    order.set_epoch(1)
    assert list(order) != first
    order.set_epoch(0)
    assert list(order) == first
    assert list(LengthOrder(lengths, 4, seed=2)) != first


def test_batches_of_like_length_need_far_less_padding() -> None:
    lengths = np.random.default_rng(0).lognormal(5, 0.7, 2000).astype(int)
    order = list(LengthOrder(lengths.tolist(), 8, seed=0))

    def padded(places: list[int]) -> int:
        batches = [lengths[places[at : at + 8]] for at in range(0, len(places), 8)]
        return sum(int(batch.max()) * len(batch) for batch in batches)

    assert padded(order) < 1.1 * lengths.sum()
    assert padded(list(range(2000))) > 1.6 * lengths.sum()
    # Long and short batches come mixed, not one after the other.
    means = [lengths[order[at : at + 8]].mean() for at in range(0, 400, 8)]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.5
