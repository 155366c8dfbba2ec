"""What every encoded column offers: the seam between the kinds of column and the whole encoding.

Rules: a `ColumnPlan` reads the data only in `fit`, only through noised counts, and only within its `events`; a
`ColumnCode` is what came of it: post-processing, public but for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from release.data.schema import ColumnSpec
from release.data.table import Column
from release.protocols import NoiseSource
from release.records import DpEvent

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


class ColumnCode(Protocol):
    """One column as a discrete attribute: levels of values first, then one level per kind of missing."""

    @property
    def spec(self) -> ColumnSpec: ...

    @property
    def size(self) -> int:
        """Number of levels, missing kinds included."""
        ...

    def encode(self, column: Column) -> IntArray:
        """The level of each row, shape (n,)."""
        ...

    def decode(self, codes: IntArray, rng: np.random.Generator) -> Column:
        """A column whose rows lie in these levels."""
        ...

    def labels(self) -> tuple[str, ...]:
        """What each level holds, for people."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; arrays apart in `arrays`."""
        ...

    def arrays(self) -> Mapping[str, npt.NDArray[np.generic]]: ...


class ColumnPlan(Protocol):
    """How one column will be encoded, and what that costs."""

    @property
    def spec(self) -> ColumnSpec: ...

    @property
    def events(self) -> tuple[DpEvent, ...]:
        """What it will run; empty where everything is public."""
        ...

    def describe(self) -> dict[str, Any]:
        """For people and digests."""
        ...

    def fit(self, column: Column, noise: NoiseSource) -> ColumnCode:
        """Measure, and build the code from what was measured."""
        ...
