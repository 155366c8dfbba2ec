"""Numeric columns without bins: Kolmogorov-Smirnov and Wasserstein distances.

Rules: present values only (missing is `missingness`' business); KS = max |F − G|; W₁ = ∫ |F − G|, divided by the real standard
deviation so that columns can be compared. Intervals are first order by unit: KS at its maximiser, W₁ by its influence function
x ↦ ∫_{t<x} sign(F − G). The noise floors are the means under "same population": 0.8687 √(1/n + 1/m) for KS (the
Kolmogorov distribution's mean, an upper bound where values repeat), ∫ √(2/π · F(1 − F)(1/n + 1/m)) for W₁, with n and m in units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from release.data.table import Table
from release.protocols import Arena, Progress, no_progress
from release.quality.ground import Findings, Part, Pen, over_parts, worst
from release.quality.intervals import FloatArray, IntArray, measured, too_few, variance_of_mean
from release.quality.marginals import beyond_chance
from release.records import Exhibit, Measured, NotMeasured, ProbeReport

KOLMOGOROV_MEAN = math.sqrt(math.pi / 2) * math.log(2)
_LEVELS = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
_METRICS = ("ks_worst", "wasserstein_worst")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Two distances of one column with their standard errors and noise floors."""

    ks: float
    ks_error: float
    ks_floor: float
    wasserstein: float
    wasserstein_error: float
    wasserstein_floor: float


def compare(one: FloatArray, one_units: IntArray, two: FloatArray, two_units: IntArray) -> Shape:
    """Distances of two samples, shapes (n,) and (m,), each with the units of its rows. W₁ in standard deviations of `one`."""
    points = np.unique(np.concatenate([one, two]))
    cdf = [np.searchsorted(np.sort(values), points, side="right") / len(values) for values in (one, two)]
    gap = cdf[0] - cdf[1]
    place = int(np.argmax(np.abs(gap)))
    variance = sum(
        variance_of_mean((values <= points[place]).astype(np.float64), units)
        for values, units in ((one, one_units), (two, two_units))
    )
    widths = np.diff(points)
    scale = float(one.std()) or 1.0
    # Influence of a value x on ∫ |F − G|: the integral of sign(F − G) from x on, up to a constant.
    reach = np.concatenate([[0.0], np.cumsum(np.sign(gap[:-1]) * widths)])
    influence = [reach[np.searchsorted(points, values)] for values in (one, two)]
    spread = sum(
        variance_of_mean(values, units)
        for values, units in zip(influence, (one_units, two_units), strict=True)
    )
    sizes = 1 / len(np.unique(one_units)) + 1 / len(np.unique(two_units))
    null = np.sqrt(2 / math.pi * cdf[0][:-1] * (1 - cdf[0][:-1]) * sizes)
    return Shape(
        ks=float(np.abs(gap[place])),
        ks_error=math.sqrt(variance),
        ks_floor=KOLMOGOROV_MEAN * math.sqrt(sizes),
        wasserstein=float(np.abs(gap[:-1]) @ widths) / scale,
        wasserstein_error=math.sqrt(spread) / scale,
        wasserstein_floor=float(null @ widths) / scale,
    )


@dataclass(frozen=True, slots=True)
class Shapes:
    """The `shapes` probe."""

    name: str = "shapes"
    summary: str = (
        "Compares the whole distribution of each numeric column, without cutting it into cells. A large distance means shifted, "
        "squeezed or rounded values."
    )

    def measure(
        self, arena: Arena, rng: np.random.Generator, progress: Progress = no_progress
    ) -> ProbeReport:
        """Both distances by column and the worst; the worst of every slice."""
        del rng
        return over_parts(
            arena, "distributions of numbers", progress, lambda part: _measure_part(part, arena.smallest_cell)
        )


SHAPES = Shapes()


def _present(table: Table, name: str) -> tuple[FloatArray, IntArray]:
    column = table[name]
    return column.values[column.present].astype(np.float64), table.units[column.present]


