"""Learnt bounds and decimals: sane whatever the noise, wide enough where the data can be told from it."""

import json
import math

import numpy as np
import pytest

from generators.encoding import Encoding, plan_encoding
from generators.encoding.bounds import LEAST_DECIMALS, MOST_DECIMALS, _decimals
from generators.encoding.interval import FALSE_ALARM, universe_of
from generators.encoding.numeric import BoundsSource
from release.data.schema import ColumnKind
from release.data.table import Column, Table
from release.privacy import accounting
from tests.builders import make_schema, make_table
from tests.seeded_noise import SeededNoise

DELTA = 1e-7
KINDS = (ColumnKind.INTEGER, ColumnKind.REAL, ColumnKind.DATE, ColumnKind.DATETIME)
BINNERS = ("tree", "privtree", "quantiles")


def day(text):
    return int(np.datetime64(text, "D").astype(int))


def skewed(rng, n):
    return np.round(np.exp(rng.normal(11.0, 0.6, n)), 2)


#: name -> (kind, rows -> values)
TABLES = {
    "even": ("integer", lambda rng, n: rng.integers(0, 100, n)),
    "skewed": ("real", skewed),
    "very skewed": ("integer", lambda rng, n: np.exp(rng.normal(7.0, 2.5, n)).astype(int)),
    "heavy-tailed": ("integer", lambda rng, n: (10 / rng.random(n)).astype(int).clip(max=10**9)),
    "all negative": ("real", lambda rng, n: -skewed(rng, n)),
    "both signs": ("integer", lambda rng, n: rng.normal(0.0, 3_000.0, n).astype(int)),
    "constant": ("integer", lambda rng, n: np.full(n, 1_234)),
    "all zero": ("real", lambda rng, n: np.zeros(n)),
    "mostly zero": ("integer", lambda rng, n: np.where(rng.random(n) < 0.8, 0, rng.integers(1, 10_000, n))),
    "tiny": ("real", lambda rng, n: rng.exponential(1e-3, n)),
    "far from zero": ("integer", lambda rng, n: rng.integers(1_900, 2_020, n)),
    "dates": ("date", lambda rng, n: rng.integers(day("1900-01-01"), day("2026-01-01"), n)),
    "recent dates": ("date", lambda rng, n: rng.integers(day("2019-01-01"), day("2023-01-01"), n)),
    "moments": ("datetime", lambda rng, n: 86_400 * rng.integers(day("1990-01-01"), day("2025-01-01"), n) + 34_567),
    "a far outlier": ("integer", lambda rng, n: np.append(rng.integers(0, 1_000, n - 1), 10**12)),
    "a far date": ("date", lambda rng, n: np.append(rng.integers(day("2000-01-01"), day("2020-01-01"), n - 1), day("9999-12-31"))),
}  # fmt: skip


