"""Log-probabilities, values and the four models, against plain transformers on tiny models."""

from typing import Any

import pytest
import torch

from judges.errors import ConfigError, ModelError
from judges.rewards.description import Head, RewardDescription, write_description
from tests.training.ppo.tiny_models import lora_config, tiny_llama
from training.ppo import token_logprobs as projection
from training.ppo.actor_critic import disable_dropout, make_actor_critic
from training.ppo.batches import TokenSequence, by_length, left_padded, right_padded
from training.ppo.settings import ValueModel

SEQUENCES = [
    TokenSequence([5, 6, 7, 8, 9], [10, 11]),
    TokenSequence([12], [13, 14, 15, 1]),
    TokenSequence([4, 3, 2], [9]),
]


def plain_logprobs(model: Any, sequence: TokenSequence, temperature: float) -> list[float]:
    """The textbook way: one sequence alone, all logits, no padding."""
    ids = torch.tensor([[*sequence.prompt, *sequence.completion]])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0] / temperature
    logprobs = torch.log_softmax(logits, -1)
    start = len(sequence.prompt)
    return [float(logprobs[start - 1 + t, token]) for t, token in enumerate(sequence.completion)]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_equal_those_of_each_sequence_alone_at_the_sampling_temperature(
    temperature: float,
) -> None:
    policy = tiny_llama()
    model = make_actor_critic(policy, ValueModel(), None, temperature)
    batch = right_padded(SEQUENCES)
    with torch.no_grad():
        found = model(batch).logprobs_BT
    for row, sequence in enumerate(SEQUENCES):
        expected = plain_logprobs(policy, sequence, temperature)
        assert found[row, : len(expected)].tolist() == pytest.approx(expected, abs=1e-5)
        assert found[row, len(expected) :].abs().sum() == 0


def test_only_completion_positions_are_projected_to_the_vocabulary() -> None:
    policy = tiny_llama()
    rows: list[int] = []
    policy.lm_head.register_forward_hook(lambda _m, inputs, _o: rows.append(len(inputs[0])))
    model = make_actor_critic(policy, ValueModel(), None, 1.0)
    rows.clear()
    with torch.no_grad():
        model(right_padded(SEQUENCES))
    assert rows == [7]


def test_chunks_give_the_same_logprobs_entropy_and_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def outcome(chunk: int) -> tuple[Any, Any, Any]:
        monkeypatch.setattr(projection, "CHUNK", chunk)
        policy = tiny_llama()
        outputs = make_actor_critic(policy, ValueModel(), None, 0.8)(right_padded(SEQUENCES))
        outputs.logprobs_BT.sum().backward()
        return outputs.logprobs_BT.detach(), outputs.entropy_BT, policy.lm_head.weight.grad

    for whole, chunked in zip(outcome(1000), outcome(2), strict=True):
        torch.testing.assert_close(whole, chunked)


def test_entropy_is_that_of_the_distribution_and_carries_no_gradient() -> None:
    hidden = torch.zeros(1, 4, requires_grad=True)
    head = torch.nn.Linear(4, 8, bias=False)
    _, entropy = projection.token_logprobs(hidden, torch.tensor([3]), head, 1.0)
    assert float(entropy) == pytest.approx(2.0794415, abs=1e-5)
    assert not entropy.requires_grad


@pytest.mark.parametrize("lora", [False, True], ids=["whole", "adapters"])
@pytest.mark.parametrize("kind", ["separate", "shared"])
def test_at_first_policy_is_reference_and_values_are_zero(kind: Any, lora: bool) -> None:
    config = lora_config() if lora else None
    model = make_actor_critic(tiny_llama(), ValueModel(kind=kind), config, 1.0)
    batch = right_padded(SEQUENCES)
    outputs = model(batch)
    torch.testing.assert_close(outputs.logprobs_BT.detach(), model.reference_logprobs(batch))
    assert outputs.values_BT.abs().sum() == 0


