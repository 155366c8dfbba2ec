"""Singling out by people reached: its planted leaks are found, an attack that cannot see misses them, made-up columns leave it room."""

import numpy as np
import pytest

import attacks.singling_out as probe
from attacks import own_values
from attacks.attack import Leak
from attacks.bench import Bench
from attacks.controls import instruments, run_controls
from attacks.encoding import Encoded
from attacks.own_values import own_cells
from attacks.plants import leak_order, plant
from attacks.predicates import LARGEST_SHARE, Queries, SortedTable, alike, multivariate
from attacks.reach_control import reach_p
from attacks.singled import Reach
from release.protocols import Arena
from release.records import ControlKind, Ruling
from tests.attacks.arenas import mixed_table, split_arena
from tests.attacks.tiers import findings
from tests.builders import make_schema, make_table
from tests.policies.cases import evidence as evidence_of

UNIVARIATE, MULTIVARIATE = "own-value/univariate-reach", "verbatim/multivariate-reach"
REACHED = "singling-out-reach"


@pytest.fixture(scope="module")
def table():
    return mixed_table(6_000, np.random.default_rng(11))


@pytest.fixture(scope="module")
def calm(table):
    return split_arena(table, np.random.default_rng(1), units=2_000)


def tried(arena, seed=0):
    """The probe's controls and what partner-healthcare's rules say of it, controls included."""
    bench = Bench.of(arena, np.random.default_rng(seed))
    wanted = tuple(one for one in instruments(bench, {}) if one.probe == probe.NAME)
    controls = run_controls(bench, wanted)
    report = probe.ATTACK.run(bench, lambda done, what: None)
    rulings = findings(evidence_of(*report.evidence, controls=controls), controls=True)
    return {c.name: c for c in controls}, {key: r for key, r in rulings.items() if key[0] == REACHED}


# ---------------------------------------------------------------- the controls, both sides


def test_both_kinds_of_predicates_reach_the_people_who_were_planted(calm):
    controls, rulings = tried(calm)
    assert not [c for c in controls.values() if not c.passed]
    assert controls[UNIVARIATE].p_value < 1e-6
    assert controls[MULTIVARIATE].p_value < 1e-4
    assert {c.name.partition("/")[0] for c in controls.values() if c.kind is ControlKind.NULL} == {
        "columns-shuffled",
        "arms-redrawn",
        "reference-rotation",
    }
    assert rulings == {(REACHED, "univariate"): Ruling.MET, (REACHED, "multivariate"): Ruling.MET}


BLIND = {
    # what no longer sees, and the plants that are missed for it
    "unique values": ("univariate", {UNIVARIATE}),
    "conjunctions": ("multivariate", {MULTIVARIATE}),
}


@pytest.mark.parametrize("case", BLIND)
def test_predicates_that_were_not_made_are_missed(calm, case, monkeypatch):
    """A measured zero by an attack that asked nothing: its plant is missed, and the figure says nothing."""
    name, missed = BLIND[case]
    real = getattr(probe, name)
    monkeypatch.setattr(probe, name, lambda *given: real(*given).take(np.arange(0)))
    controls, rulings = tried(calm)
    assert {c.name for c in controls.values() if not c.passed} - {"verbatim"} == missed
    assert set(rulings.values()) == {Ruling.INVALID}


def test_a_count_of_nobody_is_missed(calm, monkeypatch):
    """R sees its plant all the same: it does not vouch for the count of people."""
    monkeypatch.setattr(Reach, "_hit", lambda self, units: 0)
    controls, rulings = tried(calm)
    assert {c.name for c in controls.values() if not c.passed} == {UNIVARIATE, MULTIVARIATE}
    assert controls["verbatim"].passed
    assert set(rulings.values()) == {Ruling.INVALID}