def table_of(schema, max_rows=1, **data):
    """A table of numbers as stored (days, seconds), nothing missing, `max_rows` rows a unit."""
    rows = len(next(iter(data.values())))
    columns = {
        name: Column(
            np.asarray(values, dtype=np.float64 if schema.column(name).kind is ColumnKind.REAL else np.int64),
            np.zeros(rows, dtype=np.uint8),
        )
        for name, values in data.items()
    }
    return Table(schema, columns, np.arange(rows, dtype=np.int64) // max_rows)


def learn(kind, values, rho, *, max_rows=1, seed=0, **options):
    """(code, its ends, σ of the bounds) of a column whose bounds are learnt."""
    unit = {} if max_rows == 1 else {"unit": "id", "max_rows": max_rows}
    schema = make_schema(a={"kind": kind}, **unit)
    table = table_of(schema, max_rows, a=values)
    plan = plan_encoding(schema, rho=rho, delta=DELTA, options=options)
    code = plan.fit(table, SeededNoise(seed)).codes["a"]
    grid = code.grid
    ends = grid.origin / grid.scale, (grid.origin + grid.step * (grid.size - 1)) / grid.scale
    assert code.size <= plan.columns[0].most_levels
    return code, table["a"], ends, plan.columns[0].multipliers[0] * max_rows


@pytest.mark.parametrize("max_rows", [1, 20])
@pytest.mark.parametrize("name", TABLES)
def test_learnt_bounds_are_sane_whatever_the_noise(name, max_rows):
    """Beyond each end lies what w cells can hide, or nothing at all is learnt; no value is far beyond the data.

    2 units × 16 tables × 6 ε × 3 seeds; a bound of (z + 4)·σ·√(2w) fails by chance below 1e-4 each.
    """
    kind, make = TABLES[name]
    universe = universe_of(ColumnKind(kind))
    values = make(np.random.default_rng(1), 4_000)
    near = np.sort(np.abs(values))[-2]
    for epsilon in (0.05, 0.1, 0.3, 1.0, 3.0, 10.0):
        rho = 0.1 * accounting.rho_for(epsilon, 1e-9)
        for seed in range(3):
            code, column, (low, high), sigma = learn(kind, values, rho, max_rows=max_rows, seed=seed)
            outside = (values < low) | (values > high)
            drawn = code.decode(code.encode(column), np.random.default_rng(seed)).values
            assert drawn.min() >= low
            assert drawn.max() <= high
            if code.bounds is BoundsSource.DEFAULT:
                assert (low, high) == pytest.approx(universe.default)
                assert outside.mean() < 0.05
                assert len(values) < (universe.deviations + 4) * sigma * math.sqrt(universe.size)
                continue
            assert code.bounds is BoundsSource.LEARNT
            hidden = 0.0
            for side in (values < low, values > high):
                cells = int((universe.counts(values[side]) > 0).sum())
                hidden += (universe.deviations + 4) * sigma * math.sqrt(2 * cells)
            assert outside.sum() <= hidden + 1
            if universe.zero is None:
                assert day("1700-01-01") * (86_400 if kind == "datetime" else 1) <= low
                assert high <= day("2150-01-01") * (86_400 if kind == "datetime" else 1)
            else:
                assert low <= 0 <= high
                assert max(-low, high) <= 128 * max(near, 1.0)  # a power, up to REACH likely ones, the margin
            if epsilon == 10.0 and max_rows == 1:
                assert outside.mean() <= 0.01


@pytest.mark.parametrize("name", TABLES)
def test_columns_come_back_as_they_were_where_noise_allows(name):
    """Total variation distance in 20 quantile bins below .1 at ρ = .05: a tenth of ε ≈ 9 for one column."""
    kind, make = TABLES[name]
    values = make(np.random.default_rng(2), 4_000)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, 21)[1:-1]))
    for seed in range(3):
        code, column, _, _ = learn(kind, values, 0.05, seed=seed)
        drawn = code.decode(code.encode(column), np.random.default_rng(seed)).values
        one, other = (
            np.bincount(np.searchsorted(edges, v, side="right"), minlength=20) for v in (values, drawn)
        )
        assert 0.5 * np.abs(one - other).sum() / len(values) < 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_noise_alone_stands_out_as_rarely_as_is_said(kind):
    """20,000 histograms of noise: 2 false alarms expected at most (P(> 10) < 1e-5); at z - 2.5 there are many (power 1)."""
    universe = universe_of(kind)
    rng = np.random.default_rng(3)
    sigma = 50.0
    noise = np.rint(rng.normal(0.0, sigma, (20_000, universe.size))).astype(np.int64)
    assert sum(universe.interval(row, sigma) is not None for row in noise) <= 10
    weak = sigma * (universe.deviations - 2.5) / universe.deviations
    assert sum(universe.interval(row, weak) is not None for row in noise[:1_000]) > 100
    assert FALSE_ALARM * 20_000 == 2


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_a_tail_of_thin_cells_counts_as_a_heavy_one_does(width):
    """w cells of (z + 3)·σ/√w rows, far beyond a heavy cell, are inside: 400 histograms, 8 misses at most (P < 1e-5)."""
    universe = universe_of(ColumnKind.INTEGER)
    rng = np.random.default_rng(4)
    sigma = 50.0
    counts = np.zeros(universe.size)
    counts[universe.zero + 3] = 10_000
    first = universe.zero + 20
    counts[first : first + width] = (universe.deviations + 3) * sigma / math.sqrt(width)
    missed = negative = 0
    for _ in range(400):
        noisy = np.rint(counts + rng.normal(0.0, sigma, len(counts))).astype(np.int64)
        low, high = universe.interval(noisy, sigma)
        negative += low < 0
        missed += high < universe.edges[first + width] - 1
    assert missed <= 8
    assert negative <= 8


