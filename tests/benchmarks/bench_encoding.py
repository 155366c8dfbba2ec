"""What the encoding loses, binner by binner, on real tables with the encoding inside the budget.

    python tests/benchmarks/bench_encoding.py                      the tables that stand beside the repository, ε = 1
    python tests/benchmarks/bench_encoding.py --epsilon 0.3 --runs 5
    python tests/benchmarks/bench_encoding.py --learnt             no numeric bounds declared, ε = .3, 1, 3

For each table (a random half of it) and each way to bin: the mean total variation distance over all columns after
encoding and decoding the table itself (what the bins lose inside), and over all pairs of columns of what `mst` makes
with that encoding at the ε in all, δ = 1e-9, a tenth of ρ for the encoding. Numeric columns are compared in 20 quantile bins of the half; categories as they are.
`--learnt` takes the declared ranges of the numeric columns away (of those with more than 40 values; constraints too)
and compares these columns alone, after encoding and decoding ("mst": all pairs of columns, as above); "moved": the
share of their rows that lie outside the learnt bounds. Synthea's encounters: 20 rows a patient at most.
Writes `.bench/encoding.json`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import generators  # noqa: E402
from generators.encoding import Encoding, EncodingOptions, plan_encoding  # noqa: E402
from generators.encoding.grid import grid_of  # noqa: E402
from release.data.schema import DomainSource, Schema  # noqa: E402
from release.data.sources import read_table  # noqa: E402
from release.data.table import Table  # noqa: E402
from release.privacy import accounting  # noqa: E402
from release.records import Budget  # noqa: E402
from tests.benchmarks.goals import write  # noqa: E402
from tests.seeded_noise import SeededNoise  # noqa: E402
from tests.shared_schemas import load_shared  # noqa: E402

TABLES = ("adult", "credit-default", "bank-marketing", "lending-club", "meps", "sipp-401k", "german-credit")
LEARNT_TABLES = ("lending-club", "meps", "credit-default", "synthea")
WAYS = {
    "tree (default)": {},
    "tree, no texture": {"texture": 0.0},
    "privtree": {"binner": "privtree"},
    "quantiles": {"binner": "quantiles"},
}
DELTA = 1e-9
SHARE = 0.1


CLASSES = [
    "ambulatory",
    "emergency",
    "hospice",
    "inpatient",
    "outpatient",
    "snf",
    "urgentcare",
    "virtual",
    "wellness",
]
ENCOUNTERS = {
    "name": "encounters",
    "population": "synthea",
    "population_size": 100_000,
    "unit": {"name": "patient", "column": "PATIENT", "max_rows": 20},
    "provenance": {"kind": "simulated", "source": "Synthea", "licence": "Apache-2.0"},
    "columns": [
        {"name": "Id", "kind": "identifier"},
        {"name": "START", "kind": "datetime"},
        {"name": "STOP", "kind": "datetime"},
        {"name": "PATIENT", "kind": "identifier"},
        {"name": "ORGANIZATION", "kind": "identifier"},
        {"name": "PROVIDER", "kind": "identifier"},
        {"name": "PAYER", "kind": "code"},
        {
            "name": "ENCOUNTERCLASS",
            "kind": "categorical",
            "domain": {"values": CLASSES},
            "domain_source": "codebook",
        },
        {"name": "CODE", "kind": "code"},
        {"name": "DESCRIPTION", "kind": "identifier"},
        {"name": "BASE_ENCOUNTER_COST", "kind": "real"},
        {"name": "TOTAL_CLAIM_COST", "kind": "real"},
        {"name": "PAYER_COVERAGE", "kind": "real"},
        {"name": "REASONCODE", "kind": "code", "missing": [{"code": ""}]},
        {"name": "REASONDESCRIPTION", "kind": "identifier"},
    ],
}


def half(name: str) -> Table:
    """A random half of the table; the same in every run."""
    table = load_shared(name)
    order = np.random.default_rng(0).permutation(len(table))
    return table.take(order[: len(table) // 2])


def unbounded(name: str) -> Table:
    """A random half of the table, the ranges of its numeric columns to be learnt."""
    if name == "synthea":
        schema = Schema.model_validate_json(json.dumps(ENCOUNTERS))
        file = ROOT.parent / "shared" / "data" / "synthea" / "encounters.csv.gz"
        return read_table(pd.read_csv(file, dtype=str, keep_default_na=False), schema).table
    table = half(name)
    columns = tuple(
        spec.model_copy(update={"domain": None, "domain_source": DomainSource.LEARNED})
        if spec.kind.numeric and grid_of(spec, *spec.bounds).size > EncodingOptions().identity
        else spec
        for spec in table.schema.columns
    )
    schema = table.schema.model_copy(update={"columns": columns, "constraints": (), "slices": ()})
    return Table(schema, table.columns, table.units)


def scored(real: Table, synthetic: Table) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """Every column's codes in both tables, and how many there are."""
    found = []
    for spec in real.schema.released:
        one, other = real[spec.name], synthetic[spec.name]
        if spec.kind.coded:
            place = {level: code for code, level in enumerate(one.levels)}
            size = len(place) + 1
            table = np.array([place.get(level, size - 1) for level in other.levels] + [0])
            codes = one.values.astype(int), table[other.values.astype(int)]
        else:
            edges = np.unique(np.quantile(one.values[one.present], np.linspace(0, 1, 21)[1:-1]))
            size = len(edges) + 1
            codes = tuple(np.searchsorted(edges, column.values, side="right") for column in (one, other))
        pair = [
            np.where(c.missing > 0, size + c.missing, v) for c, v in zip((one, other), codes, strict=True)
        ]
        found.append((*pair, size + 1 + len(spec.missing)))
    return found


