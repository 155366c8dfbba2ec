"""`measured`: the figure must be there, whatever it is (quality.md writes "shown")."""

from __future__ import annotations

from typing import Literal

from policies.rules.figure import FigureRule
from policies.rules.shared import interval
from release.records import Measured, Ruling


class MustBeMeasured(FigureRule):
    """Met by any figure; unproven where there is none."""

    kind: Literal["measured"]

    @property
    def limit_text(self) -> str:
        return "shown, without a limit"

    def place(self, value: Measured) -> Ruling:
        del value  # any figure will do
        return Ruling.MET

    def why(self, ruling: Ruling, value: Measured) -> str:
        del ruling  # always met
        return f"measured: {interval(value)}"
