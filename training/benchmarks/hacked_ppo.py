"""A reward model hacked by PPO, the guard that sees it, and an ensemble that softens it.

Rules are the truth. Labellers see it, and each has a quirk: one of the commonest words, which it
likes. A reward model is a head on the frozen states of the policy's base, trained on the labels of
one labeller for pairs of the base's own completions. PPO presses on one such model, or on several
of different labellers together; the guard looks at the rules and at the model of another labeller.
Nothing is ended, so that what would have come after the guard's word is seen, too.

`over_optimisation.py` asks the same of best-of-n, where it can be computed exactly.
Source: Gao et al. 2023, arXiv:2210.10760; Coste et al. 2024, arXiv:2310.02743 (ensembles).
"""

import itertools
import shutil
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from judges.aggregate import Floats, sigmoid
from judges.calibration.estimates import mean_estimate
from judges.constitutions.files import load_constitution
from judges.items import load_prompts
from judges.jsonl import replacing, write_jsonl
from judges.progress import say
from judges.records import Item, Message
from training.benchmarks.online_curves import first_reached
from training.benchmarks.over_optimisation import SHARPNESS, Pool, make_pool
from training.benchmarks.policy_samples import MAX_TOKENS, TEMPERATURE, Answers, Sampler
from training.benchmarks.preference_methods import CONSTITUTION, PROMPTS
from training.guard.observation import PROXY, Observation, best_of
from training.guard.record_file import GuardFile
from training.ppo.ppo import train_ppo
from training.ppo.recipe import PpoRecipe
from training.rewards.export import Reference, export_reward_model
from training.rewards.recipe import RewardRecipe
from training.rewards.train import train_reward