def test_rows_beyond_the_bounds_make_no_spike():
    """Noise that hides both tails of an income: no value is drawn for more than 2 % of rows, whatever the bound."""
    values = skewed(np.random.default_rng(5), 5_000)
    heaviest, moved = 0.0, 0
    for seed in range(20):
        code, column, (low, high), _ = learn("real", values, 4e-5, seed=seed)
        drawn = code.decode(code.encode(column), np.random.default_rng(seed)).values
        heaviest = max(heaviest, np.unique(drawn, return_counts=True)[1].max() / len(drawn))
        moved += int(((values < low) | (values > high)).sum())
    assert heaviest < 0.02
    assert moved / (20 * len(values)) < 0.02


def test_a_hidden_group_far_away_makes_no_spike_at_the_bound():
    """4 % of rows a thousand times larger than the rest, which noise hides from the bounds but not from the bins."""
    rng = np.random.default_rng(7)
    values = np.where(
        rng.random(5_000) < 0.04, rng.integers(10**6, 10**7, 5_000), rng.integers(20, 100, 5_000)
    )
    hidden = 0
    for seed in range(10):
        code, column, (_, high), _ = learn("integer", values, 1 / (2 * 40.0**2 * 0.2), seed=seed)
        drawn = code.decode(code.encode(column), np.random.default_rng(seed)).values
        hidden += high < 10**4
        assert (drawn == high).mean() < 0.01
    assert hidden >= 8


@pytest.mark.parametrize("kind", ["integer", "real"])
def test_numbers_that_are_never_negative_stay_so(kind):
    """4,000 histograms with a heavy cell above zero: negative bounds in 40 at most (some 10 expected; 100 if SURE were LIKELY)."""
    universe = universe_of(ColumnKind(kind))
    rng = np.random.default_rng(8)
    counts = np.zeros(universe.size)
    counts[universe.zero : universe.zero + 4] = 5_000
    noisy = np.rint(counts + rng.normal(0.0, 50.0, (4_000, universe.size))).astype(np.int64)
    assert sum(universe.interval(row, 50.0)[0] < 0 for row in noisy) <= 40


def test_a_real_pile_at_the_end_stays_one():
    values = np.minimum(np.random.default_rng(6).integers(0, 2_000, 5_000), 1_023)
    code, column, _, _ = learn("integer", values, 0.01)
    drawn = code.decode(code.encode(column), np.random.default_rng(0)).values
    assert (drawn == 1_023).mean() == pytest.approx((values == 1_023).mean(), abs=0.02)


@pytest.mark.parametrize("binner", BINNERS)
@pytest.mark.parametrize("max_bins", [2, 3, 7, 20, 300])
@pytest.mark.parametrize("kind", KINDS)
def test_where_nothing_stands_out_bounds_and_bins_are_public(kind, max_bins, binner):
    """Ten rows under noise of thousands: whatever the noise, the same ends, and bins in which the data can be told apart."""
    values = np.arange(10) * 3
    for seed in range(3):
        code, _, ends, _ = learn(kind.value, values, 1e-9, seed=seed, max_bins=max_bins, binner=binner)
        universe = universe_of(kind)
        assert code.bounds is BoundsSource.DEFAULT
        assert ends == universe.default
        assert code.present <= max(max_bins, 2)
        assert code.grid.size > 10_000
        starts = (code.grid.origin + code.grid.step * code.bins.starts) / code.grid.scale
        assert starts.tolist() == universe.default_starts(max_bins).tolist()
        levels = np.arange(code.present)
        assert np.array_equal(code.encode(code.decode(levels, np.random.default_rng(seed))), levels)
        if kind is ColumnKind.REAL:
            assert code.grid.scale == 10**LEAST_DECIMALS
        if max_bins == 20 and universe.zero is not None:
            assert len(np.unique(code.bins.levels(code.grid.cells(values)))) >= 5


