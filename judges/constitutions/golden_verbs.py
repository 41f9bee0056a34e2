"""What `charter constitution test` does: put the golden tests to judges, say which are passed."""

import argparse
import asyncio
import json
from contextlib import AsyncExitStack

from judges.constitutions.files import load_constitution
from judges.golden import GoldenResult, run_golden_tests
from judges.intervals import wilson
from judges.judge_files import open_judges
from judges.progress import say
from judges.store.vote_store import VoteStore
from judges.verbs import emit


def run_test(options: argparse.Namespace) -> int:
    """`charter constitution test`: exit code 1 when a test is not passed."""
    constitution = load_constitution(options.reference)

    async def run() -> list[GoldenResult]:
        async with AsyncExitStack() as stack:
            judges = await open_judges(options.judge, stack)
            return await run_golden_tests(constitution, judges, store)

    with VoteStore.open(options.store) as store:
        results = asyncio.run(run())
    passed = sum(result.passed for result in results)
    low, high = wilson(passed, len(results))
    if options.json:
        emit(json.dumps([result.model_dump() for result in results], indent=2))
    else:
        for result in results:
            p = "unscored" if result.p is None else f"p {result.p:.3f}"
            mark = "pass" if result.passed else "FAIL"
            emit(f"{mark}  {result.principle}:{result.test}  {p}")
    say(f"passed {passed} of {len(results)} (95 % interval {low:.2f} to {high:.2f})")
    return 0 if passed == len(results) else 1
