"""The comparison of methods: rules decide, equal answers tie, a second run does nothing again."""

from pathlib import Path
from typing import Any

import pytest

from judges.items import load_prompts
from judges.jsonl import read_jsonl
from judges.records import CompletionText
from tests.training.tiny_policy import make_policy, make_preferences
from training.benchmarks.policy_samples import Answers
from training.benchmarks.preference_methods import (
    METHODS,
    NOISY,
    PROMPTS,
    benchmark_methods,
    summarise,
    wins,
)


def answers(*texts: str) -> Answers:
    prompts = load_prompts(PROMPTS)[: len(texts)]
    said = [CompletionText(text=text, finish_reason="stop") for text in texts]
    ids = [item.id for item in prompts]
    return Answers(completions=said, prompts=ids, kl=[0.0] * len(texts))


def test_the_rules_decide_and_equal_answers_tie(tmp_path: Path) -> None:
    short = "A compass shows you the north, so you find your way."
    broken = "A compass shows, and in many old books it is said that"
    prompts = load_prompts(PROMPTS)[:3]
    ours, theirs = answers(short, broken, short), answers(broken, short, short)
    assert wins(prompts, ours, theirs, tmp_path / "rules.db") == [1.0, 0.0, 0.5]


def line(method: str, seed: int, values: list[float]) -> dict[str, Any]:
    prompts = [f"p{i}" for i in range(len(values))]
    same = [1.0] * len(values)
    return {"method": method, "seed": seed, "prompts": prompts, "wins": values, "sane": same,
            "kl": same, "words": same}  # fmt: skip


def test_the_table_has_intervals_and_paired_differences() -> None:
    lines = [line("noisy, soft", 0, [1, 1, 1, 0]), line("noisy, hard", 0, [0, 1, 0, 0])]
    told = summarise([*lines, line("noisy, soft", 1, [1, 1, 1, 1])])
    assert told["methods"]["noisy, soft"]["wins"][0] == 0.875
    assert told["methods"]["noisy, soft"]["wins_by_seed"] == [0.75, 1.0]
    mean, low, high = told["paired"]["noisy, soft - hard"]
    assert (mean, low <= mean <= high) == (0.5, True)  # of the seed that both have
    assert "noisy, soft - clamped" not in told["paired"]


@pytest.mark.slow
def test_each_method_is_trained_looked_at_and_not_done_again(tmp_path: Path) -> None:
    model = str(make_policy(tmp_path / "model"))
    pairs = make_preferences(tmp_path / "pairs.jsonl")

    def bench(out: str, right: float | None) -> dict[str, Any]:
        methods = ["kto", "simpo"]
        return benchmark_methods(pairs, tmp_path / out, methods, 1, 2, 1e-2, right, model)

    told = bench("plain", None)
    assert told["methods"].keys() == {"base", "kto", "simpo"} <= {"base", *METHODS}
    assert told["methods"]["simpo"]["n"] == 96
    assert told["methods"]["simpo"]["kl"][1] > 0
    assert told["methods"]["base"]["kl"] == [0, 0, 0]
    before = (tmp_path / "plain" / "results.jsonl").read_bytes()
    assert bench("plain", None) == told
    assert (tmp_path / "plain" / "results.jsonl").read_bytes() == before

    assert bench("noisy", 0.75)["methods"].keys() == {"base", *NOISY}
    noisy = [row for _, row in read_jsonl(tmp_path / "noisy" / "noisy-0.jsonl")]
    assert all(row["p_chosen"] >= 0.5 for row in noisy)
    right = sum(row["chosen"][0]["content"] == "Be brief, be kind." for row in noisy)
    assert 7 <= right < 16
