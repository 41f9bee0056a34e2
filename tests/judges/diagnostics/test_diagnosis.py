"""What was planted in the principles is what diagnosis finds."""

from pathlib import Path

import numpy as np
import pytest

from judges.diagnostics.diagnosis import Bounds, Diagnosis, PrincipleDiagnosis, diagnose
from judges.diagnostics.page import diagnosis_page, findings
from judges.diagnostics.relations import Relation
from judges.diagnostics.run_files import Run
from judges.errors import DataError
from judges.store.vote_store import VoteStore
from tests.judges.diagnostics.made_run import TEA, planted, planted_items, write_labels
from tests.judges.planted import constitution

BOUNDS = Bounds(dead=0.05, flips=0.05)  # 120 pairs cannot show less


@pytest.fixture(scope="module")
def found(
    planted_run: Run, planted_store: VoteStore, tmp_path_factory: pytest.TempPathFactory
) -> Diagnosis:
    labels = write_labels(tmp_path_factory.mktemp("l") / "l.jsonl", planted_items(), "milk")
    return diagnose(planted_run, planted(), planted_store, labels=labels, bounds=BOUNDS)


def _of(found: Diagnosis, name: str) -> PrincipleDiagnosis:
    return next(one for one in found.principles if one.id == name)


def _between(found: Diagnosis, *names: str) -> Relation:
    return next(one for one in found.relations if {one.first, one.second} == set(names))


def test_a_principle_that_never_differs_is_dead_and_one_that_decides_is_not(
    found: Diagnosis,
) -> None:
    dead, milk = _of(found, "dead"), _of(found, "milk")
    assert dead.dead and dead.decides and dead.decides.value == 0 and dead.decides.n == 120
    assert dead.certainty and dead.certainty.value == 0
    # Without milk, no-milk decides the 30 pairs of milk alone.
    assert milk.decides and milk.decides.value == pytest.approx(0.25)
    assert not milk.dead and milk.decides.low > 0.1


def test_a_copy_is_redundant_beside_its_original_only(found: Diagnosis) -> None:
    assert _of(found, "tea-too").redundant_beside == ("tea",)
    assert _of(found, "tea").redundant_beside == ("tea-too",)
    assert not any(_of(found, name).redundant_beside for name in ("milk", "no-milk", "dead"))


def test_a_contradicting_pair_is_found_with_its_n(found: Diagnosis) -> None:
    one = _between(found, "milk", "no-milk")
    assert one.correlation and one.correlation.value == pytest.approx(-1)
    assert one.contradiction and one.contradiction.value == pytest.approx(0.5)
    assert one.contradiction.n == one.n == 120
    same = _between(found, "tea", "tea-too")
    assert same.contradiction and same.contradiction.value == 0
    assert same.sign_agreement and same.sign_agreement.value == 1
    assert _between(found, "dead", "milk").correlation is None


def test_pairs_that_no_principle_tells_apart_are_gaps(found: Diagnosis) -> None:
    assert found.coverage.gaps and found.coverage.gaps.value == pytest.approx(0.25)
    shares = {one.slice: one.share.value for one in found.coverage.slices}
    assert shares == {"gap": 1.0, "tea": 0.0, "milk": 0.0, "both": 0.0}
    assert {one.slice for one in found.gap_examples} == {"gap"} and len(found.gap_examples) == 6
    assert found.coverage.preferred_by_people and found.coverage.preferred_by_people.value == 0


def test_a_principle_out_of_scope_has_no_votes_and_no_activity(found: Diagnosis) -> None:
    rare = _of(found, "rare")
    assert rare.votes == 0 and rare.activity and rare.activity.value == 0
    assert rare.certainty is None and rare.position_gap is None


def test_agreement_with_people_is_told_with_and_without(found: Diagnosis) -> None:
    # People want milk: right on milk, wrong on tea against milk, ties of people half.
    assert found.labelled == 120
    assert found.agreement and found.agreement.value == pytest.approx((30 + 0 + 30) / 120)
    milk = _of(found, "milk")
    assert milk.agreement_change and milk.agreement_change.value == pytest.approx(-0.25)
    assert milk.alone and milk.alone.value == pytest.approx((30 + 30 + 15 + 15) / 120)


def test_shares_of_the_deciding_logit_sum_to_the_pairs_that_have_one(found: Diagnosis) -> None:
    total = sum(one.share.value for one in found.principles if one.share)
    assert total == pytest.approx(0.75)  # a gap's logit is 0: nobody has a share in it


def test_the_position_gap_that_was_planted_comes_out(tmp_path: Path) -> None:
    from tests.judges.diagnostics.made_run import planted_judge, ranked_run

    with VoteStore.open(f"sqlite:///{tmp_path}/v.db") as store:
        by = planted_judge(position_bias=1.5)
        under = planted(TEA)
        run = ranked_run(tmp_path, store, planted_items(3), under, by)
        (one,) = diagnose(run, under, store).principles
    assert one.position_gap and one.position_gap.value == pytest.approx(1.5)
    assert one.decides and one.decides.value == pytest.approx(0.5)


def test_the_page_holds_all_and_escapes_what_was_judged(found: Diagnosis) -> None:
    example = found.gap_examples[0].model_copy(update={"first": "<script>alert(1)</script>"})
    page = diagnosis_page(found.model_copy(update={"gap_examples": (example,)}))
    assert "<script" not in page and "&lt;script&gt;" in page
    assert page.count("<svg") == 3
    assert "dead is dead here" in page and "-nan" not in page
    assert any("milk and no-milk contradict" in one for one in findings(found))


def test_diagnosing_twice_gives_the_same(planted_run: Run, planted_store: VoteStore) -> None:
    first, second = (diagnose(planted_run, planted(), planted_store) for _ in range(2))
    assert first == second and first.agreement is None


def test_labels_of_other_pairs_are_refused(
    planted_run: Run, planted_store: VoteStore, tmp_path: Path
) -> None:
    labels = tmp_path / "l.jsonl"
    labels.write_text('{"prompt": "x", "completions": ["a", "b"], "preferred_index": 0}\n')
    with pytest.raises(DataError, match="none of its pairs is in the rankings"):
        diagnose(planted_run, planted(), planted_store, labels=labels)


def test_golden_tests_are_told_from_stored_votes(
    planted_run: Run, planted_store: VoteStore
) -> None:
    import asyncio

    from judges.golden import run_golden_tests
    from tests.judges.diagnostics.made_run import planted_judge

    cases = [
        {"prompt": "Drink?", "better": "tea", "worse": "water"},
        {"prompt": "Drink?", "better": "juice", "worse": "tea with ice"},
    ]
    under = constitution({**TEA, "tests": cases})
    (before,) = diagnose(planted_run, under, planted_store).principles
    assert (before.golden.passed, before.golden.failed, before.golden.unscored) == (0, 0, 2)
    asyncio.run(run_golden_tests(under, [planted_judge()], planted_store))
    (after,) = diagnose(planted_run, under, planted_store).principles
    assert (after.golden.passed, after.golden.failed, after.golden.unscored) == (1, 1, 0)


def test_a_constitution_without_any_stored_vote_has_no_numbers(
    planted_run: Run, planted_store: VoteStore
) -> None:
    unknown = constitution({"id": "new", "text": "Never asked."})
    found = diagnose(planted_run, unknown, planted_store)
    assert found.scored == 0 and found.agreement is None
    (one,) = found.principles
    assert one.decides is None and not one.dead
    assert "nothing is known of it" in diagnosis_page(found)
    assert np.isfinite(found.pairs)
