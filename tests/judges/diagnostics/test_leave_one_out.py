"""Leaving a principle out of the sums is the same as reweighing without it."""

from typing import Any

import numpy as np
import pytest

from judges.aggregate import scheme_of
from judges.diagnostics.leave_one_out import agreement, leave_one_out
from judges.diagnostics.pair_votes import decide, gather_votes, scheme_without, sides
from judges.diagnostics.run_files import Run
from judges.reweigh import rankings
from judges.store.vote_store import VoteStore
from tests.judges.diagnostics.made_run import ALL, planted, planted_judge, ranked_run
from tests.judges.planted import FULL, HONEST, KIND, SHORTER, WORDS, as_written, items

OTHERS: tuple[dict[str, Any], ...] = (SHORTER, HONEST, KIND, WORDS, FULL)


@pytest.mark.parametrize("number", range(len(ALL)), ids=[str(one["id"]) for one in ALL])
def test_leaving_out_equals_reweighing_without(
    number: int, planted_run: Run, planted_store: VoteStore
) -> None:
    under = planted()
    votes = gather_votes(planted_run.ballots, under, planted_store)
    scheme = scheme_of(under)
    left = leave_one_out(votes, decide(votes, scheme), scheme)
    fewer = planted(*(one for k, one in enumerate(ALL) if k != number))
    lines = as_written(list(rankings(planted_run.ballots, fewer, planted_store)))
    p_B = np.array([line["p"][0][1] for line in lines], float)
    np.testing.assert_array_equal(left.side_BP[:, number], sides(p_B, 0.05))
    without = decide(votes.without(number), scheme_without(scheme, number))
    np.testing.assert_array_equal(without.p_B, p_B)


def test_it_is_exact_with_tiers_rules_noise_lost_votes_and_many_completions(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("many")
    by = planted_judge(noise=2.0, failure_rates={"refused": 0.1})
    with VoteStore.open(f"sqlite:///{folder}/v.db") as store:
        run = ranked_run(folder, store, items(12, 4), planted(*OTHERS), by)
        votes = gather_votes(run.ballots, planted(*OTHERS), store)
        scheme = scheme_of(planted(*OTHERS))
        for number in range(len(OTHERS)):
            fewer = planted(*(one for k, one in enumerate(OTHERS) if k != number))
            lines = as_written(list(rankings(run.ballots, fewer, store)))
            p_B = [
                lines[r]["p"][i][j]
                for r, (i, j) in zip(votes.ranking_B, votes.side_B2, strict=True)
            ]
            without = decide(votes.without(number), scheme_without(scheme, number))
            np.testing.assert_array_equal(without.p_B, np.array(p_B, float))
            assert 0 < np.isnan(without.p_B).sum() < len(p_B)


def test_a_tie_of_either_agrees_by_half() -> None:
    side = np.array([1.0, 1.0, 0.5, 0.0, np.nan])
    label = np.array([1.0, 0.0, 1.0, 0.5, 1.0])
    np.testing.assert_array_equal(agreement(side, label), [1, 0, 0.5, 0.5, np.nan])
