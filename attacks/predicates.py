"""Predicates over a table's codes: conjunctions that hold for exactly one unit of it.

Univariate ones are unique values and the ends of one column; multivariate ones are conjunctions over 3, 5, 8 or half of the
columns of a random row (in a large release three columns isolate hardly anybody), numbers as "at least" above the median and "at
most" below (the query generators of anonymeter, 2211.10459). Nothing here knows of members or controls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from attacks.distances import in_threads
from attacks.encoding import I32, I64, Encoded

Bool = npt.NDArray[np.bool_]

WIDTHS = (3, 5, 8)
"""Columns of a multivariate predicate, each for a part of the predicates, beside half of all columns."""
BATCH = 4_000
FEWEST_BATCHES = 3
MOST_BATCHES = 25


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """Conjunctions of conditions low ≤ code ≤ high.

    Attributes:
        columns: (q, c), -1 where a query has fewer conditions. lows, highs: (q, c).
    """

    columns: I64
    lows: I32
    highs: I32

    def __len__(self) -> int:
        return len(self.columns)

    def take(self, which: npt.NDArray[np.generic]) -> Queries:
        """Those given by indices or a mask."""
        return Queries(self.columns[which], self.lows[which], self.highs[which])

    def joined(self, other: Queries) -> Queries:
        """Both, each different query once, in order of first appearance."""
        columns = np.concatenate([self.columns, other.columns])
        lows, highs = np.concatenate([self.lows, other.lows]), np.concatenate([self.highs, other.highs])
        key = np.concatenate([columns, lows, highs], axis=1)
        first = np.sort(np.unique(key, axis=0, return_index=True)[1]) if len(key) else np.zeros(0, np.intp)
        return Queries(columns[first], lows[first], highs[first])

    def singled_out(self, table: SortedTable) -> Bool:
        """(q,) True where exactly one unit of the table has a row that fits."""
        return np.asarray(self.whom(table) >= 0)

    def whom(self, table: SortedTable) -> I64:
        """(q,) the one unit of the table that has a row that fits; -1 where none or several have."""
        from attacks import kernels

        who = np.full(len(self), -1, np.int64)

        def part(start: int, stop: int) -> None:
            kernels.only_unit(
                table.rows.codes,
                table.rows.units,
                table.order,
                table.ordered,
                self.columns[start:stop],
                self.lows[start:stop],
                self.highs[start:stop],
                who[start:stop],
            )

        in_threads(len(self), part)
        return who


@dataclass(frozen=True, slots=True, eq=False)
class SortedTable:
    """A table with each column's rows in the order of its codes.

    Attributes:
        rows: the table. order: (d, n) row numbers. ordered: (d, n) sorted codes.
    """

    rows: Encoded
    order: I32
    ordered: I32

    @classmethod
    def of(cls, rows: Encoded) -> SortedTable:
        """Sort every column."""
        order = np.argsort(rows.codes, axis=1, kind="stable").astype(np.int32)
        return cls(rows, order, np.take_along_axis(rows.codes, order, axis=1))


def univariate(table: SortedTable, missing_from: I64, ends: Bool) -> Queries:
    """Conditions on one column that single out in the table: unique values, and both ends of the columns marked in `ends` (d,)."""
    columns, lows, highs = [], [], []
    for column, codes in enumerate(table.rows.codes):
        values, counts = np.unique(codes, return_counts=True)
        for value in values[counts == 1].tolist():
            columns.append(column)
            lows.append(value)
            highs.append(value)
        present = values[values < missing_from[column]]
        if ends[column] and len(present):
            columns.extend([column, column])
            lows.extend([0, int(present[-1])])
            highs.extend([int(present[0]), int(missing_from[column]) - 1])
    made = Queries(
        np.array(columns, np.int64).reshape(-1, 1),
        np.array(lows, np.int32).reshape(-1, 1),
        np.array(highs, np.int32).reshape(-1, 1),
    )
    return made.take(made.singled_out(table))


def multivariate(
    table: SortedTable,
    missing_from: I64,
    numeric: Bool,
    wanted: int,
    rng: np.random.Generator,
    widths: tuple[int, ...] | None = None,
) -> Queries:
    """Up to `wanted` conjunctions over so many columns of random rows that single out in the table."""
    d, n = table.rows.codes.shape
    usable = (*WIDTHS, d // 2) if widths is None else widths
    width = min(max(usable), d)
    made = Queries(
        np.zeros((0, width), np.int64), np.zeros((0, width), np.int32), np.zeros((0, width), np.int32)
    )
    medians = np.array(
        [
            np.median(codes[codes < end]) if is_number and (codes < end).any() else 0.0
            for codes, end, is_number in zip(table.rows.codes, missing_from, numeric, strict=True)
        ]
    )
    for done in range(1, MOST_BATCHES + 1):
        rows = rng.integers(n, size=BATCH)
        columns = np.sort(np.argsort(rng.random((BATCH, d)), axis=1)[:, :width], axis=1)
        # Shorter predicates keep a random part of their columns, which come first; -1 stands for no condition.
        keep = np.minimum(rng.choice(usable, size=BATCH), width)[:, None] > np.argsort(
            rng.random((BATCH, width)), axis=1
        )
        first = np.argsort(~keep, axis=1, kind="stable")
        columns, keep = np.take_along_axis(columns, first, 1), np.take_along_axis(keep, first, 1)
        codes = table.rows.codes[columns, rows[:, None]]
        ranged = numeric[columns] & (codes < missing_from[columns])
        above = codes > medians[columns]
        batch = Queries(
            np.where(keep, columns, -1).astype(np.int64),
            np.where(keep, np.where(ranged & ~above, 0, codes), 0).astype(np.int32),
            np.where(keep, np.where(ranged & above, missing_from[columns] - 1, codes), 0).astype(np.int32),
        )
        made = made.joined(batch.take(batch.singled_out(table)))
        hopeless = done >= FEWEST_BATCHES and len(made) / done < wanted / MOST_BATCHES / 10
        if len(made) >= wanted or hopeless:
            break
    return made.take(np.arange(min(len(made), wanted)))
