"""A reward model has a judge card and a calibration like any other judge."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from charter import main
from tests.judges.models.scripted_server import Script, serve
from tests.judges.rewards.reward_folder import KIND, classify, make_folder, principled, whole

CONSTITUTION = f"""\
name: tea
version: 1.0.0
title: Tea
licence: CC0-1.0
principles: [{{id: kind, family: tone, title: Kind, text: "{KIND}"}}]
"""


@pytest.fixture
async def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Script]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tea.yaml").write_text(CONSTITUTION)
    rows = [
        {"prompt": f"What is tea, {n}?", "completions": ["Leaves.", "Tea " * (n % 5 + 2)],
         "preferred_index": n % 2}
        for n in range(24)
    ]  # fmt: skip
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    async with serve(make_folder(tmp_path / "rm", whole())) as script:
        script.paths["/classify"] = classify(1)
        yield script


def judges(script: Script, more: str = "") -> None:
    Path("judges.toml").write_text(
        f'[rm]\ntransport = "reward"\nreward_model = "rm"\nurl = "{script.url}"\n{more}'
    )


async def test_judge_card_and_calibration(script: Script) -> None:
    judges(script)
    card = ["judge-card", "--data", "data.jsonl", "--constitution", "tea.yaml", "--judge", "rm"]
    assert await asyncio.to_thread(main, [*card, "--output", "card.json"]) == 0
    told = json.loads(Path("card.json").read_text())
    assert told["n"] == 24
    assert told["unscored"] == 0
    assert told["flip_rate"] == 0
    # One reward reads no principle: negated, nothing turns round.
    assert told["inversion"] == 0
    assert "weights:" + "w" * 64 in json.dumps(told)
    calibration = next(Path().glob("*calibration*.json"))
    judges(script, f'calibration = "{calibration}"\n')
    rank = ["rank", "--constitution", "tea.yaml", "--judge", "rm", "--input", "items.jsonl"]
    rows = [json.loads(line) for line in Path("data.jsonl").read_text().splitlines()]
    items = [{key: row[key] for key in ("prompt", "completions")} for row in rows]
    Path("items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    asked = len(script.bodies("/classify"))
    assert await asyncio.to_thread(main, [*rank, "--output", "r.jsonl"]) == 0
    assert len(script.bodies("/classify")) == asked + 1, "only the canaries: votes are stored"
    lines = [json.loads(line) for line in Path("r.jsonl").read_text().splitlines()]
    assert {line["digests"]["calibration"] is not None for line in lines} == {True}


async def test_heads_of_principles_have_a_card_but_know_no_negated_wording(
    script: Script, tmp_path: Path
) -> None:
    make_folder(tmp_path / "heads", principled())
    script.paths["/classify"] = classify(3)
    Path("judges.toml").write_text(
        f'[rm]\ntransport = "reward"\nreward_model = "heads"\nurl = "{script.url}"\n'
    )
    card = ["judge-card", "--data", "data.jsonl", "--constitution", "tea.yaml", "--judge", "rm"]
    assert await asyncio.to_thread(main, [*card, "--output", "card.json"]) == 0
    told = json.loads(Path("card.json").read_text())
    assert (told["n"], told["unscored"], told["flip_rate"]) == (24, 0, 0)
    assert told["inversion"] is None
