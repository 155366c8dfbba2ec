"""Speeds: all pairs of 10,000,000 rows against DuckDB, polars and NumPy, and 1,000,000 rows sampled, in this process; whole fits against mbi's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import combinations
from operator import itemgetter

import numpy as np
from coded_tables import load
from generator_commands import DELTA, PEERS, command
from measured_fits import FitError, fit_and_score

from release.privacy.accounting import rho_for

ROWS = 10_000_000
"""Rows whose pairs are counted."""
MOST_CELLS = 512 * 2**20 / 48
"""The product's cap of a junction tree, as `run_ours.py` has it."""


def counting(_limit: float) -> dict:
    """Least seconds, wall and processor, for all pairs of ROWS × 15 columns: ours, DuckDB, polars and blocked NumPy, in this one process."""
    import duckdb
    import polars as pl

    from generators.core.counting import Rows, count
    from generators.core.domain import Domain

    table = load("adult")
    pick = np.random.default_rng(0).integers(0, len(table.train), ROWS)
    columns = [np.ascontiguousarray(c[pick]).astype(np.uint8) for c in table.train.T]
    domain = Domain(names=table.names, sizes=table.sizes)
    pairs = list(combinations(range(len(columns)), 2))
    count(Rows.of(domain, [c[:10] for c in columns]), pairs)

    def ours():
        return count(Rows.of(domain, columns), pairs)

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

    seconds: dict[str, float] = {}
    answers = {}
    works = {"ours": ours, "numpy": numpy_blocks, "duckdb": with_duckdb, "polars": with_polars}
    for label in (*works, "ours", "numpy", "duckdb", "ours"):
        wall, processor = time.perf_counter(), time.process_time()
        answers[label] = works[label]()
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        for key, spent in ((label, wall), (f"{label}, processor", processor)):
            seconds[key] = min(seconds.get(key, spent), spent)
        print(
            f"  105 pairs of {ROWS:,} rows: {label} {wall:.2f} s ({processor:.2f} s of processor time)",
            flush=True,
        )
    if not all(np.array_equal(a, b) for a, b in zip(answers["ours"], answers["numpy"], strict=True)):
        raise SystemExit("our counts differ from NumPy's")
    return seconds


def sampling(_limit: float) -> dict:
    """Seconds for 1,000,000 rows × 15 columns from a fitted tree of pairs, after one warm-up."""
    from generators.core.counting import Rows, count
    from generators.core.domain import Domain
    from generators.core.inference import Measurement, fit
    from generators.core.thinning import draw
    from generators.core.views import Views, full_view

    table = load("adult")
    domain = Domain(names=table.names, sizes=table.sizes)
    cliques = [(a,) for a in range(15)] + [(a, a + 1) for a in range(14)]
    counts = count(Rows.of(domain, list(table.train.T)), cliques)
    fitted = fit(
        Views.full(domain), [Measurement(full_view(c), t, 10.0) for c, t in zip(cliques, counts, strict=True)]
    )
    rng = np.random.default_rng(0)
    draw(fitted, 1000, rng)
    start = time.time()
    draw(fitted, 1_000_000, rng)
    return {"ours": time.time() - start}


