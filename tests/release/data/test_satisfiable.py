"""Contradictions among rules: found by search, named in full, and never seen where a row exists."""

import itertools
import time

import numpy as np
import pytest

from release.data import satisfiable
from release.data.constraints import require_consistent, violating
from release.data.contradictions import contradictions
from release.data.satisfiable import conflict, rows_exist
from release.errors import SchemaError
from tests.builders import make_schema, make_table

BITS = {name: ["0", "1"] for name in "abc"}
EQUAL, UNEQUAL = [["0", "0"], ["1", "1"]], [["0", "1"], ["1", "0"]]


def allowed(columns, rows):
    return {"type": "allowed", "columns": list(columns), "rows": rows}


def impossible(**where):
    return {"type": "impossible", "where": where}


def determines(name, dependent, table):
    return {"type": "determines", "determinants": [name], "dependent": dependent, "table": table}


def at_most(left, right, *, strictly=False):
    return {"type": "less-equal", "left": left, "right": right, "strictly": strictly}


CONTRADICTORY = {
    "two allowed tables": (BITS, [allowed("ab", [["0", "0"]]), allowed("ab", [["1", "1"]])], [0, 1]),
    "a = b, b = c, a ≠ c": (
        BITS,
        [allowed("ab", EQUAL), allowed("bc", EQUAL), allowed("ac", UNEQUAL)],
        [0, 1, 2],
    ),
    "only values outside the domain are left": (
        BITS,
        [determines("a", "b", [["0", "0"], ["1", "0"]]), impossible(b=["0"])],
        [0, 1],
    ),
    "two maps to one column": (
        BITS,
        [determines("a", "b", [["0", "0"], ["1", "0"]]), determines("c", "b", [["0", "1"], ["1", "1"]])],
        [0, 1],
    ),
    "an order and two ranges": (
        {"a": (0, 30), "b": (0, 30), "c": ["0", "1"]},
        [at_most("a", "b"), impossible(a={"min": 0, "max": 10}), impossible(b={"min": 11, "max": 30})],
        [0, 1, 2],
    ),
    "a strict order that leaves one value on each side": (
        {"a": (0, 3_000), "b": (0, 3_000)},
        [
            impossible(a={"min": 0, "max": 999}),
            impossible(b={"min": 1_001, "max": 3_000}),
            at_most("a", "b", strictly=True),
        ],
        [0, 1, 2],
    ),
    "a chain of strict orders through grids": (
        {"a": (0, 9), "b": (0, 9), "c": (0, 9), "d": ["0", "1"]},
        [
            impossible(d=["1"]),
            at_most("a", "b", strictly=True),
            at_most("b", "c", strictly=True),
            impossible(a={"min": 0, "max": 4}),
            impossible(c={"min": 7, "max": 9}),
        ],
        [1, 2, 3, 4],
    ),
    "increments between the listed values": (
        {"a": (0, 100), "b": ["0", "1"]},
        [{"type": "increment", "column": "a", "step": 25.0}, allowed("ab", [["30", "0"], ["60", "1"]])],
        [0, 1],
    ),
}


@pytest.mark.parametrize(("columns", "rules", "core"), CONTRADICTORY.values(), ids=CONTRADICTORY)
def test_rules_that_contradict_each_other_are_named(columns, rules, core):
    schema = make_schema(constraints=rules, **columns)
    with pytest.raises(SchemaError, match="no row inside the declared domains") as caught:
        require_consistent(schema)
    assert [
        int(number) for number in range(len(rules)) if f"constraints[{number}] (" in str(caught.value)
    ] == core
    assert caught.value.mend


def test_an_increment_that_leaves_the_domain_s_step_is_refused():
    column = {"kind": "integer", "domain": {"min": 0, "max": 60, "step": 5.0}}
    for step, start, refused in ((10, 0, False), (5, 5, False), (2, 0, True), (12, 0, True), (10, 4, True)):
        rules = [{"type": "increment", "column": "a", "step": step, "start": start}]
        found = list(contradictions(make_schema(constraints=rules, a=column)))
        assert bool(found) == refused, (step, start)
        assert {problem.column for problem in found} <= {"a"}


def test_what_is_still_to_be_learnt_contradicts_nothing():
    columns = {"a": {"kind": "integer"}, "b": {"kind": "categorical"}, "c": ["0", "1"]}
    rules = [impossible(a={"min": 0, "max": 1e9}), {**determines("b", "c", []), "table": []}]
    assert list(contradictions(make_schema(constraints=rules, **columns))) == []


def test_a_kind_of_missing_is_a_solution():
    missing = {"kind": "categorical", "domain": {"values": ["0", "1"]}, "missing": [{"code": ""}]}
    rules = [allowed("ab", [["0", "0"]]), allowed("ab", [["1", "1"]])]
    assert list(contradictions(make_schema(constraints=rules, **{**BITS, "a": missing}))) == []


