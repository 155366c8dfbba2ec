"""The encoding under real models: constraints and conditions hold on what generators sample, saved and loaded."""

import numpy as np
import pytest

import generators
from release.data.constraints import violations
from release.records import Budget, Within
from tests.builders import make_schema, random_table
from tests.seeded_noise import SeededNoise

RULES = [
    {"type": "impossible", "where": {"sex": ["m"], "ward": ["b"]}},
    {
        "type": "determines",
        "determinants": ["age"],
        "dependent": "minor",
        "cuts": [18.0],
        "values": ["yes", "no"],
    },
    {"type": "determines", "determinants": ["ward"], "dependent": "bed"},
    {"type": "less-equal", "left": "low", "right": "high"},
    {"type": "increment", "column": "high", "step": 5.0},
]


@pytest.mark.parametrize("name", ["independent", "mst", "aim", "auto"])
def test_rules_and_conditions_hold(name, tmp_path):
    schema = make_schema(
        constraints=RULES,
        sex=["f", "m"],
        ward={"kind": "categorical", "domain": {"values": ["a", "b", "c"]}, "missing": [{"code": "?"}]},
        bed=["1", "2", "3"],
        age=(0, 120),
        minor=["yes", "no"],
        low=(0, 1_000),
        high=(0, 1_000),
        code={"kind": "code"},
    )
    table = random_table(schema, 2_000, np.random.default_rng(0))
    plan = generators.get(name).plan(schema, Budget(epsilon=2.0, delta=1e-7))
    model = plan.run(table, SeededNoise(1))
    model.save(tmp_path / "model")
    model = generators.get(name).load(tmp_path / "model")
    sampled = model.sample(3_000, np.random.default_rng(2))
    assert len(sampled) == 3_000
    assert [found.violations for found in violations(sampled)] == [0] * len(RULES)
    where = {"minor": ("no",), "low": Within(low=123, high=456), "sex": ("m",)}
    sampled = model.sample(500, np.random.default_rng(3), where)
    assert [found.violations for found in violations(sampled)] == [0] * len(RULES)
    assert sampled["age"].values.min() >= 18
    assert sampled["low"].values.min() >= 123
    assert sampled["low"].values.max() <= 456
    assert (sampled["sex"].values == 1).all()
