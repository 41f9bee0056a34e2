"""PPO, GRPO, RLOO, online and offline DPO, best-of-n on the same prompts and reward, at equal KL.

Prompts are the demo's, the reward is the rules of a constitution that code checks, on held-out
prompts too: no judge's taste enters. Each method has the same adapter, rate and completions a step,
and none was tuned. A run is looked at from several checkpoints, so each method is a curve from the
base model at KL 0 outwards; at equal KL means read off that curve, linearly between neighbouring
points. Runs that are done are not done again, and one that was killed goes on.
"""

import json
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from judges.constitutions.files import load_constitution
from judges.errors import VerdictError
from judges.items import load_prompts
from judges.jsonl import dump_line, read_jsonl, replacing, write_jsonl
from judges.progress import say
from judges.records import CompletionText, Item
from training.benchmarks.online_curves import summarise
from training.benchmarks.policy_samples import MAX_TOKENS, TEMPERATURE, Answers, Sampler
from training.benchmarks.preference_methods import CONSTITUTION, PROMPTS, wins
from training.evaluation.statistics import sane
from training.methods.dpo import DpoRecipe, train_dpo
from training.online.best_of import Chosen, pair_row
from training.online.group_methods import GrpoRecipe, RlooRecipe, train_grpo, train_rloo
from training.online.rule_reward import RuleReward
from training.online_dpo.online_dpo import train_online_dpo
from training.online_dpo.recipe import OnlineDpoRecipe
from training.ppo.ppo import train_ppo
from training.ppo.recipe import PpoRecipe

COMPLETIONS = 16
"""Drawn and rewarded a step, whatever the method."""
GROUP = 4
BEST_OF = (2, 4, 8)


class Tried(NamedTuple):
    """A method with its settings."""

    kind: Any
    train: Callable[..., Any]
    settings: dict[str, Any]


def _by_steps(kind: Any, train: Callable[..., Any], per_prompt: int, **settings: Any) -> Tried:
    return Tried(
        kind,
        train,
        {
            "prompts_per_step": COMPLETIONS // per_prompt,
            "samples_per_prompt": per_prompt,
            "keep_checkpoints": 99,
            "rollout": {"max_tokens": MAX_TOKENS, "temperature": TEMPERATURE},
            **settings,
        },
    )


# No penalty for what is cut off: all have the same reward, in which a rule sees to it.
METHODS: dict[str, Tried] = {
    "ppo": _by_steps(
        PpoRecipe,
        train_ppo,
        1,
        value={"kind": "shared"},
        kl={"coefficient": 0.02},
        shaping={"missing_eos_penalty": 0.0},
    ),
    "online-dpo": _by_steps(
        OnlineDpoRecipe,
        train_online_dpo,
        GROUP,
        beta=0.05,
        label_scale=0.1,
        missing_eos_penalty=0.0,
    ),
    "grpo": Tried(GrpoRecipe, train_grpo, {"beta": 0.02, "loss_type": "grpo"}),
    "rloo": Tried(RlooRecipe, train_rloo, {"beta": 0.02}),
    "dpo": Tried(DpoRecipe, train_dpo, {"beta": 0.05}),
}


def benchmark_online_methods(
    out: Path, methods: Sequence[str], seeds: int, steps: int, points: int, rate: float, model: str
) -> dict[str, Any]:
    """Train and look at each method under each seed; the table so far, with intervals.

    Cost: minutes a run on two cores. Results lie in OUT/results.jsonl, a line a point.
    """
    out.mkdir(parents=True, exist_ok=True)
    bench = _Bench(out, steps, points, rate, model)
    for seed in range(seeds):
        for name in methods:
            bench.run(name, seed)
        bench.best_of(seed)
    return summarise(bench.lines())


