"""Drawing: left padding changes nothing, ends are kept, and a step draws the same each time."""

from collections import Counter
from typing import Any

import pytest
import torch

from tests.training.ppo.tiny_models import tiny_llama
from training.online.draws import prompt_rows, seed_for
from training.ppo.accelerating import make_accelerator
from training.ppo.actor_critic import make_actor_critic
from training.ppo.batches import TokenSequence, left_padded, right_padded
from training.ppo.rollout import Drawing, TransformersSampler, Written, cut_at_end
from training.ppo.settings import ValueModel


def make_sampler(policy: Any, **changes: Any) -> TransformersSampler:
    settings: dict[str, Any] = {
        "max_tokens": 6,
        "temperature": 0.7,
        "seed": 0,
        "eos_token_ids": (1,),
        "pad_token_id": 0,
        "batch_tokens": 4096,
    }
    return TransformersSampler(policy, make_accelerator(), Drawing(**{**settings, **changes}))


def test_padding_at_the_left_leaves_what_is_written_as_it_would_be_alone() -> None:
    # Nearly greedy, so that the same logits give the same tokens whatever the draw.
    policy = tiny_llama(spread=1.0)
    prompts = [[5, 6, 7, 8, 9, 10, 11], [12], [4, 3]]
    together = make_sampler(policy, temperature=1e-4).draw_now(prompts, 1)
    alone = [make_sampler(policy, temperature=1e-4).draw_now([prompt], 1)[0] for prompt in prompts]
    assert together == alone
    assert len({one.token_ids for one in alone}) == 3


def test_what_generate_computes_beside_padding_is_what_the_learner_computes() -> None:
    policy = tiny_llama(spread=1.0)
    prompts = [[5, 6, 7, 8, 9, 10, 11], [12], [4, 3]]
    padded = left_padded(prompts, 0)
    answer = policy.generate(
        input_ids=padded.input_ids,
        attention_mask=padded.attention_mask,
        do_sample=False,
        max_new_tokens=4,
        eos_token_id=None,
        pad_token_id=0,
        output_logits=True,
        return_dict_in_generate=True,
    )
    tokens_BT = answer.sequences[:, 7:]
    logits_BTV = torch.stack(answer.logits, dim=1) / 0.7
    told = torch.log_softmax(logits_BTV, -1).gather(2, tokens_BT[..., None])[..., 0]
    model = make_actor_critic(policy, ValueModel(), None, temperature=0.7)
    pairs = zip(prompts, tokens_BT.tolist(), strict=True)
    with torch.no_grad():
        learned = model(right_padded([TokenSequence(*pair) for pair in pairs])).logprobs_BT
    torch.testing.assert_close(learned, told, atol=1e-4, rtol=1e-4)


def test_tokens_come_as_often_as_the_policy_at_its_temperature_says() -> None:
    policy = tiny_llama(spread=0.6, vocabulary=8)
    drawn = make_sampler(policy, max_tokens=1, batch_tokens=10**6).draw_now([[5, 6]] * 6000, 1)
    counts = Counter(one.token_ids[0] for one in drawn)
    with torch.no_grad():
        logits = policy(input_ids=torch.tensor([[5, 6]])).logits[0, -1]
    expected = torch.softmax(logits / 0.7, -1)
    for token, p in enumerate(expected.tolist()):
        assert counts[token] / 6000 == pytest.approx(p, abs=4 * (p * (1 - p) / 6000) ** 0.5 + 1e-9)


def test_a_step_draws_the_same_again_and_another_step_does_not() -> None:
    policy = tiny_llama()
    prompts = [[5, 6], [7]] * 4
    first = make_sampler(policy).draw_now(prompts, 1)
    torch.rand(5)
    assert make_sampler(policy).draw_now(prompts, 1) == first
    assert make_sampler(policy).draw_now(prompts, 2) != first
    assert policy.training


@pytest.mark.parametrize(
    ("tokens", "written"),
    [
        pytest.param([5, 1, 0, 0], Written((5, 1), True), id="its end is learned, padding is not"),
        pytest.param([5, 6, 7], Written((5, 6, 7), False), id="cut off: never ended"),
        pytest.param([2], Written((2,), True), id="any of several ends counts"),
        pytest.param([0, 0, 1], Written((0, 0, 1), True), id="a pad token before the end is text"),
    ],
)
def test_completions_are_cut_after_their_end(tokens: list[int], written: Written) -> None:
    assert cut_at_end(tokens, (1, 2)) == written


def test_prompts_come_each_once_a_round_in_another_order_each_round() -> None:
    steps = [prompt_rows(6, 4, step, seed=3) for step in range(1, 7)]
    rows = [row for step in steps for row in step]
    rounds = [rows[start : start + 6] for start in range(0, 24, 6)]
    assert all(sorted(round_) == [0, 1, 2, 3, 4, 5] for round_ in rounds)
    assert rounds[0] != rounds[1]
    assert prompt_rows(6, 4, 5, seed=3) == steps[4]
    assert prompt_rows(6, 4, 5, seed=4) != steps[4]
    assert sorted(Counter(prompt_rows(3, 7, 1, seed=0)).values()) == [2, 2, 3]


def test_seeds_differ_by_purpose_and_are_stable() -> None:
    assert seed_for(0, "draw", 1) != seed_for(0, "draw", 2) != seed_for(0, "order", 2)
    assert seed_for(0, "draw", 1) == seed_for(0, "draw", 1) < 2**48