@pytest.mark.parametrize("lora", [False, True], ids=["whole", "adapters"])
def test_a_value_step_moves_a_separate_value_model_and_leaves_policy_and_reference(
    lora: bool,
) -> None:
    config = lora_config() if lora else None
    model = make_actor_critic(tiny_llama(), ValueModel(), config, 1.0)
    batch = right_padded(SEQUENCES)
    policy, reference = model(batch).logprobs_BT.detach(), model.reference_logprobs(batch)
    optimizer = torch.optim.SGD(model.trained_parameters().values(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        ((model(batch).values_BT - 1) ** 2).sum().backward()
        optimizer.step()
    after = model(batch)
    assert (after.values_BT[batch.mask_BT] > 0.05).all()
    torch.testing.assert_close(after.logprobs_BT.detach(), policy, rtol=0, atol=0)
    torch.testing.assert_close(model.reference_logprobs(batch), reference, rtol=0, atol=0)


@pytest.mark.parametrize("lora", [False, True], ids=["whole", "adapters"])
def test_every_trained_weight_of_both_models_gets_a_gradient(lora: bool) -> None:
    model = make_actor_critic(tiny_llama(), ValueModel(), lora_config() if lora else None, 1.0)
    torch.nn.init.normal_(model.value_head.weight)
    outputs = model(right_padded(SEQUENCES))
    (outputs.logprobs_BT.sum() + outputs.values_BT.sum()).backward()
    assert [n for n, p in model.trained_parameters().items() if p.grad is None] == []


@pytest.mark.parametrize("lora", [False, True], ids=["whole", "adapters"])
def test_a_policy_step_moves_the_policy_and_leaves_the_reference(lora: bool) -> None:
    config = lora_config() if lora else None
    model = make_actor_critic(tiny_llama(), ValueModel(), config, 1.0)
    batch = right_padded(SEQUENCES)
    reference = model.reference_logprobs(batch)
    optimizer = torch.optim.SGD(model.trained_parameters().values(), lr=0.1)
    before = model(batch).logprobs_BT.sum()
    (-before).backward()
    optimizer.step()
    assert float(model(batch).logprobs_BT.sum().detach()) > float(before.detach())
    torch.testing.assert_close(model.reference_logprobs(batch), reference, rtol=0, atol=0)


def test_with_adapters_the_base_is_in_memory_once() -> None:
    policy = tiny_llama()
    base = sum(p.numel() for p in policy.parameters())
    model = make_actor_critic(policy, ValueModel(), lora_config(), 1.0)
    trained = sum(p.numel() for p in model.trained_parameters().values())
    held = sum(p.numel() for p in {p.data_ptr(): p for p in model.parameters()}.values())
    assert held == base + trained
    names = set(model.trained_parameters())
    assert all("lora_" in name or name.startswith("value_head") for name in names)
    assert {name.split(".")[0] for name in names} == {"policy", "value", "value_head"}


def test_dropout_is_off_wherever_a_model_keeps_it() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = {"vocab_size": 24, "n_embd": 16, "n_layer": 2, "n_head": 2, "attn_pdrop": 0.5}
    for policy in (
        tiny_llama(attention_dropout=0.5),
        GPT2LMHeadModel(GPT2Config(**shape, bos_token_id=0, eos_token_id=1)),
    ):
        ids = torch.arange(2, 12)[None]
        policy.train()
        assert not torch.equal(policy(input_ids=ids).logits, policy(input_ids=ids).logits)
        disable_dropout(policy)
        assert policy.training
        assert torch.equal(policy(input_ids=ids).logits, policy(input_ids=ids).logits)


@pytest.mark.parametrize("exported", [False, True], ids=["any", "charter's export"])
def test_value_model_may_start_from_a_reward_model_on_its_rewards_scale(
    tmp_path: Any, exported: bool
) -> None:
    from transformers import AutoModelForSequenceClassification, LlamaForSequenceClassification

    policy = tiny_llama()
    config = tiny_llama(seed=3).config
    config.num_labels = 1
    LlamaForSequenceClassification(config).save_pretrained(tmp_path)
    mean, std = (0.5, 4.0) if exported else (0.0, 1.0)
    if exported:
        head = Head(name="reward", mean=mean, std=std)
        told = RewardDescription(heads=(head,), weights="w" * 64, max_length=64)
        write_description(tmp_path, told)
    model = make_actor_critic(policy, ValueModel(model=str(tmp_path)), None, 1.0)
    reward = AutoModelForSequenceClassification.from_pretrained(tmp_path, dtype=torch.float32)
    sequence = SEQUENCES[0]
    ids = torch.tensor([[*sequence.prompt, *sequence.completion]])
    with torch.no_grad():
        scores = reward.score(reward.model(input_ids=ids).last_hidden_state)[0, :, 0]
        values = model(right_padded([sequence])).values_BT[0]
    # The value before the first token is what the reward model says of the prompt.
    assert values.tolist() == pytest.approx(((scores[4:6] - mean) / std).tolist(), abs=1e-5)


def test_a_value_model_that_cannot_be_is_refused() -> None:
    with pytest.raises(ModelError, match=r"no-such-folder: cannot be loaded as a reward model"):
        make_actor_critic(tiny_llama(), ValueModel(model="no-such-folder"), None, 1.0)
    with pytest.raises(ConfigError, match=r"drop value.model"):
        make_actor_critic(tiny_llama(), ValueModel(kind="shared", model="x"), None, 1.0)


def test_a_model_with_more_behind_its_hidden_states_is_refused() -> None:
    policy = tiny_llama()
    head = policy.lm_head.forward
    plain = policy.forward

    def scaled(**inputs: Any) -> Any:
        outputs = plain(**inputs)
        outputs.logits = outputs.logits / 3
        return outputs

    policy.forward = scaled
    assert head is not None
    with pytest.raises(ConfigError, match="llama: its logits are not its head"):
        make_actor_critic(policy, ValueModel(), None, 1.0)


def test_prompts_padded_at_the_left_end_together_and_count_from_their_own_start() -> None:
    padded = left_padded([[7, 8, 9], [5]], pad_token_id=0)
    assert padded.input_ids.tolist() == [[7, 8, 9], [0, 0, 5]]
    assert padded.attention_mask.tolist() == [[1, 1, 1], [0, 0, 1]]
    assert padded.position_ids.tolist() == [[0, 1, 2], [0, 0, 0]]


def test_groups_are_of_like_length_longest_first_and_within_the_token_budget() -> None:
    lengths = [3, 10, 4, 9, 2, 40]
    groups = by_length(lengths, tokens=20)
    assert groups == [[5], [1, 3], [2, 0, 4]]
    assert all(len(g) * max(lengths[i] for i in g) <= 20 for g in groups[1:])
