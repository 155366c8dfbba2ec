"""What the encoding costs, what it adds, and that nothing but noised counts reaches it."""

import math

import numpy as np
import pytest
from scipy.stats import chi2, norm

from generators.encoding import plan_encoding
from generators.encoding.binning import PrivTreeBinning
from generators.encoding.grid import Grid
from generators.encoding.keys import leak, threshold_for
from release.canonical import canonical_bytes
from release.privacy import accounting
from release.privacy.noise import SystemNoise
from release.records import Mechanism
from tests.builders import make_schema, make_table, random_table
from tests.generators.encoding.sources import Deaf, Recorder
from tests.seeded_noise import SeededNoise

DELTA = 1e-7
WIDE = {
    "ward": ["a", "b", "c"],
    "age": (0, 120),
    "amount": (-1_000.0, 50_000.0),
    "many": {"kind": "categorical", "domain": {"values": [f"v{k}" for k in range(700)]}},
    "drug": {"kind": "categorical"},
    "dose": {"kind": "real"},
    "visits": {"kind": "integer"},
}
BINNERS = ("tree", "privtree", "quantiles")


@pytest.mark.parametrize("binner", BINNERS)
def test_the_events_cost_what_was_given(binner):
    schema = make_schema(
        constraints=[{"type": "determines", "determinants": ["ward"], "dependent": "after"}],
        after=["x", "y"],
        **WIDE,
    )
    plan = plan_encoding(schema, rho=0.02, delta=DELTA, options={"binner": binner})
    assert accounting.rho_of(plan.events) == pytest.approx(0.02, rel=1e-9)
    assert accounting.threshold_delta(plan.events) == pytest.approx(DELTA, rel=1e-9)
    assert sum(part["rho"] for part in plan.describe().values()) == pytest.approx(0.02, rel=1e-9)
    by_hand = sum(
        event.count
        * {
            Mechanism.DISCRETE_GAUSSIAN: 1 / (2 * event.parameter**2),
            Mechanism.PURE: event.parameter**2 / 2,
            Mechanism.EXPONENTIAL: event.parameter**2 / 8,
            Mechanism.THRESHOLD: 0.0,
        }[event.mechanism]
        for event in plan.events
    )
    assert by_hand == pytest.approx(0.02, rel=1e-9)


def test_the_description_can_be_digested_and_names_every_column():
    schema = make_schema(
        constraints=[
            {
                "type": "determines",
                "determinants": ["ward"],
                "dependent": "after",
                "table": [[w, "x"] for w in "abc"],
            }
        ],
        after=["x", "y"],
        **WIDE,
    )
    described = plan_encoding(schema, rho=0.02, delta=DELTA).describe()
    assert set(described) == set(schema.names)
    assert canonical_bytes(described)


def test_weights_move_the_budget():
    schema = make_schema(a=(0, 1000), b=(0, 1000))
    plan = plan_encoding(schema, rho=0.3, delta=DELTA, options={"weights": {"a": 2.0}})
    described = plan.describe()
    assert described["a"]["rho"] == pytest.approx(0.2)
    assert described["b"]["rho"] == pytest.approx(0.1)


@pytest.mark.parametrize("binner", BINNERS)
@pytest.mark.parametrize("max_rows", [1, 4])
def test_every_call_gets_the_noise_that_was_accounted(binner, max_rows):
    """Scales of the noise that is asked for, against the events and k = max_rows, by hand."""
    schema = make_schema(unit="id", max_rows=max_rows, **WIDE)
    table = random_table(schema, 2_000, np.random.default_rng(0))
    plan = plan_encoding(schema, rho=0.5, delta=DELTA, options={"binner": binner})
    recorder = Recorder()
    for column in plan.columns:
        recorder.calls.clear()
        column.fit(table[column.spec.name], recorder)
        left = {
            mechanism: sorted(
                e.parameter for e in column.events if e.mechanism is mechanism for _ in range(e.count)
            )
            for mechanism in Mechanism
        }
        gaussian = [scale for kind, _, scale in recorder.calls if kind == "gaussian"]
        assert len(gaussian) <= len(left[Mechanism.DISCRETE_GAUSSIAN])
        for scale in gaussian:
            assert min(abs(scale / max_rows / m - 1) for m in left[Mechanism.DISCRETE_GAUSSIAN]) < 1e-12
        for kind, _, scale in recorder.calls:
            if kind == "laplace":
                assert scale == pytest.approx(3 * max_rows / left[Mechanism.PURE][0])
            if kind == "exponential":
                assert scale == pytest.approx((left[Mechanism.EXPONENTIAL][0], max_rows / 2))


