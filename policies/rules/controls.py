"""`controls`: the named probes were put to the test on this very candidate, and every control that ran held.

A missed planted leak or a flagged null of any probe, named or not, is invalid: one missed control makes the suite
invalid (attacks.md), and that probe's own rules too. A named probe without controls is unproven.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from policies.rules.shared import (
    STRICT,
    ProbeName,
    RuleId,
    Text,
    describe_control,
    failed_controls,
    missing_controls,
)
from release.records import ControlKind, EvidenceSet, Finding, PrivacyCost, Purpose, Ruling


class ControlsHeld(BaseModel):
    """Every control held, and every named probe had at least one planted leak and one null.

    Attributes:
        id: the rule's name in this policy.
        title: in a few words.
        probes: which probes must have been put to the test.
        max_p: a planted leak counts as caught at this p-value or below.
    """

    model_config = STRICT

    kind: Literal["controls"]
    id: RuleId
    title: Text = "positive and null controls"
    probes: Annotated[tuple[ProbeName, ...], Field(min_length=1)]
    max_p: Annotated[float, Field(gt=0, le=0.05)] = 0.01

    def judge(
        self, evidence: EvidenceSet, claim: PrivacyCost | None, purpose: Purpose
    ) -> tuple[Finding, ...]:
        """One finding per probe that is named or has controls, by name."""
        del claim, purpose
        tested = {control.probe for control in evidence.controls}
        return tuple(self._one(evidence, probe) for probe in sorted(tested.union(self.probes)))

    def _one(self, evidence: EvidenceSet, probe: str) -> Finding:
        ruling, reason = self._ruling(evidence, probe)
        return Finding(
            rule=self.id,
            subject=probe,
            ruling=ruling,
            value=None,
            limit=f"{self.title}: every planted leak caught (p ≤ {self.max_p:g}), no null flagged",
            reason=reason,
        )

    def _ruling(self, evidence: EvidenceSet, probe: str) -> tuple[Ruling, str]:
        failed = failed_controls(evidence, (probe,), self.max_p)
        if failed:
            return Ruling.INVALID, "; ".join(describe_control(control) for control in failed)
        if missing_controls(evidence, (probe,)):
            return Ruling.UNPROVEN, f"{probe} was not put to the test: it lacks a planted leak or a null"
        own = [control for control in evidence.controls if control.probe == probe]
        plants = sum(control.kind is ControlKind.PLANTED_LEAK for control in own)
        return Ruling.MET, f"{plants} planted leaks caught, {len(own) - plants} nulls left alone"
