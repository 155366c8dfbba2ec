"""The counting kernel against np.add.at, and what a Measurer lets out."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from generators.core.counting import Rows, count
from generators.core.covering import cover
from generators.core.domain import Domain


@pytest.mark.parametrize(
    "sizes", [(2, 3), (2, 300, 5, 7), (1, 1, 4), (256, 257), (3,) * 12, (5_000, 2)], ids=str
)
@pytest.mark.parametrize("n", [0, 1, 5_000, 40_000])
def test_every_marginal_is_exact(sizes, n):
    rng = np.random.default_rng(len(sizes))
    domain = Domain(names=tuple(f"a{k}" for k in range(len(sizes))), sizes=sizes)
    columns = [rng.integers(0, size, n).astype(np.uint32) for size in sizes]
    cliques = [(a,) for a in range(len(sizes))] + list(combinations(range(len(sizes)), 2))
    cliques += [c for c in combinations(range(len(sizes)), 3) if domain.cells(c) < 1e6][:30]
    for clique, table in zip(cliques, count(Rows.of(domain, columns), cliques), strict=True):
        expected = np.zeros(domain.shape(clique), dtype=np.int64)
        np.add.at(expected, tuple(columns[a] for a in clique), 1)
        assert np.array_equal(table, expected)


def test_blocks_cover_all_pairs_with_far_fewer_passes():
    domain = Domain(
        names=tuple(f"a{k}" for k in range(15)), sizes=(20, 9, 20, 16, 16, 7, 15, 6, 5, 2, 3, 2, 10, 42, 2)
    )
    pairs = list(combinations(range(15), 2))
    blocks = cover(domain, pairs)
    assert sorted(c for block in blocks for c in block.members) == pairs
    assert len(blocks) <= 40


def test_codes_outside_their_attribute_are_refused():
    with pytest.raises(ValueError, match="outside"):
        Rows.of(Domain(names=("a",), sizes=(3,)), [np.array([0, 3], dtype=np.uint8)])


@pytest.mark.parametrize("sizes", [(2, 3, 4), (2, 300, 5), (3,) * 14], ids=str)
@pytest.mark.parametrize("distinct", [1, 2, 500, 20_000])
def test_collapsed_rows_count_the_same(sizes, distinct):
    rng = np.random.default_rng(distinct)
    domain = Domain(names=tuple(f"a{k}" for k in range(len(sizes))), sizes=sizes)
    pick = rng.integers(0, distinct, 250_000)
    columns = [rng.integers(0, size, distinct)[pick] for size in sizes]
    rows = Rows.of(domain, columns)
    few = rows.collapsed()
    assert len(few) <= max(2, min(distinct, 125_000))
    assert few.weights.sum() == 250_000
    cliques = [(0,), (1, 2), (0, 1, 2)]
    for plain, weighted in zip(count(rows, cliques), count(few, cliques), strict=True):
        assert np.array_equal(plain, weighted)
    again = Rows.of(domain, [few.column(a) for a in range(len(domain))], few.weights).collapsed()
    assert all(map(np.array_equal, count(again, cliques), count(rows, cliques)))


def test_rows_that_differ_are_left_as_they_are():
    rng = np.random.default_rng(1)
    domain = Domain(names=("a", "b", "c"), sizes=(250, 250, 60_000))
    rows = Rows.of(domain, [rng.integers(0, size, 300_000) for size in domain.sizes])
    assert rows.collapsed() is rows
    small = Rows.of(domain, [np.zeros(1_000, dtype=int)] * 3)
    assert small.collapsed() is small
