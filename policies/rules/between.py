"""`between`: both ends of the interval must lie inside two limits, both inclusive."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from policies.rules.figure import FigureRule
from policies.rules.shared import number
from release.records import Measured, Ruling


class Between(FigureRule):
    """Met where lower ≤ low and high ≤ upper; broken where the interval lies wholly outside; else unproven."""

    kind: Literal["between"]
    lower: float
    upper: float

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.lower > self.upper:
            raise ValueError(f"lower {self.lower} is above upper {self.upper}; exchange them")
        return self

    @property
    def limit_text(self) -> str:
        return f"between {number(self.lower)} and {number(self.upper)}"

    def place(self, value: Measured) -> Ruling:
        if value.low >= self.lower and value.high <= self.upper:
            return Ruling.MET
        outside = value.low > self.upper or value.high < self.lower
        return Ruling.BROKEN if outside else Ruling.UNPROVEN
