"""Every sampled row obeys every constraint, whatever the model: codes are uniform among those allowed."""

import numpy as np
import pytest

from generators.encoding import plan_encoding
from release.data.constraints import violations
from release.errors import PlanError
from release.records import Within
from tests.builders import make_schema, random_table
from tests.generators.encoding.sampled import random_rows
from tests.seeded_noise import SeededNoise

MISSING = [{"code": ""}, {"code": "?", "meaning": "refused"}]


def number(low, high, kind="integer", **extra):
    keys = {"step", "decimals", "spikes"}
    domain = {"min": low, "max": high, **{k: v for k, v in extra.items() if k in keys}}
    return {"kind": kind, "domain": domain, **{k: v for k, v in extra.items() if k not in keys}}


COLUMNS = {
    "sex": ["f", "m"],
    "ward": {"kind": "categorical", "domain": {"values": ["a", "b", "c"]}, "missing": MISSING},
    "age": (0, 120),
    "is_minor": {"kind": "boolean", "domain": {"values": ["no", "yes"]}},
    "school": number(0, 15),
    "low": number(0, 500, missing=MISSING),
    "mid": number(0, 500),
    "high": number(-50, 450, missing=[{"code": ""}]),
    "amount": number(-10.0, 5000.0, kind="real"),
    "price": number(0.0, 100.0, kind="real", decimals=2),
    "fee": number(0, 10_000),
    "start": number("2020-01-01", "2024-12-31", kind="date"),
    "end": number("2020-01-01T00:00:00", "2025-06-30T12:00:00", kind="datetime"),
    "before": {"kind": "ordinal", "domain": {"values": ["x", "y", "z"]}},
    "after": {"kind": "ordinal", "domain": {"values": ["x", "y", "z"]}, "missing": MISSING},
}
CASES = {
    "impossible values": [{"type": "impossible", "where": {"sex": ["m"], "ward": ["b", "?"]}}],
    "impossible range": [{"type": "impossible", "where": {"ward": ["c"], "age": {"min": 13, "max": 37}}}],
    "impossible reals": [
        {"type": "impossible", "where": {"sex": ["f"], "amount": {"min": 0.5, "max": 77.7}}}
    ],
    "impossible alone": [{"type": "impossible", "where": {"price": {"min": 3.33, "max": 4.44}}}],
    "determined by cuts": [
        {
            "type": "determines",
            "determinants": ["age"],
            "dependent": "is_minor",
            "cuts": [18.0],
            "values": ["yes", "no"],
        }
    ],
    "cuts of a real": [
        {
            "type": "determines",
            "determinants": ["amount"],
            "dependent": "is_minor",
            "cuts": [0.1, 9.0],
            "values": ["yes", "no", "yes"],
        }
    ],
    "cuts, dependent bound twice": [
        {
            "type": "determines",
            "determinants": ["age"],
            "dependent": "is_minor",
            "cuts": [18.0],
            "values": ["yes", "no"],
        },
        {"type": "impossible", "where": {"is_minor": ["yes"], "sex": ["m"]}},
    ],
    "determined by a table": [
        {
            "type": "determines",
            "determinants": ["ward"],
            "dependent": "school",
            "table": [["a", "1"], ["b", "7"], ["c", "7"]],
        }
    ],
    "a number from a value": [
        {
            "type": "determines",
            "determinants": ["sex"],
            "dependent": "fee",
            "table": [["f", "125"], ["m", "9000"]],
        }
    ],
    "determinant with missing kinds": [
        {
            "type": "determines",
            "determinants": ["ward"],
            "dependent": "after",
            "table": [["a", "x"], ["b", "?"], ["c", "z"], ["", ""], ["?", "y"]],
        }
    ],
    "map learnt": [{"type": "determines", "determinants": ["ward"], "dependent": "school"}],
    "map of two learnt": [{"type": "determines", "determinants": ["sex", "ward"], "dependent": "after"}],
    "map of a number learnt": [{"type": "determines", "determinants": ["school"], "dependent": "before"}],
    "two determinants": [
        {
            "type": "determines",
            "determinants": ["sex", "is_minor"],
            "dependent": "ward",
            "table": [["f", "no", "a"], ["f", "yes", "b"], ["m", "no", "?"], ["m", "yes", "c"]],
        }
    ],
    "order": [{"type": "less-equal", "left": "low", "right": "high"}],
    "strict chain": [
        {"type": "less-equal", "left": "low", "right": "mid", "strictly": True},
        {"type": "less-equal", "left": "mid", "right": "high", "strictly": True},
    ],
    "order of real and integer": [{"type": "less-equal", "left": "amount", "right": "fee", "strictly": True}],
    "order of reals": [{"type": "less-equal", "left": "price", "right": "amount"}],
    "order of dates": [{"type": "less-equal", "left": "start", "right": "end", "strictly": True}],
    "order of ranks": [{"type": "less-equal", "left": "before", "right": "after", "strictly": True}],
    "increment": [
        {"type": "increment", "column": "fee", "step": 25.0},
        {"type": "less-equal", "left": "fee", "right": "mid"},
    ],
    "allowed": [
        {
            "type": "allowed",
            "columns": ["sex", "ward", "school"],
            "rows": [["f", "a", "3"], ["f", "?", "4"], ["m", "c", "15"]],
        }
    ],
    "allowed numbers": [
        {"type": "allowed", "columns": ["sex", "mid"], "rows": [["f", "10"], ["f", "11"], ["m", "499"]]}
    ],
}


