"""What judging will cost, before a call is made.

An estimate counts all votes that the store lacks, and the tokens of their prompts, or of a sample
where there are many; a token that prompts share counts once as fresh. Seconds come from the speed
of votes that the store holds already, or from a speed given.
"""

from collections.abc import Container, Sequence
from itertools import combinations, islice
from typing import Any

from judges.ballots import Pairs as PairRule
from judges.ballots import ballot_maker, judged_pairs, most_pairs
from judges.budget import Prices
from judges.constitutions.constitution import Constitution
from judges.judge import Judge, Method
from judges.lacking import Pairs, lacking_once, lacking_votes
from judges.matter import Matter
from judges.pair_rounds import FewPairs
from judges.records import Item, Record
from judges.speed import Speed, measure_speed
from judges.store.vote_store import VoteStore
from judges.tally import EMPTY, Ballot
from judges.worded import AskedSample, Worded, ask_sample, put_into_words, some_rows


class JudgeEstimate(Record):
    """What one judge will be asked."""

    judge: str
    """Its name."""
    questions: int
    """All that the ranking needs; a scope that is not voted on is taken to apply."""
    stored: int
    """Of these, answered in the store already."""
    prompt_tokens: int
    """Of the others' prompts."""
    fresh_tokens: int
    """Of these, what no earlier prompt begins with: the least that can be computed."""
    completion_tokens: int
    """One a vote, and the reasoning's budget, where there is one."""
    exact: bool
    """Tokens are counted, not taken as four bytes each or extrapolated."""
    worded: int
    """Prompts that were put into words to count them; the others are extrapolated."""
    tokens_within: float
    """How far off the extrapolation may be, at 95 %, as a share; 0 where nothing was."""
    seconds: float | None
    """At the judge's speed so far, or the speed given; None where neither is known."""
    seconds_low: float | None = None
    """At the quicker end of its speed so far."""
    seconds_high: float | None = None
    """At the slower end."""
    speed: str | None = None
    """What the seconds rest on, in words."""
    price: float | None
    """With the judge's price table; None without one."""


def estimate(
    items: Sequence[Item],
    constitution: Constitution,
    judges: Sequence[Judge],
    store: VoteStore,
    *,
    pairs: PairRule | FewPairs = "all",
    method: Method | None = None,
    prices: dict[str, Prices] | None = None,
    rate: Speed | None = None,
) -> list[JudgeEstimate]:
    """What ranking the items will cost at most, a judge at a time. Cost: as `Survey`."""
    survey = Survey(items, constitution, judges, store, pairs=pairs, method=method)
    return survey.estimates(prices=prices, rate=rate)


class Survey:
    """What some items lack under a constitution, looked up once for several estimates."""

    def __init__(
        self,
        items: Sequence[Item],
        constitution: Constitution,
        judges: Sequence[Judge],
        store: VoteStore,
        *,
        pairs: PairRule | FewPairs = "all",
        method: Method | None = None,
    ) -> None:
        """Cost: no model call; one pass over the stored votes on these items."""
        self.items, self.constitution, self.judges, self.store = items, constitution, judges, store
        self.method = method or Method()
        make = ballot_maker(judges, constitution, self.method)
        self.ballots = [make(item) for item in items]
        self.chosen = [_pairs_of(ballot, pairs) for ballot in self.ballots]
        self.lacking = lacking_votes(self.ballots, self.chosen, constitution, store)

    def votes(self, only: Container[str] | None = None) -> int:
        """Votes of judges that are lacking."""
        lacking = self.lacking if only is None else self.lacking.only(only)
        once = lacking_once(lacking, self.ballots, self.chosen, self.store)
        return int(once[lacking.judged_T].sum())

    def estimates(
        self,
        *,
        only: Container[str] | None = None,
        prices: dict[str, Prices] | None = None,
        rate: Speed | None = None,
    ) -> list[JudgeEstimate]:
        """Each judge's estimate; `only` of the votes on some texts and scopes, by digest."""
        lacking = self.lacking if only is None else self.lacking.only(only)
        once = lacking_once(lacking, self.ballots, self.chosen, self.store)
        counts = zip(once[lacking.judged_T].sum(0).tolist(), lacking.stored_J.tolist(), strict=True)
        rows = some_rows(lacking.votes_RTJ[:, lacking.judged_T].sum((1, 2)))
        some = [self.items[row] for row in rows]
        matter = Matter.of(some, self.constitution, self.judges, self.method.kind)
        ballots, pairs = [self.ballots[r] for r in rows], [self.chosen[r] for r in rows]
        asked = ask_sample(ballots, pairs, self.constitution, only)
        return estimates_of(
            self.judges, list(counts), asked, matter, self.store, rate=rate, prices=prices
        )


def estimates_of(
    judges: Sequence[Judge],
    counts: Sequence[tuple[int, int]],
    asked: AskedSample,
    matter: Matter,
    store: VoteStore,
    *,
    rate: Speed | None = None,
    prices: dict[str, Prices] | None = None,
) -> list[JudgeEstimate]:
    """Each judge's estimate, from the votes that it lacks and has and some items' questions."""
    told = []
    for judge, numbers in zip(judges, counts, strict=True):
        words = put_into_words(asked, matter, judge, store)
        price = (prices or {}).get(judge.name)
        told.append(_told(judge, numbers, words, rate or _speed(words, store), price))
    return told


def _pairs_of(ballot: Ballot, pairs: PairRule | FewPairs) -> Pairs | None:
    """The pairs to judge; of few pairs that the answers choose, as many of the first."""
    if pairs == "all":
        return None
    if isinstance(pairs, str):
        return tuple(judged_pairs(ballot, pairs))
    place = {text: index for index, text in enumerate(ballot.completions) if text != EMPTY}
    players = sorted(place.values())
    return tuple(islice(combinations(players, 2), most_pairs(len(players), pairs)))


def _told(
    judge: Judge,
    counts: tuple[int, int],
    words: Worded,
    speed: Speed | None,
    prices: Prices | None,
) -> JudgeEstimate:
    (new, stored), of_new = counts, words.new
    scale = new / max(1, of_new.votes)
    fresh, whole = scale * of_new.fresh, scale * of_new.tokens
    written = new * (1 + (judge.reasoning.max_tokens if judge.reasoning else 0))
    price = None
    if prices is not None:
        price = (prices.prompt * fresh + prices.cached * (whole - fresh)) / 1e6
        price += prices.completion * written / 1e6
    return JudgeEstimate(
        judge=judge.name,
        questions=new + stored,
        stored=stored,
        prompt_tokens=round(whole),
        fresh_tokens=round(fresh),
        completion_tokens=written,
        exact=of_new.exact and of_new.votes == new,
        worded=of_new.votes,
        tokens_within=0.0 if of_new.votes >= new else round(of_new.within, 4),
        price=price,
        **_seconds(speed, new, fresh),
    )


def _speed(words: Worded, store: VoteStore) -> Speed | None:
    """The judge's speed so far: in fresh tokens, as a lone principle shares less than a dozen."""
    speed = measure_speed(store, words.settings)
    return speed.in_tokens(words.known.fresh_each) if speed and words.known.votes else speed


def _seconds(speed: Speed | None, votes: int, fresh: float) -> dict[str, Any]:
    if speed is None:
        return {"seconds": None}
    amount = fresh if speed.unit == "tokens" else votes
    return {
        "seconds": amount / speed.value,
        "seconds_low": amount / speed.high,
        "seconds_high": amount / speed.low,
        "speed": speed.told,
    }
