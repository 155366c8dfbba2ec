"""Where a column's values lie, found through one noised histogram over a public universe.

Universe: numbers by sign and powers of two up to 2^50, reals nearer to zero than 2^-20 as zero; dates and datetimes by
decades from 1900 to 2100, coarser from year 1 to 9999. It is public, so no δ is spent.

The interval, from the noisy counts alone:
1. Scan. A run of w neighbouring cells stands out where its sum is above z·σ·√w, with z such that noise alone passes
   it anywhere, for any w = 1, 2, 4, …, with probability `FALSE_ALARM`. Beyond the ends of the interval no run stands out, so a
   tail of many thin cells counts as one heavy cell does, and what w cells hide
   there is at most about (z + 2)·σ·√(2w) rows (some run of at most 2w cells covers them).
2. Growth. From these ends on, runs of up to `REACH` cells are added while their sum is above `LIKELY`·σ·√w (across zero:
   `SURE`): beside what is surely occupied a weak sign is enough, and a wrong one costs a few empty cells.
3. Margin. `MARGIN` more powers of two away from zero, a decade more of dates: the tree of bins divides wide grids by
   powers of two away from zero, so a wide interval costs it little, while rows outside are lost. Numbers reach to zero
   on the other side, and never past it without a sign.

Where nothing stands out, the interval is a public default (`Universe.default`), never what noise happened to favour.
(Approximate bounds of Google's differential-privacy library do 1 with w = 1 alone, and fail where nothing stands out.)
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from release.data.schema import ColumnKind

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

FALSE_ALARM = 1e-4
"""Probability that noise alone makes some run of empty cells stand out."""

LIKELY = 2.33
"""Deviations of a run beside the interval from which on it is taken in."""

SURE = 3.3
"""The same for a run that crosses zero: negative amounts that noise made up are worse than none."""

REACH = 4
"""Longest run that is taken in at once."""

MARGIN = {ColumnKind.INTEGER: 2, ColumnKind.REAL: 2, ColumnKind.DATE: 1, ColumnKind.DATETIME: 1}
"""Cells that are added beyond what was found."""

LARGEST_POWER = 50
"""Numbers of 2^50 and more are never inside learnt bounds (1.1e15)."""

SMALLEST_POWER = -20
"""Reals nearer to zero than 2^-20 count as zero."""

DEFAULT_POWER = 20
"""Numbers whose bounds cannot be learnt lie in ±2^20 (1,048,576)."""

YEARS = (1, 1000, 1500, 1700, 1800, 1850, *range(1900, 2101, 10), 2150, 2200, 2300, 2500, 3000, 10_000)
"""First years of the cells of dates; the last one is the end."""

DEFAULT_YEARS = (1900, 2100)
"""Dates whose bounds cannot be learnt lie in these years, the second excluded."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Universe:
    """Public cells that cover whatever a column of its kind may hold.

    Attributes:
        edges: shape (m + 1,), rising; cell i is edges[i] ≤ value < edges[i + 1]; values beyond count in the end cells.
        zero: the cell of zero; None for dates.
        whole: values are whole, so the largest value of cell i is edges[i + 1] - 1.
        margin: see `MARGIN`.
        default: the interval (both ends inclusive) where nothing stands out.
    """

    edges: FloatArray
    zero: int | None
    whole: bool
    margin: int
    default: tuple[float, float]

    @property
    def size(self) -> int:
        """Number of cells m."""
        return len(self.edges) - 1

    @property
    def deviations(self) -> float:
        """The z of the scan."""
        return _deviations(self.size)

    def counts(self, values: FloatArray) -> IntArray:
        """How many values lie in each cell, shape (m,)."""
        place = np.clip(np.searchsorted(self.edges, values, side="right") - 1, 0, self.size - 1)
        return np.bincount(place, minlength=self.size).astype(np.int64)

    def interval(self, noisy: IntArray, sigma: float) -> tuple[float, float] | None:
        """The bounds, both inclusive, from noisy counts of shape (m,); None where nothing stands out."""
        found = _scan(noisy, sigma, self.deviations)
        if found is None:
            return None
        sums = np.append(0, np.cumsum(noisy))
        first = self._grown(sums, found[0], -1, sigma)
        last = self._grown(sums, found[1], 1, sigma)
        if self.zero is None:
            return self._ends(max(first - self.margin, 0), min(last + self.margin, self.size - 1))
        if first == last == self.zero:  # zero alone: room for values that are none
            return 0.0, 2.0**self.margin - self.whole
        low = max(first - self.margin, 0) if first < self.zero else self.zero
        high = min(last + self.margin, self.size - 1) if last > self.zero else self.zero
        return self._ends(low, high)

    def _grown(self, sums: IntArray, end: int, way: int, sigma: float) -> int:
        """The cell `end`, moved outwards (`way` 1 or -1) over runs that are likely to hold something."""
        while True:
            found = 0
            for length in range(1, REACH + 1):
                beyond = end + way * length
                if not 0 <= beyond < self.size:
                    break
                run = sums[beyond + 1] - sums[end + 1] if way > 0 else sums[end] - sums[beyond]
                across = self.zero is not None and (beyond - self.zero) * way > 0 >= (end - self.zero) * way
                if run > (SURE if across else LIKELY) * sigma * math.sqrt(length):
                    found = length
            if not found:
                return end
            end += way * found

    def _ends(self, first: int, last: int) -> tuple[float, float]:
        low = 0.0 if first == self.zero else float(self.edges[first])
        high = 0.0 if last == self.zero else float(self.edges[last + 1]) - self.whole
        return low, high

    def default_starts(self, most: int) -> FloatArray:
        """First values of at most so many (2 or more) public bins of the default interval, rising.

        Decades for dates. For numbers one bin below zero, and powers of two above: most numbers are not negative.
        """
        low, high = self.default
        inner = self.edges[(self.edges >= low) & (self.edges < high)]
        lead = inner[:0]
        if self.zero is not None:
            inner, lead = 2.0 ** np.arange(DEFAULT_POWER), np.array([low, 0.0])
        kept = np.unique(np.linspace(0, len(inner), most - len(lead), endpoint=False).astype(np.int64))
        return np.asarray(np.concatenate([lead, inner[kept]]), dtype=np.float64)


