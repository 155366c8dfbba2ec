"""Collapse: what becomes of the table when a generator is trained on its own output, generation after generation?

Rules: generation 1 is the candidate itself, whose cost was charged; generation g is fitted on the rows of g − 1, so no further look at the real
rows is taken by any mechanism. Every generation is compared with the real training rows: distances, outliers, rare categories,
diversity. Nothing of it is ever a release.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from release.data.table import Table
from release.errors import InputError
from release.protocols import Progress, no_progress
from release.quality.cleanliness import repeated
from release.quality.grid import lay_grid
from release.quality.ground import Part, Pen
from release.quality.intervals import measured, too_few, variance_of_mean
from release.quality.marginals import PAIR_CELLS, distances, pairs_of
from release.quality.tails import extremes, outside, rare_levels, rate_ratio
from release.records import Evidence, Exhibit, Measured, NotMeasured, ProbeReport

Regenerate = Callable[[Table, np.random.Generator], Table]
"""(training rows, rng) → as many rows of a generator newly fitted on them."""

MOST_GENERATIONS = 20
_PROBE = "collapse"
_SERIES = (
    "tvd_1way_mean",
    "tvd_2way_mean",
    "outlying_rows_ratio",
    "rare_category_coverage",
    "entropy_ratio",
    "distinct_share",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One generation's figures by metric (see `_SERIES`)."""

    number: int
    figures: dict[str, Measured | NotMeasured]


def run_collapse(
    training: Table,
    candidate: Table,
    regenerate: Regenerate,
    generations: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
) -> ProbeReport:
    """Figures of each generation (subject "generation g"), and the growth of the 2-way distance per generation.

    Raises `InputError` for a number of generations that is not in 1 … `MOST_GENERATIONS`.
    """
    if not 1 <= generations <= MOST_GENERATIONS:
        raise InputError(
            f"{generations} generations are not in 1 … {MOST_GENERATIONS}", mend="ask for --generations 5"
        )
    pen = Pen(_PROBE)
    few = too_few(training.n_units)
    if few is not None:
        return ProbeReport(evidence=pen.none(_SERIES, "generation 1", few.reason, few.needed))
    current = candidate
    found: list[Generation] = []
    for number in range(1, generations + 1):
        progress((number - 1) / generations, f"generation {number} of {generations}")
        if number > 1:
            current = regenerate(current, rng)
        found.append(Generation(number=number, figures=_compare(training, current, rng)))
    evidence: list[Evidence] = [
        pen(metric, f"generation {one.number}", figure)
        for one in found
        for metric, figure in one.figures.items()
    ]
    evidence.append(
        pen("tvd_2way_growth", "", _growth(found), "rise of the mean 2-way distance per generation")
    )
    return ProbeReport(evidence=tuple(evidence), exhibits=_picture(found))


