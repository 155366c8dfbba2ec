"""What all limits on a figure share: who measured it, for which subjects, with how much power, vouched for by whom.

Rules: the kinds in the neighbouring files add one comparison each (`place`). One level of inheritance: these are
pydantic models, whose fields are the policy file's keys.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from policies.rules.shared import (
    STRICT,
    Blocked,
    ControlName,
    Layer,
    ProbeName,
    RuleId,
    Subject,
    Text,
    describe_control,
    failed_controls,
    failure,
    interval,
    matching,
    missing_controls,
    missing_plants,
    number,
    usable,
)
from release.records import EvidenceSet, Finding, Measured, PrivacyCost, Purpose, Ruling


class FigureRule(BaseModel):
    """A limit on one figure.

    Attributes:
        id: the rule's name in this policy.
        layer: see `Layer`.
        title: what the figure is, in a few words, with its unit.
        figure: which figures.
        max_detectable: where given, the measurement must have been able to see an effect of this size; one that
            says less (or nothing) about its power is unproven.
        vouched_by: probes whose controls must have held; the figure's own probe where empty.
        needs_controls: each of them must have had a planted leak and a null.
        planted: planted leaks, by name, that must be among theirs: where a probe has several figures, another figure's
            plant says nothing of this one.
        max_p: a planted leak counts as caught at this p-value or below.
        waivable: whether a signed waiver may stand in. Refused for the privacy layer.
    """

    model_config = STRICT

    id: RuleId
    layer: Layer
    title: Text
    figure: Subject
    max_detectable: Annotated[float, Field(gt=0)] | None = None
    vouched_by: tuple[ProbeName, ...] = ()
    needs_controls: bool = True
    planted: tuple[ControlName, ...] = ()
    max_p: Annotated[float, Field(gt=0, le=0.05)] = 0.01
    waivable: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.waivable and self.layer is Layer.PRIVACY:
            raise ValueError("a rule of the privacy layer cannot be waived; remove `waivable`")
        if self.planted and not self.needs_controls:
            raise ValueError("`planted` names controls and `needs_controls` is false; remove one of them")
        return self

    @property
    @abstractmethod
    def limit_text(self) -> str:
        """The limit in words with its unit."""

    @abstractmethod
    def place(self, value: Measured) -> Ruling:
        """Where the interval lies with respect to the limit."""

    def judge(
        self, evidence: EvidenceSet, claim: PrivacyCost | None, purpose: Purpose
    ) -> tuple[Finding, ...]:
        """One finding per subject, at least one."""
        del claim, purpose  # a figure's limit depends on neither
        return tuple(self._findings(evidence))

    def why(self, ruling: Ruling, value: Measured) -> str:
        """The reason for a ruling of `place`, in words."""
        match ruling:
            case Ruling.MET:
                return f"the whole interval {interval(value)} is inside"
            case Ruling.BROKEN:
                return f"the whole interval {interval(value)} is outside"
            case _:
                return (
                    f"the interval {interval(value)} straddles the limit; "
                    f"more units than {value.trials:,} would narrow it"
                )

    def _findings(self, evidence: EvidenceSet) -> Iterator[Finding]:
        expected, failed = self._expected(evidence), failure(evidence, self.figure.probe)
        if isinstance(expected, Blocked):
            yield self._finding("", expected.ruling, expected.reason, None)
            return
        found = 0
        for pattern in self.figure.subjects:
            matches = matching(evidence, self.figure.probe, self.figure.metric, pattern, self.figure.besides)
            found += len(matches)
            if not matches and expected is None:
                matches = {pattern: []}
            for subject, items in matches.items():
                yield self._one(evidence, subject, usable(items, self._name(subject), failed))
        if expected == 0 == found:
            yield self._finding("", Ruling.MET, "the schema declares nothing that this would speak of", None)
        elif expected not in {None, found}:
            reason = f"{found} figures of {self._name('')} stand in the evidence, {expected} were expected"
            yield self._finding("", Ruling.INVALID, reason, None)

    def _one(self, evidence: EvidenceSet, subject: str, figure: Measured | Blocked) -> Finding:
        vouching = self.vouched_by or (self.figure.probe,)
        failed = failed_controls(evidence, vouching, self.max_p)
        if failed:
            missed = "; ".join(describe_control(control) for control in failed)
            value = figure if isinstance(figure, Measured) else None
            return self._finding(subject, Ruling.INVALID, f"{missed}: the measurement says nothing", value)
        if isinstance(figure, Blocked):
            return self._finding(subject, figure.ruling, figure.reason, None)
        ruling = self.place(figure)
        if ruling is Ruling.MET and (doubt := self._doubt(evidence, vouching, figure)):
            return self._finding(subject, Ruling.UNPROVEN, doubt, figure)
        return self._finding(subject, ruling, self.why(ruling, figure), figure)

    def _doubt(self, evidence: EvidenceSet, vouching: tuple[str, ...], value: Measured) -> str:
        """Why a figure inside its limit still proves nothing; empty where it does."""
        if self.needs_controls and (lacking := missing_controls(evidence, vouching)):
            return f"{', '.join(lacking)} had no planted leak or no null: nothing shows that it could have failed"
        if self.needs_controls and (untried := missing_plants(evidence, vouching, self.planted)):
            leaks = ", ".join(f'"{name}"' for name in untried)
            return (
                f"{', '.join(vouching)} was not put to the planted leak {leaks}: nothing shows that this figure could have "
                "been another; the data may hold too few values of one person alone to plant it with, or the evidence is older: "
                "evaluate again"
            )
        if self.max_detectable is not None and not self._powered(value, self.max_detectable):
            seen = "not stated" if value.detectable is None else number(value.detectable)
            return (
                f"too little power: the smallest detectable effect is {seen}, it must be "
                f"{number(self.max_detectable)} or less; more units than {value.trials:,} are needed"
            )
        return ""

    @staticmethod
    def _powered(value: Measured, largest: float) -> bool:
        return value.detectable is not None and value.detectable <= largest

    def _expected(self, evidence: EvidenceSet) -> int | Blocked | None:
        """How many subjects there must be; None where the policy does not ask; the block where it is unknown."""
        if self.figure.counted_by is None:
            return None
        items = matching(evidence, self.figure.probe, self.figure.counted_by, "").get("", [])
        named = f"{self.figure.probe}.{self.figure.counted_by}"
        count = usable(items, named, failure(evidence, self.figure.probe))
        return count if isinstance(count, Blocked) else int(count.estimate)

    def _name(self, subject: str) -> str:
        of = f' of "{subject}"' if subject else ""
        return f"{self.figure.probe}.{self.figure.metric}{of}"

    def _finding(self, subject: str, ruling: Ruling, reason: str, value: Measured | None) -> Finding:
        return Finding(
            rule=self.id,
            subject=subject,
            ruling=ruling,
            value=value,
            limit=f"{self.title}: {self.limit_text}",
            reason=reason,
            waivable=self.waivable,
        )
