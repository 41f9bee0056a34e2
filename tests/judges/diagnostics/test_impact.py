"""Impact says what reweighing would then do, and what an edit costs that lacks votes."""

from pathlib import Path

import numpy as np
import pytest

from judges.diagnostics.impact import preview
from judges.diagnostics.page import impact_page
from judges.diagnostics.run_files import Run
from judges.diagnostics.texts import refuses
from judges.errors import DataError
from judges.reweigh import rankings
from judges.store.vote_store import VoteStore
from tests.judges.diagnostics.made_run import (
    ALL,
    MILK,
    planted,
    planted_items,
    planted_judge,
    ranked_run,
    write_labels,
)
from tests.judges.planted import as_written, constitution, item

BY_ID = {str(one["id"]): one for one in ALL}


def _edited(**weights: float) -> list[dict[str, object]]:
    return [{**one, "weight": weights.get(name, 1.0)} for name, one in BY_ID.items()]


def test_flips_are_those_that_reweighing_makes(
    planted_run: Run, planted_store: VoteStore, tmp_path: Path
) -> None:
    before, after = planted(), constitution(*_edited(milk=9.0))
    labels = write_labels(tmp_path / "l.jsonl", planted_items(), "milk")
    found = preview(planted_run, before, after, planted_store, labels=labels)
    p = [
        np.array([line["p"][0][1] for line in as_written(list(rankings(
            planted_run.ballots, under, planted_store)))])
        for under in (before, after)
    ]  # fmt: skip
    expected = np.mean((p[0] > 0.5) != (p[1] > 0.5))
    assert found.flips.share and found.flips.share.value == pytest.approx(expected) == 0.25
    assert found.flips.share.low < 0.25 < found.flips.share.high and found.flips.share.n == 120
    assert (found.flips.turned, found.flips.lost, found.needs) == (30, 0, ())
    assert {one.slice: one.share.value for one in found.slices}["both"] == 1.0
    assert found.moved_by[0].principle == "milk"
    assert found.agreement.difference and found.agreement.difference.value == pytest.approx(0.25)
    assert {one.slice for one in found.examples} == {"both"} and len(found.examples) == 8
    assert all(one.moved_by == "milk" for one in found.examples)
    page = impact_page(found)
    assert "25.0\u00a0% of labels flip" in page and 'class="won"' in page


def test_the_same_constitution_changes_nothing(planted_run: Run, planted_store: VoteStore) -> None:
    found = preview(planted_run, planted(), planted(), planted_store)
    assert found.flips.share and found.flips.share.value == 0 and found.examples == ()
    assert found.words.difference and found.words.difference.value == 0
    # That nobody refused in 120 pairs does not show that nobody ever will.
    assert found.refusals.difference and found.refusals.difference.value == 0
    assert 0 < found.refusals.difference.high == -found.refusals.difference.low < 0.05
    assert "0.0\u00a0% of labels flip" in impact_page(found)


def test_a_reworded_principle_needs_votes_and_is_left_out(
    planted_run: Run, planted_store: VoteStore
) -> None:
    edited = [{**one, "text": "Praise oat milk."} if one is MILK else one for one in ALL]
    found = preview(planted_run, planted(), planted(*edited), planted_store)
    (need,) = found.needs
    assert (need.principle, need.votes, need.checked_by_code) == ("milk", 240, False)
    assert found.both == 120
    # Without milk, no-milk alone speaks on the 30 pairs of milk.
    assert found.flips.share and found.flips.share.value == pytest.approx(0.25)
    assert "<code>milk</code> needs 240 votes" in impact_page(found)


def test_nothing_is_previewed_without_a_single_vote(
    planted_run: Run, planted_store: VoteStore
) -> None:
    new = constitution({"id": "new", "text": "Never asked."})
    with pytest.raises(DataError, match="it needs 240 votes"):
        preview(planted_run, planted(), new, planted_store)


def test_a_lost_hard_vote_is_told_as_a_lost_verdict(tmp_path: Path) -> None:
    tea, milk = BY_ID["tea"], BY_ID["milk"]
    with VoteStore.open(f"sqlite:///{tmp_path}/v.db") as store:
        by = planted_judge(fail_containing={"hot tea please 1": "refused"})
        run = ranked_run(tmp_path, store, planted_items(2), planted(tea, milk), by)
        found = preview(run, planted(tea, milk), planted(tea), store)
    assert found.pairs == 8 and found.both == 6 and found.needs == ()


def test_length_and_refusals_of_winners_change_as_planted(tmp_path: Path) -> None:
    short = {"id": "short", "text": "Be brief."}
    long = {"id": "long", "text": "Be long."}
    items = [
        item(f"i{k}", f"I'm sorry, but I can't help with that {k}", "word " * 30 + str(k))
        for k in range(12)
    ]
    old = constitution({**short, "weight": 9.0}, long)
    new = constitution(short, {**long, "weight": 9.0})
    with VoteStore.open(f"sqlite:///{tmp_path}/v.db") as store:
        run = ranked_run(tmp_path, store, items, old, planted_judge())
        found = preview(run, old, new, store)
    assert found.refusals.before and found.refusals.before.value == 1
    assert found.refusals.after and found.refusals.after.value == 0
    assert found.words.difference and found.words.difference.value == 31 - 9


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("I\u2019m unable to assist with this request.", True),
        ("I cannot provide instructions for that.", True),
        ("As an AI language model, I am not able to do so.", True),
        ("Unfortunately, I won't be able to write that.", True),
        ("I must decline.", True),
        ("I'm sorry to hear about your cat. Here is what you can do.", False),
        ("Tea is a drink. You can't make it without water.", False),
        ("Sure! Here is how to kill a Python process.", False),
        ("", False),
    ],
)
def test_refusals_are_told_by_their_wording(text: str, told: bool) -> None:
    assert refuses(text) is told
