"""`claim`: the privacy cost that the plan claims must be stated in full and lie within the tier's limits.

Under a covered gate the claim contains the selection's events; the judge takes the claim as it stands in the candidate.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from policies.rules.shared import STRICT, RuleId, Text, number
from release.records import Adjacency, EvidenceSet, Finding, Measured, PrivacyCost, Purpose, Ruling


class Claim(BaseModel):
    """ε and δ at most as given, with unit, contribution bound, adjacency and events. No claim (ε = ∞) is broken.

    Attributes:
        id: the rule's name in this policy.
        title: in a few words.
        max_epsilon: largest claimed ε.
        max_delta: largest claimed δ.
    """

    model_config = STRICT

    kind: Literal["claim"]
    id: RuleId
    title: Text = "claimed privacy cost"
    max_epsilon: Annotated[float, Field(gt=0)]
    max_delta: Annotated[float, Field(gt=0, le=1e-6)]

    def judge(
        self, evidence: EvidenceSet, claim: PrivacyCost | None, purpose: Purpose
    ) -> tuple[Finding, ...]:
        """Findings for "epsilon", "delta" and "statement"; one for the whole where there is no claim."""
        del evidence, purpose  # the claim alone decides
        if claim is None:
            return (
                self._finding(
                    "", Ruling.BROKEN, f"ε at most {number(self.max_epsilon)}", "nothing is claimed: ε is ∞"
                ),
            )
        return (
            self._bounded("epsilon", "ε", claim.epsilon, self.max_epsilon),
            self._bounded("delta", "δ", claim.delta, self.max_delta),
            self._statement(claim),
        )

    def _bounded(self, subject: str, letter: str, value: float, limit: float) -> Finding:
        text = f"{letter} at most {number(limit)}"
        if not 0.0 <= value < float("inf"):
            return self._finding(subject, Ruling.BROKEN, text, f"{letter} = {value} is not a finite cost")
        figure = Measured(estimate=value, low=value, high=value, trials=1)
        if value <= limit:
            return self._finding(subject, Ruling.MET, text, f"{letter} = {number(value)}", figure)
        reason = f"{letter} = {number(value)} is claimed; plan with less, or ask for another tier"
        return self._finding(subject, Ruling.BROKEN, text, reason, figure)

    def _statement(self, claim: PrivacyCost) -> Finding:
        text = "unit, contribution bound, adjacency and events stated"
        lacking = [
            name
            for name, stated in (
                ("unit", bool(claim.unit.strip())),
                ("contribution bound", claim.max_rows_per_unit >= 1),
                ("adjacency", claim.adjacency is Adjacency.ADD_REMOVE_UNIT),
                ("events", bool(claim.events)),
            )
            if not stated
        ]
        if lacking:
            return self._finding(
                "statement", Ruling.BROKEN, text, f"the claim does not state its {', '.join(lacking)}"
            )
        reason = (
            f"per {claim.unit} with at most {claim.max_rows_per_unit} rows, {claim.adjacency}, "
            f"{len(claim.events)} events composed by {claim.accountant}"
        )
        return self._finding("statement", Ruling.MET, text, reason)

    def _finding(
        self, subject: str, ruling: Ruling, limit: str, reason: str, value: Measured | None = None
    ) -> Finding:
        return Finding(
            rule=self.id,
            subject=subject,
            ruling=ruling,
            value=value,
            limit=f"{self.title}: {limit}",
            reason=reason,
        )