def _compare(real: Table, made: Table, rng: np.random.Generator) -> dict[str, Measured | NotMeasured]:
    few = too_few(made.n_units)
    if few is not None:
        return dict.fromkeys(_SERIES, few)
    part = Part(subject="", real=real, synthetic=made)
    trials = min(real.n_units, made.n_units)
    fine = lay_grid([real, made])
    figures: dict[str, Measured | NotMeasured] = {}
    singles = [(place,) for place in range(len(fine.names))]
    figures["tvd_1way_mean"] = distances(fine, real, made, singles, rng).mean()
    grid = fine.coarse(PAIR_CELLS)
    pairs = pairs_of(grid, rng)
    figures["tvd_2way_mean"] = (
        distances(grid, real, made, pairs, rng).mean()
        if pairs
        else NotMeasured(reason="one column has no pairs")
    )
    odd = [np.zeros(len(table), dtype=bool) for table in (real, made)]
    for spec in real.schema.released:
        if spec.kind.numeric:
            ends = extremes(real[spec.name])
            for side, table in enumerate((real, made)):
                odd[side] |= outside(table[spec.name], *ends)
    figures["outlying_rows_ratio"] = (
        rate_ratio(odd[0], odd[1], part, trials)
        if odd[0].sum() >= 20
        else NotMeasured(reason="fewer than 20 real rows have an extreme value")
    )
    figures["rare_category_coverage"] = _rare(real, made)
    entropies = [
        _entropy(codes, fine.sizes, table) for codes, table in zip(fine.codes, (real, made), strict=True)
    ]
    if entropies[0][0] > 0:
        ratio = entropies[1][0] / entropies[0][0]
        relative = [error / value if value > 0 else 0.0 for value, error in entropies]
        figures["entropy_ratio"] = measured(
            ratio, ratio * float(np.hypot(relative[0], relative[1])), trials, least=0.0
        )
    else:
        figures["entropy_ratio"] = NotMeasured(reason="every real column is constant")
    fresh = (~repeated(made)).astype(np.float64)
    error = float(np.sqrt(variance_of_mean(fresh, made.units)))
    figures["distinct_share"] = measured(float(fresh.mean()), error, made.n_units, least=0.0, most=1.0)
    return figures


def _rare(real: Table, made: Table) -> Measured | NotMeasured:
    total = found = 0
    for spec in real.schema.released:
        if spec.kind.coded:
            other = made[spec.name]
            seen = {other.levels[code] for code in np.unique(other.values[other.present]).tolist()}
            rare = rare_levels(real[spec.name])
            total += len(rare)
            found += sum(level in seen for level in rare)
    if not total:
        return NotMeasured(reason="the real table has no rare category")
    share = found / total
    return measured(share, float(np.sqrt(share * (1 - share) / total)), total, least=0.0, most=1.0)


def _entropy(
    codes: tuple[npt.NDArray[np.int32], ...], sizes: tuple[int, ...], table: Table
) -> tuple[float, float]:
    """(mean Shannon entropy of the columns in nats, its standard error by unit)."""
    surprise = np.zeros(len(table))
    for column, size in zip(codes, sizes, strict=True):
        share = np.bincount(column, minlength=size) / len(column)
        surprise -= np.log(share[column]) / len(sizes)
    return float(surprise.mean()), float(np.sqrt(variance_of_mean(surprise, table.units)))


def _growth(found: list[Generation]) -> Measured | NotMeasured:
    """Slope of a straight line through the generations' 2-way distances, with its standard error."""
    known = [
        (one.number, figure.estimate)
        for one in found
        if isinstance(figure := one.figures["tvd_2way_mean"], Measured)
    ]
    if len(known) < 3:
        return NotMeasured(reason=f"{len(known)} generations; a slope with an interval needs 3", needed=3)
    x, y = np.array([number for number, _ in known], dtype=float), np.array([value for _, value in known])
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    residual = y - y.mean() - slope * centred
    error = float(np.sqrt(residual @ residual / (len(x) - 2) / (centred @ centred)))
    return measured(slope, error, len(x))


def _picture(found: list[Generation]) -> tuple[Exhibit, ...]:
    series: dict[str, list[float | None]] = {}
    for metric in _SERIES:
        values = [one.figures[metric] for one in found]
        if any(isinstance(value, Measured) for value in values):
            series[metric] = [value.estimate if isinstance(value, Measured) else None for value in values]
    if "tvd_2way_mean" not in series:
        return ()
    first, last = series["tvd_2way_mean"][0], series["tvd_2way_mean"][-1]
    if first is None or last is None:
        return ()
    return (
        Exhibit(
            probe=_PROBE,
            title="A generator trained on its own output",
            kind="lines",
            takeaway=(
                f"The mean 2-way distance from the real table goes from {first:.3f} in the first generation to {last:.3f} in generation {len(found)}."
            ),
            data={
                "x": [one.number for one in found],
                "x_label": "generation",
                "y_label": "figure",
                "series": series,
            },
        ),
    )
