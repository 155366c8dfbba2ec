"""What the parts of `mst` that the paper does not have bring: each taken away by itself, on public codes.

    python tests/benchmarks/mst_parts.py                              Adult at ε = 1 and 0.1, 4 runs
    … --tables credit-default bank-marketing --epsilons 1 --runs 8

Scoring, bins and δ as in `bench_generators`; the noise is real.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE)]

import numpy as np  # noqa: E402
from coded_tables import FILES, CodedTable, load, score  # noqa: E402

from generators import mst  # noqa: E402
from generators.core.counting import Rows  # noqa: E402
from generators.core.domain import Domain  # noqa: E402
from generators.core.measurer import Measurer, RhoFilter  # noqa: E402
from generators.core.thinning import draw  # noqa: E402
from generators.fitter import Assignment  # noqa: E402
from release.privacy.accounting import rho_for  # noqa: E402
from release.privacy.noise import SystemNoise  # noqa: E402

PLAIN = {"_PENALTY": 0.0, "_TARGET": 1.0, "_SIZE_POWER": 0.0}
WAYS = {
    "as it is": {},
    "pairs do not pay for their noise": {"_PENALTY": 0.0},
    "the target's pairs weigh as others": {"_TARGET": 1.0},
    "every pair the same share": {"_SIZE_POWER": 0.0},
    "none of the three (the paper's)": PLAIN,
}


def sampled(table: CodedTable, rho: float) -> np.ndarray:
    """Codes of one fit."""
    domain = Domain(names=table.names, sizes=table.sizes, ordered=table.ordered)
    assignment = Assignment(
        attributes=len(domain), rho=rho, max_rows=1, targets=(table.target,), most_cells=1e7
    )
    noise = SystemNoise()
    measurer = Measurer(Rows.of(domain, list(table.train.T)), noise, budget=RhoFilter(rho), max_rows=1)
    outcome = mst.MstFitter.plan(assignment, {}).fit(measurer, (), lambda _done, _what: None)
    rng = noise.generator()
    return np.stack(outcome.compression.expand(draw(outcome.fitted, len(table.train), rng), rng, {}), 1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", default=["adult"], choices=list(FILES))
    parser.add_argument("--epsilons", nargs="+", type=float, default=[1.0, 0.1])
    parser.add_argument("--runs", type=int, default=4)
    arguments = parser.parse_args()
    default = {name: getattr(mst, name) for name in PLAIN}
    for name in arguments.tables:
        table = load(name)
        for epsilon in arguments.epsilons:
            for way, change in WAYS.items():
                for constant, value in {**default, **change}.items():
                    setattr(mst, constant, value)
                found = [score(table, sampled(table, rho_for(epsilon, 1e-9))) for _ in range(arguments.runs)]
                mean = np.mean([(s.one, s.two, s.three, s.auc) for s in found], axis=0)
                print(
                    f"{name} ε = {epsilon:g}  {way:36s}{mean[0]:.4f} / {mean[1]:.4f} / {mean[2]:.4f}  AUC {mean[3]:.4f}"
                    f" ± {np.std([s.auc for s in found]):.4f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
