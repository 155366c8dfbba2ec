"""The vocabulary: frozen records that every part shares.

Rules: records hold plain values and no behaviour beyond what follows from their own fields; they are written with
`release.canonical`; each carries the digest of the records it follows from. The table itself (`Table`, `Schema`)
lives in `release.data`, because it holds arrays.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NewType

from release.canonical import KeyedDigest, Sha256

ColumnName = NewType("ColumnName", str)
DatasetId = NewType("DatasetId", str)
ReleaseId = NewType("ReleaseId", str)
Person = NewType("Person", str)
Population = NewType("Population", str)
"""The group of people whose lifetime privacy one ledger guards: several datasets may share it."""


# ---------------------------------------------------------------------------------------------- privacy


class Adjacency(StrEnum):
    """Which tables are neighbours."""

    ADD_REMOVE_UNIT = "add-remove-unit"


class Accountant(StrEnum):
    """How the events were composed into (ε, δ)."""

    ZCDP = "zcdp"
    RDP = "rdp"
    PLD = "pld"


class Mechanism(StrEnum):
    """What one event did, and so how it is accounted."""

    DISCRETE_GAUSSIAN = "discrete-gaussian"
    """`parameter` = σ / Δ₂ (noise multiplier); ρ = 1 / (2 parameter²)."""
    GAUSSIAN = "gaussian"
    """Continuous; `parameter` = σ / Δ₂."""
    PURE = "pure"
    """Any ε-DP mechanism (discrete Laplace, randomised response); `parameter` = ε; ρ ≤ ε² / 2."""
    EXPONENTIAL = "exponential"
    """Exponential mechanism / report-noisy-max, ε-bounded-range; `parameter` = ε; ρ = ε² / 8 (2004.07223)."""
    POISSON_GAUSSIAN = "poisson-gaussian"
    """Poisson-sampled Gaussian (DP-SGD step); `parameter` = noise multiplier, `sampling_rate` = q."""
    THRESHOLD = "threshold"
    """The failure probability of a threshold on unseen keys; `parameter` = δ. Costs δ, no ε."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DpEvent:
    """One differentially private event, repeated `count` times.

    `label` says which part of the plan it belongs to ("measure age × sex"), for the shares shown to people.
    """

    label: str
    mechanism: Mechanism
    parameter: float
    count: int = 1
    sampling_rate: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyCost:
    """What a plan costs, known before any row is read. Never a bare ε.

    Attributes:
        epsilon: ε at `delta`, rounded up.
        delta: δ, thresholds included.
        unit: name of the privacy unit ("patient", "row").
        max_rows_per_unit: the enforced contribution bound.
        adjacency: which tables are neighbours.
        accountant: how `events` were composed.
        events: what is to be run, in order.
    """

    epsilon: float
    delta: float
    unit: str
    max_rows_per_unit: int
    adjacency: Adjacency
    accountant: Accountant
    events: tuple[DpEvent, ...]


class GateMode(StrEnum):
    """Whether looking at real data in order to decide is inside the accounted mechanism."""

    COVERED = "covered"
    COVERED_EXCEPT_ATTACKS = "covered-except-attacks"
    UNCOVERED = "uncovered"


# ---------------------------------------------------------------------------------------------- conditions


@dataclass(frozen=True, slots=True, kw_only=True)
class Within:
    """A numeric or date condition: low ≤ value ≤ high; None is open. Dates as ISO strings."""

    low: float | str | None = None
    high: float | str | None = None


Where = Mapping[str, str | float | Collection[str | float] | Within]
"""Conditions on columns, all of which must hold: an allowed value, several in a tuple, list or set, or an interval."""


