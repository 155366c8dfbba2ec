from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from release.data.schema import Unit
from release.quality.grid import lay_grid, numeric_cuts
from release.quality.marginals import CLUSTERED_REPEATS, FLOOR_REPEATS, MARGINALS, distances, total_variation
from release.records import Measured, NotMeasured
from tests.release.quality.build import (
    arena_of,
    coded_spec,
    figures,
    number_spec,
    people,
    people_schema,
    schema_of,
    table_of,
)
from tests.shared_schemas import load_shared


def test_distance_by_hand():
    # 60/40 against 40/60 in a, equal b: TVD 0.2 and 0; pair (a, b): b is the complement of a on one side only.
    schema = schema_of(coded_spec("a", ["x", "y"]), coded_spec("b", ["x", "y"]))
    real = table_of(schema, a=[0] * 60 + [1] * 40, b=[0] * 60 + [1] * 40)
    synthetic = table_of(schema, a=[0] * 40 + [1] * 60, b=[1] * 40 + [0] * 60)
    found = figures(MARGINALS.measure(arena_of(real, synthetic, real, None), np.random.default_rng(0)))
    assert found["tvd_1way", "a"].estimate == pytest.approx(0.2)
    assert found["tvd_1way", "b"].estimate == pytest.approx(0.0)
    assert found["tvd_1way_worst", ""].estimate == pytest.approx(0.2)
    assert found["tvd_2way_mean", ""].estimate == pytest.approx(1.0)
    # ½ sign(p − q) is ±½ with shares .6/.4 on one side and .4/.6 on the other: variance .24/99 each.
    error = np.sqrt(2 * 0.24 / 99)
    assert found["tvd_1way", "a"].high == pytest.approx(0.2 + 1.6449 * error, abs=1e-4)


def test_pairs_agree_with_pandas():
    table = load_shared("meps")
    rows = np.random.default_rng(3).permutation(len(table))
    one, other = table.take(rows[:3000]), table.take(rows[3000:7000])
    grid = lay_grid([one, other])
    pairs = list(itertools.combinations(range(len(grid.names)), 2))
    found = distances(grid, one, other, pairs, np.random.default_rng(0))
    for number, (a, b) in enumerate(pairs):
        counts = [
            pd.Series(list(zip(codes[a], codes[b]))).value_counts(normalize=True) for codes in grid.codes
        ]
        both = pd.concat(counts, axis=1).fillna(0.0).to_numpy()
        assert found.tvd[number] == pytest.approx(0.5 * np.abs(both[:, 0] - both[:, 1]).sum(), abs=1e-12)


def test_two_real_samples_lie_at_the_noise_floor():
    table = load_shared("lending-club")
    differences = []
    for seed in range(8):
        rows = np.random.default_rng(seed).permutation(len(table))
        one, other = table.take(rows[:4000]), table.take(rows[4000:])
        grid = lay_grid([one, other]).coarse(64)
        pairs = list(itertools.combinations(range(len(grid.names)), 2))
        found = distances(grid, one, other, pairs, np.random.default_rng(seed))
        differences.append(found.tvd.mean() - found.floor.mean())
    # The mean over 8 splits has a standard error near 0.002/√8; the floor itself is near 0.06.
    assert abs(np.mean(differences)) < 0.003


@pytest.mark.parametrize("per_unit", [1, 4])
def test_the_interval_has_the_width_of_the_sampling_distribution(per_unit):
    # Two populations at a true distance; rows of a unit are copies, so that ignoring units would halve the width.
    schema = schema_of(
        coded_spec("a", ["x", "y", "z"]),
        coded_spec("b", ["x", "y"]),
        unit=Unit(name="person", column="id", max_rows=per_unit),
    )
    estimates, errors = [], []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        tables = []
        for p in ([0.5, 0.3, 0.2], [0.2, 0.3, 0.5]):
            a = rng.choice(3, size=200, p=p)
            b = (rng.random(200) < 0.3 + 0.2 * a).astype(int)
            units = np.repeat(np.arange(200), per_unit)
            tables.append(table_of(schema, units=units, a=a[units], b=b[units]))
        grid = lay_grid(tables)
        found = distances(grid, *tables, [(0,), (1,), (0, 1)], rng)
        estimates.append(found.tvd.mean())
        errors.append(found.mean_error)
    assert np.mean(errors) == pytest.approx(np.std(estimates), rel=0.2)


