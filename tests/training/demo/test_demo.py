"""The whole path on the real embedded model through a real engine, small; the numbers are not."""

import json
from pathlib import Path

import pytest

from judges.errors import ConfigError
from judges.items import load_prompts
from judges.jsonl import read_jsonl
from training.demo import demo
from training.demo.demo import DemoSize, run_demo

PROMPTS = Path(demo.__file__).parent / "prompts.jsonl"
KEYS = {
    "win_rate",
    "win_rate_low",
    "win_rate_high",
    "win_rate_rules",
    "win_rate_judged",
    "noise_floor",
    "sane_before",
    "sane_after",
    "pairs_kept",
    "pairs_dropped",
    "labels_flipped",
    "flip_model_calls",
    "seconds",
}


def test_the_prompts_are_enough_and_no_topic_is_on_both_sides() -> None:
    items = load_prompts(PROMPTS)
    topics = {
        split: {item.metadata["topic"] for item in items if item.metadata["split"] == split}
        for split in ("train", "heldout")
    }
    counts = [sum(item.metadata["split"] == split for item in items) for split in topics]
    assert counts[0] >= 96
    assert counts[1] >= 48
    assert not topics["train"] & topics["heldout"]
    assert len({item.prompt for item in items}) == len(items)


def test_another_seed_does_not_go_into_the_same_folder(tmp_path: Path) -> None:
    (tmp_path / "stages.json").write_text('{"seed": 1}')
    with pytest.raises(ConfigError, match="seed 1, not 0; give another --out"):
        run_demo(tmp_path, 0)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_whole_path_runs_and_runs_again_without_work(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    size = DemoSize(train=12, held_out=6, steps=4)
    summary = run_demo(out, 0, size)

    assert summary.keys() == KEYS
    assert summary == json.loads((out / "summary.json").read_text())
    assert summary["flip_model_calls"] == 0
    assert 0 <= summary["win_rate_low"] <= summary["win_rate"] <= summary["win_rate_high"] <= 1
    rankings = [row for _, row in read_jsonl(out / "rankings.jsonl")]
    assert [row["status"] for row in rankings] == ["scored"] * 12
    assert all(row["usage"]["new_votes"] > 0 for row in rankings)
    losses = [row["loss"] for _, row in read_jsonl(out / "policy" / "metrics.jsonl")]
    assert len(losses) == 4
    html = (out / "report.html").read_text("utf-8")
    assert "<svg" in html
    assert "http" not in html.replace("http://www.w3.org", "").replace("http-equiv", "")

    before = (out / "rankings.jsonl").read_bytes()
    again = run_demo(out, 0, size)
    assert (out / "rankings.jsonl").read_bytes() == before
    assert again | {"seconds": 0} == summary | {"seconds": 0}
