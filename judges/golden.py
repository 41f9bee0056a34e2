"""Golden tests: does a judge, under one principle alone, prefer what the author calls better?"""

from collections.abc import Sequence

from judges.constitutions.constitution import Constitution
from judges.judge import Judge
from judges.rank import rank
from judges.records import CompletionText, Item, Probability, Reason, Record
from judges.store.vote_store import VoteStore


class GoldenResult(Record):
    """What became of one golden test."""

    principle: str
    """The principle's id."""
    test: int
    """Which of its tests, from 0."""
    p: Probability | None
    """P(better over worse) by both orders; None when unscored."""
    reason: Reason | None = None
    """Why it is unscored."""
    new_votes: int = 0
    """Votes cast for it now."""

    @property
    def passed(self) -> bool:
        """Whether the better completion won; a tie or an unscored pair has not passed."""
        return self.p is not None and self.p > 0.5


async def run_golden_tests(
    constitution: Constitution, judges: Sequence[Judge], store: VoteStore
) -> list[GoldenResult]:
    """Every golden test's result, each under its own principle, scope aside.

    Cost: two votes a test of a judged principle, none for a rule.
    """
    results = []
    for principle in constitution.principles:
        alone = constitution.model_copy(
            update={"principles": (principle.model_copy(update={"applies_when": None}),)}
        )
        items = [
            Item(
                id=f"{principle.id}:{number}",
                prompt=test.conversation,
                completions=(CompletionText(text=test.better), CompletionText(text=test.worse)),
            )
            for number, test in enumerate(principle.tests)
        ]
        lines = [line async for part in rank(items, alone, judges, store) for line in part]
        results += [
            GoldenResult(
                principle=principle.id,
                test=number,
                p=float(line["p"][0][1]) if line["status"] == "scored" else None,
                reason=line["reason"],
                new_votes=line["usage"]["new_votes"],
            )
            for number, line in enumerate(lines)
        ]
    return results
