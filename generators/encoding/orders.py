"""left ≤ right between numeric columns: which pairs of levels are possible, and how values are drawn inside them.

Rules: a pair of levels is possible where some value of the left one may stand beside some value of the right one, so
that the draw inside the levels always succeeds: values are drawn from the smallest column upwards, each not above
what the columns to its right can still reach. Chains use the transitive closure; a row in which one of two columns is
missing is not bound by their order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from generators.encoding.grid import Grid
from generators.encoding.numeric import NumericCode
from release.data.schema import ColumnKind, LessEqual
from release.data.table import Column
from release.errors import PlanError

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

ROUNDS = 8
"""How often a row that is out of order is drawn anew, each column by itself, before it is drawn in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """The orders of a schema.

    Attributes:
        pairs: the declared ones.
        columns: the columns they speak of, each after all that must not exceed it.
    """

    pairs: tuple[LessEqual, ...]
    columns: tuple[str, ...]

    @classmethod
    def of(cls, pairs: Sequence[LessEqual]) -> Orders:
        """Sort the columns. Raises `PlanError` for a circle."""
        left = list(dict.fromkeys(name for pair in pairs for name in (pair.left, pair.right)))
        ordered: list[str] = []
        while left:
            ready = [n for n in left if all(p.left in ordered for p in pairs if p.right == n)]
            if not ready:
                raise PlanError(
                    f"the constraints less-equal run in a circle through {left}",
                    mend="write that one determines the other, or drop one of them",
                )
            ordered.extend(ready)
            left = [name for name in left if name not in ready]
        return cls(pairs=tuple(pairs), columns=tuple(ordered))

    def closure(self) -> tuple[tuple[str, str], ...]:
        """Every pair of columns of which the first may not exceed the second."""
        above: dict[str, set[str]] = {name: set() for name in self.columns}
        for name in reversed(self.columns):
            for pair in self.pairs:
                if pair.left == name:
                    above[name] |= {pair.right} | above[pair.right]
        return tuple((name, other) for name in self.columns for other in self.columns if other in above[name])

    def require_kept(self, grids: Mapping[str, Grid], units: Mapping[str, float]) -> None:
        """Raise `PlanError` where a chain runs through grids that do not match."""
        between = {pair.right for pair in self.pairs} & {pair.left for pair in self.pairs}
        for name in sorted(between):
            near = sorted({n for p in self.pairs if name in (p.left, p.right) for n in (p.left, p.right)})
            kinds = {
                "continuous" if grids[n].continuous else f"{grids[n].step / grids[n].scale * units[n]:g}"
                for n in near
            }
            if len(kinds) > 1:
                raise PlanError(
                    f"the constraints less-equal chain {near}, whose steps or decimals differ",
                    mend="declare the same decimals and step for all of them",
                )

    def allowed(self, left: str, right: str, codes: Mapping[str, NumericCode]) -> BoolArray:
        """Which pairs of levels are possible, shape (size of left, size of right)."""
        mine, other = codes[left], codes[right]
        need = {left: mine.lowest(np.arange(mine.present)) * unit_of(mine)}
        for name in self.columns:
            bounds = [
                _above(codes[name], need[pair.left], codes[pair.left], strictly=pair.strictly)
                for pair in self.pairs
                if pair.right == name and pair.left in need
            ]
            if bounds:
                need[name] = np.max(bounds, axis=0)
        top = other.highest(np.arange(other.present)) * unit_of(other)
        allowed = np.ones((mine.size, other.size), dtype=np.bool_)
        allowed[: mine.present, : other.present] = need[right][:, None] <= top[None, :]
        return allowed

    def draw(
        self, codes: Mapping[str, NumericCode], levels: Mapping[str, IntArray], rng: np.random.Generator
    ) -> dict[str, Column]:
        """Columns in these levels (shape (n,) each) that are in order. Raises `PlanError` where none are."""
        rows = len(next(iter(levels.values())))
        here = {name: levels[name] < codes[name].present for name in self.columns}
        values = {name: np.zeros(rows, dtype=np.float64) for name in self.columns}
        again = np.arange(rows)
        for _ in range(ROUNDS):
            for name in self.columns:
                drawn = again[here[name][again]]
                values[name][drawn] = codes[name].draw(levels[name][drawn], rng).astype(np.float64) * unit_of(
                    codes[name]
                )
            again = again[self._broken(values, here, again)]
            if not len(again):
                break
        if len(again):
            self._in_order(codes, levels, values, here, again, rng)
        return {
            name: codes[name].column(levels[name], values[name][here[name]] / unit_of(codes[name]))
            for name in self.columns
        }

    def _broken(
        self, values: Mapping[str, FloatArray], here: Mapping[str, BoolArray], rows: IntArray
    ) -> BoolArray:
        broken = np.zeros(len(rows), dtype=np.bool_)
        for pair in self.pairs:
            left, right = values[pair.left][rows], values[pair.right][rows]
            wrong = left >= right if pair.strictly else left > right
            broken |= wrong & here[pair.left][rows] & here[pair.right][rows]
        return broken

    def _in_order(
        self,
        codes: Mapping[str, NumericCode],
        levels: Mapping[str, IntArray],
        values: dict[str, FloatArray],
        here: Mapping[str, BoolArray],
        rows: IntArray,
        rng: np.random.Generator,
    ) -> None:
        """Draw each column between what stands to its left and what its right can still reach."""
        reach: dict[str, FloatArray] = {}
        for name in reversed(self.columns):
            limit = np.full(len(rows), np.inf)
            for pair in self.pairs:
                if pair.left == name:
                    below = _below(codes[name], reach[pair.right], codes[pair.right], strictly=pair.strictly)
                    limit = np.where(here[pair.right][rows], np.minimum(limit, below), limit)
            kept = np.minimum(levels[name][rows], codes[name].present - 1)
            unit = unit_of(codes[name])
            reach[name] = np.where(
                here[name][rows], codes[name].highest(kept, _finite(limit / unit)) * unit, np.inf
            )
        for name in self.columns:
            floor = np.full(len(rows), -np.inf)
            for pair in self.pairs:
                if pair.right == name:
                    above = _above(
                        codes[name], values[pair.left][rows], codes[pair.left], strictly=pair.strictly
                    )
                    floor = np.where(here[pair.left][rows], np.maximum(floor, above), floor)
            mine = here[name][rows]
            unit = unit_of(codes[name])
            low = np.maximum(floor[mine], codes[name].lowest(levels[name][rows[mine]]) * unit)
            high = reach[name][mine]
            if not (low <= high).all():
                raise PlanError(
                    f"the constraints less-equal leave no value for {name} under these conditions",
                    mend="widen the conditions",
                )
            drawn_ = codes[name].draw(levels[name][rows[mine]], rng, low / unit, high / unit)
            values[name][rows[mine]] = drawn_.astype(np.float64) * unit


