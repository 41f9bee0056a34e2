"""Best of n: the reward's favourites as rows, what has no reward left out, and the bound."""

import json
import math
from pathlib import Path

import pytest

from charter import main
from judges.errors import ConfigError
from judges.items import load_items
from judges.records import CompletionText, Item, Message
from training.online.best_of import Chosen, best_rows, pair_row, read_settings, summarise


def chosen(*rewards: float | None) -> Chosen:
    texts = tuple(CompletionText(text=f"answer {n}") for n in range(len(rewards)))
    prompt = (Message(role="user", content="Tea?"),)
    return Chosen(item=Item(id="p", prompt=prompt, completions=texts), rewards=rewards)


def test_completions_are_ranked_by_reward_and_unscored_ones_have_no_rank() -> None:
    assert chosen(0.2, None, 0.9, 0.2).ranked == [2, 0, 3]


def test_rows_are_the_best_that_reach_the_least_reward() -> None:
    rows = best_rows(chosen(0.2, None, 0.9, -1.0), keep=3, at_least=0.0)
    assert [row["id"] for row in rows] == ["p:2", "p:0"]
    assert rows[0]["completion"] == [{"role": "assistant", "content": "answer 2"}]


def test_a_pair_is_best_against_worst_and_none_where_they_are_equal() -> None:
    row = pair_row(chosen(0.2, 0.9, -1.0))
    assert row is not None
    assert (row["chosen"][0]["content"], row["rejected"][0]["content"]) == ("answer 1", "answer 2")
    assert pair_row(chosen(0.5, 0.5)) is None
    assert pair_row(chosen(0.5, None)) is None


def test_the_summary_tells_the_gain_and_how_far_it_is_from_the_policy() -> None:
    summary = summarise([chosen(0.0, 1.0), chosen(0.5, None), chosen(None, None)])
    assert (summary.prompts, summary.prompts_unscored, summary.unscored) == (2, 1, 3)
    assert summary.mean_reward == pytest.approx(0.5)
    assert summary.best_reward == pytest.approx(0.75)
    assert summary.kl_bound == pytest.approx((math.log(2) - 0.5) / 2)
    with pytest.raises(ConfigError, match="no completion has a reward"):
        summarise([chosen(None)])


def test_the_command_writes_rows_and_pairs_that_training_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = "A compass shows which way is north, which helps people find their way."
    lines = [
        {"id": "1", "prompt": "What is a compass for?", "completions": ["North.", long]},
        {"id": "2", "prompt": "And a map?", "completions": ["Paper", "Paper"]},
    ]
    completions = tmp_path / "completions.jsonl"
    completions.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rewards = tmp_path / "rewards.toml"
    rewards.write_text('steps = 3\n[[rewards]]\nkind = "rules"\nconstitution = "plain-speech@1"\n')
    best, pairs = tmp_path / "best.jsonl", tmp_path / "pairs.jsonl"
    flags = ["--rewards", rewards, "--input", completions, "--output", best, "--pairs", pairs]
    assert main(["best-of", *map(str, flags)]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["best_reward"] > summary["mean_reward"]
    rows = [json.loads(line) for line in best.read_text().splitlines()]
    assert [row["completion"][0]["content"] for row in rows] == [long, "Paper"]
    assert len(pairs.read_text().splitlines()) == 1
    assert load_items(pairs)[0].completions[0].text == long


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("steps = 3\n", "rewards: Field required"),
        ('[[rewards]]\nkind = "rulez"\n', "rulez"),
        ("rewards = [\n", "cannot be read as TOML"),
    ],
)
def test_a_file_without_rewards_is_told(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_settings(tmp_path / "r.toml")
