"""Sampling: lines in order, failures raised at the end, a kill loses only what was in flight."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from judges.errors import ModelError
from judges.items import load_items
from judges.jsonl import write_jsonl
from judges.model import Sampling
from judges.models.fake import FakeModel, FakeSettings
from judges.records import Item, Message
from judges.sample import sample

ROOT = Path(__file__).resolve().parents[2]


def prompts(count: int) -> list[Item]:
    return [
        Item(
            id=f"p{k}",
            prompt=(Message(role="user", content=f"Tell me of {k}."),),
            completions=(),
            metadata={"k": k},
        )
        for k in range(count)
    ]


async def drawn(
    model: FakeModel, of: list[Item], n: int = 2, system: str | None = None
) -> list[dict[str, object]]:
    parts = sample(of, model, Sampling(n=n, seed=1), system=system)
    return [line async for part in parts for line in part]


async def test_lines_are_completions_lines_in_order(tmp_path: Path) -> None:
    lines = await drawn(FakeModel(), prompts(70))
    assert [line["id"] for line in lines] == [f"p{k}" for k in range(70)]
    write_jsonl(tmp_path / "c.jsonl", lines)
    items = load_items(tmp_path / "c.jsonl")
    assert [item.metadata for item in items] == [{"k": k} for k in range(70)]
    assert all(len(item.completions) == 2 for item in items)
    assert all(c.finish_reason and c.tokens for item in items for c in item.completions)


async def test_a_system_turn_goes_before_prompts_that_have_none() -> None:
    own = Item(
        id="own",
        prompt=(
            Message(role="system", content="Mine."),
            Message(role="user", content="Tell me of 0."),
        ),
        completions=(),
    )
    (plain,) = await drawn(FakeModel(), prompts(1))
    (with_system,) = await drawn(FakeModel(), prompts(1), system="Theirs.")
    (kept,) = await drawn(FakeModel(), [own], system="Theirs.")
    assert plain["completions"] != with_system["completions"]
    assert kept["completions"] == (await drawn(FakeModel(), [own]))[0]["completions"]
    assert with_system["prompt"] == plain["prompt"]


async def test_failures_are_raised_once_all_others_are_done() -> None:
    model = FakeModel(FakeSettings(fail_containing={"of 3.": "too_long", "of 64.": "refused"}))
    lines = []
    with pytest.raises(ModelError, match=r"2 of 70 prompts have no completions, 'p3' first: too_l"):
        async for part in sample(prompts(70), model, Sampling()):
            lines += part
    assert len(lines) == 68
    assert model.prompts == 70


async def test_a_caller_who_stops_early_leaves_no_task_behind() -> None:
    lines = sample(prompts(200), FakeModel(FakeSettings(latency_s=0.01)), Sampling())
    await anext(lines)
    await lines.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


SLOW = """
import asyncio, sys
from pathlib import Path
from judges.models.fake import FakeModel, FakeSettings
from judges.items import load_prompts
from judges.jsonl import Journal
from judges.model import Sampling
from judges.sample import sample

async def main(source, output, latency):
    model = FakeModel(FakeSettings(latency_s=latency))
    items = load_prompts(source)
    with Journal(output, lambda row: True) as journal:
        left = [item for item in items if item.id not in journal]
        async for lines in sample(left, model, Sampling(n=1, seed=1)):
            journal.append(lines)
        journal.finish(item.id for item in items)
    print(model.prompts)

asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])))
"""


def test_killed_in_the_middle_and_run_again_it_is_as_if_nothing_happened(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "p.jsonl", ({"id": p.id, "prompt": "x" + p.id} for p in prompts(640)))

    def command(output: str, latency: float) -> list[str]:
        return [sys.executable, "-c", SLOW, str(tmp_path / "p.jsonl"), output, str(latency)]

    output, partial = tmp_path / "c.jsonl", tmp_path / "c.jsonl.partial"
    with subprocess.Popen(command(str(output), 0.05), cwd=ROOT) as process:
        until = time.monotonic() + 30
        while not (partial.exists() and partial.stat().st_size) and time.monotonic() < until:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    assert not output.exists()
    kept = partial.read_bytes().count(b"\n")
    assert 0 < kept < 640
    again = subprocess.run(command(str(output), 0), cwd=ROOT, capture_output=True, check=True)
    assert int(again.stdout) == 640 - kept
    undisturbed = tmp_path / "undisturbed.jsonl"
    subprocess.run(command(str(undisturbed), 0), cwd=ROOT, capture_output=True, check=True)
    assert output.read_bytes() == undisturbed.read_bytes()
    assert not partial.exists()
