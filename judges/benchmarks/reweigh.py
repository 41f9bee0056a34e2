"""Seconds and peak memory of `charter reweigh`, and the ratio to a plain read of the rows."""

import json
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from judges.ballots import ballot_of
from judges.benchmarks.made_up import made_up_constitution, made_up_items
from judges.benchmarks.own_process import measured, usage_since
from judges.constitutions.constitution import Constitution
from judges.jsonl import write_jsonl
from judges.judge import RULE_SETTING
from judges.progress import progress
from judges.ranking_files import reweigh_file
from judges.records import Item, Question, Setting, Vote
from judges.reweigh import questions, rankings
from judges.store.vote_store import VoteStore
from judges.tally import Settings

PRINCIPLES = 16
PART = 500


def benchmark_reweigh(votes: int) -> dict[str, Any]:
    """Seconds and peak memory of `charter reweigh`, and the ratio to a plain read of the rows.

    Cost: no model call; some minutes to store the votes first.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = f"sqlite:///{folder / 'votes.db'}"
        constitution = made_up_constitution(PRINCIPLES)
        stored = _store_votes(votes, constitution, url, folder)
        (folder / "constitution.json").write_text(constitution.model_dump_json())
        results = {
            what: measured("judges.benchmarks.reweigh", what, str(folder))
            for what in ("plain", "reweigh")
        }
    return {
        "votes": stored,
        "rankings": stored // (2 * PRINCIPLES),
        **results,
        "ratio_to_plain_read": round(
            results["reweigh"]["seconds"] / results["plain"]["seconds"], 2
        ),
    }


def _store_votes(votes: int, constitution: Constitution, url: str, folder: Path) -> int:
    setting = Setting(kind="pair", options=("A", "B"), template="t", judge="benchmark")
    settings = Settings(pair=(setting.digest,), applies=(), rule=RULE_SETTING.digest)
    rng = random.Random(0)
    stored, lines = 0, []
    with VoteStore.open(url) as store, progress("storing", "votes") as report:
        for start in range(0, votes // (2 * PRINCIPLES), 500):
            items = made_up_items(500, f"reweigh-{start}")[: votes // (2 * PRINCIPLES) - start]
            ballots = [ballot_of(item, settings) for item in items]
            asked = [q for ballot in ballots for q in questions(ballot, constitution)]
            store.add(
                [_made_up(question, rng) for question in asked],
                _texts(items, constitution, setting),
            )
            stored += len(asked)
            for item, line in zip(items, rankings(ballots, constitution, store), strict=True):
                line["prompt"] = [message.model_dump() for message in item.prompt]
                line["completions"] = [completion.text for completion in item.completions]
                lines.append(line)
            report(stored, votes)
    write_jsonl(folder / "rankings.jsonl", lines)
    return stored


def _texts(items: Sequence[Item], constitution: Constitution, setting: Setting) -> list[str]:
    texts = [setting.text, *(p.question_text("pair") for p in constitution.principles)]
    for item in items:
        texts += [item.conversation_text, *(completion.text for completion in item.completions)]
    return texts


def _made_up(question: Question, rng: random.Random) -> Vote:
    logit = rng.gauss(0, 2)
    return Vote(
        question=question,
        status="scored",
        logprobs=(-0.7 + logit / 2, -0.7 - logit / 2),
        label_mass=0.9,
        value=logit,
        prompt_tokens=300,
    )


def _reweigh(folder: Path) -> int:
    """What `charter reweigh` does, from the store and the rankings file to a new rankings file."""
    constitution = Constitution.model_validate_json((folder / "constitution.json").read_text())
    with VoteStore.open(f"sqlite:///{folder / 'votes.db'}") as store:
        return reweigh_file(
            folder / "rankings.jsonl", constitution, store, folder / "out.jsonl"
        ).total()


def _plain(folder: Path) -> int:
    """Reading the same rows with sqlite3 and nothing else."""
    with sqlite3.connect(folder / "votes.db") as connection:
        query = "SELECT conversation_id, principle_id, first_id, second_id, value FROM votes"
        return len(connection.execute(query).fetchall())


def measure(what: str, folder: Path) -> None:
    """Print the seconds after start-up and the peak memory of this process and its children."""
    start = time.monotonic()
    {"reweigh": _reweigh, "plain": _plain}[what](folder)
    sys.stdout.write(json.dumps(usage_since(start)) + "\n")


if __name__ == "__main__":
    measure(sys.argv[1], Path(sys.argv[2]))
