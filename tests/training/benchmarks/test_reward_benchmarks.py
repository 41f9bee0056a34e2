"""The benchmarks of reward models, on states made up so that the right answer is known."""

from pathlib import Path

import numpy as np
import pytest
import torch

from judges.aggregate import sigmoid
from judges.constitutions.constitution import Constitution
from judges.errors import ConfigError, DataError
from judges.records import Message
from tests.training.rewards.tiny_rewards import make_constitution
from tests.training.tiny_policy import make_policy
from training.benchmarks.reward_heads import benchmark_reward_heads
from training.benchmarks.reward_labels import benchmark_reward_labels
from training.benchmarks.states import StatedPrompt, fit_best, fit_heads, read_states
from training.rewards.examples import RankedPrompt
from training.rewards.losses import ranking_loss

ASK = (Message(role="user", content="Which is better?"),)


def made_up(count: int, heads: int = 1, width: int = 6, seed: int = 0) -> list[StatedPrompt]:
    """Prompts of four completions whose labels are exact in linear heads of their states."""
    rng = np.random.default_rng(seed)
    true_HD = 3 * rng.normal(size=(heads, width))
    found = []
    for number in range(count):
        states = rng.normal(size=(4, width))
        reward_HN = true_HD @ states.T
        p = sigmoid(reward_HN[:, :, None] - reward_HN[:, None, :])
        texts = tuple((Message(role="assistant", content=f"tea {i}"),) for i in range(4))
        ranked = RankedPrompt(str(number), ASK, texts, p, np.ones(heads))
        found.append(StatedPrompt(ranked, states))
    return found


@pytest.fixture
def constitution(tmp_path: Path) -> Constitution:
    made = make_constitution(tmp_path)
    return made.model_copy(
        update={"principles": tuple(p.model_copy(update={"applies_when": None})
                                    for p in made.principles)}
    )  # fmt: skip


def test_fitted_heads_order_what_they_never_saw() -> None:
    prompts = made_up(60, heads=2)
    heads = fit_best(prompts[:40], [one.ranked.p_HNN for one in prompts[:40]])
    for one in prompts[40:]:
        rewards = one.states_ND @ heads.T
        for head in range(2):
            order = np.argsort(rewards[:, head])
            assert (np.diff(one.ranked.p_HNN[head, 0][order]) <= 0.05).all()


def test_a_fit_is_the_same_each_time_and_smaller_under_more_decay() -> None:
    prompts = made_up(20)
    labels = [one.ranked.p_HNN for one in prompts]
    loose, again, tight = (fit_heads(prompts, labels, decay) for decay in (1e-3, 1e-3, 1.0))
    assert loose == pytest.approx(again)
    assert np.linalg.norm(tight) < np.linalg.norm(loose)


@pytest.mark.parametrize("width", [6, 80], ids=["more pairs than dimensions", "fewer"])
def test_a_fit_is_least_by_the_loss_that_reward_models_are_trained_on(width: int) -> None:
    prompts = made_up(9, width=width)
    labels = [one.ranked.p_HNN for one in prompts]
    head = torch.tensor(fit_heads(prompts, labels, 0.05), requires_grad=True)
    states = torch.tensor(np.stack([one.states_ND for one in prompts]))
    rewards = torch.einsum("bnd,hd->bhn", states, head)
    loss = ranking_loss(rewards, torch.tensor(np.stack(labels)), torch.ones(9, 1))
    (loss + 0.05 / 2 * head.square().sum()).backward()
    assert head.grad is not None
    assert head.grad.abs().max() < 1e-4


def test_soft_labels_of_an_honest_judge_teach_no_less_than_certainties() -> None:
    found = benchmark_reward_labels(made_up(60), right=0.75, draws=3, seed=0)
    accuracy = found["accuracy"]
    assert accuracy["calibrated, soft"]["value"] > 0.8
    assert found["without_noise"]["accuracy"]["value"] > accuracy["calibrated, soft"]["value"]
    known = found["without_noise"]
    assert known["shorter"]["value"] == known["longer"]["value"] == 0.5, "they are equally long"
    assert known["above"]["value"] == pytest.approx(known["accuracy"]["value"] - 0.5)
    gain = found["soft_minus"]["calibrated, hard"]
    assert gain["high"] > 0
    assert gain["n"] == accuracy["calibrated, soft"]["n"]
    # Clamped labels of a judge that is far too sure are nearly its honest ones' signs.
    assert accuracy["overconfident, clamped"]["value"] > 0.75


def test_a_share_that_no_judge_has_right_is_refused() -> None:
    with pytest.raises(ConfigError, match="--right is 1"):
        benchmark_reward_labels(made_up(4), right=1.0, draws=1, seed=0)


def test_heads_agree_with_relabelling_and_the_old_reward_does_not(
    constitution: Constitution,
) -> None:
    found = benchmark_reward_heads(made_up(40, heads=2), constitution, 20.0, draws=2, seed=0)
    assert found["flipped"] > 0.02
    flipped = found["flipped_pairs"]
    assert flipped["heads"]["value"] > 0.85
    assert flipped["heads"]["value"] > flipped["as it was"]["value"] + 0.4
    assert found["all"]["heads"]["n"] > flipped["heads"]["n"]


def test_edits_that_flip_nothing_are_told(constitution: Constitution) -> None:
    with pytest.raises(DataError, match="no label flips"):
        benchmark_reward_heads(made_up(12, heads=2), constitution, 1.0, draws=1, seed=0)


@pytest.mark.slow
def test_states_are_kept_and_too_long_texts_left_out(tmp_path: Path) -> None:
    model = make_policy(tmp_path / "model")
    prompts = [one.ranked for one in made_up(3)]
    long = (Message(role="assistant", content="tea " * 100),)
    prompts[0] = RankedPrompt(
        "0", ASK, (*prompts[0].completions[:3], long), prompts[0].p_HNN, np.ones(1)
    )
    kept = tmp_path / "states.npz"
    first = read_states(prompts, str(model), 9, 64, kept)
    assert [one.states_ND.shape for one in first] == [(3, 32), (4, 32), (4, 32)]
    stamp = kept.stat().st_mtime_ns
    again = read_states(prompts, str(model), 9, 64, kept)
    assert kept.stat().st_mtime_ns == stamp
    assert np.concatenate([one.states_ND for one in again]) == pytest.approx(
        np.concatenate([one.states_ND for one in first])
    )
    assert len(read_states(prompts, str(model), 2, 64)) == 2
    with pytest.raises(DataError, match="no pair of completions within 3 tokens"):
        read_states(prompts, str(model), 9, 3)


@pytest.mark.slow
def test_encoding_once_gives_the_gradient_of_encoding_pair_by_pair(tmp_path: Path) -> None:
    from training.benchmarks.reward_encoding import benchmark_reward_encoding

    found = benchmark_reward_encoding(str(make_policy(tmp_path / "model")), 4, 12, repeats=1)
    assert found["gradients_apart"] < 0.02
    assert found["tokens"]["pairwise"] == 3 * found["tokens"]["once"]
    assert found["pairs"] == 6