class _Bench:
    """What is done so far, and the base model that all are seen beside."""

    def __init__(self, out: Path, steps: int, points: int, rate: float, model: str) -> None:
        self.out, self.steps, self.rate, self.model = out, steps, rate, model
        self.every = max(1, steps // points)
        items = load_prompts(PROMPTS)
        self.prompts = [p for p in items if p.metadata["split"] == "heldout"]
        self.train = [p for p in items if p.metadata["split"] == "train"]
        self.results, self.prompts_file = out / "results.jsonl", out / "prompts.jsonl"
        write_jsonl(self.prompts_file, (_as_row(item) for item in self.train))
        self.reward = RuleReward(load_constitution(CONSTITUTION))
        self._sampler: Sampler | None = None

    def lines(self) -> list[dict[str, Any]]:
        return [line for _, line in read_jsonl(self.results)] if self.results.exists() else []

    def run(self, name: str, seed: int) -> None:
        """Train, then look at the base and at each checkpoint that was not looked at yet."""
        done = self._done(name, seed)
        wanted = list(range(self.every, self.steps + 1, self.every))
        if done >= set(wanted):
            return
        say(f"== {name}, seed {seed}")
        output = self.out / f"{name}-{seed}"
        seconds = self._train(name, output, seed)
        for step in wanted:
            if step not in done:
                adapter = adapter_at(output, step)
                answers = self.sampler.answers(adapter, self.prompts, 1, 100 * seed + step)
                samples = COMPLETIONS * step
                if name == "dpo":
                    samples = min(samples, GROUP * len(self.train))
                spent = seconds if seconds is None else seconds * step / self.steps
                self._keep(name, seed, step, answers, answers.kl, samples, spent)

    def _train(self, name: str, output: Path, seed: int) -> float | None:
        """What it took, in seconds, offline DPO's drawing aside; None where it was broken off."""
        broken_off = self.out / f"{name}-{seed}.broken-off"
        if output.exists() and not (output / "summary.json").exists():
            broken_off.touch()
        summary = METHODS[name].train(self._recipe(name, output, seed), resume=output.exists())
        return None if broken_off.exists() else float(summary.seconds)

    def best_of(self, seed: int) -> None:
        """The best of n of the base model by the reward, no training: KL is log n - (n - 1)/n."""
        done = self._done("best-of-n", seed)
        if done >= set(BEST_OF):
            return
        drawn = self._drawn(f"heldout-{seed}", self.prompts, max(BEST_OF), seed + 1)
        for n in BEST_OF:
            best, size = [], max(BEST_OF)
            for row, item in enumerate(self.prompts):
                some = drawn.completions[row * size : row * size + n]
                values = [self._value(item, one) for one in some]
                best.append(some[values.index(max(values))])
            kl = [math.log(n) - (n - 1) / n] * len(best)
            answers = Answers(completions=best, prompts=[p.id for p in self.prompts], kl=kl)
            if n not in done:
                self._keep("best-of-n", seed, n, answers, kl, n * len(self.prompts), None)

    @property
    def sampler(self) -> Sampler:
        """Loaded when first needed."""
        self._sampler = self._sampler or Sampler(self.model)
        return self._sampler

    def _value(self, item: Item, one: CompletionText) -> float:
        value = self.reward.score_one(item, one).value
        if value is None:
            raise VerdictError(f"prompt {item.id}: no rule of {CONSTITUTION} could be checked")
        return value

    def _drawn(self, name: str, items: Sequence[Item], samples: int, seed: int) -> Answers:
        """What the base model says, drawn once and kept."""
        file = self.out / f"base-{name}.json"
        if not file.exists():
            answers = self.sampler.answers(None, items, samples, 1000 + seed)
            with replacing(file) as stream:
                stream.write(answers.model_dump_json().encode())
        return Answers.model_validate_json(file.read_bytes())

    def _keep(
        self, name: str, seed: int, step: int, ours: Answers, kl: list[float], samples: int,
        seconds: float | None,
    ) -> None:  # fmt: skip
        base = self._drawn(f"beside-{seed}", self.prompts, 1, 500 + seed)
        if not self._done("base", seed):
            again = self._drawn(f"again-{seed}", self.prompts, 1, 700 + seed)
            self._append("base", seed, 0, again, base, again.kl, 0, 0.0)
        self._append(name, seed, step, ours, base, kl, samples, seconds)

    def _append(
        self, name: str, seed: int, step: int, ours: Answers, base: Answers, kl: list[float],
        samples: int, seconds: float | None,
    ) -> None:  # fmt: skip
        asked = {item.id: item for item in self.prompts}
        pairs = zip(ours.prompts, ours.completions, strict=True)
        line = {
            "method": name, "seed": seed, "step": step, "prompts": ours.prompts, "kl": kl,
            "wins": wins(self.prompts, ours, base, self.out / "rules.db"),
            "reward": [self._value(asked[prompt], one) for prompt, one in pairs],
            "sane": [float(sane(one)) for one in ours.completions],
            "samples": samples, "seconds": seconds if seconds is None else round(seconds, 1),
        }  # fmt: skip
        with self.results.open("ab") as file:
            file.write(dump_line(line))

    def _done(self, name: str, seed: int) -> set[int]:
        """Points of a method that were looked at."""
        return {
            line["step"] for line in self.lines() if (line["method"], line["seed"]) == (name, seed)
        }

    def _recipe(self, name: str, output: Path, seed: int) -> Any:
        tried = METHODS[name]
        shared = {
            "model": self.model, "output": output, "seed": seed, "max_length": 160,
            "device": "cpu", "lora": {},
        }  # fmt: skip
        if tried.kind is DpoRecipe:
            values: dict[str, Any] = {"preferences": self._pairs(seed)}
            trainer = self._trainer(COMPLETIONS // GROUP, tried.settings)
        else:
            values = {
                "prompts": self.prompts_file,
                "rewards": [{"kind": "rules", "constitution": CONSTITUTION}],
            }  # fmt: skip
            trainer = self._trainer(COMPLETIONS, tried.settings) | {
                "num_generations": GROUP, "max_completion_length": MAX_TOKENS,
                "temperature": TEMPERATURE,
            }  # fmt: skip
        if "rollout" not in tried.settings:
            return tried.kind.model_validate({**shared, **values, "trainer": trainer})
        optimisation = {
            "learning_rate": self.rate, "warmup_steps": 2, "decay": False, "epochs": 1,
            "minibatches": 1, "micro_batch_tokens": 2048,
        }  # fmt: skip
        if tried.kind is PpoRecipe:
            optimisation |= {"epochs": 2, "minibatches": 2, "value_learning_rate": 1e-3}
        steps = {"steps": self.steps, "save_steps": self.every, "optimisation": optimisation}
        return tried.kind.model_validate({**shared, **values, **steps, **tried.settings})

    def _trainer(self, rows: int, settings: dict[str, Any]) -> dict[str, Any]:
        return {
            "max_steps": self.steps, "save_steps": self.every, "save_total_limit": 99,
            "per_device_train_batch_size": rows, "learning_rate": self.rate,
            "lr_scheduler_type": "constant_with_warmup", "warmup_steps": 2, **settings,
        }  # fmt: skip

    def _pairs(self, seed: int) -> Path:
        """For offline DPO: best against worst of the base's own completions, as many as online."""
        count = min(len(self.train), self.steps * COMPLETIONS // GROUP)
        some = self.train[:count]
        drawn = self._drawn(f"train-{seed}", some, GROUP, 300 + seed)
        file = self.out / f"pairs-{seed}.jsonl"

        def rows() -> Iterator[dict[str, Any]]:
            for row, item in enumerate(some):
                own = tuple(drawn.completions[row * GROUP : (row + 1) * GROUP])
                rewards = tuple(self._value(item, one) for one in own)
                whole = item.model_copy(update={"completions": own})
                if (pair := pair_row(Chosen(item=whole, rewards=rewards))) is not None:
                    yield pair

        write_jsonl(file, rows())
        return file


def adapter_at(run: Path, step: int) -> Path:
    """The adapter of a checkpoint: TRL's own, or made from the weights that PPO's steps keep."""
    checkpoint = run / "checkpoints" / f"checkpoint-{step}"
    if (checkpoint / "adapter_config.json").exists():
        return checkpoint
    from safetensors.torch import load_file, save_file

    folder = run / "points" / str(step)
    folder.mkdir(parents=True, exist_ok=True)
    weights = load_file(checkpoint / "trained.safetensors")
    named = {
        name.removeprefix("policy.").replace(".default.", "."): value
        for name, value in weights.items()
        if name.startswith("policy.")
    }
    save_file(named, folder / "adapter_model.safetensors")
    shutil.copyfile(run / "adapter_config.json", folder / "adapter_config.json")
    return folder


def _as_row(item: Item) -> dict[str, Any]:
    return {"id": item.id, "prompt": [message.model_dump() for message in item.prompt]}


def dump(told: dict[str, Any]) -> str:
    """The table as JSON, a line a point."""
    return json.dumps(told, indent=1)
