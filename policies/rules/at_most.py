"""`at-most`: the pessimistic (upper) end of the interval must not pass the limit."""

from __future__ import annotations

from typing import Literal

from policies.rules.figure import FigureRule
from policies.rules.shared import number
from release.records import Measured, Ruling


class AtMost(FigureRule):
    """Met where high ≤ limit; broken where low > limit; else unproven."""

    kind: Literal["at-most"]
    limit: float

    @property
    def limit_text(self) -> str:
        return f"at most {number(self.limit)}"

    def place(self, value: Measured) -> Ruling:
        if value.high <= self.limit:
            return Ruling.MET
        return Ruling.BROKEN if value.low > self.limit else Ruling.UNPROVEN
