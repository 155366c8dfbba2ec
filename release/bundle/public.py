"""The explicit list of what may leave about a release. Everything the bundle says is written from `Public` alone.

Rules: a field is here because it is public, charged for, or synthetic. Not here, and so not in any bundle: real rows and
their nearest records, attack scores and other figures of the evidence, statistics of the real table, seeds, other candidates,
reviewers' comments and names, paths, digests of the source, how many rows or units the real table has, charges and
caps, and answers under keys that `PUBLIC_ANSWERS` does not list.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from release.canonical import Sha256
from release.data.mix import shares_in_words
from release.data.schema import Provenance, Schema, Unit, columns_of
from release.data.surrogates import surrogate_columns
from release.records import (
    Accountant,
    GateMode,
    Kind,
    PolicyTerms,
    PrivacyCost,
    Purpose,
    ReleaseId,
    Task,
    Verdict,
)

if TYPE_CHECKING:
    from release.quality.sweep import Recommendation

PUBLIC_ANSWERS: Final = {
    "kind": "Which kind of rows (simulated, generated, augmented)",
    "why-not-real": "Why the real rows were not collected or shared instead",
    "volume-or-coverage": "Is it about volume or about coverage",
    "intended-use": "Intended task, target and recipient",
    "permitted-uses": "Permitted uses",
    "source-licence": "Licence of the source",
    "generator-licence": "Licence and terms of the generator",
    "label-model": "Were labels produced by a model, which one, and its error rate on real labels",
    "cold-start": "For a cold start: what real data will replace it, and when",
}
"""Questions of the request (quality.md) whose answers go on the partner's card, by key."""

