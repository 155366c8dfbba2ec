"""`at-least`: the pessimistic (lower) end of the interval must reach the limit."""

from __future__ import annotations

from typing import Literal

from policies.rules.figure import FigureRule
from policies.rules.shared import number
from release.records import Measured, Ruling


class AtLeast(FigureRule):
    """Met where low ≥ limit; broken where high < limit; else unproven."""

    kind: Literal["at-least"]
    limit: float

    @property
    def limit_text(self) -> str:
        return f"at least {number(self.limit)}"

    def place(self, value: Measured) -> Ruling:
        if value.low >= self.limit:
            return Ruling.MET
        return Ruling.BROKEN if value.high < self.limit else Ruling.UNPROVEN
