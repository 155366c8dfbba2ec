"""`sweep`: for the named purposes a ratio sweep (quality.md) must be on file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from policies.rules.shared import EVERY, STRICT, Blocked, ProbeName, RuleId, Text, matching, usable
from release.records import EvidenceSet, Finding, Measured, PrivacyCost, Purpose, Ruling


class SweepOnFile(BaseModel):
    """A measured recommended share of synthetic rows, for at least one target, where the purpose asks for it.

    Attributes:
        id: the rule's name in this policy.
        title: in a few words.
        purposes: for which purposes of a request.
        probe: who measured it.
        metric: its figure: the recommended share, subject = target.
    """

    model_config = STRICT

    kind: Literal["sweep"]
    id: RuleId
    title: Text = "ratio sweep"
    purposes: Annotated[tuple[Purpose, ...], Field(min_length=1)]
    probe: ProbeName = "ratio_sweep"
    metric: ProbeName = "recommended_share"

    def judge(
        self, evidence: EvidenceSet, claim: PrivacyCost | None, purpose: Purpose
    ) -> tuple[Finding, ...]:
        """One finding per swept target; one where there is none, or where the purpose does not ask for it."""
        del claim
        if purpose not in self.purposes:
            return (self._finding("", Ruling.MET, f"not asked for where the purpose is {purpose}", None),)
        name = f"{self.probe}.{self.metric}"
        swept = matching(evidence, self.probe, self.metric, EVERY) or {"": []}
        return tuple(self._one(target, usable(items, name)) for target, items in swept.items())

    def _one(self, target: str, figure: Measured | Blocked) -> Finding:
        if isinstance(figure, Blocked):
            return self._finding(target, figure.ruling, f"{figure.reason}; run `sluice release sweep`", None)
        return self._finding(target, Ruling.MET, "on file", figure)

    def _finding(self, subject: str, ruling: Ruling, reason: str, value: Measured | None) -> Finding:
        return Finding(
            rule=self.id,
            subject=subject,
            ruling=ruling,
            value=value,
            limit=f"{self.title}: on file for {', '.join(self.purposes)}",
            reason=reason,
        )
