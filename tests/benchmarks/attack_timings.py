"""How long the suites take: on Adult, against anonymeter's trio in the same run, and against a million synthetic rows."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

import attacks
from attacks import copies, dcr, inference, linkability, predicates, singling_out
from attacks.anonymeter_check import _frame
from attacks.bench import Bench
from attacks.encoding import Scaling
from release.canonical import Sha256
from release.data.schema import Role, Schema
from release.data.table import Table
from release.protocols import Arena, no_progress
from tests.attacks import leaks
from tests.shared_schemas import load_shared

CANDIDATE = Sha256("0" * 64)
TARGETS, QUERIES = 2_000, 500
MILLION = 1_000_000


def measure() -> list[tuple[str, float, float]]:
    """(what, value, goal): seconds at most, or times at least."""
    adult = load_shared("adult")
    return [*suites(adult), *trio(adult), *million(adult), *compilation()]


FIRST_RUN = """
import time, numpy as np
from tests.benchmarks.attack_timings import CANDIDATE, attacks, leaks, load_shared
scene = leaks.scene(load_shared("meps"), np.random.default_rng(0), 500, 200)
started = time.perf_counter()
attacks.run_suite(scene.arena, CANDIDATE, "standard", np.random.default_rng(0))
print(time.perf_counter() - started)
"""


def compilation() -> list[tuple[str, float, float]]:
    """The standard suite on a small table in a new process: with every kernel to compile, and with kernels from the disk."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            ran = subprocess.run(
                [sys.executable, "-c", FIRST_RUN],
                cwd=Path(__file__).resolve().parents[2],
                env={**os.environ, "NUMBA_CACHE_DIR": folder},
                capture_output=True,
                text=True,
                check=True,
            )
            seconds.append(float(ran.stdout.split()[-1]))
    return [
        ("standard on meps, 500 + 500 targets, kernels compiled first: seconds", seconds[0], 60.0),
        ("the same, kernels from the disk: seconds", seconds[1], 15.0),
    ]


def suites(adult: Table) -> list[tuple[str, float, float]]:
    rng = np.random.default_rng(0)
    scene = leaks.scene(adult, rng, 4_400, 2_400)
    arena = replace(scene.arena, synthetic=scene.arena.synthetic.take(np.arange(25_000)))
    found = []
    for suite, limit in (("quick", 30.0), ("standard", 180.0)):
        started = time.perf_counter()
        attacks.run_suite(arena, CANDIDATE, suite, np.random.default_rng(0))
        found.append(
            (
                f"{suite} on Adult, 4,400 + 4,400 targets, 25,000 rows: seconds",
                time.perf_counter() - started,
                limit,
            )
        )
    return found


def trio(adult: Table, secrets: int | None = None) -> list[tuple[str, float, float]]:
    """The whole of anonymeter on 24,421 × 15 against the same trials of ours, in this run."""
    from anonymeter.evaluators import InferenceEvaluator, LinkabilityEvaluator, SinglingOutEvaluator

    adult = without_split(adult)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(adult))
    half = 24_421
    members = adult.take(order[: half // 2])
    controls, synthetic = adult.take(order[half // 2 : half]), adult.take(order[half:][:half])
    names = list(members.columns)
    first, second = names[::2], names[1::2]
    frames = [_frame(table) for table in (members, controls, synthetic)]
    asked = names[:secrets]

    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for mode in ("univariate", "multivariate"):
            SinglingOutEvaluator(
                ori=frames[0], syn=frames[2], control=frames[1], n_attacks=QUERIES, seed=0
            ).evaluate(mode)
        LinkabilityEvaluator(
            ori=frames[0],
            syn=frames[2],
            control=frames[1],
            aux_cols=(first, second),
            n_attacks=TARGETS,
            n_neighbors=5,
        ).evaluate(n_jobs=-1)
        for secret in asked:
            InferenceEvaluator(
                ori=frames[0],
                syn=frames[2],
                control=frames[1],
                aux_cols=[name for name in names if name != secret],
                secret=secret,
                regression=bool(pd.api.types.is_numeric_dtype(frames[0][secret])),
                n_attacks=TARGETS,
            ).evaluate(n_jobs=-1)
    theirs = time.perf_counter() - started

    started = time.perf_counter()
    arena = Arena(
        members=with_secrets(members.take(np.arange(TARGETS)), asked),
        controls=with_secrets(controls.take(np.arange(TARGETS)), asked),
        reference=None,
        training=None,
        synthetic=with_secrets(synthetic, asked),
        claim=None,
    )
    bench = Bench.of(arena, np.random.default_rng(0), Scaling.RANGE)
    singling_out.whom(bench, "univariate", QUERIES)
    table, asking = predicates.SortedTable.of(bench.synthetic), np.random.default_rng(0)
    made = None
    while made is None or len(made) < QUERIES:  # as many predicates over three columns as anonymeter makes
        more = predicates.multivariate(
            table, bench.encoding.missing_from, bench.encoding.numeric, QUERIES, asking, (3,)
        )
        made = more if made is None else made.joined(more)
    for arm in singling_out.equal_arms(bench):
        made.singled_out(arm)
    linkability.linked_units(bench, no_progress)
    inference.right_guesses(bench)
    ours = time.perf_counter() - started
    return [
        (
            f"anonymeter's trio, {len(asked)} secrets: {theirs:.1f} s; ours {ours:.2f} s; times faster",
            theirs / ours,
            10.0,
        )
    ]


def million(adult: Table) -> list[tuple[str, float, float]]:
    """2,000 targets (1,000 an arm) against a million rows: copies, distance and linkability."""
    rng = np.random.default_rng(0)
    scene = leaks.scene(without_split(adult), rng, TARGETS // 2, 500)
    source = scene.arena.synthetic
    big = source.take(rng.integers(len(source), size=MILLION))
    big = Table(big.schema, big.columns, np.arange(MILLION))
    started = time.perf_counter()
    bench = Bench.of(replace(scene.arena, synthetic=big), np.random.default_rng(0))
    for attack in (copies.ATTACK, dcr.ATTACK, linkability.ATTACK):
        attack.run(bench, no_progress)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return [
        ("2,000 targets against 1,000,000 rows, copies + dcr + linkability: seconds", seconds, 60.0),
        ("peak memory of this whole process: GiB", peak, 4.0),
    ]


def without_split(table: Table) -> Table:
    """Adult without its train/test mark: 15 columns."""
    return with_columns(table, tuple(c for c in table.schema.columns if c.name != "split"))


def with_secrets(table: Table, names: list[str]) -> Table:
    columns = tuple(
        c.model_copy(update={"roles": (Role.SENSITIVE,) if c.name in names else ()})
        for c in table.schema.columns
    )
    return with_columns(table, columns)


def with_columns(table: Table, columns: tuple) -> Table:
    schema: Schema = table.schema.model_copy(update={"columns": columns})
    return Table(schema, {c.name: table.columns[c.name] for c in schema.released}, table.units)


if __name__ == "__main__":
    for what, value, limit in measure():
        print(f"{what:<80} {value:8.2f} (goal {limit:g})")
