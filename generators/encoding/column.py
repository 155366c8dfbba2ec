"""What every planned column offers: the seam between the kinds of column and the whole encoding.

Rules: a plan reads the data only in `fit`, only through noised counts, and only within its `events`; the code that
comes of it is post-processing.
"""

from __future__ import annotations

from typing import Any, Protocol

from generators.encoding.coded import CodedCode
from generators.encoding.numeric import NumericCode
from release.data.schema import ColumnSpec
from release.data.table import Column
from release.protocols import NoiseSource
from release.records import DpEvent


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

    @property
    def most_levels(self) -> int:
        """More levels than this cannot come out."""
        ...

    def fit(self, column: Column, noise: NoiseSource) -> CodedCode | NumericCode:
        """Measure, and build the code from what was measured."""
        ...
