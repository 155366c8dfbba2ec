"""Rows by privacy unit, and Poisson-sampled batches of units, exactly as accounted.

All rows of a unit, up to the contribution bound, enter a batch together; each unit enters each step by an independent coin.
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
        rows: row numbers, shape (units, max_rows); places that a unit does not fill hold its first row, never another unit's.
        present: whether a place is filled, shape (units, max_rows).
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
        length = np.minimum(length, max_rows)
        width = int(max_rows)
        places = np.arange(width)
        self._present = places < length[:, None]
        self._rows = np.asarray(order[start[:, None] + np.where(self._present, places, 0)], dtype=np.int64)

    def __len__(self) -> int:
        """Number of units: private, for drawing coins only."""
        return len(self._rows)

    def batches(self, randomness: Randomness, rate: float, largest: int) -> Iterator[UnitBatch]:
        """One Poisson sample, in parts of at most `largest` units; no part where nobody was drawn."""
        chosen = np.flatnonzero(randomness.coins(len(self), rate))
        for begin in range(0, len(chosen), largest):
            part = chosen[begin : begin + largest]
            yield UnitBatch(self._rows[part], self._present[part])
