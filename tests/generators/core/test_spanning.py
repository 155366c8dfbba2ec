"""The privately chosen tree: it joins everything that fits, and never makes a junction tree above the cap."""

from __future__ import annotations

import numpy as np
import pytest

from generators.core import junction
from generators.core.counting import Rows
from generators.core.domain import Domain, StructuralZeros
from generators.core.measurer import Measurer, RhoFilter
from generators.core.spanning import _Room, choose_tree
from generators.core.stages import measure_one_way
from tests.seeded_noise import SeededNoise


def begun(sizes, zeros=(), *, rows=500, seed=0, columns=None):
    domain = Domain(names=tuple(f"a{k}" for k in range(len(sizes))), sizes=tuple(sizes))
    rng = np.random.default_rng(seed)
    if columns is None:
        columns = [rng.integers(0, size, rows) for size in sizes]
    measurer = Measurer(Rows.of(domain, columns), SeededNoise(seed), budget=RhoFilter(1e9), max_rows=1)
    return measure_one_way(
        measurer, [1.0] * len(sizes), zeros, most_cells=1e9, rare=lambda _domain, _total: 0.0
    )


def free(*cliques, sizes):
    return [StructuralZeros(c, np.ones([sizes[a] for a in c], dtype=bool)) for c in cliques]


def joined(d, pairs):
    group = list(range(d))
    for a, b in pairs:
        group = [group[a] if g == group[b] else g for g in group]
    return len(set(group)) == 1


@pytest.mark.parametrize("seed", range(12))
def test_a_tree_with_structural_zeros_never_passes_the_cap(seed):
    rng = np.random.default_rng(seed)
    d = int(rng.integers(3, 9))
    sizes = rng.integers(1, 12, d).tolist()
    cliques = [
        tuple(sorted(rng.choice(d, rng.integers(2, 4), replace=False).tolist())) for _ in range(seed % 4)
    ]
    begin = begun(sizes, free(*cliques, sizes=sizes), seed=seed)
    least = junction.tree_cells(begin.measurer.domain, cliques)
    cap = least + float(rng.integers(0, 300))
    tree = [view.clique for view in choose_tree(begin.measurer, begin.fitted, 5.0, most_cells=cap)]
    assert len(tree) == len(set(tree)) <= d - 1
    assert junction.tree_cells(begin.measurer.domain, [*cliques, *tree]) <= cap * (1 + 1e-9)


def test_without_a_cap_everything_is_joined():
    begin = begun([3, 4, 5, 2, 6, 1])
    assert joined(6, [view.clique for view in choose_tree(begin.measurer, begin.fitted, 5.0)])


def test_a_pair_that_closes_a_circle_of_zeros_is_left_out_and_the_others_are_joined():
    """(0, 1) and (1, 2) stand together; (0, 2) depends most, but would make one clique of 8,000 cells."""
    sizes = [20, 20, 20, 2]
    rng = np.random.default_rng(0)
    same = rng.integers(0, 20, 4_000)
    columns = [same, rng.integers(0, 20, 4_000), same, rng.integers(0, 2, 4_000)]
    zeros = free((0, 1), (1, 2), sizes=sizes)
    begin = begun(sizes, zeros, columns=columns)
    tight = [v.clique for v in choose_tree(begin.measurer, begin.fitted, 50.0, most_cells=2_000)]
    roomy = [v.clique for v in choose_tree(begin.measurer, begin.fitted, 50.0, most_cells=20_000)]
    assert (0, 2) not in tight
    assert (0, 2) in roomy
    assert joined(4, tight)


def test_what_zeros_already_say_of_a_pair_is_no_reason_to_choose_it():
    """1 never exceeds 0, as the zeros say; what is left of their dependence is small. 2 really depends on 0."""
    rng = np.random.default_rng(1)
    first = rng.integers(0, 8, 8_000)
    below = (rng.random(8_000) * (first + 1)).astype(int)
    third = np.where(rng.random(8_000) < 0.7, first, rng.integers(0, 8, 8_000))
    allowed = np.tril(np.ones((8, 8), dtype=bool))
    begin = begun([8, 8, 8], [StructuralZeros((0, 1), allowed)], columns=[first, below, third])
    assert choose_tree(begin.measurer, begin.fitted, 100.0)[0].clique == (0, 2)
    blind = begun([8, 8, 8], columns=[first, below, third])
    scores = {
        pair: np.abs(
            np.histogram2d(*(c for c in columns), bins=8, range=[[0, 8]] * 2)[0] / 8_000
            - np.multiply.outer(*(np.bincount(c, minlength=8) / 8_000 for c in columns))
        ).sum()
        for pair, columns in {(0, 1): (first, below), (0, 2): (first, third)}.items()
    }
    assert scores[0, 1] > 0.3 * scores[0, 2]  # without the zeros the pair would be a serious candidate
    assert len(choose_tree(blind.measurer, blind.fitted, 100.0)) == 2


def test_the_target_s_pairs_weigh_more():
    """0-1 depends a little more than 2-1: only the weight makes 1 hang on 2."""
    rng = np.random.default_rng(2)
    base = rng.integers(0, 4, 20_000)
    strong = np.where(rng.random(20_000) < 0.50, base, rng.integers(0, 4, 20_000))
    weak = np.where(rng.random(20_000) < 0.46, base, rng.integers(0, 4, 20_000))
    begin = begun([4, 4, 4], columns=[strong, base, weak])

    def tree(**options):
        return choose_tree(begin.measurer, begin.fitted, 500.0, **options)

    assert tree()[0].clique == (0, 1)
    assert tree(weight=lambda pair: 1.5 if 2 in pair else 1.0)[0].clique == (1, 2)


def test_more_pairs_than_can_be_compared_at_each_step_are_attached_one_by_one(monkeypatch):
    monkeypatch.setattr("generators.core.spanning._MOST_PAIRS", 10)
    begin = begun([3] * 7)
    assert joined(7, [view.clique for view in choose_tree(begin.measurer, begin.fitted, 5.0)])
    tight = [v.clique for v in choose_tree(begin.measurer, begin.fitted, 5.0, most_cells=39)]
    assert 2 <= len(tight) < 6
    assert junction.tree_cells(begin.measurer.domain, tight) <= 39


@pytest.mark.parametrize("seed", range(10))
def test_the_room_left_is_what_the_junction_tree_says(seed):
    rng = np.random.default_rng(seed)
    d = int(rng.integers(2, 9))
    domain = Domain(names=tuple(map(str, range(d))), sizes=tuple(rng.integers(2, 9, d).tolist()))
    cliques = [tuple(sorted(rng.choice(d, 2, replace=False).tolist())) for _ in range(seed % 3)]
    room = _Room(domain, [*cliques, *((a,) for a in range(d))], 1e9)
    for _ in range(6):
        pair = tuple(sorted(rng.choice(d, 2, replace=False).tolist()))
        if room.group[pair[0]] == room.group[pair[1]] and pair not in cliques:
            continue  # of a circle the triangulation is a heuristic, whose outcome a further pair may change
        room.add(pair)
        cliques.append(pair)
        assert room.cells == pytest.approx(junction.tree_cells(domain, cliques))