@pytest.mark.parametrize("name", ["age", "amount", "many", "drug", "dose", "visits"])
def test_one_unit_moves_each_histogram_by_at_most_k(name):
    """The L2 distance of what is counted on neighbours is at most k, and k is reached: the sensitivity is tight."""
    schema = make_schema(unit="id", max_rows=3, **WIDE)
    rng = np.random.default_rng(1)
    table = random_table(schema, 3_000, rng)
    plan = plan_encoding(schema, rho=0.5, delta=DELTA)
    column = next(column for column in plan.columns if column.spec.name == name)
    most = 0.0
    for unit in range(40):
        rows = np.flatnonzero(table.units != unit)
        same = table[name].values.copy()
        mine = np.flatnonzero(table.units == unit)
        same[mine] = same[mine[0]]  # the worst case: all k rows alike
        whole = type(table[name])(same, table[name].missing, table[name].levels)
        one, other = Recorder(), Recorder()
        column.fit(whole, one)
        column.fit(whole.take(rows), other)
        for (_, counts, _), (_, without, _) in zip(one.calls, other.calls, strict=False):
            if counts.shape == without.shape:
                distance = float(np.linalg.norm(counts - without))
                assert distance <= 3 + 1e-9
                most = max(most, distance)
            else:
                break  # from here on the adaptive mechanism looks elsewhere
    assert most == pytest.approx(3.0)


def test_realised_noise_is_neither_too_little_nor_too_much():
    """Spread of the real noise around the true counts, per kind of encoder: both arms of a χ² test at 1e-6 each."""
    schema = make_schema(**WIDE)
    table = random_table(schema, 2_000, np.random.default_rng(2))
    plan = plan_encoding(schema, rho=0.05, delta=DELTA)

    class Spy(SystemNoise):
        __slots__ = ("squares",)

        def __init__(self):
            self.squares = []

        def discrete_gaussian(self, counts, sigma):
            noisy = super().discrete_gaussian(counts, sigma)
            self.squares.append(((noisy - counts) / sigma).astype(float))
            return noisy

    for column in plan.columns:
        if not column.events:
            continue
        spy = Spy()
        while sum(map(len, spy.squares)) < 600:
            column.fit(table[column.spec.name], spy)
        drawn = np.concatenate(spy.squares)
        total = float((drawn**2).sum())
        assert chi2.ppf(1e-6, len(drawn)) < total < chi2.isf(1e-6, len(drawn)), column.spec.name


def test_threshold_is_the_smallest_that_keeps_delta():
    for rows in (1, 2, 5, 20):
        for sigma in (3.0, 40.0):
            for delta in (1e-3, 1e-9):
                threshold = threshold_for(delta, sigma, rows)
                assert leak(threshold, sigma, rows) <= delta
                assert threshold == rows + 2 or leak(threshold - 1, sigma, rows) > delta


def test_threshold_bounds_the_exact_chance_of_every_split():
    """Against enumeration: every way to spread k rows over keys of one's own, with the exact discrete Gaussian."""

    def partitions(total, largest):
        if total == 0:
            yield ()
        for part in range(min(total, largest), 0, -1):
            for rest in partitions(total - part, part):
                yield (part, *rest)

    sigma, rows, delta = 4.0, 6, 1e-4
    threshold = threshold_for(delta, sigma, rows)
    support = np.arange(-200, 201)
    mass = np.exp(-(support**2) / (2 * sigma**2))
    mass /= mass.sum()
    tail = {m: float(mass[support >= m].sum()) for m in range(-5, threshold + 1)}
    worst = max(
        1 - math.prod(1 - tail[threshold - count] for count in split)
        for split in (s for n in range(1, rows + 1) for s in partitions(n, n))
    )
    assert worst <= delta
    assert worst > delta / 10  # not wastefully far below


def test_lone_keys_are_kept_as_often_as_delta_says():
    """1,000 keys of one unit each at a large δ: kept with at most δ (4σ above), and not never."""
    schema = make_schema(key={"kind": "categorical"})
    table = make_table(schema, {"key": [f"k{n}" for n in range(1_000)]})
    from generators.encoding.keys import KeysPlan

    plan = KeysPlan(spec=schema.column("key"), rho=0.02, delta=0.02, rows=1, most=5_000, hierarchy=None)
    kept = sum(len(plan.fit(table["key"], SystemNoise()).values) - 1 for _ in range(20))
    expected = 20_000 * 0.02
    assert kept <= expected + 4 * math.sqrt(expected)
    assert kept >= 0.25 * expected  # the bound on the tail is not exact


def test_kept_keys_are_the_frequent_ones_in_alphabetical_order():
    schema = make_schema(key={"kind": "categorical"})
    cells = ["zebra"] * 900 + ["ant"] * 800 + [f"rare{n}" for n in range(300)]
    table = make_table(schema, {"key": cells})
    plan = plan_encoding(schema, rho=0.05, delta=DELTA)
    code = plan.fit(table, SeededNoise(1)).codes["key"]
    assert code.values == ("ant", "zebra", "(outside domain)")