def distance(one: np.ndarray, other: np.ndarray, size: int) -> float:
    """Total variation distance of two columns of codes."""
    shares = [np.bincount(codes, minlength=size) / len(codes) for codes in (one, other)]
    return 0.5 * float(np.abs(shares[0] - shares[1]).sum())


def losses(real: Table, synthetic: Table) -> tuple[float, float]:
    """Mean distance over columns and over pairs of columns."""
    codes = scored(real, synthetic)
    pairs = [
        distance(a * m + c, b * m + d, n * m) for (a, b, n), (c, d, m) in itertools.combinations(codes, 2)
    ]
    return float(np.mean([distance(*column) for column in codes])), float(np.mean(pairs))


def moved(table: Table, encoding: Encoding, name: str) -> float:
    """Share of a column's rows outside its bounds."""
    grid, column = encoding.codes[name].grid, table[name]
    low, high = grid.origin / grid.scale, (grid.origin + grid.step * (grid.size - 1)) / grid.scale
    values = column.values[column.present]
    return float(((values < low) | (values > high)).mean()) if len(values) else 0.0


def learnt(tables: list[str], epsilons: list[float], runs: int) -> list[dict[str, object]]:
    """Print and give what columns lose whose bounds are learnt."""
    rows: list[dict[str, object]] = []
    print(f"bounds learnt, δ = {DELTA:g}, means of {runs} runs")
    print(
        f"{'table':<16}{'rows':>7}{'columns':>9}{'ε':>6}{'inside bins':>13}{'moved':>9}{'most moved':>12}{'mst 2-way':>11}"
    )
    for name in tables:
        table = unbounded(name)
        numeric = [s.name for s in table.schema.released if s.kind.numeric and s.bounds is None]
        for epsilon in epsilons:
            rho = accounting.rho_for(epsilon, DELTA) * SHARE
            plan = plan_encoding(table.schema, rho=rho, delta=DELTA)
            whole = generators.get("mst").plan(table.schema, Budget(epsilon=epsilon, delta=DELTA), None, {})
            inside, outside, two_way = [], [], []
            for run in range(runs):
                encoding = plan.fit(table, SeededNoise(run))
                decoded = encoding.decode(encoding.encode(table), np.random.default_rng(run))
                pairs = zip(table.schema.released, scored(table, decoded), strict=True)
                inside.append(np.mean([distance(*codes) for spec, codes in pairs if spec.name in numeric]))
                made = whole.run(table, SeededNoise(run)).sample(len(table), np.random.default_rng(run))
                two_way.append(losses(table, made)[1])
                outside.append([moved(table, encoding, column) for column in numeric])
            row = {
                "table": name,
                "rows": len(table),
                "columns": len(numeric),
                "epsilon": epsilon,
                "inside": float(np.mean(inside)),
                "moved": float(np.mean(outside)),
                "most_moved": float(np.max(np.mean(outside, axis=0))),
                "mst_2way": float(np.mean(two_way)),
            }
            rows.append(row)
            print(
                f"{name:<16}{len(table):>7}{len(numeric):>9}{epsilon:>6g}{row['inside']:>13.4f}{row['moved']:>9.4f}"
                f"{row['most_moved']:>12.4f}{row['mst_2way']:>11.4f}",
                flush=True,
            )
    return rows


def main() -> None:
    """Print the table, and write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epsilon", type=float)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tables", nargs="*")
    parser.add_argument("--learnt", action="store_true")
    chosen = parser.parse_args()
    if chosen.learnt:
        epsilons = [chosen.epsilon] if chosen.epsilon else [0.3, 1.0, 3.0]
        rows = learnt(chosen.tables or list(LEARNT_TABLES), epsilons, chosen.runs)
        write("encoding-learnt", {"goals": [], "rows": rows})
        return
    chosen.epsilon = chosen.epsilon or 1.0
    chosen.tables = chosen.tables or list(TABLES)
    rho = accounting.rho_for(chosen.epsilon, DELTA) * SHARE
    rows = []
    print(f"ε = {chosen.epsilon:g}, δ = {DELTA:g}, means of {chosen.runs} runs")
    print(f"{'table':<16}{'rows':>7}  {'binner':<18}{'inside bins':>12}{'mst 2-way':>11}{'fit s':>8}")
    for name in chosen.tables:
        table = half(name)
        for way, options in WAYS.items():
            inside, pairs, seconds = [], [], []
            for run in range(chosen.runs):
                start = time.perf_counter()
                encoding = plan_encoding(table.schema, rho=rho, delta=DELTA, options=options).fit(
                    table, SeededNoise(run)
                )
                seconds.append(time.perf_counter() - start)
                decoded = encoding.decode(encoding.encode(table), np.random.default_rng(run))
                inside.append(losses(table, decoded)[0])
                plan = generators.get("mst").plan(
                    table.schema,
                    Budget(epsilon=chosen.epsilon, delta=DELTA),
                    None,
                    {"encoding": options, "encoding_share": SHARE},
                )
                made = plan.run(table, SeededNoise(run)).sample(len(table), np.random.default_rng(run))
                pairs.append(losses(table, made)[1])
            row = {
                "table": name,
                "rows": len(table),
                "binner": way,
                "inside": float(np.mean(inside)),
                "mst_2way": float(np.mean(pairs)),
                "fit_seconds": float(np.mean(seconds)),
            }
            rows.append(row)
            print(
                f"{name:<16}{len(table):>7}  {way:<18}{row['inside']:>12.4f}{row['mst_2way']:>11.4f}"
                f"{row['fit_seconds']:>8.2f}",
                flush=True,
            )
    write("encoding", {"goals": [], "rows": rows})


if __name__ == "__main__":
    main()
