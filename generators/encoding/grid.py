"""The public grid of a numeric column: every value that it may hold, as a whole number 0 … size - 1 ("cell").

Rules: a grid follows from public facts alone (bounds, decimals, step) or from noised ones (learnt bounds). Everything
after it works on cells, so integers stay integers, decimals keep their rounding and steps are respected by
construction. Reals without declared decimals get fine cells, and a value anywhere inside a cell when decoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from release.data.schema import ColumnKind, ColumnSpec, Range

CONTINUOUS_CELLS = 1 << 24
"""Cells of a real column without declared decimals."""

LARGEST_GRID = 1 << 52
"""More cells than this could not be told apart in float64."""

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Values are (origin + step · cell) / scale.

    Attributes:
        origin: scaled value of cell 0.
        step: scaled distance of neighbouring cells.
        scale: 10^decimals for reals with decimals, else 1.
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
        position = (values.astype(np.float64) * self.scale - self.origin) / self.step
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

    def first_at_least(self, value: float, *, strictly: bool = False) -> int:
        """Smallest cell whose value is ≥ (or >) `value`; may be `size` where there is none."""
        position = (value * self.scale - self.origin) / self.step
        if self.continuous:
            cell = int(np.floor(position))
        else:
            near = float(np.rint(position))
            on_grid = abs(position - near) < 1e-6
            cell = int(near) + (1 if strictly else 0) if on_grid else int(np.ceil(position))
        return int(np.clip(cell, 0, self.size))

    def last_at_most(self, value: float, *, strictly: bool = False) -> int:
        """Largest cell whose value is ≤ (or <) `value`; -1 where there is none."""
        if self.continuous:
            position = (value * self.scale - self.origin) / self.step
            return int(np.clip(np.ceil(position) - 1, -1, self.size - 1))
        return self.first_at_least(value, strictly=not strictly) - 1

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


def grid_of(spec: ColumnSpec, low: float, high: float) -> Grid:
    """The grid of a numeric column between two bounds, both inclusive."""
    domain = spec.domain if isinstance(spec.domain, Range) else None
    step = domain.step if domain is not None else None
    decimals = domain.decimals if domain is not None else None
    if spec.kind is not ColumnKind.REAL:
        stride = max(1, round(step)) if step is not None else 1
        size = int((int(high) - int(low)) // stride) + 1
        return _checked(Grid(origin=int(low), step=stride, scale=1, size=size, continuous=False, whole=True))
    if decimals is None and step is None:
        if high == low:
            return Grid(origin=low, step=1.0, scale=1, size=1, continuous=False, whole=False)
        width = (high - low) / CONTINUOUS_CELLS
        return Grid(origin=low, step=width, scale=1, size=CONTINUOUS_CELLS, continuous=True, whole=False)
    scale = 10.0 ** (decimals if decimals is not None else 9)
    stride_scaled = 1.0 if step is None else float(np.rint(step * scale))
    origin = float(np.ceil(low * scale - 1e-6)) if decimals is not None else float(np.rint(low * scale))
    size = int(np.floor((high * scale - origin) / stride_scaled + 1e-6)) + 1
    return _checked(
        Grid(origin=origin, step=stride_scaled, scale=scale, size=max(1, size), continuous=False, whole=False)
    )


def _checked(grid: Grid) -> Grid:
    from release.errors import PlanError

    if grid.size > LARGEST_GRID:
        raise PlanError(
            f"a numeric column has {grid.size:.3g} possible values, more than 2^52",
            mend="declare narrower bounds, fewer decimals or a step",
        )
    return grid