def _measure_part(part: Part, smallest_cell: int) -> Findings:
    pen = Pen(SHAPES.name)
    names = [spec.name for spec in part.real.schema.released if spec.kind.numeric]
    few = too_few(part.real.n_units, part.synthetic.n_units)
    if few is not None:
        return Findings(evidence=pen.none(_METRICS, part.subject, few.reason, few.needed))
    if not names:
        return Findings(evidence=pen.none(_METRICS, part.subject, "the table has no numeric column"))
    ks: dict[str, Measured | NotMeasured] = {}
    wasserstein: dict[str, Measured | NotMeasured] = {}
    floors: dict[str, tuple[float, float]] = {}
    for name in names:
        (one, one_units), (two, two_units) = _present(part.real, name), _present(part.synthetic, name)
        few = too_few(len(np.unique(one_units)), len(np.unique(two_units)))
        if few is not None:
            ks[name] = wasserstein[name] = few
            continue
        shape = compare(one, one_units, two, two_units)
        trials = min(len(np.unique(one_units)), len(np.unique(two_units)))
        ks[name] = measured(shape.ks, shape.ks_error, trials, least=0.0, most=1.0)
        wasserstein[name] = measured(shape.wasserstein, shape.wasserstein_error, trials, least=0.0)
        floors[name] = (shape.ks_floor, shape.wasserstein_floor)
    known = {name: figure for name, figure in ks.items() if isinstance(figure, Measured)}
    evidence = []
    exhibits: list[Exhibit] = []
    for metric, by_column in (("ks_worst", ks), ("wasserstein_worst", wasserstein)):
        # A column that is missing everywhere has no distribution to compare; its absence is `missingness`' finding.
        name, figure = worst({key: by_column[key] for key in known} or by_column)
        place = ("ks_worst", "wasserstein_worst").index(metric)
        floor = (
            f"; two real samples of these sizes: about {floors[name][place]:.3f}" if name in floors else ""
        )
        evidence.append(pen(metric, part.subject, figure, f"worst column: {name}{floor}"))
    if not part.subject:
        for place, (metric, by_column) in enumerate((("ks", ks), ("wasserstein", wasserstein))):
            for name, figure in by_column.items():
                note = f"noise floor {floors[name][place]:.3f}" if name in floors else ""
                evidence.append(pen(metric, name, figure, note))
        if known:
            exhibits += [_bars(known, floors), _quantiles(part, list(known), smallest_cell)]
    return Findings(evidence=evidence, exhibits=exhibits)


def _bars(known: dict[str, Measured], floors: dict[str, tuple[float, float]]) -> Exhibit:
    name = max(known, key=lambda key: known[key].estimate - floors[key][0])
    return Exhibit(
        probe=SHAPES.name,
        title="Largest gap between the distribution functions (Kolmogorov-Smirnov), by numeric column",
        kind="bars",
        takeaway=beyond_chance("column", name, known[name].estimate, floors[name][0]),
        data={
            "labels": list(known),
            "values": [figure.estimate for figure in known.values()],
            "reference": [floors[key][0] for key in known],
            "names": ["release", "noise floor"],
        },
    )


def _quantiles(part: Part, names: list[str], smallest_cell: int) -> Exhibit:
    """Quantiles with at least `smallest_cell` real rows beyond them, to two significant digits: nobody's own value."""
    rows_present = min(len(_present(part.real, name)[0]) for name in names)
    levels = [level for level in _LEVELS if min(level, 1 - level) * rows_present >= smallest_cell] or [0.5]
    rows: list[list[str | float]] = []
    farthest, which = -1.0, names[0]
    for name in names:
        found: list[npt.NDArray[np.float64]] = []
        for table in (part.real, part.synthetic):
            found.append(np.quantile(_present(table, name)[0], levels))
        scale = float(_present(part.real, name)[0].std()) or 1.0
        distance = float(np.max(np.abs(found[0] - found[1]))) / scale
        if distance > farthest:
            farthest, which = distance, name
        for side, values in (("real", found[0]), ("release", found[1])):
            rows.append([name, side, *(float(f"{value:.2g}") for value in values)])
    return Exhibit(
        probe=SHAPES.name,
        title="Quantiles of the numeric columns",
        kind="table",
        takeaway=f"{which} has the quantile that moved most: by {farthest:.2f} real standard deviations.",
        data={"columns": ["column", "table", *(f"{level:g}" for level in levels)], "rows": rows},
    )
