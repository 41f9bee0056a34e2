"""Each method on the same pairs, seen on the same held-out prompts; and labels under known noise.

Pairs and prompts are the demo's. A method's answers are compared with the base model's under the
rules that code checks: no judge's taste enters. The same comparison of the base with itself is the
noise floor. Every method has the same adapter, steps, pairs a step and learning rate, and none was
tuned: the table says how they differ at one setting, not which is best.

With --noise, the labels come from a planted judge that is right in a known share of pairs, and
says so: its evidence is x = d + ε, told as p = σ(2dx). The same noisy pairs are then learnt with
soft, hard and clamped labels. Runs that are done are not done again.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import norm

from judges.constitutions.constitution import Constitution
from judges.constitutions.files import load_constitution
from judges.items import load_prompts
from judges.jsonl import dump_line, read_jsonl, replacing, write_jsonl
from judges.judge import Judge
from judges.models.fake import FakeModel
from judges.progress import say
from judges.rank import rank
from judges.records import Item
from judges.store.vote_store import VoteStore
from training.benchmarks.policy_samples import Answers, Sampler
from training.evaluation.statistics import mean_interval, sane
from training.methods.dpo import DpoRecipe, train_dpo
from training.methods.kto import KtoRecipe, train_kto
from training.methods.pairs import train_pairs
from training.methods.reference_free import AlphaPoRecipe, CpoRecipe, OrpoRecipe, SimpoRecipe
from training.methods.sft import SftRecipe, train_sft

PROMPTS = Path(__file__).parents[1] / "demo" / "prompts.jsonl"
CONSTITUTION = "plain-speech@1.0.0"


class Tried(NamedTuple):
    """A method with its settings."""

    kind: Any
    train: Callable[..., Any]
    settings: dict[str, Any]


def _pairs(kind: Any, train: Callable[..., Any], **settings: Any) -> Tried:
    return Tried(kind, train, settings)


METHODS: dict[str, Tried] = {
    "sft": _pairs(SftRecipe, train_sft),
    "dpo": _pairs(DpoRecipe, train_dpo),
    "dpo + nll": _pairs(DpoRecipe, train_dpo, nll_weight=1.0),
    "cdpo": _pairs(DpoRecipe, train_dpo, labels="hard", label_smoothing=0.1),
    "robust": _pairs(DpoRecipe, train_dpo, loss="robust", labels="hard", label_smoothing=0.1),
    "ipo": _pairs(DpoRecipe, train_dpo, loss="ipo"),
    "hinge": _pairs(DpoRecipe, train_dpo, loss="hinge"),
    "ld-dpo": _pairs(DpoRecipe, train_dpo, trainer={"ld_alpha": 0.5}),
    "kto": _pairs(KtoRecipe, train_kto),
    "orpo": _pairs(OrpoRecipe, train_pairs),
    "cpo": _pairs(CpoRecipe, train_pairs),
    "simpo": _pairs(SimpoRecipe, train_pairs),
    "alphapo": _pairs(AlphaPoRecipe, train_pairs),
}
NOISY: dict[str, Tried] = {
    f"noisy, {labels}": _pairs(DpoRecipe, train_dpo, labels=labels)
    for labels in ("soft", "hard", "clamped")
}


def benchmark_methods(
    preferences: Path,
    out: Path,
    methods: Sequence[str],
    seeds: int,
    steps: int,
    learning_rate: float,
    right: float | None,
    model: str = "embedded",
    samples: int = 2,
) -> dict[str, Any]:
    """Train and look at each method under each seed; the table so far, with intervals.

    Cost: minutes a run on two cores. Results lie in OUT/results.jsonl, a line a run.
    """
    out.mkdir(parents=True, exist_ok=True)
    table = NOISY if right else {name: METHODS[name] for name in methods}
    prompts = [p for p in load_prompts(PROMPTS) if p.metadata["split"] == "heldout"]
    bench = _Bench(out, prompts, model, samples)
    for seed in range(seeds):
        for name, tried in table.items():
            if not bench.is_done(name, seed):
                data = _noisy(preferences, out, right, seed) if right else preferences
                bench.run(name, tried, data, seed, steps, learning_rate)
    return bench.table()


class _Bench:
    """What is done so far, and the model that all share."""

    def __init__(self, out: Path, prompts: list[Item], model: str, samples: int) -> None:
        self.out, self.prompts, self.model, self.samples = out, prompts, model, samples
        self.results = out / "results.jsonl"
        self.sampler: Sampler | None = None

    def lines(self) -> list[dict[str, Any]]:
        return [line for _, line in read_jsonl(self.results)] if self.results.exists() else []

    def is_done(self, name: str, seed: int) -> bool:
        return any((line["method"], line["seed"]) == (name, seed) for line in self.lines())

    def run(
        self, name: str, tried: Tried, data: Path, seed: int, steps: int, learning_rate: float
    ) -> None:
        say(f"== {name}, seed {seed}")
        output = self.out / f"{name.replace(', ', '-').replace(' ', '')}-{seed}"
        recipe = _recipe(tried, data, output, seed, steps, learning_rate, self.model)
        summary = tried.train(recipe, resume=output.exists())
        self.sampler = self.sampler or Sampler(self.model)
        base = self._base_answers(seed, 0)
        if not self.is_done("base", seed):
            self._keep("base", seed, self._base_answers(seed, 1), base, {})
        answers = self._answers(output, seed)
        losses = {"first_loss": summary.first_loss, "last_loss": summary.last_loss}
        self._keep(name, seed, answers, base, losses)

    def _base_answers(self, seed: int, draw: int) -> Answers:
        """What the base model said, drawn once and kept."""
        file = self.out / f"base-{seed}-{draw}.json"
        if file.exists():
            return Answers.model_validate_json(file.read_bytes())
        answers = self._answers(None, 1000 * (draw + 1) + seed)
        with replacing(file) as stream:
            stream.write(answers.model_dump_json().encode())
        return answers

    def _answers(self, adapter: Path | None, seed: int) -> Answers:
        assert self.sampler is not None
        return self.sampler.answers(adapter, self.prompts, self.samples, seed)

    def _keep(
        self, name: str, seed: int, ours: Answers, theirs: Answers, more: dict[str, Any]
    ) -> None:
        if self.is_done(name, seed):
            return
        line = {
            "method": name, "seed": seed, "prompts": ours.prompts,
            "wins": wins(self.prompts, ours, theirs, self.out / "rules.db"), "kl": ours.kl,
            "sane": [float(sane(one)) for one in ours.completions],
            "words": [len(one.text.split()) for one in ours.completions], **more,
        }  # fmt: skip
        with self.results.open("ab") as file:
            file.write(dump_line(line))

    def table(self) -> dict[str, Any]:
        return summarise(self.lines())


def _recipe(
    tried: Tried, data: Path, output: Path, seed: int, steps: int, learning_rate: float, model: str
) -> Any:
    pairs_at_once = 8 if tried.kind is KtoRecipe else 4
    trainer = {
        "max_steps": steps, "per_device_train_batch_size": pairs_at_once,
        "learning_rate": learning_rate, "lr_scheduler_type": "constant_with_warmup",
        "warmup_steps": 3, "save_steps": max(1, steps // 4), **tried.settings.get("trainer", {}),
    }  # fmt: skip
    column = "examples" if tried.kind in (SftRecipe, KtoRecipe) else "preferences"
    values = {
        "model": model, "output": output, "seed": seed, "max_length": 256, "device": "cpu",
        "lora": {}, column: data, **tried.settings, "trainer": trainer,
    }  # fmt: skip
    return tried.kind.model_validate(values)


def wins(prompts: Sequence[Item], ours: Answers, theirs: Answers, store: Path) -> list[float]:
    """1, ½ or 0 for each of our answers against theirs, by the rules alone. Cost: no model call."""
    constitution = load_constitution(CONSTITUTION)
    rules = tuple(p for p in constitution.principles if p.rule is not None)
    part = constitution.model_copy(update={"principles": rules})
    asked = {item.id: item.prompt for item in prompts}
    items = [
        Item(id=str(row), prompt=asked[name], completions=(one, other))
        for row, (name, one, other) in enumerate(
            zip(ours.prompts, ours.completions, theirs.completions, strict=True)
        )
    ]
    lines = asyncio.run(_judged(items, part, store))
    margin = constitution.aggregate.tie_margin
    return [0.5 if abs(p - 0.5) < margin else float(p > 0.5) for p in lines]


async def _judged(items: Sequence[Item], constitution: Constitution, file: Path) -> list[float]:
    judge = Judge("nobody", FakeModel())
    with VoteStore.open(f"sqlite:///{file}") as store:
        return [
            0.5 if line["p"][0][1] is None else float(line["p"][0][1])
            async for part in rank(items, constitution, [judge], store)
            for line in part
        ]


def _noisy(preferences: Path, out: Path, right: float, seed: int) -> Path:
    """The pairs as a judge that is right in a share of them would label them."""
    file = out / f"noisy-{seed}.jsonl"
    rng, distance = np.random.default_rng(seed), norm.ppf(right)

    def rows() -> Iterator[dict[str, Any]]:
        for _, row in read_jsonl(preferences):
            p = float(1 / (1 + np.exp(-2 * distance * (distance + rng.normal()))))
            better, worse = ("chosen", "rejected") if p >= 0.5 else ("rejected", "chosen")
            yield {
                "prompt": row["prompt"], "chosen": row[better], "rejected": row[worse],
                "p_chosen": max(p, 1 - p),
            }  # fmt: skip

    write_jsonl(file, rows())
    return file


def summarise(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Each method over all seeds, with intervals over prompts; paired ones of noisy labels."""
    by_method: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        by_method.setdefault(line["method"], []).append(line)
    table = {name: _row(runs) for name, runs in by_method.items()}
    paired = {
        f"noisy, soft - {labels}": _paired(by_method, "noisy, soft", f"noisy, {labels}")
        for labels in ("hard", "clamped")
        if {"noisy, soft", f"noisy, {labels}"} <= by_method.keys()
    }
    return {"methods": table, "paired": paired}


def _row(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    clusters = [name for run in runs for name in run["prompts"]]
    told: dict[str, Any] = {"n": len(clusters), "seeds": [run["seed"] for run in runs]}
    for column in ("wins", "sane", "kl", "words"):
        values = [float(value) for run in runs for value in run[column]]
        interval = mean_interval(values, clusters, seed=0)
        told[column] = [round(x, 3) for x in (interval.mean, interval.low, interval.high)]
    told["wins_by_seed"] = [round(float(np.mean(run["wins"])), 3) for run in runs]
    return told


def _paired(by_method: dict[str, list[dict[str, Any]]], one: str, other: str) -> list[float]:
    seeds = {run["seed"]: run for run in by_method[other]}
    both = [(run, seeds[run["seed"]]) for run in by_method[one] if run["seed"] in seeds]
    gaps = [a - b for x, y in both for a, b in zip(x["wins"], y["wins"], strict=True)]
    clusters = [name for x, _ in both for name in x["prompts"]]
    interval = mean_interval(gaps, clusters, seed=0)
    return [round(x, 3) for x in (interval.mean, interval.low, interval.high)]


def dump(table: dict[str, Any]) -> str:
    """The table as JSON."""
    return json.dumps(table, indent=2)
