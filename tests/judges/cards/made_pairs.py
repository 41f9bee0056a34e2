"""Labelled pairs whose better completion is planted, and judges that see it or do not."""

import random
from collections.abc import Sequence
from typing import Literal

from judges.cards.card import JudgeCard, make_card
from judges.cards.confidence import CardSettings
from judges.cards.inversion import measure_inversion
from judges.cards.labelled import LabelledPair
from judges.cards.voting import judge_pairs, uncalibrated
from judges.constitutions.constitution import Constitution
from judges.judge import Judge, Method
from judges.store.vote_store import VoteStore
from tests.judges.planted import constitution, item

UNDER = constitution({"id": "good", "text": "Be good."})
SEES = {"violates this: Be good": "avoids:GOOD", "Be good": "contains:GOOD"}
"""Likes a completion that holds GOOD, and under the negated principle one that does not."""
BLIND = {"Be good": "contains:GOOD"}
"""Likes GOOD whatever it is told of it."""


def made_pairs(count: int, *, ties: int = 0, seed: int = 0) -> list[LabelledPair]:
    """Pairs in which people prefer what holds GOOD; its place and its length tell nothing."""
    rng = random.Random(seed)
    pairs = []
    for k in range(count):
        good = f"GOOD answer {k}" + " more" * rng.randint(0, 4)
        poor = f"poor answer {k}" + " more" * rng.randint(0, 4)
        first = rng.random() < 0.5
        texts = (good, poor) if first else (poor, good)
        preferred = 0.5 if k < ties else float(first)
        part = "even" if k % 2 == 0 else "odd"
        pairs.append(LabelledPair(item=item(f"i{k}", *texts), preferred=preferred, slice=part))
    return pairs


async def card_of(
    pairs: list[LabelledPair],
    judges: Sequence[Judge],
    store: VoteStore,
    *,
    under: Constitution = UNDER,
    options: CardSettings | None = None,
    kind: Literal["pair", "yes_no", "point", "list"] = "pair",
) -> JudgeCard:
    """The card, all steps taken."""
    method = Method(kind=kind)
    how = options or CardSettings()
    raw = uncalibrated(judges)
    judged = await judge_pairs(pairs, under, raw, store, method)
    negation = await measure_inversion(
        pairs, under, raw, store, method, at_most=how.inversion_pairs, seed=how.seed
    )
    return make_card(pairs, under, raw, judged, negation, method=method, data="made", options=how)
