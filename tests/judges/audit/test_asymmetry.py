"""The sign test is the textbook's where that applies, and false discoveries are controlled."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, false_discovery_control

from judges.audit.asymmetry import at_equal_length, measure_asymmetries, q_values
from judges.audit.features import Signs
from tests.judges.audit.made_preferences import columns


@given(st.integers(0, 60), st.integers(0, 60))
def test_on_independent_pairs_it_is_the_exact_binomial_test(a: int, b: int) -> None:
    n = a + b + 1
    signs = Signs(["f"], ["presence"], np.zeros(a + b, np.int64), np.arange(a + b),
                  np.repeat([1, -1], [a, b]))  # fmt: skip
    pairs = columns(["x"] * n, ["y"] * n)
    found = measure_asymmetries(signs, pairs, np.ones(n), np.zeros(n))
    wanted = binomtest(a, a + b).pvalue if a + b else 1.0
    assert found.p[0] == pytest.approx(wanted, rel=1e-6)
    assert found.low[0] <= found.log_odds[0] <= found.high[0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_q_values_are_those_of_scipy(p: list[float]) -> None:
    given_p = np.array(p)
    for control in ("bh", "by"):
        wanted = false_discovery_control(given_p, method=control)
        assert q_values(given_p, control) == pytest.approx(wanted)


def test_at_equal_length_a_feature_of_longer_sides_is_told_from_length() -> None:
    """Labels follow length alone; sides with the feature are longer. And none lost: still wide."""
    rng = np.random.default_rng(1)
    n = 3000
    log_ratio = rng.normal(0, 1, n)
    longer_has = np.sign(log_ratio + rng.normal(0, 0.5, n)).astype(np.int64)
    label = np.where(rng.random(n) < 1 / (1 + np.exp(-2 * log_ratio)), 1, -1)
    apart = np.arange(n)
    found = at_equal_length(longer_has * label, log_ratio * label, np.ones(n), apart)
    assert found.low < 0 < found.high
    always = at_equal_length(np.ones(60, np.int64), np.zeros(60), np.ones(60), np.arange(60))
    assert always.low > 1 and always.high - always.low > 3
