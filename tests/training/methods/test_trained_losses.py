"""What each trainer computes of a batch is its formula, on log-probabilities of plain passes."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.training.tiny_policy import SETTINGS, make_policy, make_preferences
from training.methods.displacement import METRIC
from training.methods.dpo import DpoRecipe, train_dpo
from training.methods.kto import KtoRecipe
from training.methods.reference_free import AlphaPoRecipe, CpoRecipe, OrpoRecipe, SimpoRecipe
from training.methods.sft import SftRecipe
from training.runs.manifest import make_manifest

pytestmark = pytest.mark.slow

LABELS = [1.0, 0.7, 0.5, 0.2]
WEIGHTS = [1.0, 2.0, 0.5, 3.0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("losses")
    make_policy(folder / "model")
    make_preferences(folder / "preferences.jsonl", count=4)
    return folder


def build(kind: Any, make: Callable[..., Any], folder: Path, **changes: Any) -> Any:
    """A trainer whose adapter has moved off its base."""
    import torch

    from training.runs.run import Run, quieten_libraries
    from training.runs.run_folder import RunFolder

    quieten_libraries()
    trainer = {**SETTINGS, "bf16": False, **changes.pop("trainer", {})}
    data = "examples" if kind in (KtoRecipe, SftRecipe) else "preferences"
    values = {
        "model": str(folder / "model"), "output": folder / "run", "device": "cpu",
        "lora": {"r": 4, "alpha": 8}, data: folder / "preferences.jsonl", "trainer": trainer,
    }  # fmt: skip
    recipe = kind.model_validate({**values, **changes})
    rows = recipe.data()
    run = Run(make_manifest(recipe, rows.used), RunFolder(folder / "x"), lambda *_: None, print)
    made = make(recipe, rows, run)
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in made.model.parameters():
            if weight.requires_grad:
                weight.add_(0.1 * torch.randn_like(weight))
    return made


def pair_trainer(kind: Any, folder: Path, **changes: Any) -> tuple[Any, dict[str, Any]]:
    import torch

    from training.methods.pairs import make_trainer

    trainer = build(kind, make_trainer, folder, **changes)
    batch = dict(next(iter(trainer.get_train_dataloader())))
    batch["p_chosen"], batch["weight"] = torch.tensor(LABELS), torch.ones(4)
    return trainer, batch


def token_log_probabilities(trainer: Any, ids: Any, seen: Any, mask: Any, adapted: bool) -> Any:
    """Of each completion token, by a plain pass. Shapes: [B, T - 1]."""
    import torch

    def read() -> Any:
        with torch.no_grad():
            logits = trainer.model(input_ids=ids, attention_mask=seen).logits[:, :-1]
        picked = logits.log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1)
        return picked * mask[:, 1:]

    if adapted:
        return read()
    with trainer.model.disable_adapter():
        return read()


def of_batch(trainer: Any, batch: dict[str, Any], adapted: bool) -> Any:
    ids, seen, mask = (batch[name] for name in ("input_ids", "attention_mask", "completion_mask"))
    return token_log_probabilities(trainer, ids, seen, mask, adapted)


def loss_of(trainer: Any, batch: dict[str, Any]) -> float:
    return float(trainer.compute_loss(trainer.model, batch).detach())


def gradients(trainer: Any, batch: dict[str, Any]) -> dict[str, Any]:
    trainer.model.zero_grad()
    trainer.compute_loss(trainer.model, batch).backward()
    found = trainer.model.named_parameters()
    return {name: part.grad.clone() for name, part in found if part.grad is not None}


def nll(gap: float) -> float:
    return math.log1p(math.exp(-gap))


def soft(p: float, gap: float, shape: Callable[[float], float]) -> float:
    return p * shape(gap) + (1 - p) * shape(-gap)


def log_odds(mean: float) -> float:
    return mean - math.log(1 - math.exp(mean))


FREE: dict[str, tuple[Any, dict[str, Any], Callable[..., float], float]] = {
    "cpo": (CpoRecipe, {"beta": 0.2}, lambda p, s, _m: soft(p, 0.2 * (s[0] - s[1]), nll), 1.0),
    "simpo": (
        SimpoRecipe, {"beta": 2.0, "gamma": 0.5},
        lambda p, _s, m: soft(p, 2 * (m[0] - m[1]), lambda g: nll(g - 0.5)), 0.0,
    ),
    "alphapo": (
        AlphaPoRecipe, {"beta": 2.0, "gamma": 0.5, "alpha": 0.1},
        lambda p, _s, m: soft(
            p, 2 * (math.exp(-0.1 * m[1]) - math.exp(-0.1 * m[0])) / 0.1, lambda g: nll(g - 0.5)
        ), 0.0,
    ),
    "orpo": (
        OrpoRecipe, {"odds_weight": 0.3},
        lambda p, _s, m: 0.3 * soft(p, log_odds(m[0]) - log_odds(m[1]), nll), 1.0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FREE)
def test_losses_without_reference(name: str, folder: Path) -> None:
    kind, settings, formula, nll_weight = FREE[name]
    import torch

    trainer, batch = pair_trainer(kind, folder, **settings)
    batch["weight"] = torch.tensor(WEIGHTS)
    logps = of_batch(trainer, batch, adapted=True)
    tokens = batch["completion_mask"][:, 1:].sum(1)
    sums, means = logps.sum(1), logps.sum(1) / tokens
    pairs = [
        WEIGHTS[i] * formula(p, sums[[i, i + 4]].tolist(), means[[i, i + 4]].tolist())
        for i, p in enumerate(LABELS)
    ]
    better = [WEIGHTS[0] * sums[0], WEIGHTS[1] * sums[1], WEIGHTS[3] * sums[7]]  # 0.2: turned round
    better.append(WEIGHTS[2] * (sums[2] + sums[6]) / 2)  # 0.5: half of either
    length = tokens[0] + tokens[1] + (tokens[2] + tokens[6]) / 2 + tokens[7]
    expected = sum(pairs) / 4 - nll_weight * float(sum(better) / length)
    assert loss_of(trainer, batch) == pytest.approx(expected, rel=2e-5)
    assert logged(trainer, METRIC) == pytest.approx(float(means[:4].mean()), rel=2e-5)


def logged(trainer: Any, name: str) -> float:
    return float(trainer._metrics["train"][name][-1])


def test_how_far_chosen_answers_moved_is_logged_a_token_against_the_reference(folder: Path) -> None:
    trainer, batch = pair_trainer(DpoRecipe, folder)
    ratio = of_batch(trainer, batch, True) - of_batch(trainer, batch, False)
    moved = (ratio.sum(1) / batch["completion_mask"].sum(1))[:4].mean()
    loss_of(trainer, batch)
    assert abs(float(moved)) > 0.01
    assert logged(trainer, METRIC) == pytest.approx(float(moved), rel=1e-4)


def test_fine_tuning_is_on_the_completion_alone(folder: Path) -> None:
    import torch

    from training.methods.completion_scores import scoring_completions_only
    from training.methods.sft import make_trainer, tokenise

    columns: list[dict[str, list[Any]]] = []

    def made(recipe: Any, data: Any, run: Any) -> Any:
        trainer, _ = make_trainer(recipe, data, run)
        columns.append(tokenise(trainer.processing_class, data, data.train, 1000)[0])
        return trainer

    trainer = build(SftRecipe, made, folder)
    batch = dict(next(iter(trainer.get_train_dataloader())))
    masks = dict(zip(columns[0]["row"], columns[0]["completion_mask"], strict=True))
    ids = batch["input_ids"]
    mask = ids.new_zeros(ids.shape)
    for place, row in enumerate(batch["row"].tolist()):
        mask[place, : len(masks[row])] = ids.new_tensor(masks[row])
    logps = token_log_probabilities(trainer, ids, batch["attention_mask"], mask, adapted=True)
    expected = -float(logps.sum() / mask[:, 1:].sum())
    assert loss_of(trainer, batch) == pytest.approx(expected, rel=2e-5)
    # On a CPU a run leaves the head out where nothing is learnt: no number may change.
    plain = gradients(trainer, batch)
    with scoring_completions_only("cpu"):
        assert loss_of(trainer, batch) == pytest.approx(expected, rel=2e-5)
        lean = gradients(trainer, batch)
    assert all(torch.allclose(lean[name], plain[name], rtol=1e-3, atol=1e-7) for name in plain)
    assert max(float(part.abs().max()) for part in plain.values()) > 1e-3


def test_ipo_divides_lengths_out(folder: Path) -> None:
    trainer, batch = pair_trainer(DpoRecipe, folder, loss="ipo", trainer={"beta": 0.5})
    ratio = of_batch(trainer, batch, True) - of_batch(trainer, batch, False)
    mean = (ratio.sum(1) / batch["completion_mask"].sum(1)).tolist()
    pairs = [
        soft(p, mean[i] - mean[i + 4], lambda g: (g - 1 / (2 * 0.5)) ** 2)
        for i, p in enumerate(LABELS)
    ]
    assert loss_of(trainer, batch) == pytest.approx(sum(pairs) / 4, rel=2e-5)


def test_tokens_past_the_shorter_completion_count_less(folder: Path) -> None:
    trainer, batch = pair_trainer(DpoRecipe, folder, trainer={"beta": 0.5, "ld_alpha": 0.25})
    ratio = of_batch(trainer, batch, True) - of_batch(trainer, batch, False)
    lengths = batch["completion_mask"].sum(1).tolist()
    assert any(lengths[i] != lengths[i + 4] for i in range(4))

    def held(row: int, shared: int) -> float:
        values = ratio[row][batch["completion_mask"][row, 1:].bool()].tolist()
        return float(sum(values[:shared]) + 0.25 * sum(values[shared:]))

    pairs = []
    for i, p in enumerate(LABELS):
        shared = min(lengths[i], lengths[i + 4])
        pairs.append(soft(p, 0.5 * (held(i, shared) - held(i + 4, shared)), nll))
    assert loss_of(trainer, batch) == pytest.approx(sum(pairs) / 4, rel=2e-5)


def test_a_pair_counts_by_its_weight(folder: Path) -> None:
    import torch

    trainer, batch = pair_trainer(DpoRecipe, folder, trainer={"beta": 0.5})
    ratio = (of_batch(trainer, batch, True) - of_batch(trainer, batch, False)).sum(1).tolist()
    pairs = [soft(p, 0.5 * (ratio[i] - ratio[i + 4]), nll) for i, p in enumerate(LABELS)]
    batch["weight"] = torch.tensor(WEIGHTS)
    expected = sum(weight * loss for weight, loss in zip(WEIGHTS, pairs, strict=True)) / 4
    assert loss_of(trainer, batch) == pytest.approx(expected, rel=2e-5)


def test_kto_is_its_formula(folder: Path) -> None:
    from training.methods.kto import make_trainer

    settings = {"beta": 0.4, "per_device_train_batch_size": 8, "desirable_weight": 1.5}
    trainer = build(KtoRecipe, make_trainer, folder, trainer=settings)
    batch = dict(next(iter(trainer.get_train_dataloader())))
    assert sorted(batch["label"].tolist()) == [False] * 4 + [True] * 4
    assert batch["label"].tolist() != sorted(batch["label"].tolist(), reverse=True)
    ratio = (of_batch(trainer, batch, True) - of_batch(trainer, batch, False)).sum(1).tolist()
    other = {name.removeprefix("KL_"): batch[name] for name in batch if name.startswith("KL_")}
    moved = (of_batch(trainer, other, True) - of_batch(trainer, other, False)).sum(1)
    kl = max(0.0, float(moved.mean()))

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    losses = [
        1.5 * (1 - sigmoid(0.4 * (r - kl))) if good else 1 - sigmoid(0.4 * (kl - r))
        for r, good in zip(ratio, batch["label"].tolist(), strict=True)
    ]
    assert loss_of(trainer, batch) == pytest.approx(sum(losses) / 8, rel=2e-5)


def test_accumulated_batches_are_one_batch(folder: Path, tmp_path: Path) -> None:
    """A sum in place of a mean would multiply the learning rate, and nothing would say so."""
    norms = []
    for name, batch, accumulated in (("one", 4, 1), ("two", 2, 2)):
        trainer = {
            **SETTINGS, "bf16": False, "max_steps": 1, "per_device_train_batch_size": batch,
            "gradient_accumulation_steps": accumulated,
        }  # fmt: skip
        recipe = DpoRecipe.model_validate(
            {"model": str(folder / "model"), "output": tmp_path / name, "device": "cpu",
             "preferences": folder / "preferences.jsonl", "lora": {"r": 4}, "trainer": trainer}
        )  # fmt: skip
        train_dpo(recipe, message=lambda _: None)
        norms.append(json.loads((tmp_path / name / "metrics.jsonl").read_text())["grad_norm"])
    assert norms[1] == pytest.approx(norms[0], rel=1e-4)