def test_a_search_that_is_cut_short_refuses_nothing(monkeypatch):
    columns, rules, _ = CONTRADICTORY["a = b, b = c, a ≠ c"]
    schema = make_schema(constraints=rules, **columns)
    monkeypatch.setattr(satisfiable, "MOST_WORK", 0.0)
    assert rows_exist(schema, schema.constraints) in {None, False}
    monkeypatch.setattr(satisfiable, "MOST_WORK", -1.0)
    assert rows_exist(schema, schema.constraints) is None
    assert conflict(schema, list(enumerate(schema.constraints))) == ()


def column(rng):
    kind = rng.choice(["categorical", "ordinal", "integer", "cents", "date"])
    missing = [{"code": ""}, {"code": "?"}][: rng.choice([0, 0, 1, 2])]
    if kind in {"categorical", "ordinal"}:
        values = [f"v{k}" for k in range(rng.integers(1, 4))]
        return {"kind": str(kind), "domain": {"values": values}, "missing": missing}, values
    if kind == "date":
        days = [str(np.datetime64("2020-01-01") + k) for k in range(4)]
        return {"kind": "date", "domain": {"min": days[0], "max": days[-1]}, "missing": missing}, days
    if kind == "cents":
        values = [f"{k / 10:.1f}" for k in range(5)]
        domain = {"min": 0.0, "max": 0.4, "decimals": 1}
        return {"kind": "real", "domain": domain, "missing": missing}, values
    values = [str(k) for k in range(rng.integers(1, 6))]
    return {"kind": "integer", "domain": {"min": 0, "max": len(values) - 1}, "missing": missing}, values


def rule(rng, columns, values):
    names = list(columns)
    numeric = [name for name in names if columns[name]["kind"] in {"integer", "real"}]
    dates = [name for name in names if columns[name]["kind"] == "date"]

    def cells(name):
        return [*values[name], *(code["code"] for code in columns[name]["missing"])]

    kind = rng.choice(["impossible", "allowed", "allowed", "determines", "cuts", "order"])
    pair = [str(name) for name in rng.choice(names, 2, replace=False)]
    if kind == "impossible":
        where = {}
        for name in pair[: rng.integers(1, 3)]:
            if name in numeric and rng.random() < 0.6:
                low, high = sorted(float(v) for v in rng.choice(values[name], 2))
                where[name] = {"min": low, "max": high}
            else:
                where[name] = sorted({str(v) for v in rng.choice(cells(name), rng.integers(1, 4))})
        return impossible(**where)
    if kind == "allowed":
        rows = {tuple(str(rng.choice(cells(name))) for name in pair) for _ in range(rng.integers(1, 5))}
        return allowed(pair, [list(row) for row in sorted(rows)])
    if kind == "determines":
        return determines(*pair, [[v, str(rng.choice(cells(pair[1])))] for v in values[pair[0]]])
    if kind == "cuts" and pair[0] in numeric:
        results = [str(v) for v in rng.choice(values[pair[1]], 2)]
        return {
            **determines(*pair, []),
            "cuts": [float(rng.choice(values[pair[0]])) + 0.05],
            "values": results,
        }
    for pool in (numeric, dates) if rng.random() < 0.7 else (dates, numeric):
        if len(pool) > 1:
            left, right = rng.choice(pool, 2, replace=False)
            return at_most(str(left), str(right), strictly=bool(rng.random() < 0.6))
    return impossible(**{pair[0]: [values[pair[0]][0]]})


def test_the_search_agrees_with_looking_at_every_row():
    found = {True: 0, False: 0}
    for seed in range(150):
        rng = np.random.default_rng(seed)
        made = {f"c{k}": column(rng) for k in range(rng.integers(2, 5))}
        columns, values = ({name: part[k] for name, part in made.items()} for k in (0, 1))
        rules = [rule(rng, columns, values) for _ in range(rng.integers(2, 6))]
        schema = make_schema(constraints=rules, **columns)
        if list(contradictions(schema)) and rows_exist(schema, schema.constraints) is not False:
            continue  # ill-formed: a circle, say
        every = [[*values[name], *(code["code"] for code in columns[name]["missing"])] for name in columns]
        rows = list(itertools.product(*every))
        table = make_table(schema, dict(zip(columns, zip(*rows, strict=True), strict=True)))
        bad = np.any([violating(table, constraint) for constraint in schema.constraints], axis=0)
        exists = bool((~bad).any())
        assert rows_exist(schema, schema.constraints) is exists, (seed, rules)
        found[exists] += 1
        core = conflict(schema, list(enumerate(schema.constraints)))
        assert bool(core) is not exists
        for part in core:  # none of them can be left out
            rest = [constraint for other in core if other is not part for constraint in other[1:]]
            assert rows_exist(schema, rest)
    assert min(found.values()) >= 25, found


def test_wide_schemas_are_searched_quickly():
    columns = {f"c{k}": [f"v{j}" for j in range(9)] for k in range(50)}
    rules = [
        allowed([f"c{k}", f"c{k + 1}"], [[f"v{i}", f"v{j}"] for i in range(9) for j in range(9) if i != j])
        for k in range(49)
    ]
    begin = time.perf_counter()
    assert list(contradictions(make_schema(constraints=rules, **columns))) == []
    assert time.perf_counter() - begin < 5.0
