"""Speed and memory of the quality suite, side by side with SDMetrics' reports in the same run.

    python tests/benchmarks/bench_quality.py            Adult, 25,000 against 25,000 rows of MST at ε = 1
    python tests/benchmarks/bench_quality.py --million  1,000,000 rows × 30 columns as well (minutes)
    python tests/benchmarks/bench_quality.py --wide     diabetes130 as well: 99,231 visits of 71,518 patients, 48 columns (minutes)

Writes `.bench/quality.json`: seconds of every probe, and the goals with what was measured. Wall time is what the goals speak of; processor
time stands beside it, because a busy machine inflates the first and not much the second.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import generators  # noqa: E402
from app.evaluation import aligned  # noqa: E402
from release.data.schema import Schema  # noqa: E402
from release.data.table import Table  # noqa: E402
from release.protocols import Arena  # noqa: E402
from release.quality import PROBES, measure_quality  # noqa: E402
from release.quality.sdmetrics_reports import reports  # noqa: E402
from release.records import Budget, Measured, Task  # noqa: E402
from tests.benchmarks.goals import goal, write  # noqa: E402
from tests.seeded_noise import SeededNoise  # noqa: E402
from tests.shared_schemas import load_shared  # noqa: E402

ROWS = 25_000
CONTROLS = 4_400
REPEATS = 3


def adult() -> Arena:
    """15 columns of Adult: 25,000 training rows, as many of MST, 4,400 held out."""
    table = load_shared("adult")
    keep = tuple(spec for spec in table.schema.columns if spec.name != "split")
    schema = table.schema.model_copy(update={"columns": keep})
    table = Table(schema, {spec.name: table[spec.name] for spec in schema.released}, table.units)
    order = np.random.default_rng(0).permutation(len(table))
    train, controls = table.take(order[:ROWS]), table.take(order[ROWS : ROWS + CONTROLS])
    task = Task(target="income")
    plan = generators.get("mst").plan(schema, Budget(epsilon=1.0, delta=1e-7), task)
    synthetic = plan.run(train, SeededNoise(1)).sample(ROWS, np.random.default_rng(2))
    return Arena(
        members=train,
        controls=controls,
        reference=None,
        training=train,
        synthetic=synthetic,
        claim=plan.cost,
        task=task,
    )


def timed(work) -> tuple[float, float]:
    """(wall, processor) seconds, best of `REPEATS`."""
    found = []
    for _ in range(REPEATS):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        found.append((time.perf_counter() - wall, time.process_time() - processor))
    return min(found)


def million() -> dict[str, float]:
    """Seconds and peak memory of the suite on 1,000,000 × 30 rows a side; run in a process of its own."""
    base = adult()
    rng = np.random.default_rng(0)

    def wide(table: Table, rows: int) -> Table:
        specs, columns = [], {}
        for copy in range(2):
            drawn = rng.integers(0, len(table), size=rows)
            for spec in table.schema.released:
                name = f"{spec.name}-{copy}"
                specs.append(spec.model_copy(update={"name": name}))
                columns[name] = table[spec.name].take(drawn)
        schema = Schema.model_validate({**dict(table.schema), "columns": tuple(specs)})
        return Table(schema, columns, np.arange(rows))

    train, synthetic = wide(base.members, 1_000_000), wide(base.synthetic, 1_000_000)
    arena = Arena(
        members=train,
        controls=wide(base.controls, CONTROLS),
        reference=None,
        training=train,
        synthetic=synthetic,
        claim=base.claim,
        task=Task(target="income-0"),
    )
    return by_probe(arena, "1M × 30")


def wide() -> dict[str, float]:
    """The same for diabetes130: several rows a patient, three classes, codes of many levels; MST at ε = 3."""
    table = load_shared("diabetes130")
    order = np.random.default_rng(0).permutation(np.unique(table.units))
    controls, train = table.take_units(order[:CONTROLS]), table.take_units(order[CONTROLS:])
    task = Task(target="readmitted")
    plan = generators.get("mst").plan(table.schema, Budget(epsilon=3.0, delta=1e-7), task)
    made = plan.run(train, SeededNoise(1)).sample(100_000, np.random.default_rng(2))
    train, controls, synthetic = aligned([train, controls, made])
    arena = Arena(
        members=train,
        controls=controls,
        reference=None,
        training=train,
        synthetic=synthetic,
        claim=plan.cost,
        task=task,
    )
    return by_probe(arena, "diabetes130")


def by_probe(arena: Arena, what: str) -> dict[str, float]:
    """Processor and wall seconds of every probe ("<name>" and "<name> wall"), their sums, and the process's peak memory."""
    found: dict[str, float] = {}
    for name in PROBES:
        wall, processor = time.perf_counter(), time.process_time()
        measure_quality(arena, np.random.default_rng(0), names=[name])
        found[name] = time.process_time() - processor
        found[f"{name} wall"] = time.perf_counter() - wall
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        line = f"{what}  {name:<14} {found[name]:8.1f} s processor {found[f'{name} wall']:8.1f} s wall   peak {peak:.2f} GiB"
        print(line, file=sys.stderr, flush=True)
    found["processor"] = sum(found[name] for name in PROBES)
    found["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--million", action="store_true", help="1,000,000 × 30 as well")
    parser.add_argument("--million-only", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--wide", action="store_true", help="diabetes130 as well")
    parser.add_argument("--wide-only", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.million_only:
        print(json.dumps(million()))
        return 0
    if asked.wide_only:
        print(json.dumps(wide()))
        return 0
    arena = adult()
    measure_quality(arena, np.random.default_rng(0), names=["marginals", "sdmetrics"])  # imports, caches
    seconds = {}
    for name in PROBES:
        wall, processor = time.perf_counter(), time.process_time()
        (report,) = measure_quality(arena, np.random.default_rng(0), names=[name])
        seconds[name] = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
        figures = sum(isinstance(item.outcome, Measured) for item in report.evidence)
        print(f"{name:<14} {seconds[name]['wall']:7.2f} s  {figures} figures")
    ours = timed(lambda: measure_quality(arena, np.random.default_rng(0), names=["marginals"]))
    theirs = timed(lambda: reports(arena.members, arena.synthetic))
    suite = sum(one["wall"] for one in seconds.values())
    goals = [
        goal("standard suite on Adult, seconds", suite, 60.0, "lower"),
        goal(
            "marginal part over SDMetrics' Quality + Diagnostic reports, ratio of seconds",
            ours[0] / theirs[0],
            1.0,
            "lower",
            peer=1.0,
        ),
    ]
    result = {
        "rows": ROWS,
        "columns": len(arena.synthetic.columns),
        "seconds": seconds,
        "load_average": os.getloadavg()[0],
        "suite_processor_seconds": sum(one["processor"] for one in seconds.values()),
        "marginals_seconds": ours[0],
        "sdmetrics_seconds": theirs[0],
        "goals": goals,
    }
    for wanted, option, what in (
        (asked.million, "--million-only", "1,000,000 × 30"),
        (asked.wide, "--wide-only", "diabetes130, 99,231 × 48"),
    ):
        if wanted:
            done = subprocess.run(
                [sys.executable, __file__, option], check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT
            )
            found = json.loads(done.stdout)
            result[option.strip("-").removesuffix("-only")] = found
            goals.append(goal(f"{what}, peak GiB", found["peak_gib"], 6.0, "lower"))
            goals.append(goal(f"{what}, processor seconds", found["processor"], 180.0, "lower"))
    write("quality", result)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