@pytest.mark.parametrize("strictly", [False, True])
@pytest.mark.parametrize("real_left", [False, True], ids=["grid below reals", "reals below grid"])
def test_orders_between_reals_and_grids_have_rows_everywhere(real_left, strictly):
    """Reals may lie within a grid's tolerance of its values, and are compared as they are."""
    columns = {"real": number(-6.0, 580.0, kind="real"), "grid": number(-13.0, 16.0, kind="real", decimals=0)}
    left, right = ("real", "grid") if real_left else ("grid", "real")
    rules = [{"type": "less-equal", "left": left, "right": right, "strictly": strictly}]
    schema = make_schema(constraints=rules, **columns)
    rng = np.random.default_rng(0)
    for seed in range(6):
        plan = plan_encoding(schema, rho=0.05, delta=1e-8, options={"max_bins": 6, "identity": 40})
        encoding = plan.fit(random_table(schema, 300, rng), SeededNoise(seed))
        for where in (None, {"grid": 16}, {"grid": -6}):
            try:
                sampled = random_rows(encoding, rng, rows=5_000, where=where, tries=20)
            except PlanError as error:
                assert "no row can have" in str(error)  # noqa: PT017 - a refusal is fine, a fault while drawing is none
                continue
            assert violations(sampled)[0].violations == 0


def test_values_just_below_a_grid_s_are_ordered_as_they_are():
    columns = {"real": number(0.0, 20.0, kind="real"), "grid": number(0, 16)}
    rules = [{"type": "less-equal", "left": "real", "right": "grid", "strictly": True}]
    schema = make_schema(constraints=rules, **columns)
    encoding = plan_encoding(schema, rho=0.5, delta=1e-8).fit(
        random_table(schema, 300, np.random.default_rng(0)), SeededNoise(1)
    )
    near = Within(low=15.999_999_9, high=15.999_999_99)
    sampled = random_rows(encoding, np.random.default_rng(1), rows=50, where={"real": near}, tries=20_000)
    assert len(sampled) > 0
    assert set(sampled["grid"].values.tolist()) == {16}


@pytest.mark.parametrize("rules", CASES.values(), ids=CASES)
def test_every_row_obeys(rules):
    named = set(str(rules).replace("'", " ").split())
    columns = {name: what for name, what in COLUMNS.items() if name in named}
    schema = make_schema(constraints=rules, **columns)
    rng = np.random.default_rng(7)
    table = random_table(schema, 3_000, rng)
    for binner in ("tree", "privtree", "quantiles"):
        plan = plan_encoding(schema, rho=0.05, delta=1e-8, options={"binner": binner, "max_bins": 12})
        encoding = plan.fit(table, SeededNoise(3))
        sampled = random_rows(encoding, rng, rows=2_000)
        assert len(sampled) > 500
        for found in violations(sampled):
            assert found.rows > 0
            assert found.violations == 0, found
