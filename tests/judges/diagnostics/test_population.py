"""A stratified sample tells of the run it was drawn from, and its intervals hold what they say."""

import numpy as np
import pytest

from judges.calibration.agreement import cohen_kappa
from judges.diagnostics.population import StratifiedSample, WholeRun

SIZES, RATES = (300, 500, 1200, 2000), (0.4, 0.12, 0.03, 0.004)
TAKEN = (60, 60, 50, 30)


def run(seed: int, pairs: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Strata of prompts, and whether each of a prompt's pairs flips: those of a prompt alike."""
    rng = np.random.default_rng(seed)
    stratum_U = np.repeat(np.arange(4), SIZES)
    flips_UP = rng.random((len(stratum_U), pairs)) < np.array(RATES)[stratum_U][:, None]
    flips_UP |= flips_UP[:, :1]
    return stratum_U, flips_UP


def sampled(stratum_U: np.ndarray, seed: int, taken: tuple[int, ...] = TAKEN) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.sort(
        np.concatenate(
            [
                rng.choice(np.flatnonzero(stratum_U == h), n, replace=False)
                for h, n in enumerate(taken)
            ]
        )
    )


@pytest.mark.parametrize("pairs", [1, 3])
def test_intervals_cover_the_run_s_own_share(pairs: int) -> None:
    stratum_U, flips_UP = run(1, pairs)
    truth = flips_UP.mean()
    held, widths, values = 0, [], []
    for seed in range(400):
        taken = sampled(stratum_U, seed)
        of = StratifiedSample(stratum_U, taken, np.repeat(np.arange(len(taken)), pairs))
        flips_B = flips_UP[taken].ravel()
        one = of.share(flips_B, np.ones(len(flips_B), bool))
        assert one is not None and one.n == 200 * pairs
        held += one.low <= truth <= one.high
        widths.append(one.high - one.low)
        values.append(one.value)
    assert np.mean(values) == pytest.approx(truth, rel=0.03)
    assert 0.93 <= held / 400 <= 0.995
    assert np.mean(widths) < 0.07


def test_rare_flips_that_a_sample_did_not_see_are_not_ruled_out() -> None:
    stratum_U = np.repeat(np.arange(2), (1000, 9000))
    flips_U = np.zeros(10_000, bool)
    flips_U[-90:] = True  # one in a hundred of the large stratum
    for seed in range(200):
        taken = sampled(stratum_U, seed, (50, 50))
        of = StratifiedSample(stratum_U, taken, np.arange(100))
        one = of.share(flips_U[taken], np.ones(100, bool))
        assert one and one.high > flips_U.mean()


def test_a_sample_of_all_is_the_run() -> None:
    stratum_U, flips_UP = run(2)
    everything = np.arange(len(stratum_U))
    of = StratifiedSample(stratum_U, everything, everything)
    one = of.share(flips_UP[:, 0], np.ones(len(everything), bool))
    assert one and one.low == one.value == one.high == flips_UP.mean()
    assert of.count(flips_UP[:, 0]) == flips_UP.sum()


def test_means_and_kappa_are_those_of_the_run_on_average() -> None:
    rng = np.random.default_rng(3)
    stratum_U = np.repeat(np.arange(4), SIZES)
    words_U = rng.normal(stratum_U * 10.0, 5.0)
    label_U = rng.integers(0, 2, len(stratum_U)) * 1.0
    side_U = np.where(rng.random(len(stratum_U)) < 0.6 + 0.1 * stratum_U, label_U, 1 - label_U)
    told = cohen_kappa(side_U.tolist(), label_U.tolist(), seed=0)
    assert told is not None
    exact = told.value
    held, kappas = [0, 0], []
    for seed in range(200):
        taken = sampled(stratum_U, seed)
        of = StratifiedSample(stratum_U, taken, np.arange(len(taken)))
        (mean,) = of.means(words_U[taken][:, None])
        kappa = of.kappa(side_U[taken], label_U[taken])
        assert mean is not None and kappa is not None
        held[0] += mean.low <= words_U.mean() <= mean.high
        held[1] += kappa.low <= exact <= kappa.high
        kappas.append(kappa.value)
    assert np.mean(kappas) == pytest.approx(exact, abs=0.02)
    assert min(held) >= 182 and max(held) < 200


def test_strata_with_one_prompt_judged_join_a_neighbour() -> None:
    stratum_U = np.repeat(np.arange(4), (1, 40, 40, 40))
    taken = np.array([0, 1, 2, 41, 81])
    of = StratifiedSample(stratum_U, taken, np.arange(5))
    assert (of.size_H.tolist(), of.taken_H.tolist()) == ([1, 40, 80], [1, 2, 2])
    one = of.share(np.array([1, 0, 0, 0, 0]), np.ones(5, bool))
    assert one and 0 < one.low < one.value < one.high < 1


def test_where_nothing_changed_a_change_may_be_unseen() -> None:
    stratum_U = np.zeros(500, int)
    of = StratifiedSample(stratum_U, np.arange(60), np.arange(60))
    (one,) = of.differences(np.zeros((60, 1)))
    assert one and one.value == 0 and 0 < one.high == -one.low < 0.1
    assert of.share(np.zeros(60), np.zeros(60, bool)) is None


def test_a_whole_run_s_kappa_is_cohens() -> None:
    rng = np.random.default_rng(5)
    label = rng.choice([0.0, 0.5, 1.0], 300)
    side = np.where(rng.random(300) < 0.7, label, rng.choice([0.0, 0.5, 1.0], 300))
    one = WholeRun(np.arange(300), 0).kappa(side, label)
    expected = cohen_kappa(side.tolist(), label.tolist(), seed=0)
    assert one and expected and one.value == pytest.approx(expected.value)
    assert one.low == pytest.approx(expected.low, abs=0.03)
