"""The texture of a numeric column: how its values favour round numbers, weekdays, hours of the day.

A column's values are whole numbers j (its grid in steps from zero: cents, days since 1970, seconds). The texture gives
each j a relative density: Σ over units r of `weight[r]` where r divides j, times `pattern` of j's place in a period
(the weekday, the hour). The pieces of `bins` say how many rows lie in an interval; the texture says where inside.

Privacy: two small discrete Gaussian histograms over public classes (the largest unit of a fixed chain that divides a
value; the place in the period), each changed by at most k in L2 norm by one unit. Zero counts towards no unit: it
divides by all of them, and has levels of its own where it matters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from generators.encoding.grid import Grid
from generators.encoding.tree import project
from release.data.schema import ColumnKind
from release.protocols import NoiseSource
from release.records import DpEvent, Mechanism

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

SURE = 3.0
"""A unit or a pattern counts only where it differs from an even one by so many σ."""

LEAST = 1e-3
"""Every whole number keeps at least this part of the mass between the units: none is impossible."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Texture:
    """Relative densities of whole numbers.

    Attributes:
        anchor: j of the grid's cell 0.
        units: shape (R,), each divides the next and `block`; the first is 1.
        weight: shape (R,), what a multiple of each unit gains; weight[0] > 0.
        block: length of one place in the period.
        pattern: shape (H,), positive relative density of each place; the period is H · block.
    """

    anchor: int
    units: IntArray
    weight: FloatArray
    block: int
    pattern: FloatArray

    def mass(self, first: IntArray, last: IntArray) -> FloatArray:
        """Density summed over the cells first … last (inclusive), shape (m,)."""
        _, counts, density = self._parts(first, last)
        return np.asarray(counts @ density)

    def draw(self, first: IntArray, last: IntArray, which: IntArray, rng: np.random.Generator) -> IntArray:
        """A cell of the interval `which` (shape (n,)) for each row; the intervals are shared by many rows."""
        lows, counts, density = self._parts(first, last)
        parts = counts * density
        total = parts.sum(axis=1)
        ends = np.cumsum(parts.ravel())
        target = (np.cumsum(total) - total)[which] + rng.random(len(which)) * total[which]
        width = parts.shape[1]
        flat = np.searchsorted(ends, target, side="right")
        flat = np.minimum(np.maximum(flat, which * width), which * width + width - 1)
        number = lows.ravel()[flat] + np.floor(rng.random(len(which)) * counts.ravel()[flat]).astype(np.int64)
        part = flat - which * width
        unit, place = self.units[part // len(self.pattern)], part % len(self.pattern)
        if len(self.pattern) == 1:  # no period: multiples follow each other
            value = number * unit
        else:
            period, inside = np.divmod(number, self.block // unit)
            value = (period * len(self.pattern) + place) * self.block + inside * unit
        return np.asarray(np.clip(value - self.anchor, first[which], last[which]), dtype=np.int64)

    def _parts(self, first: IntArray, last: IntArray) -> tuple[IntArray, IntArray, FloatArray]:
        """By unit and place: multiples below each interval and inside it, shape (m, R · H); density, shape (R · H,)."""
        unit = np.repeat(self.units, len(self.pattern))[None, :]
        place = np.tile(np.arange(len(self.pattern)), len(self.units))[None, :]
        density = np.repeat(self.weight, len(self.pattern)) * np.tile(self.pattern, len(self.units))
        low = _multiples(self.anchor + first[:, None], unit, place, self.block, len(self.pattern))
        high = _multiples(self.anchor + last[:, None] + 1, unit, place, self.block, len(self.pattern))
        return low, high - low, density

    def arrays(self) -> Mapping[str, npt.NDArray[np.generic]]:
        """For storage; `anchor` and `block` stand in the JSON."""
        return {"units": self.units, "weight": self.weight, "pattern": self.pattern}


def _multiples(below: Any, unit: Any, place: Any, block: int, places: int) -> IntArray:
    """How many multiples of `unit` in `place` lie below j, counted from j = 0 (negative before it)."""
    period, inside = np.divmod(below, block * places)
    each = block // unit
    part = np.clip(-((place * block - inside) // unit), 0, each)
    return np.asarray(period * each + part, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class TexturePlan:
    """How a texture is measured.

    Attributes:
        rho: what it spends.
        rows: the contribution bound k.
        kind: of the column.
    """

    rho: float
    rows: int
    kind: ColumnKind

    @property
    def looks(self) -> int:
        """How many histograms: units for numbers, weekdays for dates, both units and hours for datetimes."""
        return 2 if self.kind is ColumnKind.DATETIME else 1

    @property
    def multiplier(self) -> float:
        """σ / k of each."""
        return math.sqrt(self.looks / (2.0 * self.rho))

    def events(self, label: str) -> tuple[DpEvent, ...]:
        """The histograms."""
        return (
            DpEvent(
                label=label,
                mechanism=Mechanism.DISCRETE_GAUSSIAN,
                parameter=self.multiplier,
                count=self.looks,
            ),
        )

    def measure(self, cells: IntArray, grid: Grid, noise: NoiseSource) -> Texture | None:
        """The texture of these cells; None where none stands out, or where the grid has none."""
        anchor = grid.origin / grid.step
        if grid.continuous or not float(anchor).is_integer():
            return None
        numbers = int(anchor) + cells
        sigma = self.multiplier * self.rows
        units, block, places = _public(self.kind, int(np.abs(anchor)) + grid.size)
        weight, pattern = np.ones(1), np.ones(places)
        if len(units) > 1:
            counts = np.bincount(_class(numbers[numbers != 0], units), minlength=len(units))
            weight = _weights(noise.discrete_gaussian(counts.astype(np.int64), sigma), units, sigma)
        if places > 1:
            counts = np.bincount(numbers // block % places, minlength=places)
            pattern = _pattern(noise.discrete_gaussian(counts.astype(np.int64), sigma), sigma)
        used = np.flatnonzero(weight > 0)
        if len(used) == 1 and (pattern == pattern[0]).all():
            return None
        return Texture(
            anchor=int(anchor), units=units[used], weight=weight[used], block=block, pattern=pattern
        )


def _public(kind: ColumnKind, reach: int) -> tuple[IntArray, int, int]:
    """Units, block and number of places, by the kind of column; `reach` bounds |j|."""
    if kind is ColumnKind.DATE:
        return np.ones(1, dtype=np.int64), 1, 7
    if kind is ColumnKind.DATETIME:
        return np.array([1, 60, 3_600], dtype=np.int64), 3_600, 24
    units = [1]
    while units[-1] * 5 <= reach and len(units) < 24:
        units.append(units[-1] * (5 if len(units) % 2 else 2))
    return np.array(units, dtype=np.int64), units[-1], 1


def _class(numbers: IntArray, units: IntArray) -> IntArray:
    """The place of the largest unit that divides each number."""
    found = np.zeros(len(numbers), dtype=np.int64)
    for place, unit in enumerate(units.tolist()):
        found[numbers % unit == 0] = place
    return found


def _weights(noisy: IntArray, units: IntArray, sigma: float) -> FloatArray:
    """What a multiple of each unit gains over those of the unit before."""
    total = float(max(noisy.sum(), 0))
    share = project(noisy.astype(np.float64), total) / max(total, 1.0)
    expected = 1.0 / units - np.append(1.0 / units[1:], 0.0)
    # What a finer unit leaves is what coarser ones are judged by: most values may be multiples of 10,000.
    weight = np.zeros(len(units))
    density = max(share[0], LEAST) / expected[0]
    weight[0] = density
    for place in range(1, len(units)):
        here = share[place] / expected[place]
        if (share[place] - density * expected[place]) * total > SURE * sigma:
            weight[place] = here - density
            density = here
    return weight


def _pattern(noisy: IntArray, sigma: float) -> FloatArray:
    """Relative density of each place; even where nothing stands out."""
    total = float(max(noisy.sum(), 0))
    even = total / len(noisy)
    if total <= 0 or not (np.abs(noisy - even) > SURE * sigma).any():
        return np.ones(len(noisy))
    share = project(noisy.astype(np.float64), total) / total
    return np.asarray((1.0 - LEAST) * share * len(noisy) + LEAST)
