"""Tables as small integer codes, for counting.

Rules: the first table (the real training data) sets the cells and so nothing made here may leave; each kind of missing
is a cell of its own; a numeric value that at least one row in twenty has gets its own cell, the rest is cut at
quantiles; the levels of a coded column are all levels that any of the tables has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from release.data.schema import ColumnKind, ColumnSpec
from release.data.table import Column, Table

CodeArray = npt.NDArray[np.int32]

NUMERIC_BINS = 10
"""Quantile cells of a numeric column without repeated values."""
ATOM_SHARE = 0.05
"""A value that at least this share of the present rows has is a cell of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Several tables on the same cells.

    Attributes:
        names: the columns.
        sizes: number of cells per column.
        codes: per table, per column: (n,) int32 in 0 … size - 1.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    codes: tuple[tuple[CodeArray, ...], ...]

    def coarse(self, limit: int) -> Grid:
        """The same with at most `limit` cells a column: the cells that are rarest in the first table are merged."""
        sizes, columns = [], []
        for place, size in enumerate(self.sizes):
            column = [table[place] for table in self.codes]
            if size > limit:
                counts = np.bincount(column[0], minlength=size)
                keep = np.argsort(-counts, kind="stable")[: limit - 1]
                mapping = np.full(size, limit - 1, dtype=np.int32)
                mapping[keep] = np.arange(limit - 1, dtype=np.int32)
                column = [mapping[codes] for codes in column]
            sizes.append(min(size, limit))
            columns.append(column)
        tables = tuple(tuple(column[t] for column in columns) for t in range(len(self.codes)))
        return Grid(self.names, tuple(sizes), tables)


def lay_grid(tables: Sequence[Table]) -> Grid:
    """The grid of the tables' released columns, cut by the first one. Tables share a schema."""
    sizes, columns = [], []
    for spec in tables[0].schema.released:
        size, codes = _cells(spec, [table[spec.name] for table in tables])
        sizes.append(size)
        columns.append(codes)
    names = tuple(spec.name for spec in tables[0].schema.released)
    by_table = tuple(tuple(column[t] for column in columns) for t in range(len(tables)))
    return Grid(names, tuple(sizes), by_table)


def _cells(spec: ColumnSpec, columns: Sequence[Column]) -> tuple[int, list[CodeArray]]:
    kinds = 1 + max(int(column.missing.max(initial=0)) for column in columns)
    if spec.kind.coded:
        levels = tuple(dict.fromkeys(level for column in columns for level in column.levels))
        place = {level: code for code, level in enumerate(levels)}
        size = len(levels)
        found = [
            np.array([*(place[level] for level in column.levels), 0], dtype=np.int32)[
                column.values.astype(np.int64)
            ]
            for column in columns
        ]
    else:
        first = columns[0]
        present = first.values[first.present].astype(np.float64)
        cuts = numeric_cuts(present, whole=spec.kind is not ColumnKind.REAL)
        size = len(cuts) + 1
        found = [np.searchsorted(cuts, column.values, side="left").astype(np.int32) for column in columns]
    codes = [
        np.where(column.missing == 0, inside, size - 1 + column.missing).astype(np.int32)
        for column, inside in zip(columns, found, strict=True)
    ]
    return size + kinds - 1, codes


def numeric_cuts(
    values: npt.NDArray[np.float64], *, whole: bool, bins: int = NUMERIC_BINS
) -> npt.NDArray[np.float64]:
    """Increasing cut points; cell k is cuts[k-1] < value ≤ cuts[k]. Heavy values stand alone in their cell.

    `whole` says that the values are whole numbers, so that no cell is laid between neighbours.
    """
    if not len(values):
        return np.empty(0)
    unique, counts = np.unique(values, return_counts=True)
    heavy = counts >= ATOM_SHARE * len(values)
    atoms = unique[heavy]
    rest = np.repeat(unique[~heavy], counts[~heavy])
    cuts = [atoms, atoms - 1 if whole else np.nextafter(atoms, -np.inf)]
    if len(rest):
        wanted = max(3, round(bins * len(rest) / len(values)))
        cuts.append(np.quantile(rest, np.arange(1, wanted) / wanted, method="inverted_cdf"))
    return np.asarray(np.unique(np.concatenate(cuts)))
