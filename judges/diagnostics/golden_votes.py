"""Golden tests answered from stored votes: what `charter constitution test` has left there."""

from collections import Counter
from collections.abc import Sequence

from judges.canonical import text_digest
from judges.constitutions.constitution import Constitution, GoldenTest
from judges.golden import GoldenResult
from judges.records import Record, conversation_text
from judges.reweigh import rankings
from judges.store.vote_store import VoteStore
from judges.tally import Ballot, Settings


class GoldenCount(Record):
    """How many golden tests pass; the rest of them either fail or cannot be told."""

    passed: int
    """The better completion wins."""
    failed: int
    """It loses, or ties."""
    unscored: int
    """No verdict: mostly votes that `charter constitution test` would cast."""

    @property
    def n(self) -> int:
        """Tests there are."""
        return self.passed + self.failed + self.unscored


def usual_settings(ballots: Sequence[Ballot]) -> Settings:
    """The settings that most rankings of a run were made under."""
    return Counter(ballot.settings for ballot in ballots).most_common(1)[0][0]


def golden_results(
    constitution: Constitution, settings: Settings, store: VoteStore, *, whole: bool = False
) -> list[GoldenResult]:
    """Each golden test's result under its own principle alone, or under the whole constitution.

    Cost: no model call; a test whose votes are not stored is unscored. Judges that were not asked
    about pairs have no votes on golden tests.
    """
    results = []
    for principle in constitution.principles:
        alone = principle.model_copy(update={"applies_when": None})
        under = constitution if whole else constitution.model_copy(update={"principles": (alone,)})
        ballots = [
            _ballot(test, f"{principle.id}:{number}", settings)
            for number, test in enumerate(principle.tests)
        ]
        for number, line in enumerate(rankings(ballots, under, store)):
            scored = line["status"] == "scored" and settings.kind == "pair"
            results.append(
                GoldenResult(
                    principle=principle.id,
                    test=number,
                    p=float(line["p"][0][1]) if scored else None,
                    reason=None if scored else line["reason"] or "missing_vote",
                )
            )
    return results


def golden_count(results: Sequence[GoldenResult]) -> GoldenCount:
    """How many of the tests pass."""
    passed = sum(result.passed for result in results)
    unscored = sum(result.p is None for result in results)
    return GoldenCount(passed=passed, failed=len(results) - passed - unscored, unscored=unscored)


def _ballot(test: GoldenTest, name: str, settings: Settings) -> Ballot:
    return Ballot(
        id=name,
        conversation=text_digest(conversation_text(test.conversation)),
        completions=(text_digest(test.better), text_digest(test.worse)),
        settings=settings,
    )
