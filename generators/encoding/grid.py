"""The public grid of a numeric column: every value that it may hold, as a whole number 0 … size - 1 ("cell").

Rules: a grid follows from public facts alone (bounds, decimals, step) or from noised ones (learnt bounds). Everything
after it works on cells, so integers stay integers, decimals keep their rounding and steps are respected by
construction. A declared step goes before decimals, and the scale is the smallest whole number that makes step and
start whole: exact fractions decide where cells lie (`release.data.lattice`), floats only carry the result. Reals
without decimals and step get fine cells, and a value anywhere inside a cell when decoded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from release.data.lattice import exact, shown
from release.data.schema import ColumnKind, ColumnSpec, Increment, Range
from release.errors import PlanError

CONTINUOUS_CELLS = 1 << 24
"""Cells of a real column without declared decimals."""

LARGEST_GRID = 1 << 52
"""More cells than this could not be told apart in float64."""

ON_GRID = 1e-6
"""A value this near to a cell, in steps, is that cell's value: decimals are not exact in binary."""

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Values are (origin + step · cell) / scale.

    Attributes:
        origin: scaled value of cell 0.
        step: scaled distance of neighbouring cells.
        scale: makes step and start of reals whole (100 for cents, 4 for quarters), else 1.
        size: number of cells.
        continuous: a value lies anywhere in [origin + step · cell, origin + step · (cell + 1)).
        whole: values are stored as int64.
    """

    origin: float
    step: float
    scale: float
    size: int
    continuous: bool
    whole: bool

    def cells(self, values: npt.NDArray[np.generic]) -> IntArray:
        """The cell of each value, shape as given; what lies beyond the bounds goes to the nearer one."""
        position = self._position(values)
        nearest = np.floor(position) if self.continuous else np.rint(position)
        return np.asarray(np.clip(nearest, 0, self.size - 1), dtype=np.int64)

    def values(self, cells: IntArray, rng: np.random.Generator) -> npt.NDArray[np.generic]:
        """A value for each cell, int64 or float64."""
        if self.whole:
            return np.asarray(int(self.origin) + cells * int(self.step), dtype=np.int64)
        if self.continuous:
            inside = rng.random(len(cells))
            top = self.origin + self.step * self.size
            return np.minimum(self.origin + self.step * (cells + inside), top)
        return np.asarray((self.origin + self.step * cells) / self.scale)

    def at_least(self, values: FloatArray, *, strictly: bool = False) -> IntArray:
        """Smallest cell that holds a value ≥ (or >) each of `values`; `size` where there is none."""
        position = self._position(values)
        if self.continuous:
            cells = np.floor(position)
        else:
            near = np.rint(position)
            on_grid = np.abs(position - near) < ON_GRID
            cells = np.where(on_grid, near + strictly, np.ceil(position))
        return np.asarray(np.clip(cells, 0, self.size), dtype=np.int64)

    def at_most(self, values: FloatArray, *, strictly: bool = False) -> IntArray:
        """Largest cell that holds a value ≤ (or <) each of `values`; -1 where there is none."""
        position = self._position(values)
        if self.continuous:
            cells = np.ceil(position) - 1 if strictly else np.floor(position)
        else:
            near = np.rint(position)
            on_grid = np.abs(position - near) < ON_GRID
            cells = np.where(on_grid, near - strictly, np.floor(position))
        return np.asarray(np.clip(cells, -1, self.size - 1), dtype=np.int64)

    def _position(self, values: npt.NDArray[np.generic]) -> FloatArray:
        """Where values lie, in cells from the first; -1 and `size` for all that lies further out."""
        low, high = self.origin / self.scale, (self.origin + self.step * self.size) / self.scale
        bounded = np.clip(values.astype(np.float64), low - self.step / self.scale, high)
        return np.asarray(np.clip((bounded * self.scale - self.origin) / self.step, -1.0, float(self.size)))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


def grid_of(spec: ColumnSpec, low: float, high: float, increment: Increment | None = None) -> Grid:
    """The grid of a numeric column between two bounds, both inclusive.

    Args:
        spec: the column; its declared decimals and step are kept.
        low: smallest value.
        high: largest value.
        increment: a constraint that fixes the step and where it starts; it goes before the declared step.

    Raises:
        PlanError: no value of the grid lies between the bounds, or too many do.
    """
    whole = spec.kind is not ColumnKind.REAL
    lattice = _lattice(spec, increment)
    if lattice is None:
        if high == low:
            return Grid(origin=low, step=1.0, scale=1.0, size=1, continuous=False, whole=False)
        width = high / CONTINUOUS_CELLS - low / CONTINUOUS_CELLS
        return Grid(origin=low, step=width, scale=1.0, size=CONTINUOUS_CELLS, continuous=True, whole=False)
    start, step = lattice
    scale = math.lcm(start.denominator, step.denominator)
    if whole and scale != 1:
        raise PlanError(
            f'column "{spec.name}": a step of {shown(float(step))} from {shown(float(start))} leaves whole numbers',
            mend="declare a whole step and start",
        )
    first = math.ceil((exact(low) - start) / step)
    size = math.floor((exact(high) - start) / step) - first + 1
    if size < 1:
        raise PlanError(
            f'column "{spec.name}": no multiple of its step {shown(float(step))} lies between its bounds',
            mend="declare wider bounds or another step",
        )
    if size > LARGEST_GRID:
        raise PlanError(
            f'column "{spec.name}" has {size:.3g} possible values, more than 2^52',
            mend="declare narrower bounds, fewer decimals or a step",
        )
    return Grid(
        origin=float((start + first * step) * scale),
        step=float(step * scale),
        scale=float(scale),
        size=size,
        continuous=False,
        whole=whole,
    )


def _lattice(spec: ColumnSpec, increment: Increment | None) -> tuple[Fraction, Fraction] | None:
    """(start, step) of a column's values; None for reals that may lie anywhere."""
    domain = spec.domain if isinstance(spec.domain, Range) else None
    if increment is not None:
        return exact(increment.start), exact(increment.step)
    if domain is not None and domain.step is not None and spec.bounds is not None:
        return exact(spec.bounds[0]), exact(domain.step)
    if spec.kind is not ColumnKind.REAL:
        return Fraction(0), Fraction(1)
    if domain is not None and domain.decimals is not None:
        return Fraction(0), Fraction(1, 10**domain.decimals)
    return None
