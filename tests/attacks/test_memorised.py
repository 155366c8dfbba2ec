"""Secrets learnt of one group: found in the group, not invented by looking into many."""

import numpy as np
import pytest

from attacks import PROBES
from attacks.bench import Bench
from attacks.memorised import METRIC, SMALLEST, groups
from attacks.qi_linkage import quasi_identifiers
from release.data.table import Table, concatenate
from release.protocols import Arena
from tests.builders import make_schema, make_table

PROBE = next(probe for probe in PROBES if probe.name == "qi_linkage")
QI = {"roles": ["quasi-identifier"]}


def schema():
    return make_schema(
        region={"kind": "categorical", "domain": {"values": [f"r{k}" for k in range(12)]}, **QI},
        job={"kind": "categorical", "domain": {"values": [f"j{k}" for k in range(20)]}, **QI},
        age={"kind": "integer", "domain": {"min": 18, "max": 95}, **QI},
        secret={"kind": "categorical", "domain": {"values": list("uvwxyz")}, "roles": ["sensitive"]},
    )


def draw(n, rng):
    return make_table(
        schema(),
        {
            "region": [f"r{k}" for k in rng.integers(0, 12, n)],
            "job": [f"j{k}" for k in rng.integers(0, 20, n)],
            "age": rng.integers(18, 96, n).tolist(),
            "secret": [str(v) for v in rng.choice(list("uvwxyz"), n)],
        },
    )


def arena(seed, *, memorised=False, controls=1_500):
    rng = np.random.default_rng(seed)
    members, others, synthetic = draw(1_500, rng), draw(controls, rng), draw(4_000, rng)
    if memorised:  # everybody of one region, eight times over
        own = members.take(members.columns["region"].values == members.columns["region"].values[0])
        copies = concatenate([own] * 8)
        synthetic = concatenate([synthetic, Table(copies.schema, copies.columns, np.arange(len(copies)))])
    return Arena(
        members=members, controls=others, reference=None, training=None, synthetic=synthetic, claim=None
    )


def figures(made, seed=0):
    report = PROBE.measure(made, np.random.default_rng(seed))
    return {e.metric: e.outcome for e in report.evidence if e.subject == "secret"}, report.exhibits


def test_a_memorised_region_is_found_though_the_whole_hardly_moves():
    found, exhibits = figures(arena(0, memorised=True))
    assert found["risk_difference"].estimate < 0.09
    assert found[METRIC].low > 0.3
    assert found[METRIC].trials < 200
    table = next(e for e in exhibits if e.title.startswith("Groups"))
    assert table.data["rows"][0][1] == "region"
    assert "learnt by heart" in table.takeaway


def test_no_group_is_found_where_there_is_none():
    """Forty-odd groups in each of 20 calm releases: the joint 95 % level leaves about one false alarm, R > .09 none."""
    lows = [figures(arena(seed))[0][METRIC].low for seed in range(1, 21)]
    assert sum(low > 0 for low in lows) <= 3
    assert max(lows) < 0.09


def test_rates_of_groups_are_over_their_own_controls():
    """anonymeter divides sampled control successes by the whole control table: .90 on independent data."""
    for controls in (300, 1_500, 4_000):
        found, exhibits = figures(arena(3, controls=controls))
        assert found[METRIC].low < 0.05
        assert abs(found["risk_difference"].estimate) < 0.06
        rows = next(e for e in exhibits if e.title.startswith("Groups")).data["rows"]
        assert all(
            0.05 < row[4] < 0.40 for row in rows
        )  # right for controls: about one in six, whatever their number


def test_groups_are_large_enough_in_both_arms():
    bench = Bench.of(arena(0), np.random.default_rng(0))
    member = bench.targets.is_member
    found = groups(bench, quasi_identifiers(bench))
    assert found[0].column is None
    assert found[0].units.all()
    assert {group.column for group in found[1:]} == set(quasi_identifiers(bench).tolist())
    for group in found:
        assert min((group.units & member).sum(), (group.units & ~member).sum()) >= SMALLEST


@pytest.mark.parametrize("n", [30, 60])
def test_small_tables_have_at_least_everybody(n):
    rng = np.random.default_rng(0)
    small = Arena(
        members=draw(n, rng),
        controls=draw(n, rng),
        reference=None,
        training=None,
        synthetic=draw(n, rng),
        claim=None,
    )
    found, _ = figures(small)
    assert found[METRIC].trials == n
