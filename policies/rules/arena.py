"""`arena`: enough members and controls took part for the tier's limits to be provable.

Too few is unproven, never broken: it says nothing bad of the release, only that it cannot be shown to be good.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from policies.rules.shared import STRICT, Blocked, ProbeName, RuleId, Text, failure, matching, usable
from release.records import EvidenceSet, Finding, Measured, PrivacyCost, Purpose, Ruling


class ArenaSize(BaseModel):
    """At least so many units on either side of the secret split.

    Attributes:
        id: the rule's name in this policy.
        title: in a few words.
        probe: who counted.
        members: smallest number of member units.
        controls: smallest number of control units.
    """

    model_config = STRICT

    kind: Literal["arena"]
    id: RuleId
    title: Text = "size of the arena"
    probe: ProbeName = "arena"
    members: Annotated[int, Field(ge=1)]
    controls: Annotated[int, Field(ge=1)]

    def judge(
        self, evidence: EvidenceSet, claim: PrivacyCost | None, purpose: Purpose
    ) -> tuple[Finding, ...]:
        """Findings for "members" and "controls"."""
        del claim, purpose
        return (
            self._one(evidence, "members", self.members),
            self._one(evidence, "controls", self.controls),
        )

    def _one(self, evidence: EvidenceSet, side: str, needed: int) -> Finding:
        items = matching(evidence, self.probe, side, "").get("", [])
        figure = usable(items, f"{self.probe}.{side}", failure(evidence, self.probe))
        if isinstance(figure, Blocked):
            ruling, reason, value = figure.ruling, figure.reason, None
        elif figure.low >= needed:
            ruling, reason, value = Ruling.MET, f"{figure.low:,.0f} units took part", figure
        else:
            ruling, value = Ruling.UNPROVEN, figure
            reason = f"{figure.low:,.0f} units took part, {needed:,} are needed; bring more units"
        return self._finding(side, ruling, f"at least {needed:,} {side}", reason, value)

    def _finding(self, side: str, ruling: Ruling, limit: str, reason: str, value: Measured | None) -> Finding:
        return Finding(
            rule=self.id,
            subject=side,
            ruling=ruling,
            value=value,
            limit=f"{self.title}: {limit}",
            reason=reason,
        )
