"""Batches and the network: padding changes nothing, heads are exact, states are the last."""

from pathlib import Path

import numpy as np
import pytest
import torch

from judges.errors import ConfigError
from judges.records import Message
from judges.rewards.encoding import RewardEncoder
from tests.judges.models.tiny_model import byte_level_bpe, write_model
from tests.training.tiny_policy import make_policy
from training.rewards.batches import PromptCollator, pad_texts
from training.rewards.examples import EncodedPrompt, RankedPrompt
from training.rewards.frozen import FeatureCollator, FrozenNetwork
from training.rewards.network import ExactHead, make_network, read_texts

PAD = 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_policy(tmp_path_factory.mktemp("policy") / "model")


@pytest.fixture(scope="module")
def texts(folder: Path) -> list[list[int]]:
    encoder = RewardEncoder(folder)
    ask = (Message(role="user", content="Which is better?"),)
    return [
        encoder.completion(ask, (Message(role="assistant", content="tea " * n),))
        for n in (1, 30, 4, 11)
    ]


def test_padding_changes_no_output(folder: Path, texts: list[list[int]]) -> None:
    network = make_network(folder, 3, PAD, seed=0)
    together = read_texts(network, texts, PAD)
    alone = np.concatenate([read_texts(network, [text], PAD) for text in texts])
    assert together.shape == (4, 3)
    assert together == pytest.approx(alone, abs=1e-5)


def test_outputs_are_read_at_the_last_token(folder: Path, texts: list[list[int]]) -> None:
    network = make_network(folder, 2, PAD, seed=0).eval()
    with torch.no_grad():
        states = network.model(torch.tensor([texts[2]])).last_hidden_state[0, -1]
        by_hand = states @ network.score.weight.T
    assert read_texts(network, texts, PAD)[2] == pytest.approx(by_hand.numpy(), abs=1e-5)


def test_states_times_heads_are_outputs(folder: Path, texts: list[list[int]]) -> None:
    network = make_network(folder, 2, PAD, seed=0)
    states = read_texts(network, texts, PAD, states=True)
    outputs = states @ network.score.weight.detach().numpy().T
    assert outputs == pytest.approx(read_texts(network, texts, PAD), abs=1e-5)


def test_heads_are_drawn_by_the_seed_alone(folder: Path) -> None:
    torch.manual_seed(1)
    one = make_network(folder, 2, PAD, seed=5).score.weight
    torch.manual_seed(2)
    same, other = (make_network(folder, 2, PAD, seed=seed).score.weight for seed in (5, 6))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert float(one.detach().std()) == pytest.approx((32 + 1) ** -0.5, rel=0.3)


def test_heads_stay_exact_where_all_else_is_bfloat16(folder: Path, texts: list[list[int]]) -> None:
    network = make_network(folder, 1, PAD, seed=0, dtype="bfloat16")
    assert isinstance(network.score, ExactHead)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        batch = pad_texts(texts, PAD)
        logits = network(**batch, use_cache=False).logits
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, logits.bfloat16().float())


def test_models_whose_conversations_end_in_the_pad_token_are_refused(tmp_path: Path) -> None:
    template = "{% for m in messages %}{{ m['content'] + '<|endoftext|>' }}{% endfor %}"
    folder = write_model(tmp_path / "m", byte_level_bpe(), template)
    encoder = RewardEncoder(folder)
    ids = encoder.completion(
        (Message(role="user", content="a"),), (Message(role="assistant", content="b"),)
    )
    with pytest.raises(ConfigError, match="the chat template ends in the pad token"):
        encoder.check_last(ids[-1])
    encoder.check_last(ids[-1] + 1)


def encoded(row: int, sizes: list[int], heads: int = 1, prompt: bool = False) -> EncodedPrompt:
    n = len(sizes)
    ranked = RankedPrompt("", (), ((),) * n, np.full((heads, n, n), 0.5), np.ones(heads))
    lengths = [*sizes, 2] if prompt else sizes
    texts = tuple(np.arange(1, length + 1, dtype=np.uint32) for length in lengths)
    return EncodedPrompt(row, texts, ranked)


def test_a_batch_knows_where_each_completion_and_each_prompt_stands() -> None:
    collator = PromptCollator(PAD, scopes=True)
    batch = collator([encoded(7, [3, 5], prompt=True), encoded(2, [4, 1, 9], prompt=True)])
    assert batch["input_ids"].shape == (7, 16)
    assert batch["place"].tolist() == [[0, 1, -1], [3, 4, 5]]
    assert batch["prompt_place"].tolist() == [2, 6]
    assert batch["row"].tolist() == [7, 2]
    assert batch["attention_mask"].sum(1).tolist() == [3, 5, 2, 4, 1, 9, 2]
    assert torch.isnan(batch["p"][0, 0, 2]).all()
    assert (batch["input_ids"][batch["attention_mask"] == 0] == PAD).all()


def test_frozen_batches_give_what_the_whole_network_gives(folder: Path) -> None:
    network = make_network(folder, 2, PAD, seed=0)
    prompts = [encoded(0, [3, 5], 2), encoded(1, [4, 2, 9], 2)]
    collator = PromptCollator(PAD, scopes=False)
    frozen, heads = FeatureCollator(collator, network, prompts), FrozenNetwork(network)
    whole, some = collator(prompts[::-1]), frozen(prompts[::-1])
    with torch.no_grad():
        outputs = network(whole["input_ids"], attention_mask=whole["attention_mask"]).logits
        assert torch.allclose(heads(some["features"]), outputs, atol=1e-5)
    assert torch.equal(whole["place"], some["place"])
    trained = [name for name, weight in network.named_parameters() if weight.requires_grad]
    assert trained == ["score.weight"]
