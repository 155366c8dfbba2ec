"""Blurred one-way counts are drawn to their mean, clear ones stay; the error is never larger."""

from __future__ import annotations

import numpy as np
import pytest

from generators.core.inference import Measurement
from generators.core.shrinking import shrunk
from generators.core.views import full_view

TRUTHS = {
    "flat": np.full(20, 750.0),
    "nearly flat": 750.0 + 40.0 * np.arange(-10, 10),
    "skewed": 15_000 * np.array([0.6, 0.2, 0.1, 0.05, 0.03, 0.02]),
    "one level": np.array([15_000.0, 0, 0, 0, 0, 0, 0, 0]),
}


@pytest.mark.parametrize("truth", TRUTHS.values(), ids=TRUTHS)
@pytest.mark.parametrize("sigma", [3.0, 400.0, 5_000.0])
def test_the_squared_error_is_never_larger_on_average(truth, sigma):
    """400 draws: the mean over draws is known to some 5 %, and the theorem leaves no column where it rises."""
    rng = np.random.default_rng(0)
    before, after = [], []
    for _ in range(400):
        noisy = np.rint(truth + rng.normal(0, sigma, truth.shape)).astype(np.int64)
        (one,) = shrunk([Measurement(full_view((0,)), noisy, sigma)])
        before.append(((noisy - truth) ** 2).sum())
        after.append(((one.counts - truth) ** 2).sum())
        assert one.counts.dtype == np.int64
        assert abs(int(one.counts.sum()) - int(noisy.sum())) <= len(truth)
    assert np.mean(after) <= 1.02 * np.mean(before)


def test_a_flat_column_loses_most_of_its_noise():
    rng = np.random.default_rng(1)
    noisy = np.rint(750 + rng.normal(0, 400.0, 20)).astype(np.int64)
    (one,) = shrunk([Measurement(full_view((0,)), noisy, 400.0)])
    assert np.abs(one.counts - 750).sum() < 0.6 * np.abs(noisy - 750).sum()


def test_clear_counts_and_few_levels_stay_as_they_are():
    clear = Measurement(full_view((0,)), np.array([9_000, 5_000, 800, 200]), 5.0)
    few = Measurement(full_view((1,)), np.array([510, 490, 500]), 100.0)
    assert shrunk([clear, few, clear]) == [clear, clear, few]


def test_what_was_measured_twice_becomes_one_measurement_of_both():
    first = Measurement(full_view((2,)), np.array([100, 120, 80, 100, 110]), 30.0)
    second = Measurement(full_view((2,)), np.array([90, 110, 95, 105, 100]), 15.0)
    (one,) = shrunk([first, second])
    assert one.sigma == pytest.approx((1 / 30.0**2 + 1 / 15.0**2) ** -0.5)
    assert one.counts.std() < second.counts.std()