@pytest.mark.parametrize("binner", BINNERS)
def test_nothing_but_noised_counts_reaches_the_encoding(binner):
    """Two tables that share no value, one deaf noise source: the same encoding, to the bit."""
    columns = {name: what for name, what in WIDE.items() if name != "drug"}  # learnt keys: the threshold's δ
    schema = make_schema(
        constraints=[{"type": "determines", "determinants": ["ward"], "dependent": "after"}],
        after=["x", "y"],
        **columns,
    )
    one = random_table(schema, 900, np.random.default_rng(5))
    other = random_table(schema, 40, np.random.default_rng(6))
    plan = plan_encoding(schema, rho=0.05, delta=DELTA, options={"binner": binner})
    first, second = (plan.fit(table, Deaf(3)) for table in (one, other))
    assert first.to_json() == second.to_json()
    arrays = first.arrays(), second.arrays()
    assert list(arrays[0]) == list(arrays[1])
    assert all(np.array_equal(arrays[0][name], arrays[1][name]) for name in arrays[0])


def _trees(counts, low, high, depth, scale, decay):
    """Every outcome of PrivTree below a node with its probability: {frozenset of leaves: probability}."""
    biased = max(sum(counts[low : high + 1]) - depth * decay, -decay)
    alpha = math.exp(-1 / scale)
    stay = alpha ** (biased) / (1 + alpha) if biased >= 0 else 1 - alpha ** (1 - biased) / (1 + alpha)
    if low == high:
        return {frozenset([(low, high)]): 1.0}
    middle = low + (high - low) // 2
    outcomes = {frozenset([(low, high)]): stay}
    for left, p in _trees(counts, low, middle, depth + 1, scale, decay).items():
        for right, q in _trees(counts, middle + 1, high, depth + 1, scale, decay).items():
            outcomes[left | right] = outcomes.get(left | right, 0.0) + (1 - stay) * p * q
    return outcomes


@pytest.mark.parametrize("epsilon", [0.3, 2.0])
def test_privtree_with_discrete_laplace_is_private(epsilon):
    """All outcomes over 8 cells, enumerated: no neighbour's log-ratio exceeds ε, and some comes near."""
    scale = 3 / epsilon
    decay = math.ceil(scale * math.log(2))
    worst = 0.0
    for total in (0, 1, 3, 8, 15, 40):
        counts = [total, 0, 0, 0, 0, 0, 0, 0]
        more = [total + 1, *counts[1:]]
        a, b = (_trees(c, 0, 7, 0, scale, decay) for c in (counts, more))
        assert sum(a.values()) == pytest.approx(1.0)
        worst = max(worst, *(abs(math.log(a[tree] / b[tree])) for tree in a if a[tree] > 0))
    assert epsilon / 4 < worst <= epsilon + 1e-9


def test_privtree_is_run_as_it_was_enumerated():
    """The share of runs whose root stays whole agrees with the enumeration (5 standard deviations)."""
    binning = PrivTreeBinning(rho=1.0, rows=1, max_bins=64, shape=0.5)
    grid = Grid(origin=0, step=1, scale=1, size=8, continuous=False, whole=True)
    scale = 3 / binning.epsilon
    decay = math.ceil(scale * math.log(2))
    cells = np.array([0, 0, 1])
    whole = _trees([2, 1, 0, 0, 0, 0, 0, 0], 0, 7, 0, scale, decay)[frozenset([(0, 7)])]
    runs = 1_000
    noise = SystemNoise()
    stayed = sum(len(binning.measure(cells, grid, noise).starts) == 1 for _ in range(runs))
    assert abs(stayed / runs - whole) < 5 * math.sqrt(whole * (1 - whole) / runs)


def test_normal_tail_dominates_the_discrete_one():
    """The bound that `leak` rests on (2004.00010, proposition 25), for several σ."""
    for sigma in (0.5, 1.0, 7.3):
        support = np.arange(-400, 401)
        mass = np.exp(-(support**2) / (2 * sigma**2))
        mass /= mass.sum()
        for m in range(1, int(8 * sigma) + 2):
            assert mass[support >= m].sum() <= norm.sf((m - 1) / sigma)


class Silent(SeededNoise):
    """Adds nothing, so that counts tie."""

    def discrete_gaussian(self, counts, sigma):
        return counts


def test_the_order_in_the_file_does_not_decide_which_of_tied_keys_are_kept():
    from generators.encoding.keys import KeysPlan

    schema = make_schema(key={"kind": "categorical"})
    plan = KeysPlan(spec=schema.column("key"), rho=0.5, delta=0.02, rows=1, most=2, hierarchy=None)
    cells = [key for key in "dbca" for _ in range(100)]
    kept = {
        plan.fit(make_table(schema, {"key": order})["key"], Silent(1)).values
        for order in (cells, cells[::-1], sorted(cells))
    }
    assert kept == {("a", "b", "(outside domain)")}
