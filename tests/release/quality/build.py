"""Small tables made by hand for the quality tests."""

from __future__ import annotations

import numpy as np

from release.data.schema import (
    OUTSIDE_LEVEL,
    Categories,
    ColumnKind,
    ColumnSpec,
    DomainSource,
    MissingCode,
    Provenance,
    Range,
    Role,
    Schema,
    Slice,
    Unit,
)
from release.data.table import Column, Table
from release.protocols import Arena
from release.records import Kind, Task

CATEGORICAL, INTEGER, REAL = ColumnKind.CATEGORICAL, ColumnKind.INTEGER, ColumnKind.REAL


def coded_spec(name, levels, *, roles=(), kind=CATEGORICAL):
    return ColumnSpec(
        name=name,
        kind=kind,
        roles=tuple(roles),
        domain=Categories(values=tuple(levels)),
        domain_source=DomainSource.CODEBOOK,
        missing=(MissingCode(code=""),),
    )


def number_spec(name, low, high, *, kind=REAL, roles=()):
    return ColumnSpec(
        name=name,
        kind=kind,
        roles=tuple(roles),
        domain=Range(min=low, max=high),
        domain_source=DomainSource.CODEBOOK,
        missing=(MissingCode(code=""),),
    )


def schema_of(*specs, slices=(), unit=None, constraints=()):
    columns = specs
    if unit is not None:
        columns = (ColumnSpec(name=unit.column, kind=ColumnKind.IDENTIFIER), *specs)
    return Schema(
        name="made",
        population="made",
        population_size=100_000,
        unit=unit or Unit(),
        provenance=Provenance(kind=Kind.SIMULATED, source="a test", licence="none"),
        columns=columns,
        slices=tuple(slices),
        constraints=tuple(constraints),
    )


def table_of(schema, units=None, missing=None, **values):
    """A table; coded columns as codes or level names; `missing` by column as a mask."""
    columns = {}
    for spec in schema.released:
        given = np.asarray(values[spec.name.replace("-", "_")])
        gone = np.asarray((missing or {}).get(spec.name, np.zeros(len(given), dtype=bool)))
        levels = ()
        if spec.kind.coded:
            levels = (*spec.levels, OUTSIDE_LEVEL)
            if given.dtype.kind in "US":
                given = np.array([levels.index(value) for value in given], dtype=np.int32)
            given = np.where(gone, -1, given).astype(np.int32)
        elif spec.kind is REAL:
            given = np.where(gone, 0, given).astype(np.float64)
        else:
            given = np.where(gone, 0, given).astype(np.int64)
        columns[spec.name] = Column(given, gone.astype(np.uint8), levels)
    n = len(next(iter(columns.values())).values)
    return Table(schema, columns, np.arange(n) if units is None else np.asarray(units))


def people_schema():
    return schema_of(
        number_spec("age", 18, 90, kind=INTEGER, roles=[Role.QUASI_IDENTIFIER]),
        coded_spec("sex", ["f", "m"], roles=[Role.QUASI_IDENTIFIER]),
        coded_spec("region", [f"r{k}" for k in range(6)]),
        number_spec("income", 0, 1_000_000),
        coded_spec("ill", ["no", "yes"], roles=[Role.TARGET]),
        slices=[
            Slice(name="old", where={"age": Range(min=75, max=90)}),
            Slice(name="men", where={"sex": ("m",)}),
        ],
    )


def people(n, rng, *, schema=None, link=1.0, gap=1.0, tail=1.0, gone=0.1):
    """People whose illness follows age, income and sex; `link` 0 breaks it, `tail` scales the big incomes."""
    age = np.clip(rng.normal(50, 17, n).round(), 18, 90).astype(int)
    sex = rng.integers(0, 2, n)
    region = rng.choice(6, n, p=[0.4, 0.25, 0.2, 0.1, 0.044, 0.006])
    noise = rng.normal(0, 1, n)
    income = np.round(np.exp(9.5 + 0.01 * age + 0.8 * np.where(np.abs(noise) > 2, tail, 1.0) * noise), 2)
    logit = -1.5 + link * (0.05 * (age - 50) - 0.6 * noise) + gap * 0.8 * (sex - 0.5)
    ill = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(int)
    return table_of(
        schema or people_schema(),
        missing={"income": rng.random(n) < gone},
        age=age,
        sex=sex,
        region=region,
        income=np.clip(income, 0, 1_000_000),
        ill=ill,
    )


def arena_of(real, synthetic, controls, task="ill"):
    return Arena(
        members=real,
        controls=controls,
        reference=None,
        training=real,
        synthetic=synthetic,
        claim=None,
        task=Task(target=task) if task else None,
    )


def figures(report):
    """Outcomes by (metric, subject)."""
    return {(item.metric, item.subject): item.outcome for item in report.evidence}
