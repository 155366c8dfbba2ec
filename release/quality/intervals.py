"""Intervals: one-sided 95 % ends, by privacy unit.

Rules: every variance is clustered by unit (rows of one person are not independent); an interval is cut to the range
the figure can have; what has too few units is `NotMeasured`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from release.data.table import Table
from release.records import Measured, NotMeasured

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

Z = 1.6448536269514722
"""95 % point of the standard normal: the one-sided ends of every interval here."""

FEWEST_UNITS = 50
"""Below this many units on either side nothing is measured: intervals would rest on asymptotics that do not hold."""

_CHUNK = 4_000_000
"""Weights held at once (8 bytes each)."""


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """Rows grouped by unit, for many variances over the same rows.

    Attributes:
        place: number of each row's unit, 0 … count - 1, shape (n,); None where every row is a unit.
        count: how many units.
    """

    place: IntArray | None
    count: int

    @classmethod
    def of(cls, units: IntArray) -> Self:
        """The groups of `units` (n,)."""
        # Most tables have one row a unit, in order: nothing to add up then.
        if bool(np.all(units[1:] > units[:-1])):
            return cls(None, len(units))
        found, place = np.unique(units, return_inverse=True)
        return cls(place, len(found))

    def totals(self, values: FloatArray) -> FloatArray:
        """Sum of `values` (n,) over the rows of each unit, shape (count,)."""
        if self.place is None:
            return values
        return np.asarray(np.bincount(self.place, weights=values, minlength=self.count), dtype=np.float64)

    def variance_of_mean(self, values: npt.NDArray[np.floating[Any]]) -> float:
        """Variance of the mean of `values` (n,) over rows, clustered by unit (the sandwich of the ratio estimator)."""
        n = len(values)
        if n < 2:
            return 0.0
        centred = np.asarray(values, dtype=np.float64) - float(np.mean(values))
        return float(np.sum(self.totals(centred) ** 2)) / n**2 * (self.count / max(self.count - 1, 1))


def variance_of_mean(values: npt.NDArray[np.floating[Any]], units: IntArray) -> float:
    """As `Clusters.variance_of_mean`, for one variance."""
    return Clusters.of(units).variance_of_mean(values)


def measured(
    estimate: float,
    error: float,
    trials: int,
    *,
    least: float = -math.inf,
    most: float = math.inf,
    detectable: float | None = None,
) -> Measured | NotMeasured:
    """Estimate ± Z·error, cut to [least, most]. A figure that is not finite becomes `NotMeasured`."""
    if not (math.isfinite(estimate) and math.isfinite(error)):
        return NotMeasured(reason="the figure is not finite on these tables")
    return Measured(
        estimate=estimate,
        low=min(estimate, max(least, estimate - Z * error)),
        high=max(estimate, min(most, estimate + Z * error)),
        trials=trials,
        detectable=detectable,
    )


def absolute(difference: float, error: float, trials: int) -> Measured | NotMeasured:
    """The interval of |difference|: its upper end is |difference| + Z·error, its lower end not below 0."""
    return measured(abs(difference), error, trials, least=0.0)


def from_replicates(estimate: float, replicates: FloatArray, trials: int) -> Measured | NotMeasured:
    """The estimate with 5 % and 95 % points of bootstrap replicates (percentile method)."""
    if not math.isfinite(estimate) or not np.all(np.isfinite(replicates)) or len(replicates) < 2:
        return NotMeasured(reason="the figure is not finite on these tables, or on some of their resamples")
    low, high = np.quantile(replicates, [0.05, 0.95])
    return Measured(
        estimate=estimate, low=min(estimate, float(low)), high=max(estimate, float(high)), trials=trials
    )


def with_refits(
    estimate: float, replicates: FloatArray, refits: FloatArray, trials: int
) -> Measured | NotMeasured:
    """As `from_replicates`, with the spread of the figure over refits (k,) on top: the two half-widths add in squares.

    The refits' standard deviation rests on k − 1 degrees of freedom, so its half-width is Student's.
    """
    found = from_replicates(estimate, replicates, trials)
    if isinstance(found, NotMeasured):
        return found
    if len(refits) < 2 or not np.all(np.isfinite(refits)):
        return NotMeasured(reason="the figure is not finite on some refits")
    reach = _student(len(refits) - 1) * float(refits.std(ddof=1))
    return Measured(
        estimate=estimate,
        low=estimate - math.hypot(estimate - found.low, reach),
        high=estimate + math.hypot(found.high - estimate, reach),
        trials=trials,
    )


@functools.cache
def _student(freedom: int) -> float:
    """95 % point of Student's t."""
    from scipy.stats import t

    return float(t.ppf(0.95, freedom))


def resample(table: Table, rng: np.random.Generator, units: int | None = None) -> Table:
    """A bootstrap sample of `units` units (as many as there are where None); each drawn unit is a unit of its own."""
    order = np.argsort(table.units, kind="stable")
    _, starts, counts = np.unique(table.units[order], return_index=True, return_counts=True)
    drawn = rng.integers(0, len(starts), size=len(starts) if units is None else units)
    sizes = counts[drawn]
    offsets = np.repeat(starts[drawn] - np.concatenate([[0], np.cumsum(sizes)[:-1]]), sizes)
    rows = order[np.arange(int(sizes.sum())) + offsets]
    taken = table.take(rows)
    return Table(taken.schema, taken.columns, np.repeat(np.arange(len(drawn)), sizes))


def bootstrap_weights(units: IntArray, repeats: int, rng: np.random.Generator) -> Iterator[FloatArray]:
    """Bootstrap by unit: blocks of row weights, shape (k, n), `repeats` rows in all.

    Each row of a block counts how often the row's unit was drawn in a sample, with replacement, of as many units.
    """
    _, place = np.unique(units, return_inverse=True)
    count = int(place.max(initial=-1)) + 1
    block = max(1, min(repeats, _CHUNK // max(len(units), 1)))
    left = repeats
    while left:
        size = min(block, left)
        drawn = rng.integers(0, count, size=(size, count))
        weights = np.stack([np.bincount(row, minlength=count) for row in drawn]).astype(np.float64)
        yield weights[:, place]
        left -= size


def too_few(*counts: int, least: int = FEWEST_UNITS) -> NotMeasured | None:
    """`NotMeasured` where one of the numbers of units is below `least`."""
    if min(counts) >= least:
        return None
    return NotMeasured(
        reason=f"{min(counts)} units are too few for an interval (at least {least})", needed=least
    )
