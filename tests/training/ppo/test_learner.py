"""The step itself: micro-batches, rates, corrections; and problems with known answers."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from accelerate.state import GradientState

from judges.errors import ModelError
from tests.training.ppo.tiny_models import lora_config, tiny_llama
from training.ppo.accelerating import make_accelerator
from training.ppo.actor_critic import ActorCritic, make_actor_critic
from training.ppo.batches import TokenSequence, right_padded
from training.ppo.experience import Drawn
from training.ppo.learner import Learner
from training.ppo.optimum import (
    Problem,
    all_completions,
    attempt,
    best_objective,
    completion_logprobs,
    objective_of,
    tiny_policy,
)
from training.ppo.rollout import Drawing, TransformersSampler
from training.ppo.settings import Clipping, Optimisation, Shaping, ValueModel

DRAWN = [
    Drawn("a", TokenSequence([5, 6, 7, 8, 9], [10, 11]), "", False),
    Drawn("b", TokenSequence([12], [13, 14, 15, 1]), "", True),
    Drawn("c", TokenSequence([4, 3, 2], [1]), "", True),
    Drawn("d", TokenSequence([4, 3], [9, 8, 1]), "", True),
]
SCORES = [0.2, 1.0, -0.5, 0.3]


def make_learner(lora: bool = False, **changes: Any) -> Learner:
    policy = tiny_llama(spread=0.5)
    torch.manual_seed(0)
    model = make_actor_critic(policy, ValueModel(), lora_config() if lora else None, 1.0)
    settings = {"learning_rate": 1e-2, "micro_batch_tokens": 1000, **changes}
    optimisation = Optimisation.model_validate(settings)
    return Learner(model, make_accelerator(), optimisation, Clipping(), total_steps=10, seed=0)


def improve(learner: Learner, step: int = 1, drawn: Sequence[Drawn] = DRAWN) -> dict[str, float]:
    scored = learner.score(drawn)
    return learner.improve(drawn, scored, SCORES, Shaping(), 0.05, step)


def weights(learner: Learner) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in learner.plain.trained_parameters().items()}


def test_micro_batches_of_any_size_make_the_same_step() -> None:
    # With so large an epsilon Adam's step is in proportion to the gradient: rounding stays small.
    settings: dict[str, Any] = {"adam_epsilon": 1.0, "learning_rate": 1.0}
    whole, cut = make_learner(**settings), make_learner(micro_batch_tokens=6, **settings)
    before = weights(whole)
    first, second = improve(whole), improve(cut)
    for name, value in weights(whole).items():
        torch.testing.assert_close(weights(cut)[name], value, atol=1e-5, rtol=1e-4)
    assert max(float((weights(whole)[n] - before[n]).abs().max()) for n in before) > 1e-3
    assert first == pytest.approx(second, rel=1e-3, abs=1e-5)


def test_a_pass_is_its_loss_written_out_minibatch_by_minibatch() -> None:
    settings: dict[str, Any] = {"adam_epsilon": 1.0, "learning_rate": 1.0, "decay": False}
    settings |= {"epochs": 1, "minibatches": 2, "max_grad_norm": 0.05}
    learner, twin = make_learner(**settings), make_learner(**settings)
    assert improve(learner)["gradient_norm"] > 0.05
    # Values and KL are 0 at first: an advantage is the score, less for each token after it. What
    # did not end has 1 less.
    lengths = [len(one.sequence.completion) for one in DRAWN]
    advantages = [
        [score * 0.95 ** (length - 1 - t) for t in range(length)]
        for score, length in zip([0.2 - 1, *SCORES[1:]], lengths, strict=True)
    ]
    old = twin.score(DRAWN).logprobs
    for rows in twin._minibatches(4, step=1, epoch=0):
        batch = right_padded([DRAWN[row].sequence for row in rows])
        outputs = twin.plain(batch)
        new, values = outputs.logprobs_BT[batch.mask_BT], outputs.values_BT[batch.mask_BT]
        returns = torch.tensor([one for row in rows for one in advantages[row]])
        white = (returns - returns.mean()) / returns.std(unbiased=False)
        ratio = (new - torch.cat([old[row, : lengths[row]] for row in rows])).exp()
        policy = torch.maximum(-white * ratio, -white * ratio.clamp(0.8, 1.2)).sum()
        held = values.clamp(-0.2, 0.2)
        value = 0.5 * torch.maximum((values - returns) ** 2, (held - returns) ** 2).sum()
        ((policy + 0.1 * value) / len(returns)).backward()
        torch.nn.utils.clip_grad_norm_(twin.plain.parameters(), 0.05)
        twin.optimizer.step()
        twin.optimizer.zero_grad()
    before = weights(make_learner())
    for name, value in weights(twin).items():
        torch.testing.assert_close(weights(learner)[name], value, atol=1e-5, rtol=1e-4)
    assert max(float((weights(twin)[n] - before[n]).abs().max()) for n in before) > 1e-3


def test_in_the_first_pass_over_the_first_minibatch_the_ratio_is_one_and_nothing_is_clipped() -> (
    None
):
    metrics = improve(make_learner(epochs=1))
    assert metrics["ratio"] == pytest.approx(1.0, abs=1e-5)
    assert metrics["approximate_kl"] == pytest.approx(0.0, abs=1e-6)
    assert metrics["clip_fraction"] == metrics["kl"] == 0.0


def test_later_passes_move_away_from_the_old_policy() -> None:
    metrics = improve(make_learner(epochs=6))
    assert metrics["approximate_kl"] > 1e-3
    assert metrics["clip_fraction"] > 0


def test_kl_to_the_reference_is_that_of_the_drawn_completions() -> None:
    learner = make_learner()
    improve(learner)
    scored = learner.score(DRAWN)
    gap = ((scored.logprobs - scored.reference) * scored.mask).sum(dim=1).mean()
    assert improve(learner, step=2)["kl"] == pytest.approx(float(gap), abs=1e-6)
    assert abs(float(gap)) > 1e-3


def test_the_rate_warms_up_then_falls_to_zero_in_a_line() -> None:
    learner = make_learner(epochs=1, minibatches=2, warmup_steps=2, learning_rate=1.0)
    rates = []
    for step in (1, 2, 3, 10):
        for minibatch in (0, 1):
            learner._set_rate(step, minibatch)
            rates.append(learner.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.0, 0.95 * 0.25, 0.9 * 0.5, 0.85 * 0.75, 0.8, 0.75, 0.1, 0.05])


def test_value_model_may_learn_at_its_own_rate_and_adam_is_patient_with_small_gradients() -> None:
    learner = make_learner(learning_rate=1e-3, value_learning_rate=1e-2)
    rates = {group["first_rate"] for group in learner.optimizer.param_groups}
    assert rates == {1e-3, 1e-2}
    assert learner.optimizer.param_groups[0]["eps"] == 1e-5


def test_minibatches_hold_every_row_once_and_are_drawn_by_seed_step_and_epoch() -> None:
    learner = make_learner(minibatches=3)
    parts = list(learner._minibatches(8, step=1, epoch=0))
    assert sorted(row for part in parts for row in part) == list(range(8))
    assert parts == list(learner._minibatches(8, step=1, epoch=0))
    assert parts != list(learner._minibatches(8, step=1, epoch=1))
    assert parts != list(learner._minibatches(8, step=2, epoch=0))


def test_of_fewer_rows_than_minibatches_none_is_learned_from_twice() -> None:
    settings: dict[str, Any] = {"epochs": 1, "decay": False, "learning_rate": 1e-3}
    fitting = make_learner(minibatches=4, **settings)
    more = make_learner(minibatches=9, **settings)
    assert improve(fitting) == improve(more)
    for name, value in weights(fitting).items():
        assert torch.equal(weights(more)[name], value)


def test_a_server_that_agrees_changes_nothing_and_one_that_disagrees_is_reported() -> None:
    plain = make_learner(epochs=1)
    expected = improve(plain)
    told = plain_logprobs()
    agreeing = make_learner(epochs=1)
    metrics = improve(agreeing, drawn=told)
    assert metrics["importance_weight"] == pytest.approx(1.0, abs=1e-5)
    assert metrics["sampler_gap"] == pytest.approx(0.0, abs=1e-5)
    assert metrics["loss_policy"] == pytest.approx(expected["loss_policy"], abs=1e-6)
    low = [one._replace(sampler_logprobs=[p - 3 for p in one.sampler_logprobs]) for one in told]
    metrics = improve(make_learner(epochs=1), drawn=low)
    # exp(3) is cut at 2: every token weighs twice.
    assert (metrics["importance_weight"], metrics["importance_capped"]) == (2.0, 1.0)
    assert metrics["loss_policy"] == pytest.approx(2 * expected["loss_policy"], abs=1e-5)


def plain_logprobs() -> list[Any]:
    """What was drawn, as by a server that computes exactly as the learner does."""
    scored = make_learner().score(DRAWN)
    return [
        one._replace(sampler_logprobs=row[: len(one.sequence.completion)].tolist())
        for one, row in zip(DRAWN, scored.logprobs, strict=True)
    ]


def test_a_loss_that_is_no_number_stops_with_the_prompts_and_leaves_the_weights_whole() -> None:
    learner = make_learner()
    before = weights(learner)
    scored = learner.score(DRAWN)
    scored.values[1, 0] = float("nan")
    with pytest.raises(ModelError, match=r"training step 7: the loss is nan · prompts .*b"):
        learner.improve(DRAWN, scored, SCORES, Shaping(whiten_advantages=False), 0.05, 7)
    for name, value in weights(learner).items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("lora", [False, True], ids=["whole", "adapters"])
def test_on_a_bandit_over_tokens_the_best_token_wins(lora: bool) -> None:
    policy = tiny_llama(vocabulary=8)
    model = make_actor_critic(policy, ValueModel(), lora_config() if lora else None, 1.0)
    prompt = [2]
    best = sorted(range(8), key=lambda token: probability(model, prompt, token))[-2]
    p_before = probability(model, prompt, best)
    optimisation = Optimisation(learning_rate=2e-2, epochs=2)
    accelerator = make_accelerator()
    learner = Learner(model, accelerator, optimisation, Clipping(), total_steps=40, seed=0)
    sampler = TransformersSampler(model.policy, accelerator, Drawing(1, 1.0, 0, (1,), 0, 10**5))
    for step in range(1, 21):
        drawn = [
            Drawn("arm", TokenSequence(prompt, one.token_ids), "", one.finished)
            for one in sampler.draw_now([prompt] * 32, step)
        ]
        scores = [float(one.sequence.completion[0] == best) for one in drawn]
        shaping = Shaping(missing_eos_penalty=0.0)
        learner.improve(drawn, learner.score(drawn), scores, shaping, 0.01, step)
    assert p_before < 0.5
    assert probability(model, prompt, best) > 0.95


def probability(model: ActorCritic, prompt: list[int], token: int) -> float:
    return float(completion_logprobs(model, prompt, [(token,)])[0].exp())


def test_all_completions_are_a_partition_of_what_can_be_drawn() -> None:
    completions = all_completions([0, 2, 3], eos=1, longest=2)
    assert len(completions) == len(set(completions)) == 1 + 3 + 9
    model = make_actor_critic(tiny_llama(vocabulary=4), ValueModel(), None, 1.0)
    policy, reference = completion_logprobs(model, [2], completions)
    assert float(policy.exp().sum()) == pytest.approx(1.0, abs=1e-6)
    torch.testing.assert_close(policy, reference)


def test_the_closed_form_is_the_best_there_is() -> None:
    generator = torch.Generator().manual_seed(0)
    reference = torch.log_softmax(torch.randn(9, generator=generator, dtype=torch.float64), 0)
    rewards = torch.rand(9, generator=generator, dtype=torch.float64)
    best = best_objective(reference, rewards, beta=0.3)
    # Its value is the log-partition function, and any other policy's is lower.
    partition = 0.3 * float((reference + rewards / 0.3).logsumexp(0))
    assert best.value(0.3) == pytest.approx(partition)
    for _ in range(50):
        other = torch.log_softmax(
            reference + rewards / 0.3 + 0.1 * torch.randn(9, generator=generator), 0
        )
        assert objective_of(other, reference, rewards).value(0.3) < best.value(0.3)


FAST: dict[str, Any] = {"steps": 40, "learning_rate": 1e-2}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem", "seed"),
    [
        pytest.param(Problem(), 0, id="two tokens"),
        pytest.param(Problem(**FAST), 1, id="two tokens, another seed"),
        pytest.param(Problem(longest=1, vocabulary=16, **FAST), 0, id="a bandit over 16 tokens"),
    ],
)
def test_ppo_finds_the_known_optimum(problem: Problem, seed: int) -> None:
    found = attempt(problem, seed, tiny_policy(seed, problem.vocabulary))
    assert found.reward_error < 0.02
    assert found.kl_error < 0.02
    assert found.best.reward - found.start.reward > 0.1


def test_a_run_that_broke_off_between_updates_stops_no_later_one() -> None:
    GradientState()._set_sync_gradients(False)  # as accumulation leaves it when a step is an error
    assert make_accelerator().sync_gradients