GATE_WORDS: Final = {
    GateMode.COVERED: (
        "Covered: the figures by which the table was chosen and let through were computed inside the accounted mechanism, "
        "so the stated ε includes the decision."
    ),
    GateMode.COVERED_EXCEPT_ATTACKS: (
        "Covered except for the attacks: choosing among candidates is inside the stated ε; the attack tests looked at the "
        "exact real rows, so that part of the decision to release is outside ε."
    ),
    GateMode.UNCOVERED: (
        "Uncovered: the gate is outside ε. The table itself is differentially private as stated; the one decision to release "
        "it was taken after tests on the exact real rows, so the fact that it was released says a little more than ε counts."
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicRule:
    """One rule of the policy, all of whose findings were met. The measured figure stays inside.

    Attributes:
        rule: its id.
        limit: in words.
        subjects: of what: columns, slices, sides; none for the whole release.
    """

    rule: str
    limit: str
    subjects: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Public:
    """What may leave about one release.

    Attributes:
        release: the release's id. turn: which try of it.
        issuer: who releases, for people.
        partner: for whom. purpose: what for. task: declared prediction task.
        schema: of the synthetic table (see `public_schema`).
        generator: registered name. generator_version: version of the code that made it.
        claim: the claimed cost.
        mode: whether the gate is inside ε.
        terms: the policy's name, version and digest. rules: what was met.
        candidate: digest of the candidate record (which holds keyed digests, so nothing can be guessed from it).
        answers: question and answer, public ones only.
        weights: the mix of slices that the request asked for, shares of the synthetic rows; {} for none.
        recommendation: how much of a training set may be synthetic, coarse, where a sweep is on file; outside ε.
        rows: number of synthetic rows.
        approvals: how many people approved.
        made_at: when the table was made. cleared_at: when it was let through.
        expires_at: until when it may be used.
    """

    release: ReleaseId
    turn: int
    issuer: str
    partner: str
    purpose: Purpose
    task: Task | None
    schema: Schema
    generator: str
    generator_version: str
    claim: PrivacyCost
    mode: GateMode
    terms: PolicyTerms
    rules: tuple[PublicRule, ...]
    candidate: Sha256
    answers: tuple[tuple[str, str], ...]
    weights: dict[str, float]
    recommendation: Recommendation | None
    rows: int
    approvals: int
    made_at: datetime
    cleared_at: datetime
    expires_at: datetime

    @property
    def title(self) -> str:
        """For people."""
        return self.schema.title or self.schema.name


def gate_words(public: Public) -> str:
    """What the gate means for the stated ε; of a later try also that the choice between tries is outside of it.

    No ε bounds that choice, because the tests are not private. Every try has the same plan and so the same cost.
    """
    words, tries = GATE_WORDS[public.mode], public.turn
    if tries == 1 or public.mode is GateMode.COVERED:
        return words
    return (
        f"{words} This is try {tries}: the tables made before it were charged too and stayed inside, and which one left was decided by "
        f"tests on the exact real rows. The stated ε is of one table by itself; that choice between {tries} is outside of it."
    )


def mix_words(public: Public) -> str:
    """What a mix that was asked for means for whoever counts in the table; nothing where none was."""
    if not public.weights:
        return ""
    return (
        f"The mix of this table was asked for: {shares_in_words(public.weights)}. These are shares of the synthetic rows, named beforehand; "
        "they say nothing about how frequent these groups are in the real population, and no overall rate should be read off this table without "
        "weighting the groups back."
    )


def recommendation_words(public: Public) -> str:
    """What training on the table is recommended for, with where the number comes from; nothing where no sweep is on file."""
    found = public.recommendation
    if found is None:
        return ""
    told = (
        f"let synthetic rows be at most {found.share:.0%} of the training rows"
        if found.share > 0
        else "use real rows where you have them: no share of 25 % or more synthetic rows could be shown to be harmless"
    )
    return (
        f"To train a model of {found.target}, {told}. This one value, of five possible ones (0, 25, 50, 75, 100 %), comes from tests on the exact "
        "real rows and is outside ε."
    )


def public_schema(schema: Schema) -> Schema:
    """The schema of the synthetic table: released and surrogate columns, one row a unit, provenance one step further.

    What speaks of a column that does not leave is left out too.
    """
    kept = (*schema.released, *surrogate_columns(schema))
    names = {column.name for column in kept}
    return Schema(
        name=schema.name,
        title=schema.title,
        population=schema.population,
        population_size=schema.population_size,
        unit=Unit(name="synthetic row"),
        provenance=Provenance(
            kind=Kind.GENERATED,
            source=schema.provenance.source,
            licence=schema.provenance.licence,
            depth=schema.provenance.depth + 1,
            real_anchor=schema.provenance.real_anchor or schema.name,
        ),
        columns=tuple(column for column in schema.columns if column.name in names),
        constraints=tuple(c for c in schema.constraints if names.issuperset(columns_of(c))),
        slices=tuple(part for part in schema.slices if names.issuperset(part.where)),
    )


def public_answers(answers: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Questions and answers that may leave, in the order of `PUBLIC_ANSWERS`."""
    return tuple(
        (question, answers[key].strip())
        for key, question in PUBLIC_ANSWERS.items()
        if answers.get(key, "").strip()
    )


def public_rules(verdict: Verdict) -> tuple[PublicRule, ...]:
    """Rules in the verdict's order: limits and subjects, no figures and no reasons."""
    found: dict[tuple[str, str], list[str]] = {}
    for finding in verdict.findings:
        subjects = found.setdefault((finding.rule, finding.limit), [])
        if finding.subject:
            subjects.append(finding.subject)
    return tuple(
        PublicRule(rule=rule, limit=limit, subjects=tuple(subjects))
        for (rule, limit), subjects in found.items()
    )


def guarantee_words(claim: PrivacyCost) -> tuple[str, ...]:
    """What (ε, δ) means, as sentences."""
    rows = (
        "its one row"
        if claim.max_rows_per_unit == 1
        else f"all of its (at most {claim.max_rows_per_unit}) rows"
    )
    factor = f"{math.exp(claim.epsilon):.3g}" if claim.epsilon < 50 else "an astronomically large number"
    return (
        (
            f"Whether any one {claim.unit} is in the real table, with {rows}, or is not there at all, changes the probability of "
            f"anything that could have come out here by a factor of at most e^{claim.epsilon:.4g} = {factor}, "
            f"except for outcomes of total probability at most δ = {small_number(claim.delta)}."
        ),
        f"Neighbouring tables differ by adding or removing one {claim.unit} ({claim.adjacency}).",
        (
            f"{_ACCOUNTANT[claim.accountant]} The guarantee holds whatever else anybody knows, and for anything computed from "
            "this table. It adds up over releases about the same people."
        ),
    )


def small_number(value: float) -> str:
    """A small number for people: 1.5·10⁻⁷ without a place to break the line."""
    if value == 0.0 or value >= 0.001:
        return f"{value:.3g}"
    digits, _, power = f"{value:.2e}".partition("e")
    raised = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{float(digits):g}·10{raised}"


_ACCOUNTANT: Final = {
    Accountant.ZCDP: "Composed as zero-concentrated differential privacy (zCDP) and converted to (ε, δ).",
    Accountant.RDP: "Composed as Rényi differential privacy (RDP) and converted to (ε, δ).",
    Accountant.PLD: "Composed by privacy loss distributions (PLD).",
}
