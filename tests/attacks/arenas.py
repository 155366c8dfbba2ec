"""Arenas with known leaks, for tests and benchmarks of the attacks."""

from __future__ import annotations

import numpy as np

from release.data.schema import Schema
from release.data.table import Table, concatenate
from release.protocols import Arena
from tests.builders import make_schema, make_table


def mixed_schema(**extra) -> Schema:
    """Four categories and four numbers, enough to tell people apart."""
    return make_schema(
        sex=["f", "m"],
        region=[f"r{k}" for k in range(12)],
        job=[f"j{k}" for k in range(25)],
        smoker=["no", "yes"],
        age=(18, 95),
        income={
            "kind": "real",
            "domain": {"min": 0.0, "max": 1e6, "decimals": 2},
            "missing": [{"code": ""}],
        },
        weight=(30.0, 200.0),
        visits=(0, 60),
        **extra,
    )


def mixed_frame(n: int, rng: np.random.Generator) -> dict[str, list]:
    """Rows with dependencies between columns, a heavy tail, and some missing cells."""
    age = rng.integers(18, 96, n)
    region = rng.integers(0, 12, n)
    job = (region * 2 + rng.integers(0, 8, n)) % 25
    income = np.round(np.exp(rng.normal(9 + 0.02 * age, 0.7)), 2).clip(0, 1e6)
    weight = np.round(rng.normal(75, 14, n).clip(30, 200), 1)
    visits = np.minimum(rng.poisson(np.exp((age - 40) / 30)), 60)
    smoker = rng.random(n) < 0.15 + 0.2 * (job % 3 == 0)
    return {
        "sex": ["fm"[k] for k in rng.integers(0, 2, n)],
        "region": [f"r{k}" for k in region],
        "job": [f"j{k}" for k in job],
        "smoker": ["yes" if s else "no" for s in smoker],
        "age": age.tolist(),
        "income": [None if gone else float(v) for v, gone in zip(income, rng.random(n) < 0.05)],
        "weight": weight.tolist(),
        "visits": visits.tolist(),
    }


def mixed_table(n: int, rng: np.random.Generator, schema: Schema | None = None) -> Table:
    """`mixed_frame` as a table."""
    return make_table(schema or mixed_schema(), mixed_frame(n, rng))


def split_arena(
    table: Table,
    rng: np.random.Generator,
    *,
    units: int,
    reference: int = 300,
    copied: float = 0.0,
    whole_copy: bool = False,
    **more,
) -> Arena:
    """Members, controls, reference; the candidate is the remaining real units plus a share of copied members."""
    order = rng.permutation(np.unique(table.units))
    cuts = np.cumsum([units, units, reference])
    members, controls, others, rest = (table.take_units(part) for part in np.split(order, cuts))
    leaked = table.take_units(order[: round(copied * units)])
    synthetic = members if whole_copy else concatenate([rest, leaked]) if copied else rest
    return Arena(
        members=members,
        controls=controls,
        reference=others,
        training=None,
        synthetic=synthetic,
        claim=None,
        randomised_split=True,
        **more,
    )
