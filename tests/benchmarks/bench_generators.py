"""Quality and speed of the marginal generators, ours and peers', on public tables: prints the table, writes .bench/generators.json.

    python tests/benchmarks/bench_generators.py                    Adult and credit-default at ε = 1: ours 5 times, each peer once
    … --peers                                                      ours alone
    … --tables adult diabetes130 --epsilons 0.1 1 3 10 --resume    only what the file of results lacks
    … --stored [--markdown]                                        nothing measured: the table of all that the file holds
    … --speeds                                                     fits alone, without counting 10,000,000 rows and such

The same codes with a public domain, δ = 1e-9, and one scoring (`coded_tables`) for all. Each fit is a process of its own with one thread; seconds
are of its processor time, imports and compilation included, because that depends least on what else the machine does; memory is its peak. Every
fit is appended to .bench/generator-fits.jsonl as it ends. All peers on all tables take eight hours: --limit caps a fit's processor seconds, and what
was measured of peers at these versions stands in peer-fits.jsonl beside this file, so that --stored and --resume know it.
"""

from __future__ import annotations

import argparse
import os
import sys
from itertools import product
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE)]

from coded_tables import TABLES, load, score, tstr  # noqa: E402
from generator_commands import OURS, PEERS, command, version  # noqa: E402
from generator_goals import cells, goals, lines, markdown  # noqa: E402
from generator_speeds import SPEEDS  # noqa: E402
from goals import FOLDER, write  # noqa: E402
from measured_fits import FitError, Key, Results, fit_and_score  # noqa: E402
from peer_environments import PINS, NoPeer  # noqa: E402

RESULTS = Results(FOLDER / "generator-fits.jsonl", before=HERE / "peer-fits.jsonl")


def measure(arguments: argparse.Namespace, generators: list[str]) -> None:
    """Every fit asked for, appended to the file of results."""
    for name, epsilon in product(arguments.tables, arguments.epsilons):
        table = load(name)
        bound = Key(table=name, epsilon=0.0, generator="real", version="other half, AUC of the training half")
        if RESULTS.find(bound) is None:
            found = score(table, table.test, auc=False)
            figures = {"one": found.one, "two": found.two, "three": found.three}
            RESULTS.add(bound, figures | {"auc": tstr(table, table.train)}, load=os.getloadavg()[0])
        for generator in generators:
            for run in range(arguments.runs if generator in OURS else arguments.peer_runs):
                key = Key(
                    table=name, epsilon=epsilon, generator=generator, version=version(generator), run=run
                )
                if arguments.resume and RESULTS.find(key):
                    continue
                load_before = os.getloadavg()[0]
                try:
                    fit = command(generator, table, epsilon=epsilon, run=run)
                except NoPeer as reason:
                    print(f"  {name} {generator}: {reason}", flush=True)
                    break
                row = RESULTS.add(key, fit_and_score(table, fit, limit=arguments.limit), load=load_before)
                what = row.get("failed") or f"{row['two']:.4f} / {row['three']:.4f} AUC {row['auc']:.4f}"
                print(f"  {name} ε = {epsilon:g} {generator} run {run}: {what}", flush=True)
                if "failed" in row:
                    break


def measure_speeds(arguments: argparse.Namespace) -> None:
    """Every speed asked for, appended likewise."""
    for name in arguments.speeds:
        key = Key(table="speeds", epsilon=0.0, generator=name, version=version("auto"))
        if arguments.resume and RESULTS.find(key):
            continue
        load_before = os.getloadavg()[0]
        try:
            figures = SPEEDS[name](arguments.limit)
        except (FitError, NoPeer) as reason:
            figures = {"failed": str(reason)}
            print(f"  {name}: {reason}", flush=True)
        RESULTS.add(key, figures, load=load_before)
        for generator, fit in figures.get("fits", {}).items():
            if generator in PEERS:
                peer = Key(table="adult", epsilon=1.0, generator=generator, version=version(generator))
                RESULTS.add(peer, fit, load=load_before)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="*", default=["adult", "credit-default"], choices=TABLES)
    parser.add_argument("--epsilons", nargs="+", type=float, default=[1.0])
    parser.add_argument("--generators", nargs="*", default=["mst", "aim", "auto", "auto raw"], choices=OURS)
    parser.add_argument(
        "--peers", nargs="*", default=list(PINS), choices=[*PINS, *PEERS], help="libraries, or methods"
    )
    parser.add_argument("--runs", type=int, default=5, help="of each of ours")
    parser.add_argument("--peer-runs", type=int, default=1)
    parser.add_argument("--limit", type=float, default=400.0, help="processor seconds of a fit")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--stored", action="store_true")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--speeds", nargs="*", default=list(SPEEDS), choices=SPEEDS)
    arguments = parser.parse_args()
    peers = [label for label, peer in PEERS.items() if {label, peer.library} & set(arguments.peers)]
    if not arguments.stored:
        measure_speeds(arguments)
        measure(arguments, [*arguments.generators, *peers])
    rows = RESULTS.rows()
    found = cells(rows)
    print("\n".join(markdown(found) if arguments.markdown else lines(found)))
    write("generators", {"goals": goals(found, rows), "cells": found})


if __name__ == "__main__":
    main()
