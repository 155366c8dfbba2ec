"""`empirical-epsilon`: what an audit proved about ε from below must not exceed what is claimed from above.

Where it does, the generator is broken, whatever else was measured (attacks.md, Reporting).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from policies.rules.shared import (
    STRICT,
    Blocked,
    ProbeName,
    RuleId,
    Text,
    describe_control,
    failed_controls,
    failure,
    matching,
    missing_controls,
    number,
    usable,
)
from release.records import EvidenceSet, Finding, Measured, PrivacyCost, Purpose, Ruling


class EmpiricalEpsilon(BaseModel):
    """Broken where the 95 % lower bound on ε is above the claim. Never met without a claim to hold it against.

    Attributes:
        id: the rule's name in this policy.
        title: in a few words.
        probe: which audit.
        metric: its figure.
        needs_controls: the audit must have had a planted leak and a null.
        max_p: a planted leak counts as caught at this p-value or below.
    """

    model_config = STRICT

    kind: Literal["empirical-epsilon"]
    id: RuleId
    title: Text = "empirical lower bound on ε"
    probe: ProbeName = "one_run_epsilon"
    metric: ProbeName = "epsilon_lower_bound"
    needs_controls: bool = True
    max_p: Annotated[float, Field(gt=0, le=0.05)] = 0.01

    def judge(
        self, evidence: EvidenceSet, claim: PrivacyCost | None, purpose: Purpose
    ) -> tuple[Finding, ...]:
        """One finding."""
        del purpose
        items = matching(evidence, self.probe, self.metric, "").get("", [])
        figure = usable(items, f"{self.probe}.{self.metric}", failure(evidence, self.probe))
        value = figure if isinstance(figure, Measured) else None
        ruling, reason = self._ruling(evidence, figure, claim)
        limit = (
            "no claim to hold it against"
            if claim is None
            else f"at most the claim, ε = {number(claim.epsilon)}"
        )
        return (
            Finding(
                rule=self.id,
                subject="",
                ruling=ruling,
                value=value,
                limit=f"{self.title}: {limit}",
                reason=reason,
            ),
        )

    def _ruling(
        self, evidence: EvidenceSet, figure: Measured | Blocked, claim: PrivacyCost | None
    ) -> tuple[Ruling, str]:
        if claim is None:
            return Ruling.BROKEN, "nothing is claimed: ε is ∞"
        if isinstance(figure, Measured) and not figure.low <= claim.epsilon:
            # First of all, even before the controls: this overrides everything.
            return Ruling.BROKEN, (
                f"the audit proves ε ≥ {number(figure.low)} at 95 %, more than is claimed: "
                "the generator is broken; withdraw it"
            )
        failed = failed_controls(evidence, (self.probe,), self.max_p)
        if failed:
            return Ruling.INVALID, "; ".join(describe_control(control) for control in failed)
        if isinstance(figure, Blocked):
            return figure.ruling, figure.reason
        if self.needs_controls and missing_controls(evidence, (self.probe,)):
            return Ruling.UNPROVEN, (
                f"{self.probe} had no planted leak or no null: nothing shows that it could have failed"
            )
        proved = f"the audit proves ε ≥ {number(figure.low)} at 95 %, within the claim"
        if figure.detectable is None:
            return Ruling.MET, proved
        # A claim above that is out of this audit's reach, and met all the same: other rules limit what attacks find.
        return (
            Ruling.MET,
            f"{proved}; with so many units it could have proved ε ≥ {number(figure.detectable)} at most",
        )
