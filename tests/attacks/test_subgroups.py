"""Declared subgroups: reported apart by every membership attack, whole units, and a leak of one of them alone is seen there."""

import numpy as np
import pytest

import attacks
from attacks import dcr
from attacks.bench import Bench
from attacks.membership import Maximum, report, subjects
from release.data.table import concatenate
from release.protocols import Arena, no_progress
from release.records import Measured, NotMeasured
from tests.attacks.arenas import mixed_frame, mixed_schema
from tests.builders import make_schema, make_table

SLICES = (
    {"name": "old smokers", "where": {"age": {"min": 75, "max": 95}, "smoker": ["yes"]}},
    {"name": "region 3", "where": {"region": ["r3"]}},
    {"name": "nobody", "where": {"age": {"min": 18, "max": 18}, "region": ["r0"], "job": ["j0"]}},
)


@pytest.fixture(scope="module")
def arena():
    """1,500 members and controls; the release holds everybody of region 3 among the members, and strangers."""
    schema, rng = mixed_schema(slices=SLICES), np.random.default_rng(5)
    members, controls, reference, others = (
        make_table(schema, mixed_frame(n, rng)) for n in (1_500, 1_500, 300, 3_000)
    )
    leaked = members.take(members.columns["region"].values == members.columns["region"].levels.index("r3"))
    return Arena(
        members=members,
        controls=controls,
        reference=reference,
        training=None,
        synthetic=concatenate([others, leaked]),
        claim=None,
    )


def test_subgroups_are_those_of_the_schema(arena):
    bench = Bench.of(arena, np.random.default_rng(0))
    chosen = dict(subjects(bench))
    assert list(chosen) == ["", "vulnerable-300", *(f"slice:{part['name']}" for part in SLICES)]
    member = bench.targets.is_member
    for table, arm in ((arena.members, member), (arena.controls, ~member)):
        frame = table.to_frame()
        expected = (frame["age"] >= 75) & (frame["smoker"] == "yes")
        found = chosen["slice:old smokers"][arm][np.argsort(bench.targets.number[arm])]
        assert (found == expected.to_numpy()).all()


def test_a_leak_of_one_subgroup_is_seen_there_and_not_in_another(arena):
    bench = Bench.of(arena, np.random.default_rng(0))
    figures = {e.key[1:]: e.outcome for e in report(dcr.ATTACK, bench, no_progress).evidence}
    assert figures["tpr_at_fpr_10pct", "slice:region 3"].low > 0.9
    assert figures["tpr_at_fpr_10pct", ""].estimate < 0.3
    assert figures["tpr_at_fpr_10pct", "slice:old smokers"].estimate < 0.4
    few = figures["auc", "slice:nobody"]
    assert isinstance(few, NotMeasured)
    assert "too few" in few.reason


def test_the_maximum_speaks_of_every_subgroup(arena):
    blind = tuple(attack for attack in attacks.MEMBERSHIP if attack.name in {"dcr", "near_match"})
    found = {
        e.key[1:]: e.outcome for e in Maximum(over=blind).measure(arena, np.random.default_rng(0)).evidence
    }
    assert isinstance(found["max_tpr_at_fpr_1pct", "slice:region 3"], Measured)
    assert found["max_tpr_at_fpr_1pct", "slice:region 3"].estimate == 1.0
    assert (
        found["max_tpr_at_fpr_1pct", "slice:region 3"].detectable == 1.0
    )  # 127 controls prove no rate at 1 %
    assert found["max_tpr_at_fpr_1pct", ""].low > 0.03
    assert isinstance(found["max_tpr_at_fpr_1pct", "slice:nobody"], NotMeasured)


def test_a_unit_belongs_to_a_subgroup_by_any_of_its_rows():
    schema = make_schema(
        unit="patient",
        max_rows=3,
        site=["a", "b"],
        cost=(0, 99),
        slices=[{"name": "b", "where": {"site": ["b"]}}],
    )

    def table(prefix):
        return make_table(
            schema,
            {
                "patient": [f"{prefix}{k // 2}" for k in range(40)],
                "site": ["b" if k in {1, 6, 7} else "a" for k in range(40)],
                "cost": list(range(40)),
            },
        )

    arena = Arena(
        members=table("m"),
        controls=table("c"),
        reference=None,
        training=None,
        synthetic=table("s"),
        claim=None,
    )
    bench = Bench.of(arena, np.random.default_rng(0))
    assert [int(chosen.sum()) for name, chosen in subjects(bench) if name == "slice:b"] == [4]
