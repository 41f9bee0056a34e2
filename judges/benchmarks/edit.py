"""What an edit of a constitution costs on a large run, against judging all of it anew.

A run of made-up prompts is stored as if the fake judge had cast every vote. Then the verbs that a
constitution's author uses are timed, each in a process of its own. Judging anew is timed on some
prompts, with the same fake judge, and scaled up: it takes no engine's time, and yet long. Ratios
are of processor seconds, which other work on the machine hardly changes.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import func, select

from judges.ballots import ballot_of
from judges.benchmarks.made_up import made_up_constitution, made_up_items
from judges.benchmarks.own_process import measured, usage_since
from judges.constitutions.constitution import Constitution
from judges.constitutions.yaml_text import yaml_text
from judges.jsonl import dump_line
from judges.judge import Judge, settings_of
from judges.models.fake import FakeModel
from judges.progress import progress, say
from judges.ranking_files import reweigh_file
from judges.records import Item
from judges.store.schema import votes, writing
from judges.store.vote_store import VoteStore

PRINCIPLES = 12
PARTS = 4
AT_ONCE = 5_000
ANEW = 1_000
"""Prompts judged anew; the rest is scaled."""
VERBS = {
    "reweigh, one weight": "reweigh --rankings r.jsonl --constitution heavy.yaml --output w.jsonl",
    "diff, one weight": "constitution diff old.yaml heavy.yaml --rankings r.jsonl --judge fake",
    "diff, one rewording": "constitution diff old.yaml worded.yaml --rankings r.jsonl --judge fake",
    "impact, one weight": "constitution impact old.yaml heavy.yaml --rankings r.jsonl "
    "--output i.html",
    "impact, one rewording, a sample": "constitution impact old.yaml worded.yaml --rankings "
    "r.jsonl --output i.html --judge fake --sample {sample}",
    "relabel --estimate, one rewording": "relabel --rankings r.jsonl --constitution worded.yaml "
    "--output r2.jsonl --judge fake --estimate",
    "relabel, one rewording": "relabel --rankings r.jsonl --constitution worded.yaml --output "
    "r2.jsonl --judge fake",
    "impact, one rewording, all voted": "constitution impact old.yaml worded.yaml --rankings "
    "r.jsonl --output i.html",
}


def benchmark_edit(prompts: int, sample: int) -> dict[str, Any]:
    """Seconds, peak memory and new votes of each verb, and the ratios to judging anew.

    Cost: a fake vote for each prompt twice, and for some twice a principle; minutes for 100,000.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        old = made_up_constitution(PRINCIPLES)
        _write_edits(folder, old)
        _store_run(folder, old, prompts)
        anew = measured("judges.benchmarks.edit", str(folder), "anew", str(min(ANEW, prompts)))
        scale = prompts / anew["prompts"]
        told: dict[str, Any] = {
            "prompts": prompts,
            "principles": PRINCIPLES,
            "stored_votes": 2 * PRINCIPLES * prompts,
            "judging anew, scaled": {
                "measured": anew,
                "seconds": round(anew["seconds"] * scale),
                "processor_seconds": round(anew["processor_seconds"] * scale),
                "new_votes": 2 * PRINCIPLES * prompts,
            },
        }
        for title, words in VERBS.items():
            say(title)
            line = words.format(sample=sample)
            told[title] = measured("judges.benchmarks.edit", str(folder), *line.split())
            told[title]["times_quicker_than_anew"] = round(
                anew["processor_seconds"] * scale / told[title]["processor_seconds"], 1
            )
    return told


def _write_edits(folder: Path, old: Constitution) -> None:
    """The constitution, with one weight changed, and with one text."""
    first, *rest = old.principles
    for name, edited in (
        ("old", first),
        ("heavy", first.model_copy(update={"weight": 3.0})),
        ("worded", first.model_copy(update={"text": f"{first.text} Nothing else counts."})),
    ):
        made = old.model_copy(update={"principles": (edited, *rest)})
        (folder / f"{name}.yaml").write_text(yaml_text(made))