def test_where_nobody_has_a_value_of_their_own_the_figure_is_unproven():
    """Four categories and an age, all shared by many: the univariate plant cannot be made, and nothing vouches for the figure."""
    rng = np.random.default_rng(0)
    schema = make_schema(**{f"c{k}": [f"v{j}" for j in range(9)] for k in range(12)}, age=(18, 60))

    def draw(n):
        cells = {f"c{k}": [f"v{j}" for j in rng.integers(0, 9, n)] for k in range(12)}
        return make_table(schema, {**cells, "age": rng.integers(18, 61, n).tolist()})

    tables = [draw(n) for n in (1_500, 1_500, 300, 4_000)]
    arena = Arena(
        members=tables[0],
        controls=tables[1],
        reference=tables[2],
        training=None,
        synthetic=tables[3],
        claim=None,
    )
    assert not own_values.enough(Bench.of(arena, np.random.default_rng(0)))
    controls, rulings = tried(arena)
    assert UNIVARIATE not in controls
    assert controls[MULTIVARIATE].passed
    assert set(rulings.values()) == {Ruling.UNPROVEN}


def test_a_raw_copy_stays_broken(table):
    """Planted rows are second copies there, and values of one person alone stand in it already: no control may fail for that."""
    copied = split_arena(table, np.random.default_rng(1), units=2_000, whole_copy=True)
    controls, rulings = tried(copied)
    assert not [c for c in controls.values() if not c.passed]
    assert rulings[REACHED, "multivariate"] is Ruling.BROKEN
    assert rulings[REACHED, "univariate"] is Ruling.BROKEN


def test_planted_cells_are_of_one_person_alone_and_stand_in_rows_of_the_candidate(calm):
    bench = Bench.of(calm, np.random.default_rng(0))
    order = leak_order(bench, Leak.OWN_VALUE)
    columns, rows = own_cells(bench)
    targets = bench.targets
    assert targets.is_member[order].all()
    for unit in order[:50].tolist():
        column, row = columns[unit], rows[unit]
        assert targets.unit[row] == unit
        same = targets.rows.codes[column] == targets.rows.codes[column, row]
        assert set(targets.unit[same].tolist()) == {unit}
        assert targets.rows.codes[column, row] not in bench.synthetic.codes[column]
    planted = plant(bench, Leak.OWN_VALUE, order[:50])
    known = {row.tobytes() for row in np.ascontiguousarray(bench.synthetic.codes.T)}
    differ = [
        min(int((row != np.frombuffer(other, np.int32)).sum()) for other in known)
        for row in planted.codes.T[:5]
    ]
    assert differ == [1] * 5
    assert own_cells(bench.planted(planted))[0] is columns


@pytest.mark.parametrize("mode", probe.MODES)
def test_the_tests_of_calm_plants_are_no_smaller_than_chance(calm, mode):
    """Rows of the candidate "planted" for random members: p at or below .05 in about a twentieth, not in a quarter."""
    low = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        bench = Bench.of(calm, rng)
        own = own_cells(bench)[0] >= 0
        units = rng.permutation(np.flatnonzero(bench.targets.is_member & own))[:200]
        fillers = bench.synthetic.take(rng.integers(bench.synthetic.n_rows, size=len(units)))
        of = np.array([np.flatnonzero(bench.targets.unit == unit)[0] for unit in units.tolist()])
        low += (
            reach_p(mode)(bench.planted(Encoded(fillers.values, fillers.codes, bench.targets.rows.units[of])))
            <= 0.05
        )
    assert low <= 5  # Binomial(20, .05) passes 5 in 3 of 10,000 runs


# ---------------------------------------------------------------- made-up unique columns


def accounts(copied, made_up, rng, n=1_500, rows=6_000):
    """Rows of six columns, and as many columns of account numbers as asked; in the release those are made up, and some members' rows not."""
    numbers = [f"A{k}" for k in range(2 * (n + rows))]
    schema = make_schema(
        region=[f"r{k}" for k in range(12)],
        job=[f"j{k}" for k in range(25)],
        ward=[f"w{k}" for k in range(30)],
        age=(18, 95),
        visits=(0, 60),
        weight=(30.0, 200.0),
        **{f"account{k}": numbers for k in range(made_up)},
    )

    def draw(count, of):
        return {
            "region": [f"r{k}" for k in rng.integers(0, 12, count)],
            "job": [f"j{k}" for k in rng.integers(0, 25, count)],
            "ward": [f"w{k}" for k in rng.integers(0, 30, count)],
            "age": rng.integers(18, 96, count).tolist(),
            "visits": np.minimum(rng.poisson(4, count), 60).tolist(),
            "weight": np.round(rng.normal(75, 14, count).clip(30, 200), 1).tolist(),
            **{f"account{k}": rng.choice(of, count, replace=False).tolist() for k in range(made_up)},
        }

    members, controls = draw(n, numbers[: n + rows]), draw(n, numbers[: n + rows])
    release = draw(rows, numbers[n + rows :])
    for name in release:
        if not name.startswith("account"):
            release[name][:copied] = members[name][:copied]
    tables = [make_table(schema, one) for one in (members, controls, release)]
    return Arena(
        members=tables[0], controls=tables[1], reference=None, training=None, synthetic=tables[2], claim=None
    )


