"""`alarm`: broken where even the optimistic (lower) end passes the limit; a measured figure otherwise meets it.

For figures whose interval is too wide to gate on at sensible sizes (attacks.md: the excess risk R of inference, whose
variance grows as r/(1-r)), beside a rule that gates on a steadier one.
"""

from __future__ import annotations

from typing import Literal

from policies.rules.figure import FigureRule
from policies.rules.shared import interval, number
from release.records import Measured, Ruling


class Alarm(FigureRule):
    """Broken where low > limit; met otherwise."""

    kind: Literal["alarm"]
    limit: float

    @property
    def limit_text(self) -> str:
        return f"lower end at most {number(self.limit)}"

    def place(self, value: Measured) -> Ruling:
        return Ruling.BROKEN if value.low > self.limit else Ruling.MET

    def why(self, ruling: Ruling, value: Measured) -> str:
        side = "passes" if ruling is Ruling.BROKEN else "does not pass"
        return f"the lower end of {interval(value)} {side} the limit"