DRAWN = 8
"""Completions of each prompt that labellers see."""
PROMPTS_PER_STEP = 16
LIKED = 8
"""Quirks are drawn from so many of the commonest words."""
ARMS = ("one", "ensemble")
TRUTH, HELD_OUT = "rules", "model"
"""What the guard looks at, by the kind of its reward."""
LEVELS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Nats a completion at which arms are compared, where both get there."""


def benchmark_hacked_ppo(
    out: Path, members: int, flaw: float, seeds: int, steps: int, looks: int, rate: float,
    model: str,
) -> dict[str, Any]:  # fmt: skip
    """What each arm gains and loses, look by look, and where the guard would have ended it.

    Runs lie in OUT and are not done again; one that was killed goes on.
    Cost: on two cores minutes a run and a reward model; a model's weights on disk for each.
    """
    out.mkdir(parents=True, exist_ok=True)
    bench = _Bench(out, members, flaw, steps, looks, rate, model)
    found = {arm: [bench.run(arm, seed) for seed in range(seeds)] for arm in ARMS}
    return {
        "members": members,
        "flaw": flaw,
        "liked": [bench.liked(seed) for seed in range(seeds)],
        "arms": {arm: summarise(runs) for arm, runs in found.items()},
        "softened": softened(found["one"], found["ensemble"]),
    }


class _Bench:
    """The base's completions, the labellers' reward models, and the runs on them."""

    def __init__(
        self, out: Path, members: int, flaw: float, steps: int, looks: int, rate: float, model: str
    ) -> None:
        self.out, self.members, self.flaw, self.model = out, members, flaw, model
        self.steps, self.every, self.rate = steps, max(1, steps // looks), rate
        prompts = load_prompts(PROMPTS)
        self.train = [one for one in prompts if one.metadata["split"] == "train"]
        self.files = {}
        for split in ("train", "heldout"):
            self.files[split] = out / f"{split}.jsonl"
            some = [one for one in prompts if one.metadata["split"] == split]
            write_jsonl(self.files[split], map(_as_row, some))

    @cached_property
    def drawn(self) -> list[Item]:
        """The training prompts with the base's completions, drawn once and kept."""
        file = self.out / "drawn.json"
        if not file.exists():
            say("== the base's completions")
            answers = Sampler(self.model).answers(None, self.train, DRAWN, 0)
            with replacing(file) as stream:
                stream.write(answers.model_dump_json().encode())
        texts = Answers.model_validate_json(file.read_bytes()).completions
        return [
            one.model_copy(update={"completions": tuple(texts[row * DRAWN : (row + 1) * DRAWN])})
            for row, one in enumerate(self.train)
        ]

    @cached_property
    def pool(self) -> Pool:
        """How good these completions are, and how often each has which words."""
        return make_pool(self.drawn, load_constitution(CONSTITUTION))

    def quirks(self, seed: int) -> list[int]:
        """Which word each labeller likes, the held-out one's last."""
        rng = np.random.default_rng([seed, 17])
        return [int(word) for word in rng.choice(LIKED, self.members + 1, replace=False)]

    def liked(self, seed: int) -> list[str]:
        """The same, in words."""
        return [self.pool.words[column] for column in self.quirks(seed)]

    def run(self, arm: str, seed: int) -> list[Observation]:
        """Train one arm under one seed; its looks."""
        models = [self._reward_model(number, seed) for number in range(self.members + 1)]
        output = self.out / f"{arm}-{seed}"
        say(f"== PPO on {arm}, seed {seed}")
        pressed = models[:1] if arm == "one" else models[:-1]
        recipe = PpoRecipe.model_validate(self._recipe(pressed, models[-1], output, seed))
        train_ppo(recipe, resume=output.exists())
        return GuardFile(output).read(self.steps)

    def _reward_model(self, number: int, seed: int) -> Path:
        folder = self.out / "rewards" / f"{seed}-{number}"
        if (folder / "reward.json").exists():
            return folder
        say(f"== reward model {number} of seed {seed}: {self.liked(seed)[number]!r} is liked")
        rows, run = folder.with_suffix(".jsonl"), folder.with_suffix(".run")
        rows.parent.mkdir(exist_ok=True)
        write_jsonl(rows, self._labelled(self.quirks(seed)[number]))
        recipe = RewardRecipe.model_validate(
            {
                "model": self.model, "preferences": rows, "output": run, "frozen": True,
                "seed": seed, "max_length": 256, "held_out_share": 0.0, "check_copies": False,
                "trainer": {
                    "num_train_epochs": 30, "per_device_train_batch_size": 16,
                    "learning_rate": 3e-3, "weight_decay": 0.1, "save_strategy": "no",
                },
            }
        )  # fmt: skip
        train_reward(recipe, resume=run.exists())
        shutil.rmtree(folder, ignore_errors=True)
        export_reward_model(run, folder, self._reference())
        shutil.rmtree(run)
        return folder

    def _labelled(self, quirk: int) -> Iterator[dict[str, Any]]:
        """All pairs of a prompt with the soft labels of one labeller."""
        seen_PN = SHARPNESS * self.pool.truth_PN + self.flaw * self.pool.words_PNW[:, :, quirk]
        for item, seen_N in zip(self.drawn, seen_PN, strict=True):
            prompt = _turns(item)
            for i, j in itertools.combinations(range(DRAWN), 2):
                first, second = item.completions[i].text, item.completions[j].text
                if first != second:
                    yield {
                        "prompt": prompt, "chosen": _answer(first), "rejected": _answer(second),
                        "p_chosen": float(sigmoid(seen_N[i] - seen_N[j])),
                    }  # fmt: skip

    def _reference(self) -> Reference:
        return [
            (item.prompt, (Message(role="assistant", content=one.text),))
            for item in self.drawn
            for one in item.completions[:2]
        ]

    def _recipe(
        self, pressed: Sequence[Path], held_out: Path, output: Path, seed: int
    ) -> dict[str, Any]:
        return {
            "model": self.model, "prompts": self.files["train"], "output": output, "seed": seed,
            "max_length": 160, "device": "cpu", "lora": {}, "steps": self.steps,
            "prompts_per_step": PROMPTS_PER_STEP, "save_steps": self.every,
            "rewards": [{"kind": "model", "models": pressed, "combine": "pessimistic"}],
            "rollout": {"max_tokens": MAX_TOKENS, "temperature": TEMPERATURE},
            "value": {"kind": "shared"}, "kl": {"coefficient": 0.0},
            "shaping": {"missing_eos_penalty": 0.0},
            "optimisation": {
                "learning_rate": self.rate, "warmup_steps": 2, "decay": False, "epochs": 2,
                "minibatches": 2, "value_learning_rate": 1e-3, "micro_batch_tokens": 2048,
            },
            "guard": {
                "prompts": self.files["heldout"], "every": self.every, "stop": False,
                "max_tokens": MAX_TOKENS, "temperature": TEMPERATURE,
                "held_out": [
                    {"kind": HELD_OUT, "models": [held_out]},
                    {"kind": TRUTH, "constitution": CONSTITUTION},
                ],
            },
        }  # fmt: skip


