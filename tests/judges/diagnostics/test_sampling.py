"""Prompts are taken by hash: the same again, more where flips are likely, each stratum some."""

from pathlib import Path

import numpy as np
import pytest

from judges.diagnostics.run_files import Run
from judges.diagnostics.sampling import Drawn, draw
from judges.judge import settings_of
from judges.tally import Ballot
from tests.judges.planted import judge

SETTINGS = settings_of([judge()])


def run(prompts: int, parts: int = 1, each: int = 1) -> Run:
    """A run of so many prompts, with so many lines each, near ones rare."""
    rng = np.random.default_rng(0)
    names = [f"prompt {n // each}" for n in range(prompts * each)]
    return Run(
        path=Path("r.jsonl"),
        ballots=tuple(
            Ballot(id=str(n), conversation=name, completions=("a", "b"), settings=SETTINGS)
            for n, name in enumerate(names)
        ),
        slices=tuple(f"part {(n // each) % parts}" for n in range(len(names))),
        nearness=np.where(rng.random(len(names)) < 0.02, np.nan, rng.beta(3, 1, len(names)) / 2),
        places=tuple(range(len(names))),
    )


def shares(drawn: Drawn) -> dict[str, float]:
    """How much of each stratum is taken."""
    size = np.bincount(drawn.stratum_U)
    taken = np.bincount(drawn.stratum_U[drawn.order], minlength=len(size))
    return dict(zip(drawn.names, (taken / size).tolist(), strict=True))


def test_near_prompts_are_taken_more_often() -> None:
    drawn = draw(run(4000), 200, seed=0)
    assert len(drawn.order) == len(set(drawn.order.tolist())) == 200
    told = shares(drawn)
    assert told["near a tie"] > told["leaning"] > told["clear"] > told["sure"] > 0
    assert told["unscored"] > 0


def test_the_same_seed_takes_the_same_and_a_larger_sample_holds_it() -> None:
    of = run(4000, parts=2)
    small, again, large = (draw(of, n, seed=0) for n in (200, 200, 400))
    np.testing.assert_array_equal(small.order, again.order)
    assert len(set(small.order) & set(large.order)) >= 198
    assert len(set(small.order) & set(draw(of, 200, seed=1).order)) < 40


def test_a_beginning_of_the_order_is_spread_over_strata() -> None:
    drawn = draw(run(4000, parts=3), 240, seed=0)
    half = np.bincount(drawn.stratum_U[drawn.order[:120]], minlength=len(drawn.names))
    whole = np.bincount(drawn.stratum_U[drawn.order])
    assert (np.abs(half - whole / 2) <= 1).all()


def test_parts_of_the_data_are_strata_unless_there_are_too_many() -> None:
    several = draw(run(4000, parts=3), 400, seed=0)
    assert {name.split(",")[0] for name in several.names} == {"part 0", "part 1", "part 2"}
    many = draw(run(4000, parts=500), 100, seed=0)
    assert len(many.names) <= 20 and any(name.startswith("other parts") for name in many.names)
    assert len(many.order) == 100


@pytest.mark.parametrize("size", [50, 5000])
def test_no_more_than_there_are(size: int) -> None:
    drawn = draw(run(40, each=2), size, seed=0)
    assert sorted(drawn.order.tolist()) == list(range(40))
    assert drawn.unit_R.tolist() == [n // 2 for n in range(80)]
