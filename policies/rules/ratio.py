"""`ratio`: synthetic over real must stay near 1, within limits that lie on either side of 1.

It differs from `between` in what it refuses: limits that do not contain 1 (a swapped or mistyped number would let
nothing, or the wrong thing, through), and a figure that no ratio of rates can be (negative).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from policies.rules.figure import FigureRule
from policies.rules.shared import number
from release.records import Measured, Ruling


class Ratio(FigureRule):
    """Met where lower ≤ low and high ≤ upper; broken where the interval lies wholly outside; else unproven.

    A figure below 0 is no ratio of rates: invalid.
    """

    kind: Literal["ratio"]
    lower: Annotated[float, Field(gt=0, le=1)]
    upper: Annotated[float, Field(ge=1)]

    @property
    def limit_text(self) -> str:
        return f"between {number(self.lower)} and {number(self.upper)} times the real rate"

    def place(self, value: Measured) -> Ruling:
        if value.low < 0.0:
            return Ruling.INVALID
        if value.low >= self.lower and value.high <= self.upper:
            return Ruling.MET
        outside = value.low > self.upper or value.high < self.lower
        return Ruling.BROKEN if outside else Ruling.UNPROVEN

    def why(self, ruling: Ruling, value: Measured) -> str:
        if ruling is Ruling.INVALID:
            return f"{number(value.low)} is below 0, which no ratio of rates can be"
        return FigureRule.why(self, ruling, value)
