"""What the parts of `auto` bring: each changed by itself, on public codes.

    python tests/benchmarks/auto_parts.py                              Adult at ε = 1, 6 runs
    … --tables credit-default bank-marketing --epsilons 0.1 1 --runs 8

Scoring, bins and δ as in `bench_generators`; the noise is real, so that runs differ: the standard error stands beside each mean.
"""

from __future__ import annotations

import argparse
import functools
import sys
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE)]

import numpy as np  # noqa: E402
from coded_tables import FILES, CodedTable, Score, load, score  # noqa: E402

from generators import auto  # noqa: E402
from generators.core.counting import Rows  # noqa: E402
from generators.core.domain import Domain  # noqa: E402
from generators.core.measurer import Measurer, RhoFilter  # noqa: E402
from generators.core.sampling import sample  # noqa: E402
from generators.core.stages import measure_one_way  # noqa: E402
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
    "60 steps of the last inference": {"last": 60},
    "3,000 steps of the last inference": {"last": 3000},
    "coarser resolutions": {"coarse": True},
}


def fitted(table: CodedTable, rho: float, changes: dict, *, rare: float | None) -> auto.Outcome:
    """One fit with these shares changed."""
    domain = Domain(names=table.names, sizes=table.sizes, ordered=table.ordered)
    assignment = Assignment(
        attributes=len(domain), rho=rho, max_rows=1, targets=(table.target,), most_cells=1e7
    )
    measurer = Measurer(
        Rows.of(domain, list(table.train.T)), SystemNoise(), budget=RhoFilter(rho), max_rows=1
    )
    fitter = auto.AutoFitter(assignment=assignment, shares=replace(auto.Shares(), **changes))
    auto.measure_one_way = measure_one_way if rare is None else functools.partial(measure_one_way, rare=rare)
    return fitter.fit(measurer, (), lambda _done, _what: None)


def scored(table: CodedTable, outcome: auto.Outcome, *, thinned: bool) -> Score:
    """As many rows as the training half has."""
    rng, n, model = np.random.default_rng(), len(table.train), outcome.fitted
    drawn = draw(model, n, rng) if thinned else sample(model.tree, model.theta, n, rng)
    return score(table, np.stack(outcome.compression.expand(drawn, rng, {}), 1))


def report(label: str, scores: list[Score]) -> None:
    values = np.array([(s.one, s.two, s.three, s.auc) for s in scores])
    means, errors = values.mean(0), values.std(0, ddof=1) / len(values) ** 0.5
    one, two, three, auc = (f"{m:.4f} ± {e:.4f}" for m, e in zip(means, errors, strict=True))
    print(f"    {label:48s} {one} / {two} / {three}  AUC {auc}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", default=["adult"], choices=list(FILES))
    parser.add_argument("--epsilons", nargs="+", type=float, default=[1.0])
    parser.add_argument("--runs", type=int, default=6)
    arguments = parser.parse_args()
    for name in arguments.tables:
        table = load(name)
        for epsilon in arguments.epsilons:
            rho = rho_for(epsilon, 1e-9)
            print(f"{name}, ε = {epsilon:g}")
            for label, changes in WAYS.items():
                outcomes = [fitted(table, rho, changes, rare=None) for _ in range(arguments.runs)]
                report(label, [scored(table, outcome, thinned=True) for outcome in outcomes])
                if not changes:
                    report(
                        "the same fits, rows not thinned", [scored(table, o, thinned=False) for o in outcomes]
                    )
            outcomes = [fitted(table, rho, {}, rare=0.0) for _ in range(arguments.runs)]
            report("rare levels are not merged", [scored(table, o, thinned=True) for o in outcomes])


if __name__ == "__main__":
    main()