def against_mbi(order: Sequence[str], pairs: Sequence[tuple[str, str]], limit: float) -> dict:
    """Processor and wall seconds of whole processes on Adult at ε = 1, ours and mbi's one after the other, ours before and after.

    `fits` has the middle one of each generator's fits, by processor seconds. A peer that its limit stopped counts with what it had taken: the ratio is
    then a lower bound, its peer stands in `unfinished`, and there is no ratio of wall seconds. Raises FitError where one fails otherwise, NoPeer where
    mbi's environment cannot be made.
    """
    table = load("adult")
    found: dict[str, list[dict]] = {}
    unfinished: dict[str, float] = {}
    for generator in order:
        figures = fit_and_score(table, command(generator, table, epsilon=1.0, run=0), limit=limit)
        if "stopped_at" in figures and generator in PEERS:
            unfinished[generator] = figures["stopped_at"]
            print(f"  {generator}: {figures['failed']}", flush=True)
            continue
        if "failed" in figures:
            raise FitError(f"{generator}: {figures['failed']}")
        found.setdefault(generator, []).append(figures)
        print(f"  {generator}: {figures['cpu_seconds']:.1f} s of processor time", flush=True)
    middle = {
        name: sorted(fits, key=itemgetter("cpu_seconds"))[len(fits) // 2] for name, fits in found.items()
    }
    ratios: dict[str, float] = {}
    for peer, own in pairs:
        if peer in unfinished:
            ratios[f"{peer} / {own}"] = unfinished[peer] / middle[own]["cpu_seconds"]
            continue
        for key, suffix in (("cpu_seconds", ""), ("seconds", ", wall")):
            ratios[f"{peer} / {own}{suffix}"] = middle[peer][key] / middle[own][key]
    return {"fits": middle, "unfinished": list(unfinished)} | ratios


def mst_ratio(limit: float) -> dict:
    """Of mbi's MST, as published and lean, to ours."""
    order = ("mst", "mst", "mbi mst", "mst", "mbi mst-lean", "mst", "mst")
    return against_mbi(order, [("mbi mst", "mst"), ("mbi mst-lean", "mst")], limit)


def aim_ratio(limit: float) -> dict:
    """Of mbi's AIM of 30 rounds to ours."""
    ours = ("aim", "auto")
    return against_mbi((*ours, "mbi aim", *ours, *ours), [("mbi aim", "aim"), ("mbi aim", "auto")], limit)


def million(_limit: float) -> dict:
    """Processor seconds of fits on Adult's training half and on 1,000,000 rows like it, and of one counting pass over those.

    The rows are drawn from a model fitted at ε = 10: they are as diverse as the model's, where repeated real ones would collapse to 24,421. A
    fit counts from packed rows on, repeated rows made weights; the pass packs likewise and counts every pair and every triple below 2,000 cells.
    At one ε the noise beside 41 times the counts is a 41st, and `auto` builds a far larger model of that; `auto, same noise` gets ρ / 41², so that
    its work differs by nothing but the rows.
    """
    from generators import GENERATORS
    from generators.core.counting import Rows, count
    from generators.core.domain import Domain
    from generators.core.measurer import Measurer, RhoFilter
    from generators.core.thinning import draw
    from generators.family import MarginalGenerator
    from generators.fitter import Assignment
    from release.privacy.noise import SystemNoise

    table = load("adult")
    domain = Domain(names=table.names, sizes=table.sizes, ordered=table.ordered)

    def fit(name, columns, rho):
        generator, noise = GENERATORS[name], SystemNoise()
        if not isinstance(generator, MarginalGenerator):
            raise TypeError(f"{name} does not work on codes")
        assignment = Assignment(
            attributes=len(domain), rho=rho, max_rows=1, targets=(table.target,), most_cells=MOST_CELLS
        )
        start = time.process_time()
        measurer = Measurer(Rows.of(domain, columns).collapsed(), noise, budget=RhoFilter(rho), max_rows=1)
        outcome = generator.planner(assignment, {}).fit(measurer, (), lambda _done, _what: None)
        return time.process_time() - start, outcome, noise.generator()

    few, rho = list(table.train.T), rho_for(1.0, DELTA)
    _, rich, rng = fit("auto", few, rho_for(10.0, DELTA))
    many = rich.compression.expand(draw(rich.fitted, 1_000_000, rng), rng, {})
    wanted = [
        c for k in (1, 2, 3) for c in combinations(range(len(domain)), k) if k < 3 or domain.cells(c) < 2_000
    ]
    count(Rows.of(domain, [c[:10] for c in many]), wanted)
    start = time.process_time()
    packed = Rows.of(domain, many).collapsed()
    count(packed, wanted)
    found = {"counting": time.process_time() - start, "different": len(packed)}
    same = rho * (len(few[0]) / len(many[0])) ** 2
    for label, name, share in (
        ("mst", "mst", rho),
        ("auto, same noise", "auto", same),
        ("auto", "auto", rho),
    ):
        small, large = (
            float(np.median([fit(name, columns, own)[0] for _ in range(3)]))
            for columns, own in ((few, rho), (many, share))
        )
        found[label] = {"few": small, "many": large}
        print(f"  {label}: {small:.2f} s on {len(few[0]):,} rows, {large:.2f} s on 1,000,000", flush=True)
    return found


SPEEDS = {
    "counting": counting,
    "sampling": sampling,
    "million": million,
    "mst ratio": mst_ratio,
    "aim ratio": aim_ratio,
}
