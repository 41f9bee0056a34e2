"""On a model whose completions can all be listed, online DPO finds the optimum of RLHF."""

import pytest
import torch

from tests.training.ppo.tiny_models import tiny_llama
from training.methods.loss_settings import LossSettings
from training.online_dpo.learner import PairLearner
from training.online_dpo.pairs import make_pairs
from training.ppo.accelerating import make_accelerator
from training.ppo.actor_critic import make_actor_critic
from training.ppo.batches import TokenSequence
from training.ppo.experience import Drawn
from training.ppo.optimum import (
    all_completions,
    best_objective,
    completion_logprobs,
    objective_of,
)
from training.ppo.rollout import Drawing, TransformersSampler
from training.ppo.settings import Clipping, Optimisation, ValueModel

EOS, PROMPT, STEPS = 1, [2, 3, 4], 80


@pytest.mark.slow
@pytest.mark.parametrize(("beta", "scale", "samples"), [(0.3, 1.0, 2), (0.1, 3.0, 3)])
def test_soft_labels_lead_to_the_closed_form_optimum(
    beta: float, scale: float, samples: int
) -> None:
    completions = all_completions([0, 2, 3, 4, 5], EOS, 2)
    generator = torch.Generator().manual_seed(0)
    rewards_N = torch.rand(len(completions), generator=generator, dtype=torch.float64)
    reward_of = dict(zip(completions, rewards_N.tolist(), strict=True))
    accelerator = make_accelerator()
    model = make_actor_critic(tiny_llama(0, 6), ValueModel(kind="shared"), None, temperature=1.0)
    model.value_head.requires_grad_(False)
    optimisation = Optimisation(learning_rate=1e-2, epochs=1, minibatches=2, adam_epsilon=1e-8)
    learner = PairLearner(model, accelerator, optimisation, Clipping(), STEPS, 0)
    drawing = Drawing(2, 1.0, 0, (EOS,), 0, 10**6)
    sampler = TransformersSampler(model.policy, accelerator, drawing)
    before, reference_N = completion_logprobs(model, PROMPT, completions)
    for step in range(1, STEPS + 1):
        drawn = [
            Drawn("only", TokenSequence(PROMPT, one.token_ids), "", one.finished)
            for one in sampler.draw_now([PROMPT] * 256, step)
        ]
        rewards = [reward_of[tuple(one.sequence.completion)] for one in drawn]
        groups = [place // samples for place in range(len(drawn))]
        pairs = make_pairs(groups, rewards, scale, soft=True).pairs
        loss = LossSettings(name="sigmoid", beta=beta)
        learner.improve_pairs(drawn, learner.score(drawn), pairs, loss, step)
    after, _ = completion_logprobs(model, PROMPT, completions)
    best = best_objective(reference_N, rewards_N, beta * scale)
    found = objective_of(after, reference_N, rewards_N)
    start = objective_of(before, reference_N, rewards_N)
    assert start.reward < 0.9 * best.reward
    assert found.reward == pytest.approx(best.reward, rel=0.02)
    assert found.kl == pytest.approx(best.kl, rel=0.02)