@functools.cache
def universe_of(kind: ColumnKind) -> Universe:
    """The universe of a numeric kind."""
    if kind in {ColumnKind.DATE, ColumnKind.DATETIME}:
        unit = 86_400.0 if kind is ColumnKind.DATETIME else 1.0
        low, high = (_day(year) * unit for year in DEFAULT_YEARS)
        return Universe(
            edges=np.array([_day(year) * unit for year in YEARS]),
            zero=None,
            whole=True,
            margin=MARGIN[kind],
            default=(low, high - 1.0),
        )
    real = kind is ColumnKind.REAL
    sizes = 2.0 ** np.arange(SMALLEST_POWER if real else 0, LARGEST_POWER + 1)
    below = -sizes[::-1] if real else np.append(-sizes[::-1], 0.0)
    most = 2.0**DEFAULT_POWER
    return Universe(
        edges=np.concatenate([below, sizes]),
        zero=len(below) - 1,
        whole=not real,
        margin=MARGIN[kind],
        default=(-most, most),
    )


def _day(year: int) -> float:
    """The first of January, in days since 1970 (proleptic Gregorian)."""
    return float(np.datetime64(f"{year:04d}-01-01", "D").astype(np.int64))


def _widths(size: int) -> list[int]:
    return [*(1 << power for power in range(size.bit_length()) if 1 << power < size), size]


@functools.cache
def _deviations(size: int) -> float:
    from scipy.stats import norm

    runs = sum(size - width + 1 for width in _widths(size))
    return float(norm.isf(FALSE_ALARM / runs))


def _scan(noisy: IntArray, sigma: float, deviations: float) -> tuple[int, int] | None:
    """First and last cell of what stands out: no run that ends before or begins after does."""
    sums = np.append(0, np.cumsum(noisy))
    first = last = None
    for width in _widths(len(noisy)):
        begins = np.flatnonzero(sums[width:] - sums[:-width] > deviations * sigma * math.sqrt(width))
        if not len(begins):
            continue
        # Among runs that begin (end) at the same cell the shortest is kept: it was found first.
        if last is None or begins[-1] > last[0]:
            last = (int(begins[-1]), int(begins[-1]) + width - 1)
        if first is None or begins[0] + width - 1 < first[1]:
            first = (int(begins[0]), int(begins[0]) + width - 1)
    return None if first is None or last is None else (first[0], last[1])
