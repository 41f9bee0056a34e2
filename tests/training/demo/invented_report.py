"""A demo's report from invented but plausible numbers, for tests and for looking at."""

import random
from typing import Any

from judges.constitutions.files import load_constitution
from judges.preferences import PreferenceCounts
from training.demo.report import DemoReport, FlippedLabel, WeightEdit
from training.evaluation.evaluate import Evaluation, EvaluationSettings, Example
from training.evaluation.policy_text import PolicyText
from training.evaluation.statistics import Interval
from training.evaluation.win_rates import WinRate

CONSTITUTION = load_constitution("plain-speech@1.0.0")
ANSWERS = (
    ("In one short sentence, what is a map for?", "A map shows you where things are.",
     "A map is a visual representation of an area that people use in order to find their way, "
     "and it may show roads, rivers, towns and other features of the", 0.93),
    ("Answer in one sentence: who needs an umbrella?", "Anyone who walks in the rain.",
     "An umbrella is needed by anyone who wants to stay dry when it is raining outside.", 0.88),
    ("Briefly, in a sentence, describe a violin.", "A violin is a wooden instrument with strings.",
     "A violin is a small wooden instrument with four strings.", 0.53),
    ("In a single sentence, why do bees visit flowers?", "Bees visit flowers, and they",
     "Bees visit flowers for nectar and pollen.", 0.08),
    ("What is bread made of? One sentence.", "Bread is flour, water and yeast.", "", None),
)  # fmt: skip


def win(rate: float, n: int = 48, half: float = 0.12, unscored: int = 0) -> WinRate:
    low, high = max(0.0, rate - half), min(1.0, rate + half)
    return WinRate(rate=rate, low=low, high=high, n=n, unscored=unscored)


def interval(mean: float, half: float) -> Interval:
    return Interval(mean=mean, low=mean - half, high=mean + half)


def a_text(sane: float, words: float) -> PolicyText:
    return PolicyText(n=48, sane=interval(sane, 0.1), words=interval(words, 1.6), distinct_2=0.71)


def an_evaluation(**changes: Any) -> Evaluation:
    values: dict[str, Any] = {
        "constitution": CONSTITUTION.reference,
        "digests": {
            "constitution": CONSTITUTION.digests.model_dump(),
            "judge": ["sha256:9f2c" + "0" * 60],
            "calibration": None,
        },
        "policy": "sha256:" + "ab" * 32,
        "against": "sha256:" + "cd" * 32,
        "settings": EvaluationSettings(samples=1, max_tokens=40),
        "prompts": 48,
        "win_rate": win(0.75),
        "noise_floor": win(0.49, n=47, unscored=1),
        "win_rate_rules": win(0.78),
        "win_rate_judged": win(0.51),
        "principles": {
            principle.id: win(rate)
            for principle, rate in zip(
                CONSTITUTION.principles, (0.55, 0.5, 0.77, 0.51, 0.52, 0.54, 0.47), strict=True
            )
        },
        "policy_text": a_text(0.86, 12.6),
        "against_text": a_text(0.83, 20.3),
        "kl": interval(4.2, 0.8),
        "examples": tuple(
            Example(id=f"held-{i}", prompt=prompt, policy=policy, against=against, p=p)
            for i, (prompt, policy, against, p) in enumerate(ANSWERS)
        ),
    }
    return Evaluation(**(values | changes))


def an_edit(**changes: Any) -> WeightEdit:
    values: dict[str, Any] = {
        "principle": "brevity",
        "old_weight": 4.0,
        "new_weight": 0.25,
        "pairs": 371,
        "flipped": 43,
        "model_calls": 0,
        "seconds": 0.184,
        "examples": tuple(
            FlippedLabel(
                prompt=prompt, before_better=short, after_better=long, p_before=0.83, p_after=0.58
            )
            for prompt, short, long, _ in ANSWERS[:3]
        ),
    }
    return WeightEdit(**(values | changes))


def a_report(**changes: Any) -> DemoReport:
    """A report as the demo makes it, from invented but plausible numbers."""
    draw = random.Random(5)
    curve = [
        {
            "step": step,
            "loss": 0.693 - 0.012 * step + draw.gauss(0, 0.015),
            "rewards/accuracies": min(1.0, 0.5 + 0.02 * step + draw.gauss(0, 0.06)),
            "rewards/margins": 0.03 * step + draw.gauss(0, 0.03),
            "logps/chosen": -41 - 0.15 * step + draw.gauss(0, 1.5),
        }
        for step in range(1, 19)
    ]
    values: dict[str, Any] = {
        "title": "A constitution changes a model",
        "constitution": CONSTITUTION,
        "evaluation": an_evaluation(),
        "counts": PreferenceCounts(
            kept=318, dropped={"duplicate": 2, "identical": 7, "tie": 54}, rankings=96
        ),
        "labels": tuple(0.6 + 0.38 * draw.betavariate(2, 1.4) for _ in range(318)),
        "training": (*curve, {"step": 18, "train_runtime": 141.2}),
        "edit": an_edit(),
        "timings": {
            "engine": 71.3, "sample": 62.0, "rank": 94.8, "train": 141.2, "evaluate": 83.5,
            "reweigh": 0.2,
        },
        "summary": {"win_rate": 0.75, "labels_flipped": 43},
    }  # fmt: skip
    return DemoReport(**(values | changes))
