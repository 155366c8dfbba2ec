"""What the encoding loses, binner by binner, on real tables with the encoding inside the budget.

    python tests/benchmarks/bench_encoding.py                      the tables that stand beside the repository, ε = 1
    python tests/benchmarks/bench_encoding.py --epsilon 0.3 --runs 5

For each table (a random half of it) and each way to bin: the mean total variation distance over all columns after
encoding and decoding the table itself (what the bins lose inside), and over all pairs of columns of what `mst` makes
with that encoding at the ε in all, δ = 1e-9, a tenth of ρ for the encoding. Numeric columns are compared in 20 quantile bins of the half; categories as they are.
Writes `.bench/encoding.json`.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import generators  # noqa: E402
from generators.encoding import plan_encoding  # noqa: E402
from release.data.table import Table  # noqa: E402
from release.privacy import accounting  # noqa: E402
from release.records import Budget  # noqa: E402
from tests.benchmarks.goals import write  # noqa: E402
from tests.seeded_noise import SeededNoise  # noqa: E402
from tests.shared_schemas import load_shared  # noqa: E402

TABLES = ("adult", "credit-default", "bank-marketing", "lending-club", "meps", "sipp-401k", "german-credit")
WAYS = {
    "tree (default)": {},
    "tree, no texture": {"texture": 0.0},
    "privtree": {"binner": "privtree"},
    "quantiles": {"binner": "quantiles"},
}
DELTA = 1e-9
SHARE = 0.1


def half(name: str) -> Table:
    """A random half of the table; the same in every run."""
    table = load_shared(name)
    order = np.random.default_rng(0).permutation(len(table))
    return table.take(order[: len(table) // 2])


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


def main() -> None:
    """Print the table, and write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tables", nargs="*", default=list(TABLES))
    chosen = parser.parse_args()
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
