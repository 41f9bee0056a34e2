"""The soft-label loss, in numbers: against its formula, against TRL's own, and in its gradient."""

import math
from pathlib import Path
from typing import Any

import pytest

from judges.errors import ModelError
from tests.training.tiny_policy import make_policy, make_preferences, make_recipe
from training.runs.manifest import make_manifest

pytestmark = pytest.mark.slow

BETA = 0.5
EXACT = {"beta": BETA, "bf16": False}
"""Autocast to bfloat16, where a CPU has it, keeps three digits only."""


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("policy")
    make_policy(folder / "model")
    make_preferences(folder / "preferences.jsonl", count=4)
    return folder


def build(folder: Path, **changes: Any) -> Any:
    """A trainer whose policy has moved off its reference."""
    import torch

    from training.methods.pairs import make_trainer
    from training.runs.run import Run, quieten_libraries
    from training.runs.run_folder import RunFolder

    quieten_libraries()
    recipe = make_recipe(folder, **{**changes, "trainer": {**EXACT, **changes.get("trainer", {})}})
    data = recipe.data()
    run = Run(
        make_manifest(recipe, data.used), RunFolder(folder / "unused"), lambda *_: None, print
    )
    trainer = make_trainer(recipe, data, run)
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in trainer.model.parameters():
            if weight.requires_grad:
                weight.add_(0.1 * torch.randn_like(weight))
    return trainer


def batch_of(trainer: Any, p_chosen: list[float]) -> dict[str, Any]:
    import torch

    batch = next(iter(trainer.get_train_dataloader()))
    batch["p_chosen"] = torch.tensor(p_chosen)
    return dict(batch)


def log_ratio_gaps(trainer: Any, batch: dict[str, Any]) -> list[float]:
    """beta · (log-ratio of chosen - log-ratio of rejected), by plain forward passes."""
    import torch

    def log_probabilities(model: Any) -> torch.Tensor:
        with torch.no_grad():
            logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        spread = logits.logits[:, :-1].log_softmax(-1)
        picked = spread.gather(-1, batch["input_ids"][:, 1:, None]).squeeze(-1)
        return (picked * batch["completion_mask"][:, 1:]).sum(1)

    policy = log_probabilities(trainer.model)
    if trainer.ref_model is None:
        with trainer.model.disable_adapter():
            reference = log_probabilities(trainer.model)
    else:
        reference = log_probabilities(trainer.ref_model)
    chosen, rejected = (policy - reference).chunk(2)
    return [float(gap) for gap in BETA * (chosen - rejected)]


def loss_of(trainer: Any, batch: dict[str, Any]) -> float:
    return float(trainer.compute_loss(trainer.model, batch).detach())


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="adapter"),
        pytest.param({"trainer": {"precompute_ref_log_probs": True}}, id="precomputed reference"),
        pytest.param({"lora": None}, id="full weights"),
    ],
)
@pytest.mark.parametrize(
    "p_chosen",
    [[1.0, 1.0, 1.0, 1.0], [0.0, 0.5, 0.0, 0.5], [0.9, 0.65, 0.5, 0.2]],
    ids=["sure", "sure of the opposite or in doubt", "mixed"],
)
def test_loss_is_the_formula(policy: Path, p_chosen: list[float], changes: dict[str, Any]) -> None:
    trainer = build(policy, **changes)
    batch = batch_of(trainer, p_chosen)
    gaps = log_ratio_gaps(trainer, batch)
    assert max(map(abs, gaps)) > 0.05  # or the formula would not be tried
    expected = [
        -p * log_sigmoid(gap) - (1 - p) * log_sigmoid(-gap)
        for p, gap in zip(p_chosen, gaps, strict=True)
    ]
    assert loss_of(trainer, batch) == pytest.approx(sum(expected) / 4, abs=2e-5)


def test_likelihood_of_the_chosen_side_may_be_added(policy: Path) -> None:
    p_chosen = [0.9, 0.65, 1.0, 0.6]
    trainer, plain = build(policy, nll_weight=3.0), build(policy)
    only = build(policy, loss="trl", labels="hard", trainer={"loss_type": ["sft"]})
    batch = batch_of(trainer, p_chosen)
    expected = loss_of(plain, batch) + 3.0 * loss_of(only, batch)
    assert loss_of(trainer, batch) == pytest.approx(expected, abs=5e-5)


def test_certain_labels_give_trls_own_loss_bit_for_bit(policy: Path) -> None:
    soft, hard = build(policy), build(policy, loss="trl", labels="hard")
    batch = batch_of(soft, [1.0] * 4)
    assert loss_of(soft, batch) == loss_of(hard, batch)


def gradient(trainer: Any, batch: dict[str, Any]) -> float:
    trainer.model.zero_grad()
    trainer.compute_loss(trainer.model, batch).backward()
    weights = [w for w in trainer.model.parameters() if w.grad is not None]
    return max(float(weight.grad.abs().max()) for weight in weights)


def test_even_odds_pull_nowhere_while_the_policy_is_its_reference(policy: Path) -> None:
    import torch

    trainer = build(policy)
    with torch.no_grad():
        for name, weight in trainer.model.named_parameters():
            if "lora_B" in name:
                weight.zero_()
    assert gradient(trainer, batch_of(trainer, [0.5] * 4)) < 1e-7
    assert gradient(trainer, batch_of(trainer, [0.9] * 4)) > 1e-3


def test_leaving_prompts_out_of_the_head_changes_no_number(policy: Path) -> None:
    from training.methods.completion_scores import scoring_completions_only

    trainer = build(policy)
    batch = batch_of(trainer, [0.9, 0.65, 0.5, 0.2])
    plain = loss_of(trainer, batch), gradient(trainer, batch)
    with scoring_completions_only("cpu"):
        lean = loss_of(trainer, batch), gradient(trainer, batch)
    assert lean == pytest.approx(plain, rel=1e-4)


def test_loss_that_is_no_number_names_step_and_rows(policy: Path) -> None:
    trainer = build(policy)
    batch = batch_of(trainer, [0.9, 0.65, math.nan, 0.2])
    lines = [row + 1 for row in batch["row"].tolist()]
    with pytest.raises(ModelError, match=r"training step 1: the loss is nan") as caught:
        trainer.compute_loss(trainer.model, batch)
    for line in lines:
        assert f"preferences.jsonl:{line}" in str(caught.value)


def test_gradient_that_is_no_number_stops_before_the_weights_are_touched(policy: Path) -> None:
    # Before the first step Δ is 0 whatever beta is: the loss is log 2, its gradient overflows.
    trainer = build(policy, trainer={"beta": 1e38})
    import torch

    with torch.no_grad():
        for name, weight in trainer.model.named_parameters():
            if "lora_B" in name:
                weight.zero_()
    before = {name: weight.clone() for name, weight in trainer.model.named_parameters()}
    with pytest.raises(ModelError, match="training step 1: the gradient's norm is"):
        trainer.train()
    for name, weight in trainer.model.named_parameters():
        assert torch.equal(weight, before[name]), name
