"""What the kinds of rule share: strict fields, looking evidence up, and the order in which things block.

Rules: evidence is looked up by its key; a key that stands twice makes the finding invalid; nothing found is unproven;
a missed control beats every other ruling. Numbers in reasons are rounded for people, comparisons never are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from release.records import (
    Control,
    ControlKind,
    Evidence,
    EvidenceSet,
    Measured,
    NotMeasured,
    Ruling,
)

STRICT = ConfigDict(frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False)

RuleId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
ProbeName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
Text = Annotated[str, Field(max_length=400)]
ControlName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_/.-]{0,127}$")]

EVERY = "*"
"""As a subject, or at its end: every subject (that begins like this) for which there is evidence; at least one."""


class Layer(StrEnum):
    """Which of the three layers a rule belongs to. Rules of the privacy layer can never be waived."""

    PRIVACY = "privacy"
    FIDELITY = "fidelity"
    UTILITY = "utility"


class Subject(BaseModel):
    """Which figures of one probe a rule speaks of.

    Attributes:
        probe: who measured it.
        metric: what was measured.
        subjects: exact subjects; "" is the whole release; one that ends in "*" stands for every subject that
            begins like it, of which there must be at least one.
        besides: subjects (or beginnings with "*") that the patterns do not stand for: shown, without a limit.
        counted_by: metric of the same probe and subject "" that says how many subjects the patterns must match;
            with it, none is enough where none is expected, and any other number than expected is invalid.
    """

    model_config = STRICT

    probe: ProbeName
    metric: ProbeName
    subjects: Annotated[tuple[str, ...], Field(min_length=1)] = ("",)
    besides: tuple[str, ...] = ()
    counted_by: ProbeName | None = None


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why there is no figure to hold against a limit."""

    ruling: Ruling
    reason: str


def matching(
    evidence: EvidenceSet, probe: str, metric: str, pattern: str, besides: tuple[str, ...] = ()
) -> dict[str, list[Evidence]]:
    """Evidence by subject, subjects in order; more than one entry in a list is a duplicate."""
    found: dict[str, list[Evidence]] = {}
    for item in evidence.evidence:
        if item.probe != probe or item.metric != metric:
            continue
        if _stands_for(pattern, item.subject) and not any(
            _stands_for(other, item.subject) for other in besides
        ):
            found.setdefault(item.subject, []).append(item)
    return dict(sorted(found.items()))


def _stands_for(pattern: str, subject: str) -> bool:
    return subject == pattern or (pattern.endswith(EVERY) and subject.startswith(pattern[:-1]))


FAILED = "failed"
"""Metric under which a probe that gave no figures says why (subject "")."""


def failure(evidence: EvidenceSet, probe: str) -> str:
    """Why a probe gave no figures, in its own words; empty where it says nothing."""
    reasons = (
        item.outcome.reason
        for item in evidence.evidence
        if item.probe == probe and item.metric == FAILED and isinstance(item.outcome, NotMeasured)
    )
    return "; ".join(reasons)


def usable(items: list[Evidence], what: str, failed: str = "") -> Measured | Blocked:
    """The one figure of a key, or why there is not exactly one that can be used (`failed`, where its probe said)."""
    if not items and failed:
        return Blocked(Ruling.UNPROVEN, f"{what} was not measured: {failed}")
    if not items:
        return Blocked(
            Ruling.UNPROVEN,
            f"{what} was not measured: there is no such figure in the evidence; "
            "run a suite that measures it, and declare in the schema what it speaks of",
        )
    if len(items) > 1:
        return Blocked(
            Ruling.INVALID, f"{what} stands {len(items)} times in the evidence; it must stand once"
        )
    outcome = items[0].outcome
    if isinstance(outcome, NotMeasured):
        needed = "" if outcome.needed is None else f"; {outcome.needed:,} units would be enough"
        return Blocked(Ruling.UNPROVEN, f"{what} was not measured: {outcome.reason}{needed}")
    if outcome.trials < 1:
        return Blocked(Ruling.UNPROVEN, f"{what} rests on no trials")
    return outcome


def failed_controls(evidence: EvidenceSet, probes: Iterable[str], max_p: float) -> list[Control]:
    """Controls of these probes that were missed: a planted leak not caught, or a null flagged.

    A planted leak counts as caught only where its p-value says so too (p ≤ `max_p`, and not NaN).
    """
    wanted = set(probes)
    return sorted(
        (c for c in evidence.controls if c.probe in wanted and not _held(c, max_p)),
        key=lambda c: (c.probe, c.name, c.kind, c.share),
    )


def missing_controls(evidence: EvidenceSet, probes: Iterable[str]) -> list[str]:
    """Probes that lack a planted leak or a null: nothing shows that they could have failed."""
    have = {(c.probe, c.kind) for c in evidence.controls}
    return [probe for probe in sorted(set(probes)) if any((probe, kind) not in have for kind in ControlKind)]


def missing_plants(evidence: EvidenceSet, probes: Iterable[str], names: Iterable[str]) -> list[str]:
    """Planted leaks of these names that none of these probes was put to."""
    wanted = set(probes)
    have = {c.name for c in evidence.controls if c.probe in wanted and c.kind is ControlKind.PLANTED_LEAK}
    return sorted(set(names) - have)


def describe_control(control: Control) -> str:
    """In words, for a reason."""
    if control.kind is ControlKind.PLANTED_LEAK:
        return f'{control.probe} missed the planted leak "{control.name}" (p = {number(control.p_value)})'
    return f'{control.probe} raised an alarm on the null "{control.name}" (p = {number(control.p_value)})'


def number(value: float) -> str:
    """For people: four significant digits."""
    return f"{value:.4g}"


def interval(value: Measured) -> str:
    """For people: the estimate and both ends."""
    return f"{number(value.estimate)} [{number(value.low)}, {number(value.high)}]"


def _held(control: Control, max_p: float) -> bool:
    if control.kind is ControlKind.PLANTED_LEAK:
        return control.passed and 0.0 <= control.p_value <= max_p
    return control.passed and 0.0 <= control.p_value <= 1.0
