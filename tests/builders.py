"""Small schemas and tables in a few words, for tests.

schema = make_schema(sex=["f", "m"], age=(0, 120), weight=(0.0, 300.0))
table = make_table(schema, {"sex": ["f", "m"], "age": [1, 2], "weight": [3.5, None]})
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from release.data.schema import Schema
from release.data.sources import read_table
from release.data.table import Table


def make_schema(
    *,
    unit: str | None = None,
    max_rows: int = 1,
    population_size: int = 10_000,
    constraints: Sequence[Mapping[str, Any]] = (),
    slices: Sequence[Mapping[str, Any]] = (),
    **columns: Any,
) -> Schema:
    """A schema. A column is a list of categories, a pair of bounds (ints: integer, floats: real), or a dict of a column's keys.

    Names with characters that Python does not allow: `**{"marital-status": [...]}`. Dicts get `domain_source: codebook`
    where they have a domain. `unit` names a column, which is added as an identifier where it is not described.
    """
    specs = [_spec(name, what) for name, what in columns.items()]
    if unit is not None and unit not in columns:
        specs.insert(0, {"name": unit, "kind": "identifier"})
    return Schema.model_validate_json(
        json.dumps(
            {
                "name": "test",
                "population": "test",
                "population_size": population_size,
                "unit": {"name": unit or "row", "column": unit, "max_rows": max_rows},
                "provenance": {"kind": "collected", "source": "a test", "licence": "none"},
                "columns": specs,
                "constraints": list(constraints),
                "slices": list(slices),
            }
        ),
        strict=True,
    )


def _spec(name: str, what: Any) -> dict[str, Any]:
    if isinstance(what, dict):
        extra = {"domain_source": "codebook"} if "domain" in what else {}
        return {"name": name, **extra, **what}
    if isinstance(what, tuple):
        kind = "real" if any(isinstance(bound, float) for bound in what) else "integer"
        domain: dict[str, Any] = {"min": what[0], "max": what[1]}
        return {"name": name, "kind": kind, "domain": domain, "domain_source": "codebook"}
    return {
        "name": name,
        "kind": "categorical",
        "domain": {"values": list(what)},
        "domain_source": "codebook",
    }


def make_table(schema: Schema, data: Mapping[str, Sequence[Any]]) -> Table:
    """A table of these cells (None: empty), read as the product reads a frame."""
    import pandas as pd

    return read_table(
        pd.DataFrame({name: pd.Series(list(v), dtype=object) for name, v in data.items()}), schema
    ).table


def random_table(schema: Schema, rows: int, rng: np.random.Generator) -> Table:
    """Independent, uniform values over every declared domain; each row a unit where the schema has no unit column,
    else units of up to `max_rows` rows. Undeclared domains get ten levels or 0…99.
    """
    data: dict[str, Any] = {}
    for spec in schema.released:
        if spec.kind.coded:
            levels = spec.levels or tuple(f"v{k}" for k in range(10))
            data[spec.name] = [levels[k] for k in rng.integers(len(levels), size=rows)]
        elif spec.kind.value == "real":
            low, high = spec.bounds or (0.0, 99.0)
            data[spec.name] = rng.uniform(low, high, size=rows).tolist()
        elif spec.kind.value == "integer":
            low, high = spec.bounds or (0.0, 99.0)
            data[spec.name] = rng.integers(int(low), int(high) + 1, size=rows).tolist()
        else:
            low, high = spec.bounds or (0.0, 10_000.0 * (86_400 if spec.kind.value == "datetime" else 1))
            moments = rng.integers(int(low), int(high) + 1, size=rows)
            unit = "D" if spec.kind.value == "date" else "s"
            data[spec.name] = [str(moment) for moment in moments.astype(f"datetime64[{unit}]")]
    if schema.unit.column is not None:
        data[schema.unit.column] = (np.arange(rows) // schema.unit.max_rows).tolist()
    return make_table(schema, data)
