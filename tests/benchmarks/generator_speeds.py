"""Speeds: all pairs of 10,000,000 rows against DuckDB, polars and NumPy, and 1,000,000 rows sampled, in this process; whole fits against mbi's."""

from __future__ import annotations

import time
from itertools import combinations
from operator import itemgetter

import numpy as np
from coded_tables import load
from generator_commands import command
from measured_fits import FitError, fit_and_score

ROWS = 10_000_000
"""Rows whose pairs are counted."""


def counting(_limit: float) -> dict:
    """Seconds for all pairs of ROWS × 15 columns: ours, DuckDB, polars and blocked NumPy, in this one process."""
    import duckdb
    import polars as pl

    from generators.core.counting import Rows, count
    from generators.core.domain import Domain

    table = load("adult")
    pick = np.random.default_rng(0).integers(0, len(table.train), ROWS)
    columns = [np.ascontiguousarray(c[pick]).astype(np.uint8) for c in table.train.T]
    domain = Domain(names=table.names, sizes=table.sizes)
    pairs = list(combinations(range(len(columns)), 2))
    packed = Rows.of(domain, columns)
    count(Rows.of(domain, [c[:10] for c in columns]), pairs)

    def ours():
        return count(packed, pairs)

    def numpy_blocks():
        tables = [np.zeros(table.sizes[a] * table.sizes[b], dtype=np.int64) for a, b in pairs]
        for start in range(0, ROWS, 1 << 17):
            block = [c[start : start + (1 << 17)].astype(np.int64) for c in columns]
            for out, (a, b) in zip(tables, pairs, strict=True):
                np.add(out, np.bincount(block[a] * table.sizes[b] + block[b], minlength=len(out)), out=out)
        return [t.reshape(domain.shape(p)) for t, p in zip(tables, pairs, strict=True)]

    frame = pl.DataFrame({f"c{k}": c for k, c in enumerate(columns)})

    def with_polars():
        return pl.collect_all([frame.lazy().group_by(f"c{a}", f"c{b}").len() for a, b in pairs])

    connection = duckdb.connect()
    connection.register("t", frame.to_arrow())
    connection.execute("create table rows as select * from t")

    def with_duckdb():
        sets = ", ".join(f"(c{a}, c{b})" for a, b in pairs)
        return connection.execute(f"select count(*) from rows group by grouping sets ({sets})").fetchall()

    seconds = {}
    for label, work in (
        ("ours", ours),
        ("numpy", numpy_blocks),
        ("polars", with_polars),
        ("duckdb", with_duckdb),
    ):
        best = float("inf")
        for _ in range(3 if label == "ours" else 1):
            start = time.time()
            result = work()
            best = min(best, time.time() - start)
        seconds[label] = best
        if label == "ours":
            mine = result
        if label == "numpy" and not all(np.array_equal(a, b) for a, b in zip(mine, result, strict=True)):
            raise SystemExit("our counts differ from NumPy's")
        print(f"  105 pairs of {ROWS:,} rows: {label} {best:.2f} s", flush=True)
    return seconds


def sampling(_limit: float) -> dict:
    """Seconds for 1,000,000 rows × 15 columns from a fitted tree of pairs, after one warm-up."""
    from generators.core.counting import Rows, count
    from generators.core.domain import Domain
    from generators.core.inference import Measurement, fit
    from generators.core.sampling import sample
    from generators.core.views import Views, full_view

    table = load("adult")
    domain = Domain(names=table.names, sizes=table.sizes)
    cliques = [(a,) for a in range(15)] + [(a, a + 1) for a in range(14)]
    counts = count(Rows.of(domain, list(table.train.T)), cliques)
    fitted = fit(
        Views.full(domain), [Measurement(full_view(c), t, 10.0) for c, t in zip(cliques, counts, strict=True)]
    )
    rng = np.random.default_rng(0)
    sample(fitted.tree, fitted.theta, 1000, rng)
    start = time.time()
    sample(fitted.tree, fitted.theta, 1_000_000, rng)
    return {"ours": time.time() - start}


def ratios(limit: float) -> dict:
    """Processor and wall seconds of whole processes on Adult at ε = 1, ours and mbi's one after the other, ours before and after.

    `fits` has the middle one of each generator's fits, by processor seconds. Raises FitError where one does not finish, NoPeer where mbi's
    environment cannot be made.
    """
    table = load("adult")
    ours = ("mst", "aim", "auto")
    found: dict[str, list[dict]] = {}
    for generator in (*ours, "mbi mst", *ours, "mbi mst-lean", *ours, "mbi aim", *ours):
        figures = fit_and_score(table, command(generator, table, epsilon=1.0, run=0), limit=limit)
        if "failed" in figures:
            raise FitError(f"{generator}: {figures['failed']}")
        found.setdefault(generator, []).append(figures)
        print(f"  {generator}: {figures['cpu_seconds']:.1f} s of processor time", flush=True)
    middle = {
        name: sorted(fits, key=itemgetter("cpu_seconds"))[len(fits) // 2] for name, fits in found.items()
    }
    return {"fits": middle} | {
        f"{peer} / {own}{suffix}": middle[peer][key] / middle[own][key]
        for peer, own in (
            ("mbi mst", "mst"),
            ("mbi mst-lean", "mst"),
            ("mbi aim", "aim"),
            ("mbi aim", "auto"),
        )
        for key, suffix in (("cpu_seconds", ""), ("seconds", ", wall"))
    }


SPEEDS = {"counting": counting, "sampling": sampling, "ratios": ratios}