def test_the_floor_by_bootstrap_agrees_with_the_multinomial_one():
    # One row a unit, declared as units of several rows: both paths must give the same level.
    plain, clustered = (
        schema_of(coded_spec("a", [f"v{k}" for k in range(12)]), unit=unit)
        for unit in (None, Unit(name="person", column="id", max_rows=2))
    )
    # 30 tables × 4 draws (the fewer) of a distance near 0.075 with a spread of 0.015: a standard error of 0.0014.
    levels = {False: [], True: []}
    units = np.arange(1000)
    units[-1] = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        a, b = rng.integers(0, 12, 1000), rng.integers(0, 12, 500)
        for several, schema, ids in ((False, plain, None), (True, clustered, units)):
            real, synthetic = table_of(schema, units=ids, a=a), table_of(schema, a=b)
            found = distances(lay_grid([real, synthetic]), real, synthetic, [(0,)], rng)
            assert found.floor.shape == (1, CLUSTERED_REPEATS if several else FLOOR_REPEATS)
            levels[several].append(found.floor.mean())
    assert np.mean(levels[True]) == pytest.approx(np.mean(levels[False]), abs=0.004)


def test_a_changed_dependence_is_seen_in_pairs_only():
    schema = schema_of(*(coded_spec(name, [f"v{k}" for k in range(5)]) for name in "abc"))

    def draw(seed, follow):
        rng = np.random.default_rng(seed)
        a, c, other = rng.integers(0, 5, (3, 4000))
        return table_of(schema, a=a, b=np.where(rng.random(4000) < follow, a, other), c=c)

    real = draw(1, 0.5)
    good, bad = (
        figures(MARGINALS.measure(arena_of(real, draw(2, follow), real, None), np.random.default_rng(0)))
        for follow in (0.5, 0.0)
    )
    assert bad["tvd_1way_mean", ""].low < good["tvd_1way_mean", ""].high
    assert good["tvd_2way_mean", ""].low < good["noise_floor_2way", ""].high
    # One pair of three changes, by 0.4: P(b = a) falls from 0.6 to 0.2.
    assert bad["tvd_2way_mean", ""].low > good["tvd_2way_mean", ""].high
    assert bad["tvd_2way_mean", ""].estimate == pytest.approx(
        good["tvd_2way_mean", ""].estimate + 0.4 / 3, abs=0.02
    )


def test_slices_get_rows_and_small_ones_say_why_not():
    rng = np.random.default_rng(2)
    schema = people_schema()
    real, synthetic = people(2000, rng), people(2000, rng)
    young = synthetic.take(np.flatnonzero(synthetic["age"].values < 75))
    found = figures(MARGINALS.measure(arena_of(real, young, real), np.random.default_rng(0)))
    assert isinstance(found["tvd_2way_mean", "slice:men"], Measured)
    assert found["tvd_2way_mean", "slice:old"] == NotMeasured(
        reason="0 units are too few for an interval (at least 50)", needed=50
    )
    assert {name for _, name in found} >= {f"slice:{part.name}" for part in schema.slices}


def test_cells_of_numbers():
    assert numeric_cuts(np.repeat([0.0, 1.0, 2.0], 10), whole=True).tolist() == [-1, 0, 1, 2]
    assert not len(numeric_cuts(np.empty(0), whole=True))
    values = np.random.default_rng(0).exponential(size=10_000)
    counts = np.bincount(np.searchsorted(numeric_cuts(values, whole=False), values, side="left"))
    assert counts.tolist() == [1000] * 10
    spiked = np.concatenate([np.zeros(9_000), values[:1_000]])
    cuts = numeric_cuts(spiked, whole=False)
    alone = np.bincount(np.searchsorted(cuts, spiked, side="left"), minlength=len(cuts) + 1)
    assert max(alone.tolist()) == 9_000


def test_coarse_merges_the_rarest():
    schema = schema_of(coded_spec("a", [f"v{k}" for k in range(9)]))
    real = table_of(schema, a=np.repeat(np.arange(9), np.arange(9, 0, -1)))
    grid = lay_grid([real, real]).coarse(3)
    assert np.bincount(grid.codes[0][0]).tolist() == [9, 8, 45 - 17]


def test_unknown_levels_of_the_release_are_cells_too():
    schema = schema_of(number_spec("n", 0, 10), coded_spec("a", ["x", "y"]))
    real = table_of(schema, n=np.zeros(80), a=["x"] * 80)
    synthetic = table_of(schema, n=np.full(80, 5.0), a=["y"] * 80)
    found = figures(MARGINALS.measure(arena_of(real, synthetic, real, None), np.random.default_rng(0)))
    assert found["tvd_1way", "a"].estimate == found["tvd_1way", "n"].estimate == 1.0
    assert total_variation(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 1.0
