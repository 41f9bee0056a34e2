"""What `charter score` does: read files, open judges, score, say what came of it."""

import argparse
import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from judges.canonical import digest
from judges.constitutions.constitution import Constitution
from judges.constitutions.files import load_constitution
from judges.items import load_items
from judges.jsonl import Journal
from judges.judge import Judge, Method, settings_of
from judges.judge_files import open_judges
from judges.progress import progress, say
from judges.records import Item
from judges.scoring.score import ASKS, Ask, score
from judges.store.vote_store import VoteStore
from judges.verbs import EXIT_UNSCORED, refuse_same, say_resumed


def run_score(options: argparse.Namespace) -> int:
    """`charter score`"""
    constitution = load_constitution(options.constitution)
    items = load_items(options.input)
    refuse_same(options.input, options.output)
    ask = ASKS if options.ask == "both" else (options.ask,)

    async def run() -> Counter[str]:
        async with AsyncExitStack() as stack:
            judges = await open_judges(options.judge, stack)
            return await score_file(items, constitution, judges, store, options.output, ask)

    with VoteStore.open(options.store) as store:
        status = asyncio.run(run())
    say(f"{options.output}: " + ", ".join(f"{n} {name}" for name, n in sorted(status.items())))
    lost = sum(status.values()) - status["scored"]
    if lost > options.max_unscored * len(items):
        say(f"{lost} of {len(items)} items are not scored, more than --max-unscored allows")
        return EXIT_UNSCORED
    return 0


async def score_file(
    items: Sequence[Item],
    constitution: Constitution,
    judges: Sequence[Judge],
    store: VoteStore,
    output: Path,
    ask: Sequence[Ask] = ASKS,
) -> Counter[str]:
    """Score to a file; returns how many items have each status.

    A second run takes only items that are new, changed, or ended in an error; votes that the
    store holds are not cast again.
    """
    settings = [settings_of(judges, Method(kind=kind)) for kind in ("yes_no", "point")]
    asked = digest([list(ask), constitution.digest, [s.model_dump(mode="json") for s in settings]])
    texts = {item.id: digest(item.model_dump(mode="json")) for item in items}

    def keep(row: Mapping[str, Any]) -> bool:
        same = row.get("asked") == {"how": asked, "item": texts.get(str(row["id"]))}
        return same and row.get("status") != "error"

    with Journal(output, keep) as journal:
        left = [item for item in items if item.id not in journal]
        say_resumed(len(journal), len(items), output)
        with progress("scoring", "prompts") as report:
            async for lines in score(left, constitution, judges, store, ask=ask, progress=report):
                journal.append(
                    [{**x, "asked": {"how": asked, "item": texts[x["id"]]}} for x in lines]
                )
        status = Counter(str(row["status"]) for row in journal.rows())
        details = Counter(row["detail"] for row in journal.rows() if "detail" in row)
        for detail, count in details.most_common(1):
            say(f"the judge failed on {count} items: {detail}; run again to ask for these only")
        journal.finish(item.id for item in items)
    return status