def _store_run(folder: Path, old: Constitution, prompts: int) -> None:
    """Completions, votes and rankings of a run that the fake judge might have made."""
    settings = settings_of([Judge("fake", FakeModel())])
    rng = np.random.default_rng(0)
    bodies = [p.question_text("pair") for p in old.principles]
    setting = Judge("fake", FakeModel()).setting("pair")
    with (
        VoteStore.open(f"sqlite:///{folder / 'votes.db'}") as store,
        progress("storing", "prompts") as report,
        (folder / "c.jsonl").open("wb") as completions,
        (folder / "bare.jsonl").open("wb") as rankings,
    ):
        store.add([], [setting.text, *bodies])
        for start in range(0, prompts, AT_ONCE):
            items = made_up_items(min(AT_ONCE, prompts - start), f"edit-{start}")
            _insert(store, items, old, setting.digest, rng)
            for item in items:
                row = {
                    "id": item.id,
                    "prompt": [message.model_dump() for message in item.prompt],
                    "completions": [completion.text for completion in item.completions],
                    "metadata": {"subset": f"part {rng.integers(PARTS)}"},
                }
                completions.write(dump_line(row))
                ballot = ballot_of(item, settings).model_dump(mode="json", exclude={"id"})
                rankings.write(dump_line({**row, "votes": ballot, "asked": "all"}))
            report(start + len(items), prompts)
        rankings.flush()
        reweigh_file(folder / "bare.jsonl", old, store, folder / "r.jsonl")


def _insert(
    store: VoteStore,
    items: Sequence[Item],
    old: Constitution,
    setting: str,
    rng: np.random.Generator,
) -> None:
    """Every vote on some items in one transaction, past the records that `VoteStore.add` takes."""
    texts = [(item.conversation_text, *(c.text for c in item.completions)) for item in items]
    store.add([], {text for three in texts for text in three})
    settings = settings_of([Judge("fake", FakeModel())])
    ballots = [ballot_of(item, settings) for item in items]
    asked = store.ids([d for one in ballots for d in (one.conversation, *one.completions)])
    principle_P = store.ids([p.question_digest("pair") for p in old.principles]).tolist()
    (setting_id,) = store.ids([setting]).tolist()
    gap_BP = rng.normal(0, 1, (len(items), 1)) + rng.normal(0, 1.5, (len(items), len(principle_P)))
    rows = []
    for (conversation, a, b), gap_P in zip(
        asked.reshape(-1, 3).tolist(), gap_BP.tolist(), strict=True
    ):
        for first, second, sign in ((a, b, 1.0), (b, a, -1.0)):
            for principle, gap in zip(principle_P, gap_P, strict=True):
                value = sign * gap + 0.3
                rows.append(
                    (conversation, setting_id, first, second, 0, principle, 300, 0, setting_id, 0,
                     value, 1.0, True, None, b"", None)
                )  # fmt: skip
    rows.sort()
    marks = ", ".join(["?"] * len(votes.columns))
    with writing(store.engine) as connection:
        connection.exec_driver_sql(f"INSERT INTO votes VALUES ({marks})", rows)


def measure(folder: Path, words: Sequence[str]) -> None:
    """Run one verb in the folder; print its seconds, peak memory and new votes as the last line."""
    if words[0] == "anew":
        head = (folder / "c.jsonl").open("rb")
        with head, (folder / "some.jsonl").open("wb") as some:
            some.writelines(next(head) for _ in range(int(words[1])))
        words = [
            "rank", "--constitution", "old.yaml", "--input", "some.jsonl", "--output", "a.jsonl",
            "--judge", "fake", "--store", f"sqlite:///{folder}/anew.db",
        ]  # fmt: skip
        told: dict[str, Any] = {"prompts": int(sys.argv[3])}
    else:
        words, told = [*words, "--store", f"sqlite:///{folder}/votes.db"], {}
    before = _votes(words[-1])
    started = time.monotonic()
    parser = _parser()
    options = parser.parse_args([_placed(folder, word) for word in words])
    code = options.run(options)
    told |= usage_since(started) | {"new_votes": _votes(words[-1]) - before, "exit_code": code}
    sys.stdout.write(json.dumps(told) + "\n")


def _parser() -> argparse.ArgumentParser:
    from judges.commands import add_verbs

    parser = argparse.ArgumentParser()
    add_verbs(parser.add_subparsers())
    return parser


def _placed(folder: Path, word: str) -> str:
    return str(folder / word) if word.endswith((".yaml", ".jsonl", ".html")) else word


def _votes(url: str) -> int:
    with VoteStore.open(url) as store, store.engine.begin() as connection:
        return int(connection.execute(select(func.count()).select_from(votes)).scalar_one())


if __name__ == "__main__":
    measure(Path(sys.argv[1]), sys.argv[2:])
