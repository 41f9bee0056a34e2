"""What the judges told of every pair: of all principles, of each alone, of some of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from judges.ballots import ballot_of
from judges.constitutions.constitution import Constitution
from judges.judge import Judge, settings_of
from judges.reweigh import rankings
from judges.store.vote_store import VoteStore
from training.evaluation.win_rates import Pairs, WinRate, win_rate


class Told:
    """Ranking lines of pairs, in their order."""

    def __init__(
        self,
        pairs: Pairs,
        lines: Sequence[Mapping[str, Any]],
        constitution: Constitution,
        seed: int,
    ) -> None:
        self.pairs, self.lines, self.constitution, self.seed = pairs, lines, constitution, seed

    def win_rate(self, principle: str | None = None, *, noise: bool = False) -> WinRate:
        """Of all principles together, or of one alone."""
        verdicts = [verdict(line, principle) for line in self.lines]
        margin = self.constitution.aggregate.tie_margin
        return win_rate(self.pairs, verdicts, margin, self.seed, noise=noise)

    def part(self, rules: bool, judges: Sequence[Judge], store: VoteStore) -> WinRate | None:
        """The win rate by the rules alone, or by the judged principles: the same votes."""
        kept = tuple(p for p in self.constitution.principles if (p.rule is not None) == rules)
        if not kept:
            return None
        part = self.constitution.model_copy(update={"principles": kept})
        settings = settings_of(judges)
        ballots = [ballot_of(item, settings) for item in self.pairs.items]
        return Told(self.pairs, list(rankings(ballots, part, store)), part, self.seed).win_rate()


def verdict(line: Mapping[str, Any], principle: str | None = None) -> float | None:
    """P(first better than second) of a ranking line of two; None where there is none."""
    told = line if principle is None else line["principles"].get(principle, {"p": [[None, None]]})
    p = told["p"][0][1]
    return None if p is None or p != p else float(p)
