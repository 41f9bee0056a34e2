"""The step on pairs: minibatches that some, or all, of the pairs do not fill."""

import torch

from tests.training.ppo.test_learner import DRAWN, weights
from tests.training.ppo.tiny_models import tiny_llama
from training.methods.loss_settings import LossSettings
from training.online_dpo.learner import PairLearner
from training.online_dpo.pairs import Pair
from training.ppo.accelerating import make_accelerator
from training.ppo.actor_critic import make_actor_critic
from training.ppo.settings import Clipping, Optimisation, ValueModel


def make_learner(minibatches: int) -> PairLearner:
    model = make_actor_critic(tiny_llama(spread=0.5), ValueModel(kind="shared"), None, 1.0)
    model.value_head.requires_grad_(False)
    optimisation = Optimisation(learning_rate=1e-2, epochs=1, decay=False, minibatches=minibatches)
    return PairLearner(model, make_accelerator(), optimisation, Clipping(), total_steps=9, seed=0)


def improved(minibatches: int, pairs: list[Pair]) -> tuple[dict[str, float], PairLearner]:
    learner = make_learner(minibatches)
    loss = LossSettings(name="sigmoid", beta=0.1)
    return learner.improve_pairs(DRAWN, learner.score(DRAWN), pairs, loss, 1), learner


def test_of_fewer_pairs_than_minibatches_none_is_learned_from_twice() -> None:
    pairs = [Pair(0, 1, 0.8), Pair(2, 3, 0.6)]
    (one, fitting), (other, more) = improved(2, pairs), improved(5, pairs)
    assert one == other and one["loss"] > 0
    for name, value in weights(fitting).items():
        assert torch.equal(weights(more)[name], value)


def test_without_a_pair_nothing_moves() -> None:
    metrics, learner = improved(2, [])
    assert metrics["loss"] == 0.0 and "gradient_norm" not in metrics
    for name, value in weights(make_learner(2)).items():
        assert torch.equal(weights(learner)[name], value)
