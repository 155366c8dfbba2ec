"""What the parts of `auto` bring: each changed by itself, on public codes.

    python tests/benchmarks/auto_parts.py                              Adult at ε = 1, 6 runs
    … --tables credit-default bank-marketing --epsilons 0.1 1 --runs 8
    … --ways "as it is" "rare levels are not merged"                   some of them
    … --rows 1000000                                                   so many rows drawn from the training half, with repeats

Scoring, bins and δ as in `bench_generators`; the noise is real, so that runs differ: the standard error stands beside each mean. Seconds are
processor time of a fit, kernels compiled.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE)]

import numpy as np  # noqa: E402
from coded_tables import FILES, CodedTable, Score, load, score  # noqa: E402

from generators import auto  # noqa: E402
from generators.core import inference  # noqa: E402
from generators.core.counting import Rows  # noqa: E402
from generators.core.domain import Domain  # noqa: E402
from generators.core.measurer import Measurer, RhoFilter  # noqa: E402
from generators.core.sampling import sample  # noqa: E402
from generators.core.thinning import draw  # noqa: E402
from generators.fitter import Assignment  # noqa: E402
from release.privacy.accounting import rho_for  # noqa: E402
from release.privacy.noise import SystemNoise  # noqa: E402

WAYS: dict[str, dict] = {
    "as it is": {},
    "pairs of the tree do not pay for their noise": {"tree_penalty": 0.0},
    "candidates do not pay for their noise": {"penalty": 0.01},
    "candidates pay for 1.3 times their noise": {"penalty": 1.3},
    "the target's marginals as others": {"target": 1.0, "target_share": 1.0},
    "coarser resolutions": {"coarse": True},
    "three choices of the same scores": {"turns": 5},
    "a tree of half the size": {"cells": 3e5},
    "a tree of 65,536 cells": {"cells": 65_536.0},
}
ELSEWHERE = {
    "the last inference goes to its end": (inference, "EXCESS", 0.0),
    "the last inference leaves half the noise level": (inference, "EXCESS", 0.5),
    "levels below 3 σ are merged": (auto, "RARE_QUIET", 3.0),
    "rare levels are not merged": (auto, "RARE_QUIET", 0.0),
    "rounds weigh cells by σ alone": (inference, "_ROUND_SPREAD", 0.0),
    "no haste where the tree is full": (auto, "MOST_HASTE", 1.0),
}
"""Constants of modules, changed while these fits run."""


def fitted(table: CodedTable, codes: np.ndarray, rho: float, changes: dict) -> tuple[auto.Outcome, float]:
    """One fit with these shares changed, and its processor seconds."""
    start = time.process_time()
    domain = Domain(names=table.names, sizes=table.sizes, ordered=table.ordered)
    assignment = Assignment(
        attributes=len(domain), rho=rho, max_rows=1, targets=(table.target,), most_cells=1e7
    )
    measurer = Measurer(
        Rows.of(domain, list(codes.T)).collapsed(), SystemNoise(), budget=RhoFilter(rho), max_rows=1
    )
    fitter = auto.AutoFitter(assignment=assignment, shares=replace(auto.Shares(), **changes))
    return fitter.fit(measurer, (), lambda _done, _what: None), time.process_time() - start


def scored(table: CodedTable, outcome: auto.Outcome, *, thinned: bool) -> Score:
    """As many rows as the training half has."""
    rng, n, model = np.random.default_rng(), len(table.train), outcome.fitted
    drawn = draw(model, n, rng) if thinned else sample(model.tree, model.theta, n, rng)
    return score(table, np.stack(outcome.compression.expand(drawn, rng, {}), 1))


def report(
    label: str, fits: list[tuple[auto.Outcome, float]], table: CodedTable, *, thinned: bool = True
) -> None:
    """A line: means of the scores with their standard errors, and of the seconds."""
    scores = [scored(table, outcome, thinned=thinned) for outcome, _ in fits]
    seconds = float(np.mean([took for _, took in fits]))
    values = np.array([(s.one, s.two, s.three, s.auc) for s in scores])
    means, errors = values.mean(0), values.std(0, ddof=1) / len(values) ** 0.5
    one, two, three, auc = (f"{m:.4f} ± {e:.4f}" for m, e in zip(means, errors, strict=True))
    print(f"    {label:48s} {one} / {two} / {three}  AUC {auc}  {seconds:5.1f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", default=["adult"], choices=list(FILES))
    parser.add_argument("--epsilons", nargs="+", type=float, default=[1.0])
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--rows", type=int, default=0, help="0: the training half as it is")
    parser.add_argument("--ways", nargs="+", default=[*WAYS, *ELSEWHERE], choices=[*WAYS, *ELSEWHERE])
    arguments = parser.parse_args()
    for name in arguments.tables:
        table = load(name)
        codes = table.train
        if arguments.rows:
            codes = codes[np.random.default_rng(0).integers(0, len(codes), arguments.rows)]
        for epsilon in arguments.epsilons:
            rho = rho_for(epsilon, 1e-9)
            fitted(table, codes, rho, {})  # kernels are compiled
            print(f"{name}, ε = {epsilon:g}")
            for label, changes in WAYS.items():
                if label not in arguments.ways:
                    continue
                fits = [fitted(table, codes, rho, changes) for _ in range(arguments.runs)]
                report(label, fits, table)
                if not changes:
                    report("the same fits, rows not thinned", fits, table, thinned=False)
            for label, (module, constant, value) in ELSEWHERE.items():
                if label not in arguments.ways:
                    continue
                usual = getattr(module, constant)
                setattr(module, constant, value)
                fits = [fitted(table, codes, rho, {}) for _ in range(arguments.runs)]
                setattr(module, constant, usual)
                report(label, fits, table)


if __name__ == "__main__":
    main()