@pytest.mark.parametrize(("copied", "low", "high"), [(750, 0.09, 0.3), (0, -0.1, 0.09)], ids=["leak", "calm"])
def test_made_up_account_numbers_leave_room_for_the_other_columns(copied, low, high):
    """Half of the members' rows stand in the release but for the account: without shares nine in ten predicates hold the account,
    and .6 % of the members were reached."""
    bench = Bench.of(accounts(copied, 1, np.random.default_rng(0)), np.random.default_rng(0))
    asked = probe.queries(bench, "multivariate")
    account = bench.encoding.names.index("account0")
    assert (asked.columns == account).any(axis=1).mean() < 0.5
    share = probe.reach(bench, "multivariate").share()
    assert low < share.low
    assert share.high < high


def test_the_share_of_a_column_of_unique_values():
    """Enough other predicates: the made-up column has its eighth, by its rarest conditions, and what the others had stays alike."""
    rng = np.random.default_rng(0)
    codes = np.concatenate([rng.integers(0, 40, (9, 3_000)), rng.permutation(3_000)[None]]).astype(np.int32)
    table = SortedTable.of(Encoded(codes.astype(np.float32), codes, np.arange(3_000)))
    made = multivariate(table, np.full(10, 10_000), np.zeros(10, bool), 1_000, rng)
    assert len(made) == 1_000
    rarest = np.bincount(made.rarest(table), minlength=10)
    assert rarest[9] <= LARGEST_SHARE * 1_000
    assert rarest[:9].min() > 90
    assert made.singled_out(table).all()


def test_where_the_others_are_too_few_the_unique_column_fills_the_rest():
    rng = np.random.default_rng(0)
    codes = np.stack([np.zeros(2_000, np.int64), np.arange(2_000)]).astype(np.int32)
    table = SortedTable.of(Encoded(codes.astype(np.float32), codes, np.arange(2_000)))
    made = multivariate(table, np.full(2, 10_000), np.zeros(2, bool), 500, rng)
    assert len(made) == 500
    assert set(made.rarest(table).tolist()) == {1}


def test_rarest_is_the_column_that_fewest_rows_meet():
    codes = np.array([[0, 0, 0, 1], [0, 0, 1, 2], [0, 1, 2, 3]], np.int32)
    table = SortedTable.of(Encoded(codes.astype(np.float32), codes, np.arange(4)))
    asked = Queries(
        np.array([[0, 1, 2], [0, 1, -1], [1, 2, -1], [0, -1, -1]]),
        np.array([[0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]], np.int32),
        np.array([[0, 0, 0], [1, 0, 0], [0, 3, 0], [0, 0, 0]], np.int32),
    )
    assert asked.rarest(table).tolist() == [2, 0, 1, 0]
    slow = [
        [
            int(((codes[c] >= low) & (codes[c] <= high)).sum()) if c >= 0 else 99
            for c, low, high in zip(
                *(part[q].tolist() for part in (asked.columns, asked.lows, asked.highs)), strict=True
            )
        ]
        for q in range(4)
    ]
    assert [int(asked.columns[q, int(np.argmin(found))]) for q, found in enumerate(slow)] == [2, 0, 1, 0]
    few = alike(np.array([0] * 50 + [1] * 3 + [2] * 7), 15, np.random.default_rng(0))
    assert np.bincount(np.array([0] * 50 + [1] * 3 + [2] * 7)[few]).tolist() == [6, 3, 6]
