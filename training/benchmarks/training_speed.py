"""Tokens a second and peak memory of charter's trainers and of TRL's own, turn about.

Counted are the tokens of the batches, padding left out, from the end of the last warm-up step to
the end of the last step. Model FLOPs are 6 for each weight that multiplies a token: neither
attention nor what gradient checkpointing computes again is counted.
"""

import gc
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from transformers import TrainerCallback

from judges.errors import ConfigError
from judges.policies import model_folder
from judges.progress import say
from judges.suggest import did_you_mean
from training.benchmarks.model_shapes import find_shape, write_random_model
from training.benchmarks.trainer_sides import SIDES, Job, Side, make_rows, write_rows
from training.runs.hardware import Hardware, find_hardware
from training.runs.run import quieten_libraries

WARM_UP = 2
"""Steps before the clock starts: memory is taken and kernels are chosen in them."""
CEILING = {"cuda": 8192, "cpu": 1024}
"""Side of the square matrices whose product is the ceiling."""
GIB = 2**30


class Timed(NamedTuple):
    """One training."""

    tokens: int
    """Of the batches after the warm-up, without padding."""
    seconds: float
    """That those steps took."""
    gib: float | None
    """The most memory that tensors took on the GPU, from loading the model on; None on a CPU."""
    weights: int
    """Those that multiply every token: an embedding that is no head looks up only."""

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


def benchmark_training_speed(
    methods: Sequence[str],
    model: str,
    shape: str | None,
    rows: int,
    tokens: int,
    batch: int,
    steps: int,
    repeats: int,
) -> dict[str, Any]:
    """What each method's trainers take; medians over repeats, and all ratios.

    Raises: ConfigError for a method or shape that there is not, or too few rows or steps.
    """
    _check(methods, rows, batch, steps)
    quieten_libraries()
    hardware = find_hardware("auto")
    ceiling = product_ceiling(hardware)
    told: dict[str, Any] = {
        "device": hardware.name,
        "dtype": hardware.dtype,
        "teraflops_of_a_matrix_product": round(ceiling / 1e12, 2),
        "methods": {},
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if shape is not None:
            like = model_folder(model)
            weights = folder / "model"
            model = str(write_random_model(weights, find_shape(shape), like, hardware.device))
        job = Job(model, folder, make_rows(rows, tokens), 4 * tokens + 256, steps, batch)
        write_rows(job)
        for method in methods:
            told["methods"][method] = _compare(method, job, repeats, ceiling, hardware)
    return told


def _check(methods: Sequence[str], rows: int, batch: int, steps: int) -> None:
    for name in methods:
        if name not in SIDES:
            raise ConfigError(
                f"--methods {name}: there is none of that name{did_you_mean(name, SIDES)}; use "
                f"{', '.join(SIDES)}"
            )
    if steps <= WARM_UP:
        raise ConfigError(
            f"--steps is {steps}, but the first {WARM_UP} warm up and are not timed; use more"
        )
    if rows < batch:
        raise ConfigError(f"--rows is {rows}, less than one batch ({batch}); use more")


def _compare(
    method: str, job: Job, repeats: int, ceiling: float, hardware: Hardware
) -> dict[str, Any]:
    found: dict[str, list[Timed]] = {"charter": [], "trl": []}
    with SIDES[method](job) as sides:
        for side in (sides.charter, sides.trl):  # a GPU's first training is a slow one
            _time(side, hardware.device)
        for number in range(repeats):
            for name in found:
                timed = _time(getattr(sides, name), hardware.device)
                say(f"{method} by {name}, {number + 1}/{repeats}: {timed.rate:.0f} tokens/s")
                found[name].append(timed)
    return summary(found, ceiling)


def summary(found: dict[str, list[Timed]], ceiling: float) -> dict[str, Any]:
    """Medians of each side, and charter's tokens a second over TRL's, repeat by repeat."""
    ratios = [ours.rate / theirs.rate for ours, theirs in zip(*found.values(), strict=True)]
    return {
        name: {
            "tokens_per_second": round(median(one.rate for one in runs)),
            "share_of_ceiling": round(
                median(6 * one.weights * one.rate for one in runs) / ceiling, 3
            ),
            "peak_gib": None if runs[0].gib is None else round(max(r.gib or 0 for r in runs), 2),
            "tokens": runs[0].tokens,
        }
        for name, runs in found.items()
    } | {
        "times_faster": round(median(ratios), 2),
        "range": [round(min(ratios), 2), round(max(ratios), 2)],
        "n": len(ratios),
    }


class _Clock(TrainerCallback):
    """Starts after the warm-up, stops after each step; counts tokens in between."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.tokens: Any = 0
        self.start = self.end = 0.0

    def counting(self, loss: Callable[..., Any]) -> Callable[..., Any]:
        """A trainer's loss that counts the tokens of its batches, without waiting for them."""

        def counted(model: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
            self.tokens = self.tokens + inputs["attention_mask"].sum()
            return loss(model, inputs, *rest, **named)

        return counted

    def on_step_end(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
        _wait(self.device)
        self.end = time.perf_counter()
        if state.global_step == WARM_UP:
            self.start, self.tokens = self.end, 0


def _time(side: Side, device: str) -> Timed:
    clock = _Clock(device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with side.frame():
        trainer = side.build()
        trainer.add_callback(clock)
        trainer.compute_loss = clock.counting(trainer.compute_loss)
        side.train(trainer)
    gib = torch.cuda.max_memory_allocated() / GIB if device == "cuda" else None
    timed = Timed(int(clock.tokens), clock.end - clock.start, gib, _multiplying(trainer.model))
    del trainer
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
    return timed


def _multiplying(model: Any) -> int:
    weights = sum(one.numel() for one in model.parameters())  # shared ones once
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings()
    is_head = head is not None and head.weight is embedding
    return int(weights if is_head else weights - embedding.numel())


def product_ceiling(hardware: Hardware) -> float:
    """FLOP a second of a large square product in the number format trained in, the best of ten."""
    side = CEILING[hardware.device]
    dtype = getattr(torch, hardware.dtype)
    one, other = (torch.randn(side, side, device=hardware.device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        _wait(hardware.device)
        start = time.perf_counter()
        one @ other
        _wait(hardware.device)
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
