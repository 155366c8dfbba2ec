"""Blurred one-way counts are drawn to their mean, clear ones stay; the error is never larger."""

from __future__ import annotations

import numpy as np
import pytest

from generators import get
from generators.core.inference import Measurement
from generators.core.shrinking import shrunk
from generators.core.views import full_view
from release.records import Budget
from tests.builders import make_schema, make_table
from tests.seeded_noise import SeededNoise

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
        assert int(one.counts.sum()) == int(noisy.sum())
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


def test_a_level_that_stands_out_alone_loses_no_more_than_its_noise():
    """Unlimited, a spike of 8 σ above 99 equal levels would lose 5 σ."""
    rng = np.random.default_rng(2)
    truth = np.full(100, 500.0)
    truth[7] += 8 * 40.0
    lost = []
    for _ in range(50):
        noisy = np.rint(truth + rng.normal(0, 40.0, 100)).astype(np.int64)
        (one,) = shrunk([Measurement(full_view((0,)), noisy, 40.0)])
        assert np.abs(one.counts - noisy).max() <= 1.2 * 40.0 + 1
        lost.append(float(noisy[7] - one.counts[7]))
    assert np.mean(lost) < 1.1 * 40.0


def test_rare_levels_merge_as_if_nothing_had_been_drawn():
    """A column of a few common levels and a long tail, all of whose counts would be below 3 σ when drawn to their mean: none would merge."""
    names = [f"{k:03d}" for k in range(200)]
    schema = make_schema(a=names, b=["x", "y"])
    rng = np.random.default_rng(3)
    share = 1.0 / np.arange(1, 201)
    table = make_table(
        schema,
        {
            "a": [names[k] for k in rng.choice(200, 2_000, p=share / share.sum())],
            "b": ["xy"[k] for k in rng.integers(0, 2, 2_000)],
        },
    )
    for seed in range(3):
        model = (
            get("mst").plan(schema, Budget(epsilon=0.1, delta=1e-6), None, {}).run(table, SeededNoise(seed))
        )
        assert model.compression.merged.sizes[0] < 20
