"""One of our generators on codes, as a process of its own; a subprocess of the benchmark.

usage: run_ours.py IN.npz OUT.npz NAME RHO ROWS_PER_UNIT

IN: names, sizes, ordered, codes, target. OUT: codes, seconds (whole process, imports included), peak_mib, cells.
"""

import sys
import time
from pathlib import Path

started = time.time()
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402

from generators import GENERATORS  # noqa: E402
from generators.core.counting import Rows  # noqa: E402
from generators.core.domain import Domain  # noqa: E402
from generators.core.measurer import Measurer, RhoFilter  # noqa: E402
from generators.core.thinning import draw  # noqa: E402
from generators.family import MarginalGenerator  # noqa: E402
from generators.fitter import Assignment  # noqa: E402
from release.privacy.noise import SystemNoise  # noqa: E402


def _peak_mib() -> float:
    """This process's high-water mark (getrusage would include the parent's, from before exec)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return float(line.split()[1]) / 1024
    return float("nan")


def main() -> None:
    source, target, name, rho, rows_per_unit = sys.argv[1:]
    with np.load(source, allow_pickle=False) as file:
        stored = dict(file)
    generator = GENERATORS[name]
    if not isinstance(generator, MarginalGenerator):
        raise SystemExit(f"{name} does not work on codes")
    domain = Domain(
        names=tuple(map(str, stored["names"])),
        sizes=tuple(map(int, stored["sizes"])),
        ordered=tuple(map(bool, stored["ordered"])),
    )
    fitter = generator.planner(
        Assignment(
            attributes=len(domain),
            rho=float(rho),
            max_rows=int(rows_per_unit),
            targets=(int(stored["target"]),),
            most_cells=512 * 2**20 / 48,
        ),
        {},
    )
    noise = SystemNoise()
    measurer = Measurer(
        Rows.of(domain, list(stored["codes"].T)).collapsed(),
        noise,
        budget=RhoFilter(float(rho)),
        max_rows=int(rows_per_unit),
    )
    outcome = fitter.fit(measurer, (), lambda _done, _what: None)
    rng = noise.generator()
    drawn = draw(outcome.fitted, len(stored["codes"]), rng)
    codes = np.stack(outcome.compression.expand(drawn, rng, {}), 1)
    np.savez(
        target,
        codes=codes,
        cells=outcome.fitted.tree.cells,
        seconds=time.time() - started,
        peak_mib=_peak_mib(),
    )


main()
