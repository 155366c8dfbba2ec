"""Where the processor time of one fit goes, part by part.

    python tests/benchmarks/profile_fit.py                                            auto on Adult's codes at ε = 1
    … --generator mst --table credit-default --epsilon 10 --million                   rows drawn again to 1,000,000

A process of its own: imports; what the first fit loads beyond a second one (compiled kernels, OpenDP); then a third fit under the profiler, whose
cost per Python call makes small calls look larger than they are. Codes, scoring's bins and δ as in `bench_generators`.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import time
from pathlib import Path

STARTED = time.process_time()
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE)]

import numpy as np  # noqa: E402

from generators import GENERATORS  # noqa: E402
from generators.core.counting import Rows  # noqa: E402
from generators.core.domain import Domain  # noqa: E402
from generators.core.measurer import Measurer, RhoFilter  # noqa: E402
from generators.core.thinning import draw  # noqa: E402
from generators.family import MarginalGenerator  # noqa: E402
from generators.fitter import Assignment  # noqa: E402
from release.privacy.noise import SystemNoise  # noqa: E402

IMPORTED = time.process_time()

PARTS = {
    "packing rows": (("counting.py", "of"), ("counting.py", "collapsed")),
    "counting private rows": (("measurer.py", "prepare"),),
    "noise": (("noise.py", "discrete_gaussian"),),
    "choices (OpenDP)": (("noise.py", "exponential"),),
    "scores": (("views.py", "distances"),),
    "which candidates fit": (("candidates.py", "fitting"),),
    "candidates' expected marginals": (("estimates.py", "expected_counts"),),
    "inference": (("inference.py", "fit"), ("inference.py", "refine"), ("inference.py", "settle")),
    "drawing rows": (("thinning.py", "draw"),),
}
"""Functions whose cumulated time makes up a part; none runs inside another's but packing, which rows of estimates need too."""


def once(stored: dict[str, np.ndarray], name: str, rho: float) -> None:
    """One fit, and as many rows as there were."""
    generator = GENERATORS[name]
    if not isinstance(generator, MarginalGenerator):
        raise SystemExit(f"{name} does not work on codes")
    domain = Domain(
        names=tuple(map(str, stored["names"])),
        sizes=tuple(map(int, stored["sizes"])),
        ordered=tuple(map(bool, stored["ordered"])),
    )
    assignment = Assignment(
        attributes=len(domain),
        rho=rho,
        max_rows=1,
        targets=(int(stored["target"]),),
        most_cells=512 * 2**20 / 48,
    )
    noise = SystemNoise()
    rows = Rows.of(domain, list(stored["codes"].T)).collapsed()
    measurer = Measurer(rows, noise, budget=RhoFilter(rho), max_rows=1)
    outcome = generator.planner(assignment, {}).fit(measurer, (), lambda _done, _what: None)
    rng = noise.generator()
    outcome.compression.expand(draw(outcome.fitted, len(stored["codes"]), rng), rng, {})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--generator", default="auto", choices=("independent", "mst", "aim", "auto", "wide"))
    parser.add_argument("--table", default="adult")
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument("--million", action="store_true")
    arguments = parser.parse_args()
    from coded_tables import load

    from release.privacy.accounting import rho_for

    table = load(arguments.table)
    codes = table.train
    if arguments.million:
        codes = codes[np.random.default_rng(0).integers(0, len(codes), 1_000_000)]
    stored = {
        "names": np.array(table.names),
        "sizes": np.array(table.sizes),
        "ordered": np.array(table.ordered),
        "codes": codes,
        "target": np.array(table.target),
    }
    rho = rho_for(arguments.epsilon, 1e-9)
    seconds = []
    for _ in range(2):
        begin = time.process_time()
        once(stored, arguments.generator, rho)
        seconds.append(time.process_time() - begin)
    profile = cProfile.Profile(time.process_time)
    profile.enable()
    once(stored, arguments.generator, rho)
    profile.disable()
    stats = pstats.Stats(profile)
    print(
        f"{arguments.generator}, {arguments.table}, {len(codes):,} rows, ε = {arguments.epsilon:g}; processor seconds"
    )
    print(f"  {'imports (NumPy, numba, ours)':<46}{IMPORTED - STARTED:6.2f}")
    print(f"  {'first fit, kernels and OpenDP loaded':<46}{seconds[0]:6.2f}")
    print(f"  {'second fit':<46}{seconds[1]:6.2f}")
    found = dict.fromkeys(PARTS, (0.0, 0))
    for (file, _, function), (_, calls, _, cumulated, _) in stats.stats.items():  # type: ignore[attr-defined]
        for part, functions in PARTS.items():
            if (Path(file).name, function) in functions:
                found[part] = (found[part][0] + cumulated, found[part][1] + calls)
    print(f"  third fit, profiled{stats.total_tt:33.2f}")  # type: ignore[attr-defined]
    for part, (cumulated, calls) in sorted(found.items(), key=lambda item: -item[1][0]):
        if calls:
            print(f"    {part:<44}{cumulated:6.2f}   {calls} calls")


if __name__ == "__main__":
    main()
