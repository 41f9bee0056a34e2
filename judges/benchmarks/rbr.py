"""How well a judge grades statements: against labels, and graders that know nothing.

Source: Mu et al. 2024, arXiv:2411.01111; the labels are the authors' gold data, the wording of the
statements is ours.
"""

import asyncio
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np

from judges.constitutions.constitution import Constitution
from judges.judge_files import open_judges
from judges.progress import progress
from judges.propositions.gold import gold_groups, gold_labels, gold_scheme, read_gold
from judges.propositions.report import proposition_report
from judges.propositions.scheme import PropositionScheme
from judges.scoring.score import score
from judges.store.vote_store import VoteStore

FLOOR = 1e-6
"""Printed probabilities have six digits: nearer to 0 or 1 they say no more."""


def statements_as_constitution(scheme: PropositionScheme) -> Constitution:
    """One principle that is spelled out by the statements: what `score` asks about."""
    return Constitution.model_validate(
        {
            "name": "rbr-gold",
            "version": "1.0.0",
            "title": "Statements of the gold data",
            "licence": "CC0-1.0",
            "principles": [
                {
                    "id": "statements",
                    "family": "statements",
                    "title": "All of them",
                    "text": "All statements are as they should be.",
                    "propositions": [one.model_dump() for one in scheme.propositions],
                }
            ],
        }
    )


def benchmark_rbr(
    data: Path, judges: Sequence[str], store: VoteStore, rows: int | None, seed: int
) -> dict[str, Any]:
    """The report on each statement over the gold rows, or over so many drawn from them.

    Cost: one vote a row and statement, which the store keeps.
    """
    gold = read_gold(data)
    if rows is not None and rows < len(gold):
        gold = random.Random(seed).sample(gold, rows)
    scheme = gold_scheme()
    constitution = statements_as_constitution(scheme)

    async def run() -> list[dict[str, Any]]:
        async with AsyncExitStack() as stack:
            opened = await open_judges(judges, stack)
            with progress("grading", "completions") as report:
                lines = score(
                    [row.item for row in gold], constitution, opened, store,
                    ask=("yes-no",), progress=report,
                )  # fmt: skip
                return [line async for part in lines for line in part]

    lines = asyncio.run(run())
    names = scheme.names
    p_NF = np.array(
        [
            [line["principles"]["statements"]["statements"][name][0] for name in names]
            for line in lines
        ],
        dtype=np.float64,
    )
    p_NF = np.clip(p_NF, FLOOR, 1 - FLOOR)
    labels = gold_labels(gold, names)
    logits = np.log(p_NF) - np.log1p(-p_NF)
    told = proposition_report(names, logits, labels, gold_groups(gold), seed=seed)
    judge = lines[0]["digests"]["judge"]
    return {"rows": len(gold), "judge": judge, "report": told}
