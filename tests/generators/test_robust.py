"""Odd tables: each works, or says why before anything is charged."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from generators import get
from release.errors import PlanError
from release.records import Budget
from tests.builders import make_schema, make_table, random_table
from tests.seeded_noise import SeededNoise

MARGINAL = ["independent", "mst", "aim", "auto", "wide"]
BUDGET = Budget(epsilon=1.0, delta=1e-7)


def run(name, schema, table, budget=BUDGET, rows=50, **options):
    model = get(name).plan(schema, budget, options=options).run(table, SeededNoise(1))
    sampled = model.sample(rows, np.random.default_rng(0))
    assert len(sampled) == rows
    assert math.isfinite(model.fitted.total)
    assert np.isfinite(model.fitted.theta).all()
    return model


def levels(n):
    return [f"v{k}" for k in range(n)]


TABLES = {
    "one column": (lambda: make_schema(a=["x", "y"]), 200),
    "one row": (lambda: make_schema(a=["x", "y"], b=(0, 9), c=levels(4)), 1),
    "no rows at all": (lambda: make_schema(a=["x", "y"], b=(0, 9)), 0),
    "5,000 categories": (lambda: make_schema(a=levels(5_000), b=["x", "y"], c=levels(12)), 3_000),
    "one level": (lambda: make_schema(a=["only"], b=["x", "y"]), 100),
    "a domain beyond 2^63": (lambda: make_schema(**{f"c{k}": levels(30) for k in range(16)}), 300),
}


@pytest.mark.parametrize("name", MARGINAL)
@pytest.mark.parametrize("case", TABLES)
def test_odd_tables_work(name, case):
    make, rows = TABLES[case]
    schema = make()
    table = random_table(schema, max(rows, 1), np.random.default_rng(3))
    if rows == 0:
        table = table.take(np.zeros(0, dtype=np.int64))
    run(name, schema, table)


@pytest.mark.parametrize("name", MARGINAL)
def test_a_constant_column_and_one_of_a_value_per_row(name):
    schema = make_schema(same=["a", "b"], key=(0, 10**9), other=["x", "y", "z"])
    n = 1_000
    table = make_table(
        schema, {"same": ["a"] * n, "key": list(range(0, n * 1000, 1000)), "other": ["x", "y"] * (n // 2)}
    )
    model = run(name, schema, table, Budget(epsilon=5.0, delta=1e-7))
    rows = model.sample(2_000, np.random.default_rng(1))
    assert (rows["same"].values == 0).mean() > 0.9


@pytest.mark.parametrize("name", MARGINAL)
@pytest.mark.parametrize("epsilon", [0.01, 100.0])
def test_tiny_and_huge_budgets(name, epsilon):
    schema = make_schema(a=levels(3), b=levels(4), c=levels(5), d=(0, 50), e=["n", "y"])
    run(
        name,
        schema,
        random_table(schema, 2_000, np.random.default_rng(2)),
        Budget(epsilon=epsilon, delta=1e-7),
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wide", "auto", "mst"])
def test_two_hundred_columns(name):
    schema = make_schema(**{f"c{k}": levels(2 + k % 4) for k in range(200)})
    model = run(name, schema, random_table(schema, 1_000, np.random.default_rng(4)))
    assert len(model.published) > 200


@pytest.mark.parametrize("name", MARGINAL)
def test_cliques_that_do_not_fit_are_not_chosen_and_a_cap_that_holds_nothing_is_refused(name):
    schema = make_schema(**{f"c{k}": levels(60) for k in range(4)})
    table = random_table(schema, 500, np.random.default_rng(5))
    model = run(name, schema, table, memory_mib=1)
    assert model.fitted.tree.cells * 48 <= 2**20
    huge = make_schema(**{f"c{k}": levels(20_000) for k in range(3)})
    with pytest.raises(PlanError, match="memory_mib"):
        get(name).plan(huge, BUDGET, options={"memory_mib": 1, "encoding": {"max_levels": 60_000}})


@pytest.mark.parametrize("name", MARGINAL)
def test_several_rows_a_unit(name):
    schema = make_schema(unit="who", max_rows=5, a=levels(3), b=levels(4), c=["n", "y"])
    model = run(name, schema, random_table(schema, 1_000, np.random.default_rng(6)))
    assert model.cost.max_rows_per_unit == 5
    single = get(name).plan(make_schema(a=levels(3), b=levels(4), c=["n", "y"]), BUDGET)
    assert single.cost.epsilon == pytest.approx(model.cost.epsilon, rel=1e-6)


@pytest.mark.parametrize("name", MARGINAL)
def test_structural_zeros_and_chosen_pairs_together_stay_inside_the_cap(name):
    """Zeros hold (a, b) and (b, c); a determines c. Choosing (a, c) would make a clique of 200,000 cells."""
    zeros = [{"type": "impossible", "where": {x: ["v0"], y: ["v0"]}} for x, y in (("a", "b"), ("b", "c"))]
    schema = make_schema(
        a=levels(60), b=levels(60), c=levels(60), d=["x", "y"], e=["p", "q"], constraints=zeros
    )
    rng = np.random.default_rng(8)
    code = rng.integers(1, 60, 3_000)
    same = [f"v{k}" for k in code]
    more = [f"v{k}" for k in rng.integers(1, 60, 3_000)]
    flag = [["x", "y"][k % 2] for k in code]
    table = make_table(
        schema, {"a": same, "b": more, "c": same, "d": flag, "e": [["p", "q"][f == "x"] for f in flag]}
    )
    model = run(name, schema, table, Budget(epsilon=8.0, delta=1e-7), memory_mib=1)
    assert model.fitted.tree.cells * 48 <= 2**20
    if name != "independent":  # zeros that fill the cap do not stop the others from being measured
        assert any({"d", "e"} <= set(columns) for columns in model.published)


@pytest.mark.parametrize("name", MARGINAL)
def test_constraints_whose_combinations_cannot_fit_are_refused_before_charging(name):
    names = [f"c{k}" for k in range(6)]
    chain = [{"type": "less-equal", "left": x, "right": y} for x, y in itertools.pairwise(names)]
    schema = make_schema(constraints=chain, **dict.fromkeys(names, (0, 39)))
    with pytest.raises(PlanError, match="memory_mib"):
        get(name).plan(schema, BUDGET)


@pytest.mark.parametrize("name", MARGINAL)
def test_learnt_domains_that_might_not_fit_are_refused_before_charging(name):
    learnt = {f"c{k}": {"kind": "categorical"} for k in range(60)}
    schema = make_schema(**learnt)
    with pytest.raises(PlanError, match="max_levels"):
        get(name).plan(schema, BUDGET, options={"memory_mib": 1})
    run(
        name,
        schema,
        random_table(schema, 400, np.random.default_rng(9)),
        memory_mib=1,
        encoding={"max_levels": 64},
    )