# ---------------------------------------------------------------------------------------------- evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A figure with its uncertainty.

    Attributes:
        estimate: the point estimate.
        low: one-sided 95 % lower end.
        high: one-sided 95 % upper end.
        trials: how many independent units, guesses or rows the interval rests on.
        detectable: smallest true value that this measurement would have told from "nothing" with 80 % power;
            None where the notion does not apply.
    """

    estimate: float
    low: float
    high: float
    trials: int
    detectable: float | None = None

    def __post_init__(self) -> None:
        numbers = (self.estimate, self.low, self.high)
        if not all(math.isfinite(number) for number in numbers) or not self.low <= self.high:
            raise ValueError(f"not a measurement: {numbers}; record NotMeasured with the reason instead")
        if self.detectable is not None and not math.isfinite(self.detectable):
            raise ValueError("detectable is not finite; use None")


@dataclass(frozen=True, slots=True, kw_only=True)
class NotMeasured:
    """Why there is no figure. It blocks wherever a rule asks for it.

    Attributes:
        reason: in plain words.
        needed: how many units would have been enough, where that is known.
    """

    reason: str
    needed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One figure, keyed by (probe, metric, subject). A second one with the same key blocks the release.

    Attributes:
        probe: registered name of what measured it ("copies", "dcr", "marginals", "tstr", …).
        metric: what was measured ("tpr_at_fpr_1pct", "excess_risk", "tvd_2way_mean", …).
        subject: of what: a column, a pair, a slice, an attack, or "" for the whole release.
        outcome: the figure, or why there is none.
        note: one sentence for the steward. No real cell values.
    """

    probe: str
    metric: str
    subject: str
    outcome: Measured | NotMeasured
    note: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """(probe, metric, subject)."""
        return (self.probe, self.metric, self.subject)


