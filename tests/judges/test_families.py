"""Principles of a family that a judge has an adapter for are put to the adapter, others are not."""

from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from judges.ballots import ballot_maker
from judges.errors import ModelError
from judges.judge import Judge, Method, settings_of
from judges.lacking import lacking_votes
from judges.model import Capabilities, ChatModel
from judges.models.fake import FakeModel, FakeSettings
from judges.models.on_demand import OnDemandModel
from judges.ranking_files import ballot_in
from judges.reweigh import rankings
from judges.store.vote_store import VoteStore
from tests.judges.planted import SHORTER, as_written, asked, constitution, item, rank_all, verdicts

SAFE = {"id": "safe", "family": "harmlessness", "text": "Be safe.", "applies_when": "Always."}
UNDER = constitution(SHORTER, SAFE)
OF = [item("a", "tea is a drink", "tea"), item("b", "one", "two words")]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VoteStore]:
    with VoteStore.open(f"sqlite:///{tmp_path}/votes.db") as opened:
        yield opened


def model(**planted: object) -> FakeModel:
    return FakeModel(FakeSettings.model_validate(planted))


def taught(name: str = "taught", **more: object) -> Judge:
    """A judge that likes short ones, and an adapter of its that likes long ones."""
    base = model(preferences={"Be": "shorter"}, **more)
    adapter = model(seed=9, preferences={"Be": "longer"}, **more)
    return Judge(name, base, families=(("harmlessness", adapter),))


async def test_each_principle_is_put_to_the_model_of_its_family(store: VoteStore) -> None:
    judge = taught()
    lines = await rank_all(OF, UNDER, [judge], store)
    for line in lines:
        short = line["principles"]["shorter"]["p"][0][1] > 0.5
        assert (line["principles"]["safe"]["p"][0][1] > 0.5) is not short
    adapter = dict(judge.families)["harmlessness"]
    assert isinstance(adapter, FakeModel)
    assert adapter.prompts == 2 * len(OF)  # both orders; scopes are asked of the base
    assert asked(judge) == 3 * len(OF)


async def test_keys_and_digests_name_the_adapter_where_it_judged(store: VoteStore) -> None:
    judge = taught()
    whole = await rank_all(OF, UNDER, [judge], store)
    plain = await rank_all(OF, constitution(SHORTER), [judge], store)
    alone = await rank_all(OF, constitution(SAFE), [judge], store)
    base, adapter = (settings_of([one]).pair[0] for one in (judge, judge.under("harmlessness")))
    assert base != adapter
    told = [lines[0]["digests"]["judge"] for lines in (whole, plain, alone)]
    assert told == [f"{base}+{adapter}", base, adapter]


async def test_reweighing_finds_the_votes_of_the_adapter_again(store: VoteStore) -> None:
    lines = await rank_all(OF, UNDER, [taught()], store)
    ballots = [found for line in lines if (found := ballot_in(line))]
    again = as_written(list(rankings(ballots, UNDER, store)))
    assert [verdicts(line) for line in again] == [verdicts(line) for line in lines]


async def test_what_is_lacking_is_counted_by_who_is_asked(store: VoteStore) -> None:
    judge = taught()
    ballots = [ballot_maker([judge], UNDER, Method())(one) for one in OF]
    pairs = [None] * len(OF)
    before = lacking_votes(ballots, pairs, UNDER, store).votes_RTJ.sum()
    assert before == 2 * len(OF) + 3 * len(OF)  # texts in both orders, and a scope
    await rank_all(OF, UNDER, [replace(judge, families=())], store)
    asked_of_base = lacking_votes(ballots, pairs, UNDER, store).votes_RTJ.sum()
    assert asked_of_base == 2 * len(OF)
    await rank_all(OF, UNDER, [judge], store)
    assert lacking_votes(ballots, pairs, UNDER, store).votes_RTJ.sum() == 0


async def test_on_a_panel_the_others_judge_the_family_themselves(store: VoteStore) -> None:
    judge, other = taught(), Judge("other", model(seed=3, preferences={"Be": "shorter"}))
    (line, _) = await rank_all(OF, constitution(SAFE), [judge, other], store)
    assert line["principles"]["safe"]["p"][0][1] == pytest.approx(0.5)
    assert line["digests"]["judge"].count("+") == 1


@pytest.mark.parametrize("kind", ["yes_no", "point", "list"])
def test_questions_that_it_was_not_trained_on_are_not_put_to_it(kind: str) -> None:
    method = Method.model_validate({"kind": kind})
    plain = replace(taught(), families=())
    assert settings_of([taught()], method, 2) == settings_of([plain], method, 2)


class Opening:
    """Opens a fake model, and counts."""

    def __init__(self, opened: FakeModel) -> None:
        self.model, self.opened, self.closed = opened, 0, 0

    async def __call__(self, stack: AsyncExitStack) -> ChatModel:
        self.opened += 1
        stack.callback(self._close)
        return self.model

    def _close(self) -> None:
        self.closed += 1


def on_demand(opening: Opening, **known: str) -> OnDemandModel:
    able = opening.model.capabilities().model_copy(update={"provenance": "not started", **known})
    return OnDemandModel(Capabilities.model_validate(able.model_dump()), opening)


async def test_an_engine_starts_with_the_first_question_and_once(store: VoteStore) -> None:
    opening = Opening(model(seed=9))
    waiting = on_demand(opening)
    judge = replace(taught(), families=(("harmlessness", waiting),))
    await rank_all(OF, constitution(SHORTER), [judge], store)
    assert opening.opened == 0
    await rank_all(OF, UNDER, [judge], store)
    await rank_all(OF, UNDER, [judge], store)
    assert (opening.opened, opening.closed) == (1, 0)
    assert opening.model.prompts == 2 * len(OF)
    await waiting.close()
    assert opening.closed == 1


async def test_another_model_than_was_promised_is_refused(store: VoteStore) -> None:
    opening = Opening(model(seed=9))
    judge = replace(
        taught(), families=(("harmlessness", on_demand(opening, fingerprint="another")),)
    )
    with pytest.raises(ModelError, match="its files changed meanwhile"):
        await rank_all(OF, UNDER, [judge], store)
