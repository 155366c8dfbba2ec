"""Generators on raw columns, with the encoding inside the same ε, in the scoring that codes get (`coded_tables`).

    python tests/benchmarks/raw_tables.py                                        auto on Adult at ε = 1, 3 runs
    … --tables adult diabetes130 --generators mst auto --epsilons 1 10 --runs 5
    … --fit SOURCE.npz TARGET.npz TABLE GENERATOR EPSILON                        one fit as a process; TARGET gets codes

The training half's raw rows are read with the table's schema, truncated to the unit's bound, encoded and fitted under (ε, δ = 1e-9); as
many rows as the half has are sampled, decoded, and put into the bins that the scoring made of the real half. A value that the half does not
have counts as its rarest one. diabetes130 is at patient level (units of several rows, learnt diagnosis codes). SOURCE is not read:
it is there so that the command has the form of `measured_fits`.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import sys
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE)]

import numpy as np  # noqa: E402
from coded_tables import FILES, NUMERIC_LEVELS, ROWS_PER_PATIENT, SHARED, load, score  # noqa: E402

if TYPE_CHECKING:
    from release.data.schema import Schema
    from release.data.table import Table

DELTA = 1e-9
TABLES = ("adult", "credit-default", "bank-marketing", "diabetes130")
GENERATORS = ("independent", "mst", "aim", "auto", "wide")
ROWS_PER_UNIT = {"diabetes130": ROWS_PER_PATIENT}
COUNTERS = {"encounter_id", "ID"}
"""Columns that only number the rows."""


@cache
def _cells(name: str) -> tuple[list[str], np.ndarray]:
    """Header and all cells of the file, shape (rows, columns), strings."""
    path, delimiter = FILES[name][:2]
    with gzip.open(SHARED / path, "rt", encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter=delimiter))
    return rows[0], np.array(rows[1:], dtype=object)


def _training(name: str) -> np.ndarray:
    """Row numbers of the training half, as `coded_tables.load` splits."""
    header, cells = _cells(name)
    if "patient_nbr" in header:
        units = np.unique(cells[:, header.index("patient_nbr")].astype(np.int64), return_inverse=True)[1]
        side = np.random.default_rng(0).random(units.max() + 1) < 0.5
        return np.flatnonzero(side[units])
    return np.random.default_rng(0).permutation(len(cells))[: len(cells) // 2]


def schema_of(name: str) -> Schema:
    """The table's schema with the columns that are scored, and its unit."""
    from release.data.schema import Schema
    from tests.shared_schemas import shared_schema

    document = json.loads(shared_schema(name).model_dump_json())
    scored = set(load(name).names)
    unit = document["unit"]
    document["columns"] = [c for c in document["columns"] if c["name"] in {*scored, unit["column"]}]
    if unit["column"] in COUNTERS:
        document["columns"] = [c for c in document["columns"] if c["name"] != unit["column"]]
        unit["column"] = None
    unit["max_rows"] = ROWS_PER_UNIT.get(name, 1)
    return Schema.model_validate_json(json.dumps(document), strict=True)


def raw_training(name: str) -> Table:
    """The training half's raw rows, truncated to the unit's bound."""
    import pandas as pd

    from release.data.sources import read_table

    schema = schema_of(name)
    header, cells = _cells(name)
    rows = cells[_training(name)]
    named = {spec.name for spec in schema.columns}
    return read_table(
        pd.DataFrame({c: pd.Series(rows[:, k], dtype=object) for k, c in enumerate(header) if c in named}),
        schema,
    ).table


def codes_of(name: str, table: Table) -> np.ndarray:
    """A table's rows in the scoring's codes, shape (rows, attributes)."""
    from release.data.schema import OUTSIDE_LEVEL

    header, cells = _cells(name)
    coded, inside = load(name), _training(name)
    found = []
    for place, attribute in enumerate(coded.names):
        real = cells[:, header.index(attribute)]
        column, spec = table[attribute], table.schema.column(attribute)
        codes = [code.code for code in spec.missing]
        if spec.kind.coded:
            words = np.array([*column.levels, *codes], dtype=object)
            given = np.where(
                column.missing > 0, len(column.levels) + column.missing.astype(int) - 1, column.values
            )
            text = words[given.astype(int)]
        else:
            text = np.array(
                [f"{v:g}" if v != int(v) else str(int(v)) for v in column.values.tolist()], dtype=object
            )
            text[column.missing > 0] = np.array([*codes, ""], dtype=object)[
                column.missing[column.missing > 0].astype(int) - 1
            ]
        rarest = int(np.argmin(np.bincount(coded.train[:, place], minlength=coded.sizes[place])))
        if coded.ordered[place]:
            edges = np.unique(
                np.quantile(real[inside].astype(np.float64), np.linspace(0, 1, NUMERIC_LEVELS + 1)[1:-1])
            )
            outside = text == OUTSIDE_LEVEL  # identifiers of categories, which the scoring takes for numbers
            text[outside] = "0"
            bins = np.searchsorted(edges, text.astype(np.float64), side="right")
            found.append(np.where(outside, rarest, bins))
        else:
            levels = {level: code for code, level in enumerate(np.unique(real.astype(str)).tolist())}
            words_, which = np.unique(text.astype(str), return_inverse=True)
            found.append(np.array([levels.get(word, rarest) for word in words_.tolist()])[which])
    return np.stack(found, 1).astype(np.int32)


def fit(name: str, generator: str, epsilon: float) -> np.ndarray:
    """Codes of one fit's sample."""
    from generators import get
    from release.privacy.noise import SystemNoise
    from release.records import Budget, Task

    table = raw_training(name)
    plan = get(generator).plan(
        table.schema, Budget(epsilon=epsilon, delta=DELTA), Task(target=FILES[name][3])
    )
    noise = SystemNoise()
    model = plan.run(table, noise)
    return codes_of(name, model.sample(len(load(name).train), noise.generator()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", default=["adult"], choices=TABLES)
    parser.add_argument("--generators", nargs="+", default=["auto"], choices=GENERATORS)
    parser.add_argument("--epsilons", nargs="+", type=float, default=[1.0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--fit", nargs=5, metavar=("SOURCE", "TARGET", "TABLE", "GENERATOR", "EPSILON"))
    arguments = parser.parse_args()
    if arguments.fit:
        _, target, name, generator, epsilon = arguments.fit
        np.savez(target, codes=fit(name, generator, float(epsilon)))
        return
    for name in arguments.tables:
        for epsilon in arguments.epsilons:
            for generator in arguments.generators:
                found, begin = [], time.process_time()
                for _ in range(arguments.runs):
                    result = score(load(name), fit(name, generator, epsilon))
                    found.append((result.one, result.two, result.three, result.auc))
                mean, spread = np.mean(found, axis=0), np.std(found, axis=0)
                print(
                    f"{name} raw ε = {epsilon:g} {generator}: {mean[0]:.4f} / {mean[1]:.4f} / {mean[2]:.4f}  "
                    f"AUC {mean[3]:.4f} ± {spread[3]:.4f}  ({arguments.runs} runs, "
                    f"{(time.process_time() - begin) / arguments.runs:.0f} s each with scoring)",
                    flush=True,
                )


if __name__ == "__main__":
    main()