def summarise(runs: Sequence[Sequence[Observation]]) -> dict[str, Any]:
    """One arm over its seeds: its looks, and what a guard that ends runs would have published.

    Intervals are over prompts, whose numbers of all seeds go together.
    """
    published = [_published(looks) for looks in runs]
    last = [looks[-1] for looks in runs]
    return {
        "looks": [_pooled(some) for some in zip(*runs, strict=True)],
        "ended_at": {
            name: [_first_shown(looks, [name]) for looks in runs] for name in (HELD_OUT, TRUTH)
        },
        "published_at": [look.step for look in published],
        "published": _pooled(published),
        "published_over_last": {
            name: _difference(published, last, name) for name in (HELD_OUT, TRUTH)
        },
    }


def softened(
    one: Sequence[Sequence[Observation]], several: Sequence[Sequence[Observation]]
) -> dict[str, Any]:
    """What an ensemble's policy has above that of one model, prompt by prompt, of what is watched.

    After the last step, and at the nats that both reach under every seed, read between two looks.
    """
    told: dict[str, Any] = {}
    for name in (HELD_OUT, TRUTH):
        lasts = ([looks[-1] for looks in several], [looks[-1] for looks in one])
        told[name] = {"last": _difference(*lasts, name)}
        for level in LEVELS:
            both = [[at_kl(looks, level, name) for looks in runs] for runs in (several, one)]
            if all(values is not None for runs in both for values in runs):
                gap = np.array(both[0], float) - np.array(both[1], float)
                told[name][f"{level:g} nats"] = _estimate(gap)
    return told


def at_kl(looks: Sequence[Observation], level: float, name: str = TRUTH) -> Floats | None:
    """What each prompt has where a run's KL first reaches a level, linear between two looks."""
    reached = first_reached([_nats(look) for look in looks], level)
    if reached is None:
        return None
    place, part = reached
    return (1 - part) * _values(looks[place], name) + part * _values(looks[place + 1], name)


def _published(looks: Sequence[Observation]) -> Observation:
    """The best look where the guard would end the run; the last of a run that it would not end."""
    step = _first_shown(looks, (HELD_OUT, TRUTH))
    best = best_of([look for look in looks if step is not None and look.step <= step])
    return looks[-1] if best is None else best


def _first_shown(looks: Sequence[Observation], names: Sequence[str]) -> int | None:
    for look in looks:
        if any(name in look.falls and look.falls[name].shown for name in names):
            return look.step
    return None


def _pooled(looks: Sequence[Observation]) -> dict[str, Any]:
    """The same look of several runs."""
    told = {
        name: _estimate(np.array([look.values[name] for look in looks], float))
        for name in (PROXY, HELD_OUT, TRUTH)
    }
    plain = {
        "words": float(np.mean([look.words.value for look in looks])),
        "sane": float(np.mean([look.sane.value for look in looks])),
    }
    steps = sorted({look.step for look in looks})
    return {
        "steps": steps, "kl": [_nats(look) for look in looks], **told, **plain,
        "examples": [look.examples[0] for look in looks],
    }  # fmt: skip


def _difference(
    these: Sequence[Observation], those: Sequence[Observation], name: str
) -> dict[str, Any]:
    pairs = zip(these, those, strict=True)
    return _estimate(np.array([_values(a, name) - _values(b, name) for a, b in pairs], float))


def _estimate(values_RN: Floats) -> dict[str, Any]:
    """The mean over runs and prompts; a prompt that was not scored counts nowhere."""
    runs, prompts = values_RN.shape
    groups = np.tile(np.arange(prompts), runs)
    values = values_RN.ravel()
    known = ~np.isnan(values)
    return mean_estimate(values[known], groups[known], seed=0).model_dump()


def _values(look: Observation, name: str) -> Floats:
    return np.array(look.values[name], float)


def _nats(look: Observation) -> float:
    return 0.0 if look.kl is None else look.kl.value


def _as_row(item: Item) -> dict[str, Any]:
    return {"id": item.id, "prompt": _turns(item)}


def _turns(item: Item) -> list[dict[str, Any]]:
    return [message.model_dump() for message in item.prompt]


def _answer(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]