class ControlKind(StrEnum):
    """What a control is there to show."""

    PLANTED_LEAK = "planted-leak"
    """Must be caught."""
    NULL = "null"
    """Must not be caught."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What a probe made of a known case built from this very candidate.

    Attributes:
        probe: which probe was put to the test.
        name: which case ("verbatim", "columns-shuffled", …).
        kind: planted leak or null.
        passed: the leak was caught, or the null was left alone.
        p_value: of the probe's statistic against its null distribution.
        share: share of member units that was planted (0 for nulls).
    """

    probe: str
    name: str
    kind: ControlKind
    passed: bool
    p_value: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """Something to look at: never leaves the workspace.

    Attributes:
        probe: who made it.
        title: what it shows.
        kind: "roc", "bars", "histogram", "matrix", "lines" or "table"; the app draws it by this.
        takeaway: one sentence that says what to take from it.
        data: plain JSON values; units appear as surrogate ids only.
    """

    probe: str
    title: str
    kind: str
    takeaway: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """All that one probe has to say."""

    evidence: tuple[Evidence, ...]
    controls: tuple[Control, ...] = ()
    exhibits: tuple[Exhibit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceSet:
    """Everything measured about one candidate, in one evaluation.

    Attributes:
        candidate: digest of the candidate record.
        suite: the named set of probes that ran ("quick", "standard", "deep").
        probes: names of the probes that ran.
        evidence: the figures.
        controls: the positive and null controls.
        exhibits: the pictures' data.
    """

    candidate: Sha256
    suite: str
    probes: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    controls: tuple[Control, ...]
    exhibits: tuple[Exhibit, ...] = ()


# ---------------------------------------------------------------------------------------------- judgement


class Ruling(StrEnum):
    """What a rule says. Only MET lets a release through."""

    MET = "met"
    """The pessimistic end of the interval is inside the limit."""
    BROKEN = "broken"
    """The optimistic end is outside the limit."""
    UNPROVEN = "unproven"
    """The interval straddles the limit, or there is too little to tell."""
    INVALID = "invalid"
    """A control was missed, or the evidence contradicts itself: the measurement says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one rule says of one subject, and from what.

    Attributes:
        rule: the rule's id in the policy.
        subject: as in the evidence; "" for the whole release.
        ruling: see `Ruling`.
        value: the figure, where there is one.
        limit: the limit, in words with its unit ("at most 0.09").
        reason: why this ruling; what would change it.
        waivable: whether the policy allows a signed waiver (never for DP and attack rules).
    """

    rule: str
    subject: str
    ruling: Ruling
    value: Measured | None
    limit: str
    reason: str
    waivable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All findings of one policy about one candidate's evidence.

    Attributes:
        policy: digest of the policy document.
        candidate: digest of the candidate record.
        evidence: keyed digest of the evidence set.
        mode: whether the gate is inside ε.
        findings: every rule's finding; an empty tuple is not releasable.
    """

    policy: Sha256
    candidate: Sha256
    evidence: KeyedDigest
    mode: GateMode
    findings: tuple[Finding, ...]

    @property
    def releasable(self) -> bool:
        """True only where there is at least one finding and every one is met."""
        return bool(self.findings) and all(finding.ruling is Ruling.MET for finding in self.findings)

    @property
    def ruling(self) -> Ruling:
        """The worst ruling: broken, then invalid, then unproven, then met. No findings: unproven."""
        if not self.findings:
            return Ruling.UNPROVEN
        rulings = {finding.ruling for finding in self.findings}
        for worst in (Ruling.BROKEN, Ruling.INVALID, Ruling.UNPROVEN):
            if worst in rulings:
                return worst
        return Ruling.MET


# ---------------------------------------------------------------------------------------------- workflow


class Purpose(StrEnum):
    """What the partner wants the table for. `BASELINE` can never be exported."""

    ANALYSIS = "analysis"
    TRAINING = "training"
    TESTING = "testing"
    BASELINE = "baseline"


class Kind(StrEnum):
    """What the rows are (design.md, 'What the request asks')."""

    COLLECTED = "collected"
    SIMULATED = "simulated"
    GENERATED = "generated"
    AUGMENTED = "augmented"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What the partner will predict, and from which columns (empty: all others)."""

    target: str
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What may be spent on one plan."""

    epsilon: float
    delta: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What somebody asks for. Its digest is in every record that follows.

    Attributes:
        release: the release's id.
        dataset: which dataset.
        dataset_digest: keyed digest of the dataset record.
        schema: digest of the schema as it stood.
        generator: registered name.
        options: the generator's options, plain JSON values.
        budget: (ε, δ) asked for.
        policy: name of the policy (tier).
        partner: who is to receive it.
        purpose: see `Purpose`.
        task: declared prediction task, if any.
        rows: how many rows to sample.
        answers: the request's questions and answers (quality.md).
        requested_by: the person.
        requested_at: aware UTC time.
        weights: share of the synthetic rows that each named slice is to have (`release.data.mix`); {} leaves the mix as the model has it.
    """

    release: ReleaseId
    dataset: DatasetId
    dataset_digest: KeyedDigest
    schema: Sha256
    generator: str
    options: dict[str, Any]
    budget: Budget
    policy: str
    partner: str
    purpose: Purpose
    task: Task | None
    rows: int
    answers: dict[str, str]
    requested_by: Person
    requested_at: datetime
    weights: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One synthetic table, made once, for one turn of one release.

    Attributes:
        release: the release.
        turn: 1 for the first try; each further try is charged and judged anew.
        request: digest of the request.
        dataset: keyed digest of the dataset record.
        split: keyed digest of the secret split.
        generator: registered name.
        generator_version: version of the code that made it.
        plan: digest of the plan's description.
        claim: what the generator says it cost; None for a non-private one.
        charge: the ledger entry's id.
        table: SHA-256 of the candidate's Parquet file.
        model: digest of the model's directory manifest; "" where none is kept.
        rows: number of rows.
        published: the marginals that the model learnt from, as tuples of column names.
        made_at: aware UTC time.
    """

    release: ReleaseId
    turn: int
    request: Sha256
    dataset: KeyedDigest
    split: KeyedDigest
    generator: str
    generator_version: str
    plan: Sha256
    claim: PrivacyCost | None
    charge: str
    table: Sha256
    model: str
    rows: int
    published: tuple[tuple[str, ...], ...]
    made_at: datetime


class Decision(StrEnum):
    """A reviewer's word."""

    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One person's decision. It binds to exactly what was seen: any change of it voids the vote."""

    release: ReleaseId
    turn: int
    candidate: Sha256
    evidence: KeyedDigest
    policy: Sha256
    person: Person
    decision: Decision
    comment: str
    cast_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """What the votes add up to, with its expiry."""

    release: ReleaseId
    turn: int
    candidate: Sha256
    evidence: KeyedDigest
    policy: Sha256
    approvers: tuple[Person, ...]
    approved_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTerms:
    """What the workflow needs to know of a policy; the rest is the judge's.

    Attributes:
        name: "partner-healthcare".
        version: the policy's own version.
        digest: SHA-256 of the canonical policy document.
        approvals: how many people other than the requester must approve.
        owner_approval: whether the policy owner must be one of them.
        approval_days: after how many days an approval expires.
        suite: which suite of attacks must have run.
        smallest_cell: smallest count shown on screens and in published aggregates.
        max_epsilon: the tier's limit on the claimed ε (also judged; here to refuse early).
        requires_sweep: purposes for which a ratio sweep must be on file.
        arena_units: members, and controls, that must take part, each; the secret split is drawn large enough for it.
    """

    name: str
    version: str
    digest: Sha256
    approvals: int
    owner_approval: bool
    approval_days: int
    suite: str
    smallest_cell: int
    max_epsilon: float
    requires_sweep: tuple[Purpose, ...] = field(default=())
    arena_units: int = 0
