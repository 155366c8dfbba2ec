"""Predicates over a table's codes: conjunctions that hold for exactly one unit of it.

Univariate ones are unique values and the ends of one column; multivariate ones are conjunctions over 3, 5, 8 or half of the
columns of a random row (in a large release three columns isolate hardly anybody), numbers as "at least" above the median and "at
most" below (the query generators of anonymeter, 2211.10459). A column of made-up unique values makes every conjunction that
holds it fit one row: without a limit it would take all the room. So each conjunction is put down to its rarest condition's column,
and none has more than its share of them. Nothing here knows of members or controls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from attacks.distances import in_threads, row_hashes
from attacks.encoding import I32, I64, Encoded

Bool = npt.NDArray[np.bool_]

WIDTHS = (3, 5, 8)
"""Columns of a multivariate predicate, each for a part of the predicates, beside half of all columns."""
BATCH = 4_000
FEWEST_BATCHES = 3
MOST_BATCHES = 25
DRY = 8
"""A batch that brings fewer (once there are enough: fewer that others' shares have room for) ends the search."""
LARGEST_SHARE = 1 / 8
"""Of multivariate predicates, those with the rarest condition on one column; 1/d where there are fewer than eight columns."""


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
        key = row_hashes(np.concatenate([columns, lows, highs], axis=1).T)
        first = np.sort(np.unique(key, return_index=True)[1])
        return Queries(columns[first], lows[first], highs[first])

    def singled_out(self, table: SortedTable) -> Bool:
        """(q,) True where exactly one unit of the table has a row that fits."""
        return np.asarray(self.whom(table) >= 0)

    def rarest(self, table: SortedTable) -> I64:
        """(q,) the column whose condition, by itself, the fewest rows of the table meet; the first of them where several do."""
        rows = np.full(self.columns.shape, table.rows.n_rows + 1)  # no condition is never the rarest
        for column, ordered in enumerate(table.ordered):
            here = self.columns == column
            last = np.searchsorted(ordered, self.highs[here], side="right")
            rows[here] = last - np.searchsorted(ordered, self.lows[here])
        return np.take_along_axis(self.columns, rows.argmin(axis=1)[:, None], axis=1)[:, 0]

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


def alike(column: I64, most: int, rng: np.random.Generator) -> I64:
    """So many places, as many of each column as there are, at most alike: a column of unique values does not crowd out the others.

    Args:
        column: (q,) of each place.
        most: places wanted.
        rng: which of a column's.
    """
    order = rng.permutation(len(column))
    own = np.empty(len(column), np.int64)  # the how-manieth of its column
    for one in np.unique(column).tolist():
        places = order[column[order] == one]
        own[places] = np.arange(len(places))
    return np.sort(order[np.argsort(own[order], kind="stable")[:most]])


def multivariate(
    table: SortedTable,
    missing_from: I64,
    numeric: Bool,
    wanted: int,
    rng: np.random.Generator,
    widths: tuple[int, ...] | None = None,
) -> Queries:
    """Up to `wanted` conjunctions over so many columns of random rows that single out in the table.

    No column is the rarest condition's of more than `LARGEST_SHARE` of them, but where the others' are too few.
    """
    d, n = table.rows.codes.shape
    most_each = max(LARGEST_SHARE, 1 / d) * wanted
    usable = (*WIDTHS, max(d // 2, 1)) if widths is None else widths
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
    room, rarest = 0.0, np.zeros(0, np.int64)
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
        known, before = len(made), room
        made = made.joined(batch.take(batch.singled_out(table)))
        rarest = np.concatenate([rarest, made.take(np.arange(known, len(made))).rarest(table)])
        room = float(np.minimum(np.bincount(rarest), most_each).sum())
        gained = room - before if len(made) >= wanted else len(made) - known
        if room >= wanted or (done >= FEWEST_BATCHES and gained < DRY):
            break
    return made.take(alike(rarest, wanted, rng))
