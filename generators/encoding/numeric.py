"""Numeric columns (integer, real, date, datetime): public grid → noised bins → levels.

Rules: with few possible values every value is a level, at no cost; otherwise the bins, the spikes and the shape
inside the bins come from noised counts. Kinds of missing are levels after the bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from generators.encoding.bins import Bins
from generators.encoding.grid import Grid
from generators.encoding.texture import Texture
from generators.encoding.wanted import Wanted
from release.data.schema import ColumnSpec
from release.data.table import Column

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


class BoundsSource(StrEnum):
    """Where a numeric column's bounds come from."""

    DECLARED = "declared"
    """The schema."""
    LEARNT = "learnt"
    """Noised counts."""
    DEFAULT = "default"
    """A public default: they were to be learnt, but nothing stood out from the noise. Declare them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NumericCode:
    """A numeric column as levels.

    Attributes:
        spec: the column.
        grid: its cells.
        bins: levels of cells.
        texture: where inside a piece of a bin values lie; None: anywhere alike.
        points: for a continuous grid: cell → the one value that it stands for (spikes such as 0).
        within: where the code was narrowed: the wanted intervals of values, in order; else ().
        bounds: where the ends of the grid come from.
    """

    spec: ColumnSpec
    grid: Grid
    bins: Bins
    texture: Texture | None
    points: Mapping[int, float]
    within: tuple[tuple[float, float], ...] = ()
    bounds: BoundsSource = BoundsSource.DECLARED

    @property
    def present(self) -> int:
        """Number of levels that hold values."""
        return len(self.bins.starts)

    @property
    def size(self) -> int:
        """Bins, then kinds of missing."""
        return self.present + len(self.spec.missing)

    def encode(self, column: Column) -> IntArray:
        """The level of each row, shape (n,)."""
        codes = self.bins.levels(self.grid.cells(column.values))
        absent = column.missing != 0
        codes[absent] = self.present + column.missing[absent].astype(np.int64) - 1
        return codes

    def decode(self, codes: IntArray, rng: np.random.Generator) -> Column:
        """A column whose rows lie in these levels."""
        present = np.flatnonzero(codes < self.present)
        return self.column(codes, self.draw(codes[present], rng))

    def column(self, codes: IntArray, drawn: npt.NDArray[np.generic]) -> Column:
        """The column of these levels, shape (n,), whose present rows have these values."""
        missing = np.maximum(codes - self.present + 1, 0).astype(np.uint8)
        values = np.zeros(len(codes), dtype=np.int64 if self.grid.whole else np.float64)
        values[missing == 0] = drawn
        return Column(values, missing)

    def draw(
        self,
        levels: IntArray,
        rng: np.random.Generator,
        low: FloatArray | None = None,
        high: FloatArray | None = None,
    ) -> npt.NDArray[np.generic]:
        """A value of each level, shape (n,); `low` and `high` (values) truncate it, inclusive."""
        cells = self.bins.draw(
            levels,
            rng,
            None if low is None else self.grid.at_least(low),
            None if high is None else self.grid.at_most(high),
            self.texture,
        )
        values = self.grid.values(cells, rng)
        if not self.grid.continuous:
            return values
        for cell, value in self.points.items():
            values[cells == cell] = value
        for bottom, top in self.within:
            inside = (cells >= self.grid.at_least(np.array([bottom]))) & (
                cells <= self.grid.at_most(np.array([top]))
            )
            values[inside] = np.clip(values[inside].astype(np.float64), bottom, top)
        return (
            np.clip(values.astype(np.float64), low, high) if low is not None or high is not None else values
        )

    def lowest(self, levels: IntArray) -> FloatArray:
        """The smallest value that each level may hold; +∞ where it holds none (narrowed away)."""
        cells = self.bins.ceil(levels, np.zeros(len(levels), dtype=np.int64))
        return np.where(cells < self.bins.size, self._bottom(cells), np.inf)

    def highest(self, levels: IntArray, at_most: FloatArray | None = None) -> FloatArray:
        """The largest value that each level may hold, not above `at_most`; -∞ where there is none."""
        limit = np.full(len(levels), self.bins.size - 1) if at_most is None else self.grid.at_most(at_most)
        cells = self.bins.floor(levels, limit)
        top = self._bottom(cells + 1) if self.grid.continuous else self._bottom(cells)
        if self.grid.continuous and self.within:
            top = np.minimum(top, max(high for _, high in self.within))
        found = np.where(cells >= 0, top if at_most is None else np.minimum(top, at_most), -np.inf)
        return np.asarray(found, dtype=np.float64)

    def _bottom(self, cells: IntArray) -> FloatArray:
        """The smallest value of each cell."""
        return np.asarray((self.grid.origin + self.grid.step * cells) / self.grid.scale, dtype=np.float64)

    def narrow(self, wanted: Wanted) -> tuple[NumericCode, FloatArray]:
        """Only the wanted values: the code that draws these, and each level's share of them, shape (size,)."""
        ranges: list[tuple[int, int]] = []
        for bottom, top in wanted.ranges:
            first = int(self.grid.at_least(np.array([bottom]))[0])
            last = int(self.grid.at_most(np.array([top]))[0])
            if ranges:
                first = max(first, ranges[-1][1] + 1)
            if first <= last:
                ranges.append((first, last))
        bins = self.bins.select(ranges, self.texture)
        kinds = [kind in wanted.missing for kind in range(1, len(self.spec.missing) + 1)]
        share = np.concatenate([bins.share, np.array(kinds, dtype=np.float64)])
        return replace(self, bins=bins, within=_both(self.within, wanted.ranges)), share

    def labels(self) -> tuple[str, ...]:
        """What each level holds, for people."""
        low, high = self._bottom(self.bins.starts).tolist(), self._bottom(self.bins.ends).tolist()
        bins = [f"{a:g}" if a == b else f"{a:g} … {b:g}" for a, b in zip(low, high, strict=True)]
        return (*bins, *(f'missing "{code.code}"' for code in self.spec.missing))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        points = [[cell, value] for cell, value in self.points.items()]
        texture = None
        if self.texture is not None:
            texture = {"anchor": self.texture.anchor, "block": self.texture.block}
        found = {"type": "numeric", "grid": self.grid.to_json(), "points": points, "texture": texture}
        return found | {"bounds": self.bounds.value}

    def arrays(self) -> Mapping[str, npt.NDArray[np.generic]]:
        """The bins."""
        texture = {} if self.texture is None else self.texture.arrays()
        return {
            "starts": self.bins.starts,
            "first": self.bins.first,
            "last": self.bins.last,
            "mass": self.bins.mass,
            **{f"texture-{name}": array for name, array in texture.items()},
        }

    @classmethod
    def read(
        cls, spec: ColumnSpec, data: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> NumericCode:
        """What `to_json` and `arrays` wrote."""
        grid = Grid(**data["grid"])
        points = {int(cell): float(value) for cell, value in data["points"]}
        own = {name: arrays[name] for name in ("starts", "first", "last", "mass")}
        texture = None
        if data["texture"] is not None:
            texture = Texture(
                anchor=data["texture"]["anchor"],
                block=data["texture"]["block"],
                units=arrays["texture-units"],
                weight=arrays["texture-weight"],
                pattern=arrays["texture-pattern"],
            )
        return cls(
            spec=spec,
            grid=grid,
            bins=Bins(size=grid.size, **own),
            texture=texture,
            points=points,
            bounds=BoundsSource(data.get("bounds", BoundsSource.DECLARED)),
        )


def _both(
    these: tuple[tuple[float, float], ...], those: tuple[tuple[float, float], ...]
) -> tuple[tuple[float, float], ...]:
    """What lies in both lists of ordered disjoint intervals; the empty first list stands for everything."""
    if not these:
        return those
    pairs = [(max(a, c), min(b, d)) for a, b in these for c, d in those]
    return tuple((low, high) for low, high in pairs if low <= high)