def unit_of(code: NumericCode) -> float:
    """What a value is multiplied by before it is compared: dates beside datetimes are seconds."""
    return 86_400.0 if code.spec.kind is ColumnKind.DATE else 1.0


def _above(code: NumericCode, bound: FloatArray, other: NumericCode, *, strictly: bool) -> FloatArray:
    """The smallest value of the column's grid that is ≥ (or >) `bound`, a value of the `other` column; +∞ where there is none."""
    if code.grid.continuous:
        return np.nextafter(bound, np.inf) if strictly else bound
    cells = code.grid.at_least(_finite(bound / unit_of(code)), strictly=strictly)
    if other.grid.continuous:  # a value on no grid is compared as it is, without the tolerance of grids
        before = _value(code, cells - 1)
        cells = np.where(
            (cells > 0) & ((before > bound) if strictly else (before >= bound)), cells - 1, cells
        )
        here = _value(code, cells)
        cells = np.where((here <= bound) if strictly else (here < bound), cells + 1, cells)
    return np.where(cells < code.grid.size, _value(code, cells), np.inf)


def _below(code: NumericCode, bound: FloatArray, other: NumericCode, *, strictly: bool) -> FloatArray:
    """The largest value of the column's grid that is ≤ (or <) `bound`, a value of the `other` column; -∞ where there is none."""
    if code.grid.continuous:
        return np.nextafter(bound, -np.inf) if strictly else bound
    cells = code.grid.at_most(_finite(bound / unit_of(code)), strictly=strictly)
    if other.grid.continuous:
        after = _value(code, cells + 1)
        inside = cells < code.grid.size - 1
        cells = np.where(inside & ((after < bound) if strictly else (after <= bound)), cells + 1, cells)
        here = _value(code, cells)
        cells = np.where((here >= bound) if strictly else (here > bound), cells - 1, cells)
    return np.where(cells >= 0, _value(code, cells), -np.inf)


def _value(code: NumericCode, cells: IntArray) -> FloatArray:
    """What cells hold, as it is compared."""
    return np.asarray((code.grid.origin + code.grid.step * cells) / code.grid.scale * unit_of(code))


def _finite(values: FloatArray) -> FloatArray:
    """Infinite ends as numbers that are beyond every grid of whole steps."""
    return np.clip(values, -1e200, 1e200)