def test_the_plan_and_the_code_say_what_was_learnt():
    schema = make_schema(a={"kind": "integer"}, b={"kind": "date"}, c=(0, 1_000))
    plan = plan_encoding(schema, rho=0.01, delta=DELTA)
    described = plan.describe()
    assert described["a"]["bounds where none do"] == "-1048576 … 1048576"
    assert described["b"]["bounds where none do"] == "1900-01-01 … 2099-12-31"
    sigma = plan.columns[0].multipliers[0]
    assert described["a"]["rows that stand out"] == math.ceil(
        universe_of(ColumnKind.INTEGER).deviations * sigma
    )
    table = table_of(schema, a=[5] * 3_000, b=[10_000] * 3_000, c=[4] * 3_000)
    encoding = plan.fit(table, SeededNoise(0))
    few = plan.fit(table.take(np.arange(9)), SeededNoise(0))
    for fitted, source in ((encoding, "learnt"), (few, "default")):
        stored = json.loads(json.dumps(fitted.to_json()))
        assert [part["bounds"] for part in stored["columns"]] == [source, source, "declared"]
        again = Encoding.from_json(stored, fitted.arrays())
        assert [code.bounds for code in again.codes.values()] == [
            code.bounds for code in fitted.codes.values()
        ]
        for part in stored["columns"]:
            del part["bounds"]  # as versions before this one wrote it
        assert Encoding.from_json(stored, fitted.arrays()).codes["a"].bounds is BoundsSource.DECLARED


@pytest.mark.parametrize("step", [7.0, 40_000.0])
def test_dates_on_increments_stay_in_the_calendar(step):
    rules = [{"type": "increment", "column": "a", "step": step, "start": 19_723.0}]
    schema = make_schema(constraints=rules, a={"kind": "date"})
    late = [day("9990-01-01") // 7 * 7 + 4] * 500  # from 19,723 in weeks
    table = table_of(schema, a=late)
    for rho in (1e-9, 1.0):
        code = plan_encoding(schema, rho=rho, delta=DELTA).fit(table, SeededNoise(0)).codes["a"]
        drawn = code.decode(code.encode(table["a"]), np.random.default_rng(0)).values
        assert day("0001-01-01") <= drawn.min() <= drawn.max() <= day("9999-12-31")
        assert ((drawn - 19_723) % step == 0).all()


@pytest.mark.parametrize(
    ("magnitude", "decimals"),
    [(m, d) for m in (0, 1, 1e3, 1e6, 1e9, 1e11) for d in range(5) if m * 10.0**d <= 1e14],
)
def test_decimals_are_counted_at_any_magnitude(magnitude, decimals):
    """As read from text: 10^9 + 0.25 has two, as far as floats of that size tell decimals apart."""
    last = np.arange(1, 400) * 10 + 3  # ends in 3, so no fewer decimals will do
    values = np.array([float(f"{int(magnitude) * 10**decimals + k}e-{decimals}") for k in last.tolist()])
    assert (_decimals(values) == decimals).all()
    assert (_decimals(-values) == decimals).all()


def test_decimals_of_what_was_computed_and_of_what_has_no_end():
    computed = np.array([0.1 + 0.2, 3 * 1.1, 0.3 - 0.1, 1.1 * 1.1 * 100])
    assert _decimals(computed).tolist() == [1, 1, 1, 0]
    assert (_decimals(np.array([1 / 3, np.pi * 1e5, 1e-7])) == MOST_DECIMALS + 1).all()
    assert _decimals(np.array([0.0, -0.0, 4e15])).tolist() == [0, 0, 0]


def test_quarters_of_billions_come_back_as_quarters():
    rng = np.random.default_rng(0)
    values = 1e9 + rng.integers(0, 4_000_000, 3_000) / 4
    schema = make_schema(a={"kind": "real"})
    table = make_table(schema, {"a": values.tolist()})
    encoding = plan_encoding(schema, rho=0.1, delta=DELTA).fit(table, SeededNoise(0))
    decoded = encoding.decode(encoding.encode(table), rng)["a"].values
    assert np.array_equal(np.round(decoded, 2), decoded)
    assert (decoded % 1 != 0).mean() > 0.5
