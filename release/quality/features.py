"""Tables as matrices for models.

Rules: the encoding is fixed by the schema and the levels of the tables given, never by the outcome; missing is a level of
its own for coded columns, and NaN (trees) or the median with an indicator (linear models) for numeric ones; scaling
uses the rows the model is trained on. Nothing made here leaves the workspace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from release.data.schema import ColumnKind, ColumnSpec
from release.data.table import Table

FloatArray = npt.NDArray[np.float64]
MOST_LEVELS = 50
"""Levels of a coded column in a model; the rarest in the first table are merged."""


@dataclass(frozen=True, slots=True, eq=False)
class _Axis:
    name: str
    coded: bool
    ordered: bool
    mapping: tuple[tuple[str, int], ...] = ()
    size: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """How tables of one schema become matrices. Made by `lay_encoding`."""

    axes: tuple[_Axis, ...]

    def trees(self, table: Table) -> FloatArray:
        """Shape (n, columns): codes and numbers as they are, missing as NaN."""
        return np.column_stack([_tree_column(axis, table) for axis in self.axes]).astype(np.float64)

    @property
    def categorical(self) -> list[bool]:
        """Which columns of `trees` are unordered codes."""
        return [axis.coded and not axis.ordered for axis in self.axes]

    def linear(self, table: Table, fitted_on: Table) -> FloatArray:
        """Shape (n, k): one-hot codes; numbers (and their missing indicators) scaled as on `fitted_on`."""
        blocks: list[FloatArray] = []
        for axis in self.axes:
            values = _tree_column(axis, table)
            if axis.coded:
                codes = np.where(np.isnan(values), axis.size, values).astype(np.int64)
                blocks.append(np.eye(axis.size + 1)[codes])
                continue
            base = _tree_column(axis, fitted_on)
            base = base[~np.isnan(base)]
            middle, scale = (float(np.median(base)), float(np.std(base))) if len(base) else (0.0, 0.0)
            gone = np.isnan(values)
            filled = (np.where(gone, middle, values) - middle) / (scale if scale > 0 else 1.0)
            blocks.append(np.column_stack([np.clip(filled, -20.0, 20.0), gone.astype(np.float64)]))
        return np.hstack(blocks)

    def names_linear(self) -> tuple[str, ...]:
        """Names of the columns of `linear`; those of codes are "column=level number"."""
        names: list[str] = []
        for axis in self.axes:
            if axis.coded:
                names += [f"{axis.name}={code}" for code in range(axis.size + 1)]
            else:
                names += [axis.name, f"{axis.name} missing"]
        return tuple(names)


def trainable(matrix: FloatArray) -> FloatArray:
    """The matrix of `Encoding.trees` with columns that are missing in every row set to 0: they carry nothing, and trees refuse them."""
    empty = np.isnan(matrix).all(axis=0)
    return np.where(empty, 0.0, matrix) if empty.any() else matrix


def lay_encoding(tables: Sequence[Table], features: Sequence[str]) -> Encoding:
    """The encoding of these columns for all the tables; rare levels are merged by the first table's counts."""
    return Encoding(tuple(_axis(tables[0].schema.column(name), tables) for name in features))


def _axis(spec: ColumnSpec, tables: Sequence[Table]) -> _Axis:
    if not spec.kind.coded:
        return _Axis(spec.name, coded=False, ordered=True)
    levels = tuple(dict.fromkeys(level for table in tables for level in table[spec.name].levels))
    ordered = spec.kind is ColumnKind.ORDINAL
    if len(levels) <= MOST_LEVELS or ordered:
        mapping = {level: code for code, level in enumerate(levels)}
        return _Axis(spec.name, True, ordered, tuple(mapping.items()), max(len(levels), 1))
    first = tables[0][spec.name]
    counts = np.bincount(first.values[first.present].astype(np.int64), minlength=len(first.levels))
    keep = [first.levels[code] for code in np.argsort(-counts, kind="stable")[: MOST_LEVELS - 1]]
    place = {level: code for code, level in enumerate(keep)}
    mapping = {level: place.get(level, MOST_LEVELS - 1) for level in levels}
    return _Axis(spec.name, True, ordered, tuple(mapping.items()), MOST_LEVELS)


def _tree_column(axis: _Axis, table: Table) -> FloatArray:
    column = table[axis.name]
    if axis.coded:
        mapping = dict(axis.mapping)
        codes = np.array([*(mapping[level] for level in column.levels), 0], dtype=np.float64)
        values = codes[column.values.astype(np.int64)]
    else:
        values = column.values.astype(np.float64)
    return np.where(column.present, values, np.nan)
