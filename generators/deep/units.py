"""Rows by privacy unit, and Poisson-sampled batches of units, exactly as accounted.

All rows of a unit, up to the contribution bound, enter a batch together; each unit enters each step by an independent coin. How a step's units are
dealt into parts depends on how many rows they have; no sum does, since places that a unit does not fill add nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from generators.deep.randomness import Randomness

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class UnitBatch:
    """Some units of a step.

    Attributes:
        rows: row numbers, shape (units, places); places that a unit does not fill hold its first row, never another unit's.
        present: whether a place is filled, shape (units, places).
    """

    rows: IntArray
    present: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        """Number of units."""
        return len(self.rows)


class UnitRows:
    """The private index of rows by unit.

    Args:
        units: each row's unit, shape (rows,).
        max_rows: the contribution bound; further rows of a unit are never used.
    """

    def __init__(self, units: IntArray, max_rows: int) -> None:
        order = np.argsort(units, kind="stable")
        _, start, length = np.unique(units[order], return_index=True, return_counts=True)
        self._order, self._start = order, start
        self._length = np.minimum(length, max_rows)

    def __len__(self) -> int:
        """Number of units: private, for drawing coins only."""
        return len(self._start)

    def batches(self, randomness: Randomness, rate: float, most: int) -> Iterator[UnitBatch]:
        """One Poisson sample, in parts of at most `most` places (a unit that has more rows is one by itself); none where nobody was drawn.

        Units of few rows come first, so that parts have few places that nobody fills.
        """
        chosen = np.flatnonzero(randomness.coins(len(self), rate))
        chosen = chosen[np.argsort(self._length[chosen], kind="stable")]
        while len(chosen):
            places = self._length[chosen] * np.arange(1, len(chosen) + 1)
            units = max(1, int(np.searchsorted(places, most, side="right")))
            yield self._batch(chosen[:units])
            chosen = chosen[units:]

    def _batch(self, units: IntArray) -> UnitBatch:
        length = self._length[units][:, None]
        places = np.arange(int(length.max()))
        present = places < length
        rows = self._order[self._start[units][:, None] + np.where(present, places, 0)]
        return UnitBatch(np.asarray(rows, dtype=np.int64), present)
