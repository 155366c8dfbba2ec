"""Tables as numbers, once per run: what every attack computes on.

Two views, both column-major (d columns, n rows):

- `values` (float32): the distance of two cells is min(|a − b|, 1). Numbers are divided by a robust range of the real
  rows (5 % to 95 % quantile), so that one millionaire does not make the column useless; categories are whole numbers;
  each kind of missing is a value of its own, at distance 1 from everything else and 0 from itself.
- `codes` (int32): equal exactly where two cells are the same after normalisation: white space and case of
  categories, float jitter below a fixed grid. `-1` never occurs, so that it can stand for "equal to nothing".

Scales come from members, controls and reference together, which treats both arms alike. What this module does not do:
it never looks at who is a member.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from release.data.schema import ColumnKind, ColumnSpec, Range
from release.data.table import Column, Table

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

MISSING_BASE = np.float32(1e6)
"""Where the kinds of missing lie in `values`: 1e6, 1e6 + 2, … beyond every clipped number and category."""
NUMBER_LIMIT = 1e5
"""Scaled numbers are clipped here: beyond a robust range's 100,000-fold only equality is interesting, and `codes` has it."""
JITTER_GRID = 1e-5
"""Real numbers without declared decimals are equal where they fall into one cell of this share of the robust range."""


class Scaling(StrEnum):
    """What a number's distance is relative to."""

    ROBUST = "robust"
    """5 % to 95 % quantile of the real rows; distances are cut at 1."""
    RANGE = "range"
    """Smallest to largest value of all rows, as in Gower 1971 and anonymeter."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """One table in both views.

    Attributes:
        values: (d, n) float32. codes: (d, n) int32. units: (n,) the table's unit numbers.
    """

    values: F32
    codes: I32
    units: I64

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.values.shape[1])

    def take(self, rows: npt.NDArray[np.generic]) -> Encoded:
        """The rows given by indices or a mask."""
        return Encoded(
            np.ascontiguousarray(self.values[:, rows]),
            np.ascontiguousarray(self.codes[:, rows]),
            self.units[rows],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """Several tables in one common coding.

    Attributes:
        names: the d column names. numeric: (d,) True for numbers and dates.
        low, width: (d,) a number is low + width · value; 0 and 1 for categories.
        numbers: per column, the number behind each code, ascending (to its grid); empty for categories.
        missing_from: (d,) `codes` of missing cells are greater than this; numbers' codes below it are in their order.
        tables: by the names they were given under.
    """

    names: tuple[str, ...]
    numeric: npt.NDArray[np.bool_]
    low: npt.NDArray[np.float64]
    width: npt.NDArray[np.float64]
    numbers: tuple[npt.NDArray[np.float64], ...]
    missing_from: I64
    tables: Mapping[str, Encoded]


def encode(tables: Mapping[str, Table], real: Sequence[str], scaling: Scaling = Scaling.ROBUST) -> Encoding:
    """Encode tables of one schema together.

    Args:
        tables: by name.
        real: names of those that set the scale of numbers.
        scaling: see `Scaling`.
    """
    first = next(iter(tables.values()))
    specs = first.schema.released
    sizes = {name: len(table) for name, table in tables.items()}
    values = {name: np.empty((len(specs), n), np.float32) for name, n in sizes.items()}
    codes = {name: np.empty((len(specs), n), np.int32) for name, n in sizes.items()}
    low, width = np.zeros(len(specs)), np.ones(len(specs))
    missing_from = np.zeros(len(specs), np.int64)
    numbers = [np.zeros(0)] * len(specs)
    for place, spec in enumerate(specs):
        columns = {name: table.columns[spec.name] for name, table in tables.items()}
        if spec.kind.numeric:
            low[place], width[place], numbers[place] = _encode_number(
                place, spec, columns, real, scaling, values, codes
            )
            missing_from[place] = len(numbers[place])
        else:
            missing_from[place] = _encode_category(place, columns, values, codes)
    return Encoding(
        names=tuple(spec.name for spec in specs),
        numeric=np.array([spec.kind.numeric for spec in specs]),
        low=low,
        width=width,
        numbers=tuple(numbers),
        missing_from=missing_from,
        tables={name: Encoded(values[name], codes[name], table.units) for name, table in tables.items()},
    )


def _encode_category(
    place: int, columns: Mapping[str, Column], values: Mapping[str, F32], codes: Mapping[str, I32]
) -> int:
    known: dict[str, int] = {}
    for column in columns.values():
        for level in column.levels:
            known.setdefault(_normal(level), len(known))
    for name, column in columns.items():
        mapping = np.array([known[_normal(level)] for level in column.levels] or [0], np.int64)
        code = np.where(
            column.present,
            mapping[np.maximum(column.values.astype(np.int64), 0)],
            len(known) + column.missing.astype(np.int64),
        )
        codes[name][place] = code
        values[name][place] = np.where(column.present, code.astype(np.float32), _missing_value(column))
    return len(known)


def _encode_number(
    place: int,
    spec: ColumnSpec,
    columns: Mapping[str, Column],
    real: Sequence[str],
    scaling: Scaling,
    values: Mapping[str, F32],
    codes: Mapping[str, I32],
) -> tuple[float, float, npt.NDArray[np.float64]]:
    pooled = np.concatenate(
        [
            columns[name].values[columns[name].present].astype(np.float64)
            for name in (real if scaling is Scaling.ROBUST else columns)
        ]
    )
    low, width = _scale(pooled, scaling)
    grid = _grid(spec, width)
    cells = {
        name: np.floor(np.where(column.present, column.values.astype(np.float64), 0.0) / grid + 0.5)
        for name, column in columns.items()
    }
    distinct = np.unique(np.concatenate(list(cells.values())))
    for name, column in columns.items():
        codes[name][place] = np.where(
            column.present,
            np.searchsorted(distinct, cells[name]),
            len(distinct) + column.missing.astype(np.int64),
        )
        scaled = (column.values.astype(np.float64) - low) / width
        values[name][place] = np.where(
            column.present,
            np.clip(scaled, -NUMBER_LIMIT, NUMBER_LIMIT).astype(np.float32),
            _missing_value(column),
        )
    return low, width, distinct * grid


def _normal(level: str) -> str:
    return " ".join(level.split()).casefold()


def _missing_value(column: Column) -> F32:
    return np.asarray(MISSING_BASE + 2.0 * column.missing.astype(np.float32), np.float32)


def _scale(pooled: npt.NDArray[np.float64], scaling: Scaling) -> tuple[float, float]:
    if not len(pooled):
        return 0.0, 1.0
    low, high = float(pooled.min()), float(pooled.max())
    if scaling is Scaling.ROBUST:
        inner = np.quantile(pooled, (0.05, 0.95))
        if inner[1] > inner[0]:
            low, high = float(inner[0]), float(inner[1])
    return low, (high - low) if high > low else 1.0


def _grid(spec: ColumnSpec, width: float) -> float:
    if spec.kind is not ColumnKind.REAL:
        return 1.0
    if isinstance(spec.domain, Range) and spec.domain.decimals is not None:
        return float(10.0**-spec.domain.decimals)
    return width * JITTER_GRID
