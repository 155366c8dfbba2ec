"""Nothing is sampled where structural zeros leave nothing, however that came to be."""

import numpy as np
import pytest

import generators
from generators.core.domain import Domain, StructuralZeros
from generators.core.inference import base_potentials
from generators.core.junction import build
from generators.core.sampling import _deal, sample
from generators.core.support import empty, possible
from release.errors import SchemaError
from release.records import Budget
from tests.builders import make_schema, make_table, random_table
from tests.seeded_noise import SeededNoise

EQUAL, UNEQUAL = np.eye(2, dtype=np.bool_), ~np.eye(2, dtype=np.bool_)
DOMAIN = Domain(names=tuple("abcd"), sizes=(2, 2, 2, 2))


def zeros(**tables):
    return [
        StructuralZeros(tuple("abcd".index(a) for a in pair), allowed) for pair, allowed in tables.items()
    ]


CASES = {
    "nothing": ({}, ()),
    "a tree of pairs": ({"ab": EQUAL, "bc": EQUAL, "cd": UNEQUAL}, ()),
    "a circle that closes": ({"ab": EQUAL, "bc": UNEQUAL, "ac": UNEQUAL}, ()),
    "a circle that does not": ({"ab": EQUAL, "bc": EQUAL, "ac": UNEQUAL}, (0, 1, 2)),
    "one group of two": (
        {"ab": EQUAL, "c": np.array([True, False]), "d": np.array([False, True]), "cd": EQUAL},
        (2, 3),
    ),
}


@pytest.mark.parametrize(("tables", "nothing_left"), CASES.values(), ids=CASES)
def test_empty_joint_supports_are_found(tables, nothing_left):
    assert empty(DOMAIN, zeros(**tables)) == nothing_left
    if tables:
        tree = build(DOMAIN, [factor.clique for factor in zeros(**tables)])
        assert possible(tree, base_potentials(tree, zeros(**tables))) is (nothing_left == ())


def test_rows_are_dealt_inside_the_support_only():
    tables = zeros(ab=EQUAL, bc=UNEQUAL, ac=UNEQUAL)
    tree = build(DOMAIN, [*(factor.clique for factor in tables), (3,)])
    a, b, c, _ = sample(tree, base_potentials(tree, tables), 1_000, np.random.default_rng(0))
    assert (a == b).all()
    assert (a != c).all()


def test_a_row_of_weights_that_are_all_zero_is_never_dealt_from():
    table, out = np.array([[0.5, 0.5], [0.0, 0.0]]), np.full(3, -1, dtype=np.int32)
    _deal(np.zeros(3, dtype=np.int32), 2, table, np.uint64(1), out)
    assert set(out.tolist()) <= {0, 1}
    with pytest.raises(ValueError, match="impossible"):
        _deal(np.array([0, 1, 0], dtype=np.int32), 2, table, np.uint64(1), out)


def test_what_rounding_leaves_goes_to_the_likeliest_cell_and_not_to_one_that_is_all_but_impossible():
    table, out = np.array([[0.3, 0.7, 1e-300]]), np.zeros(100_000, dtype=np.int32)
    for seed in range(20):
        _deal(np.zeros(len(out), dtype=np.int32), 1, table, np.uint64(seed), out)
        assert out.max() == 1


@pytest.mark.parametrize("name", ["independent", "mst", "auto", "dp_autoregressive"])
def test_contradictions_that_planning_did_not_find_are_no_rows(name, monkeypatch):
    rules = [
        {"type": "allowed", "columns": list(pair), "rows": rows}
        for pair, rows in (
            ("ab", [["0", "0"], ["1", "1"]]),
            ("bc", [["0", "0"], ["1", "1"]]),
            ("ac", [["0", "1"], ["1", "0"]]),
        )
    ]
    schema = make_schema(constraints=rules, d=(0, 500), **{n: ["0", "1"] for n in "abc"})
    monkeypatch.setattr("release.data.satisfiable.MOST_WORK", -1.0)
    plan = generators.get(name).plan(schema, Budget(epsilon=1.0, delta=1e-7))
    with pytest.raises(SchemaError, match="a, b, c leave no row"):
        plan.run(random_table(schema, 200, np.random.default_rng(0)), SeededNoise(1))


def test_learnt_bounds_that_a_rule_rules_out_are_no_rows():
    rules = [{"type": "impossible", "where": {"n": {"min": -5_000, "max": 5_000}}}]
    schema = make_schema(constraints=rules, n={"kind": "integer"}, flag=["no", "yes"])
    rows = {"n": np.random.default_rng(0).integers(0, 40, 3_000), "flag": ["no", "yes"] * 1_500}
    plan = generators.get("mst").plan(schema, Budget(epsilon=2.0, delta=1e-7))
    with pytest.raises(SchemaError, match="n leave no row"):
        plan.run(make_table(schema, rows), SeededNoise(2))
