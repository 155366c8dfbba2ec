"""The one-way stage: how much of ρ it takes, and what it merges."""

from __future__ import annotations

import numpy as np
import pytest

from generators.core.compress import Compression
from generators.core.counting import Rows
from generators.core.domain import Domain
from generators.core.measurer import Measurer, RhoFilter, gaussian_sigma
from generators.core.stages import measure_one_way
from tests.seeded_noise import SeededNoise

SIZES = (12, 20, 3, 30)
DOMAIN = Domain(names=tuple("abcd"), sizes=SIZES)
FIRST = 0.1


def share_spent(rho: float, *, again: bool = True) -> float:
    """The share of ρ that one-way marginals of 10,000 rows take when the first measurement has FIRST of it."""
    rng = np.random.default_rng(0)
    columns = [rng.integers(0, size, 10_000).astype(np.int32) for size in SIZES]
    measurer = Measurer(Rows.of(DOMAIN, columns), SeededNoise(1), budget=RhoFilter(rho), max_rows=1)
    sigma = gaussian_sigma(FIRST * rho / len(SIZES), 1)
    measure_one_way(measurer, [sigma] * len(SIZES), [], most_cells=1e6, rho=rho if again else 0.0)
    return measurer.filter.spent / rho


@pytest.mark.parametrize(
    ("rho", "share"),
    [(1.0, FIRST), (0.022, 0.29), (0.0091, 0.35), (1e-4, 0.5)],
    ids=["quiet", "as much as brings it to the limit", "capped", "all of ρ would not do"],
)
def test_one_way_marginals_take_more_of_rho_where_they_are_loud(rho, share):
    assert share_spent(rho) == pytest.approx(share, abs=0.02)
    assert share_spent(rho, again=False) == pytest.approx(FIRST)


@pytest.mark.parametrize("ordered", [False, True])
def test_a_column_of_rare_levels_alone_is_merged_too(ordered):
    """700 levels of some 60 rows beside a σ of 100: left as they are, every pair with the column would be noise."""
    domain = Domain(names=("a", "b"), sizes=(700, 2), ordered=(ordered, False))
    counts = np.random.default_rng(0).normal(60.0, 100.0, 700)
    halves = np.array([21_000.0, 21_000.0])
    merged = Compression.of(
        [(counts, 100.0), (halves, 100.0)], [np.maximum(counts, 0.0), halves], domain, frozenset(), 5.0
    )
    assert merged.merged.sizes[0] < 100
    assert merged.merged.sizes[1] == 2
    assert merged.shares[0].sum() == pytest.approx(merged.merged.sizes[0])


def test_the_fullest_level_stays_by_itself():
    domain = Domain(names=("a",), sizes=(4,), ordered=(False,))
    counts = np.array([3.0, 9.0, -2.0, 5.0])
    merged = Compression.of([(counts, 10.0)], [np.maximum(counts, 0.0)], domain, frozenset(), 3.0)
    assert merged.levels[0].tolist() == [1, 0, 1, 1]
