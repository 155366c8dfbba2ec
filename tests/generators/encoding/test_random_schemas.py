"""Random schemas with random constraints: whatever is planned, every sampled row obeys everything that is declared.

Two samplers: one that draws codes evenly among those that the encoding allows, which reaches corners, and the inference core's own under
real fits. Every schema is satisfiable, or is refused when planned; a schema that says nothing of its rows proves nothing.
"""

import numpy as np
import pytest

import generators
from generators.baseline_rows import meets
from generators.encoding import plan_encoding
from release.data.constraints import violations
from release.data.satisfiable import rows_exist
from release.data.schema import columns_of
from release.errors import PlanError, SchemaError
from release.records import Budget, Within
from tests.builders import make_schema, random_table
from tests.generators.encoding.sampled import random_rows
from tests.generators.encoding.test_columns import in_domain
from tests.seeded_noise import SeededNoise

MISSING = [{"code": ""}, {"code": "?", "meaning": "refused"}]


def random_column(rng):
    kind = rng.choice(
        [
            "categorical",
            "ordinal",
            "boolean",
            "integer",
            "small",
            "small",
            "cents",
            "real",
            "date",
            "datetime",
        ]
    )
    missing = MISSING[: rng.integers(0, 3)]
    if kind in {"categorical", "ordinal"}:
        values = [f"v{k}" for k in range(rng.integers(1, 6))]
        return {"kind": str(kind), "domain": {"values": values}, "missing": missing}
    if kind == "boolean":
        return {"kind": "boolean", "domain": {"values": ["no", "yes"]}, "missing": missing}
    if kind in {"date", "datetime"}:
        day = np.datetime64("2020-01-01") + rng.integers(0, 50)
        return {
            "kind": str(kind),
            "domain": {"min": str(day), "max": str(day + rng.integers(1, 900))},
            "missing": missing,
        }
    low = int(rng.integers(-30, 30))
    high = low + int(rng.integers(0, 12) if kind == "small" else rng.integers(20, 3_000))
    domain = {"min": low, "max": high}
    if kind in {"cents", "real"}:
        domain = {"min": float(low), "max": float(high)} | ({"decimals": 2} if kind == "cents" else {})
    elif rng.random() < 0.2:
        domain |= {"step": 5.0, "max": low + 5 * max(1, (high - low) // 5)}
    return {"kind": "real" if kind in {"cents", "real"} else "integer", "domain": domain, "missing": missing}


def some_of(rng, column):
    """A few values of a column, or a range."""
    codes = [code["code"] for code in column["missing"]]
    if "values" in column["domain"]:
        values = [*column["domain"]["values"], *codes]
        return [str(v) for v in rng.choice(values, rng.integers(1, len(values) + 1), replace=False)]
    low, high = column["domain"]["min"], column["domain"]["max"]
    if column["kind"] in {"date", "datetime"}:
        return {"min": low, "max": str(np.datetime64(low) + rng.integers(0, 300))}
    a = float(rng.uniform(low, high)) if column["kind"] == "real" else int(rng.integers(low, high + 1))
    return {"min": a, "max": min(high, a + float(rng.uniform(0, 40)))}


def random_rule(rng, columns):
    names = list(columns)
    numbers = [n for n in names if columns[n]["kind"] in {"integer", "real"}]
    coded = [n for n in names if "values" in columns[n]["domain"]]
    kind = rng.choice(
        ["impossible", "less-equal", "cuts", "table", "allowed", "learnt", "learnt numbers", "increment"]
    )
    if kind == "impossible":
        chosen = rng.choice(names, rng.integers(1, min(3, len(names)) + 1), replace=False)
        return {"type": "impossible", "where": {str(n): some_of(rng, columns[n]) for n in chosen}}
    if kind == "less-equal" and len(numbers) >= 2:
        left, right = rng.choice(numbers, 2, replace=False)
        return {
            "type": "less-equal",
            "left": str(left),
            "right": str(right),
            "strictly": bool(rng.random() < 0.5),
        }
    if kind == "cuts" and numbers and coded:
        name, dependent = str(rng.choice(numbers)), str(rng.choice(coded))
        low, high = columns[name]["domain"]["min"], columns[name]["domain"]["max"]
        cuts = sorted({float(np.round(c, 1)) for c in rng.uniform(low, high, rng.integers(1, 4))})
        values = [str(v) for v in rng.choice(columns[dependent]["domain"]["values"], len(cuts) + 1)]
        return {
            "type": "determines",
            "determinants": [name],
            "dependent": dependent,
            "cuts": cuts,
            "values": values,
        }
    if kind == "increment" and numbers:
        name = str(rng.choice(numbers))
        low, high = columns[name]["domain"]["min"], columns[name]["domain"]["max"]
        width = int(high) - int(low)
        parts = [k for k in range(1, 60) if width % k == 0] if width else [1]
        step = max(width, 1) / float(rng.choice(parts))
        return {"type": "increment", "column": name, "step": step, "start": float(low)}
    few = [n for n in numbers if columns[n]["domain"]["max"] - columns[n]["domain"]["min"] < 12]
    if kind == "learnt numbers" and len(few) >= 2:
        name, dependent = (str(n) for n in rng.choice(few, 2, replace=False))
        return {"type": "determines", "determinants": [name], "dependent": dependent}
    if kind in {"table", "learnt"} and len(coded) >= 2:
        name, dependent = (str(n) for n in rng.choice(coded, 2, replace=False))
        rule = {"type": "determines", "determinants": [name], "dependent": dependent}
        if kind == "learnt":
            return rule
        targets = [
            *columns[dependent]["domain"]["values"],
            *(c["code"] for c in columns[dependent]["missing"]),
        ]
        return {**rule, "table": [[v, str(rng.choice(targets))] for v in columns[name]["domain"]["values"]]}
    if kind == "allowed" and len(coded) >= 2:
        pair = [str(n) for n in rng.choice(coded, 2, replace=False)]
        rows = {tuple(str(rng.choice(columns[n]["domain"]["values"])) for n in pair) for _ in range(4)}
        return {"type": "allowed", "columns": pair, "rows": [list(row) for row in sorted(rows)]}
    return None


def random_schema(seed):
    rng = np.random.default_rng(seed)
    columns = {f"c{k}": random_column(rng) for k in range(rng.integers(2, 6))}
    rules = [rule for _ in range(rng.integers(1, 4)) if (rule := random_rule(rng, columns))]
    return rng, columns, make_schema(constraints=rules, **columns)


def contradictory(schema):
    """Whether its rules leave no row; checks by the way that such a schema is refused when planned."""
    try:
        found = rows_exist(schema, schema.constraints) is False
    except (
        IndexError,
        KeyError,
        ValueError,
    ):  # rules that are ill-formed, which is said before anything is searched
        found = True
    if found:
        with pytest.raises((PlanError, SchemaError)):
            plan_encoding(schema, rho=0.05, delta=1e-8)
    return found


@pytest.mark.parametrize("block", range(6))
def test_sampled_rows_obey_random_constraints(block):
    kept = bound = 0
    for seed in range(100 * block, 100 * block + 25):
        rng, _, schema = random_schema(seed)
        if contradictory(schema):
            continue
        try:
            plan = plan_encoding(
                schema, rho=0.05, delta=1e-8, options={"max_bins": int(rng.integers(2, 12)), "identity": 4}
            )
        except (PlanError, SchemaError):
            continue  # refused with a reason: nothing was charged
        kept += 1
        encoding = plan.fit(random_table(schema, 300, rng), SeededNoise(seed))
        assert encoding.attributes == plan.attributes
        most = {column.spec.name: column.most_levels for column in plan.columns}
        assert all(size <= most[name] for name, size in zip(encoding.attributes, encoding.sizes, strict=True))
        sampled = random_rows(encoding, rng, rows=300, tries=20)
        in_domain(sampled)
        for found in violations(sampled):
            bound += found.rows
            assert found.violations == 0, (seed, found)
    assert kept >= 8
    assert bound > 500


def random_condition(rng, columns, rules=()):
    where = {}
    names = list(rng.choice(list(columns), rng.integers(1, min(3, len(columns)) + 1), replace=False))
    if rules and rng.random() < 0.5:  # all columns of a rule: what follows from others beside these
        names = list(rng.permutation(columns_of(rules[rng.integers(len(rules))])))
    for name in names:
        codes = [code["code"] for code in columns[str(name)]["missing"]]
        asked = some_of(rng, columns[str(name)])
        if isinstance(asked, dict) and codes and rng.random() < 0.4:
            asked = [*codes, *([asked["min"]] if rng.random() < 0.5 else [])]
        where[str(name)] = (
            Within(low=asked["min"], high=asked["max"]) if isinstance(asked, dict) else set(asked)
        )
    return where


@pytest.mark.parametrize("block", range(4))
def test_rows_of_real_models_obey_random_constraints_and_conditions(block):
    """What the inference core samples, over all that is declared; conditions are met, or refused with the reason."""
    kept = bound = met = 0
    for seed in range(10_000 + 100 * block, 10_000 + 100 * block + 60):
        rng, columns, schema = random_schema(seed)
        if contradictory(schema):
            continue
        name, options = (
            ("mst", "independent")[seed % 2],
            {"max_bins": 6, "identity": int(rng.choice([4, 40]))},
        )
        try:
            plan = generators.get(name).plan(
                schema, Budget(epsilon=3.0, delta=1e-7), None, {"encoding": options}
            )
        except (PlanError, SchemaError):
            continue
        kept += 1
        model = plan.run(random_table(schema, 200, rng), SeededNoise(seed))
        for where in (None, *(random_condition(rng, columns, schema.constraints) for _ in range(3))):
            try:
                sampled = model.sample(200, rng, where)
            except PlanError:
                assert where is not None, seed
                continue
            in_domain(sampled)
            assert len(sampled) == 200
            assert meets(sampled, where or {}).all(), (seed, where)
            met += where is not None
            for found in violations(sampled):
                bound += found.rows
                assert found.violations == 0, (seed, where, found)
    assert kept >= 20
    assert bound > 5_000
    assert met >= 20
