"""Everything that must be so before a byte is written, asked anew of the records and the stored objects.

The registry has asked most of it already when it opened the export. It is asked again here, by other code and from the
objects' bytes, because this is the last door: a stored "yes" counts for nothing. Each question has one sentence for its no.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from release.bundle.public import Public, public_answers, public_rules, public_schema
from release.canonical import Sha256, digest, file_digest, keyed_digest, keyed_file_digest
from release.data.table_file import read_table_file
from release.errors import GateError, IntegrityError
from release.protocols import Judge
from release.quality.sweep import Recommendation, for_partner
from release.records import GateMode, Kind, PrivacyCost, Purpose
from release.workflow.dossier import Clearance, Sweep
from release.workflow.offices import schema_of

if TYPE_CHECKING:
    from release.data.schema import Schema
    from release.data.table import Table
    from release.privacy.ledger import Charge


class Objects(Protocol):
    """The workspace's store of files, named by the digest of their bytes."""

    def path(self, name: str, *, keyed: bool) -> Path:
        """Where the object lies. Raises IntegrityError."""
        ...

    def folder(self, name: str) -> Path:
        """Where a stored folder lies, every file checked. Raises IntegrityError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What the questions are asked of.

    Attributes:
        clearance: from the registry, of this very export.
        charges: all charges of the dataset's population.
        objects: the stored files.
        judge: the pure judge.
        digest_key: the workspace's key.
    """

    clearance: Clearance
    charges: Sequence[Charge]
    objects: Objects
    judge: Judge
    digest_key: bytes


def clear(case: Case, *, issuer: str, sweeps: Sequence[Sweep]) -> tuple[Public, Table]:
    """What may leave, and the synthetic table. Raises GateError or IntegrityError where anything is not so."""
    for question in QUESTIONS:
        question(case)
    clearance = case.clearance
    candidate, claim = clearance.candidate, _claim(clearance)
    schema = schema_of(clearance.dataset)
    table = _table(case, schema)
    public = Public(
        release=candidate.release,
        turn=candidate.turn,
        issuer=issuer,
        partner=clearance.request.partner,
        purpose=clearance.request.purpose,
        task=clearance.request.task,
        schema=public_schema(schema),
        generator=candidate.generator,
        generator_version=candidate.generator_version,
        claim=claim,
        mode=clearance.verdict.mode,
        terms=clearance.terms,
        rules=public_rules(clearance.verdict),
        candidate=digest(candidate),
        answers=public_answers(clearance.request.answers),
        weights=dict(clearance.request.weights),
        recommendation=_recommended(sweeps, digest(candidate), clearance.verdict.mode),
        rows=candidate.rows,
        approvals=len(clearance.approval.approvers),
        made_at=candidate.made_at,
        cleared_at=clearance.cleared_at,
        expires_at=clearance.approval.expires_at,
    )
    return public, table


# ---------------------------------------------------------------------------------------------- the questions


def _kind_may_leave(case: Case) -> None:
    """Neither a baseline nor augmented rows nor anything without a claim."""
    clearance = case.clearance
    if clearance.request.purpose is Purpose.BASELINE:
        raise GateError("a baseline can never be exported", mend="propose a release for a partner's purpose")
    if Kind.AUGMENTED in {clearance.dataset.kind, schema_of(clearance.dataset).provenance.kind}:
        raise GateError(
            "augmented rows are real rows transformed and can never be exported",
            mend="release from their source",
        )
    _claim(clearance)


def _policy_is_as_stored(case: Case) -> None:
    """The document's terms, digest included, are those that were reviewed."""
    if case.judge.terms(case.clearance.document) != case.clearance.terms:
        raise IntegrityError("the policy document is not the one that its digest names", mend=_MEND)


def _records_follow(case: Case) -> None:
    """Each record carries the digest of those it follows from."""
    clearance = case.clearance
    request, candidate, dataset = clearance.request, clearance.candidate, clearance.dataset
    schema = schema_of(dataset)
    pairs = (
        ("request", candidate.request, digest(request)),
        ("dataset", candidate.dataset, request.dataset_digest),
        ("schema", request.schema, schema.digest),
        ("dataset's schema", dataset.schema_digest, schema.digest),
        ("evidence's candidate", clearance.evidence.candidate, digest(candidate)),
        ("generator", candidate.generator, request.generator),
        ("release", candidate.release, request.release),
    )
    for name, stored, actual in pairs:
        if stored != actual:
            raise IntegrityError(f"the {name} is not the one that the records were made from", mend=_MEND)


def _evidence_says_yes(case: Case) -> None:
    """The judge, asked again, says all-met, and what it says is what was reviewed."""
    clearance = case.clearance
    verdict = case.judge.judge(
        clearance.document,
        clearance.evidence,
        keyed_digest(clearance.evidence, case.digest_key),
        clearance.candidate.claim,
        clearance.request.purpose,
        clearance.verdict.mode,
    )
    if not verdict.releasable:
        raise GateError(f"judged again, the verdict is {verdict.ruling}", mend="see `sluice release show`")
    if verdict != clearance.verdict:
        raise GateError(
            "judged again, the verdict is another than was reviewed", mend="have it reviewed anew"
        )


def _approved(case: Case) -> None:
    """The approval binds to exactly this, by enough people, none of them the requester, and holds now."""
    clearance = case.clearance
    approval, verdict = clearance.approval, clearance.verdict
    bound = (approval.release, approval.turn, approval.candidate, approval.evidence, approval.policy)
    actual = (
        clearance.candidate.release,
        clearance.candidate.turn,
        digest(clearance.candidate),
        verdict.evidence,
        clearance.terms.digest,
    )
    if bound != actual:
        raise GateError("the approval is for something else", mend="have it reviewed anew")
    people = set(approval.approvers)
    if clearance.request.requested_by in people:
        raise GateError("the requester is among the approvers", mend="have another person approve")
    if len(people) < max(1, clearance.terms.approvals):
        raise GateError(
            f"{len(people)} people approved, {clearance.terms.approvals} must",
            mend="have more people approve",
        )
    if not approval.approved_at <= clearance.cleared_at < approval.expires_at:
        raise GateError(
            f"the approval does not hold at {clearance.cleared_at.isoformat()}", mend="have it approved anew"
        )


def _charged(case: Case) -> None:
    """The ledger has the charge, for this turn, of just the claimed cost."""
    candidate = case.clearance.candidate
    for charge in case.charges:
        if charge.id == candidate.charge:
            if (charge.release, charge.turn, charge.cost) != (
                candidate.release,
                candidate.turn,
                candidate.claim,
            ):
                raise IntegrityError(f"the charge {charge.id} is for something else", mend=_MEND)
            return
    raise GateError("the ledger has no charge for this candidate", mend="run a new turn")


def _objects_are_whole(case: Case) -> None:
    """Every stored file that the records name has the bytes that its digest names."""
    candidate = case.clearance.candidate
    for what, name in (("dataset", case.clearance.dataset.table), ("split", candidate.split)):
        if keyed_file_digest(case.objects.path(name, keyed=True), case.digest_key) != name:
            raise IntegrityError(f"the stored {what} is not what was stored", mend=_MEND)
    if file_digest(case.objects.path(candidate.table, keyed=False)) != candidate.table:
        raise IntegrityError("the stored candidate is not what was stored", mend=_MEND)
    if candidate.model:
        case.objects.folder(candidate.model)


QUESTIONS: tuple[Callable[[Case], None], ...] = (
    _kind_may_leave,
    _policy_is_as_stored,
    _records_follow,
    _evidence_says_yes,
    _approved,
    _charged,
    _objects_are_whole,
)

_MEND = "stop; keep the workspace as it is for the auditor, and restore it from its backup"


def _claim(clearance: Clearance) -> PrivacyCost:
    claim = clearance.candidate.claim
    if claim is None or not math.isfinite(claim.epsilon) or not math.isfinite(claim.delta):
        raise GateError("nothing is claimed about privacy: ε is ∞", mend="use a private generator")
    return claim


def _table(case: Case, schema: Schema) -> Table:
    candidate = case.clearance.candidate
    table = read_table_file(case.objects.path(candidate.table, keyed=False), schema)
    if len(table) != candidate.rows:
        raise IntegrityError(
            f"the stored candidate has {len(table):,} rows, its record says {candidate.rows:,}", mend=_MEND
        )
    return table


def _recommended(sweeps: Sequence[Sweep], candidate: Sha256, mode: GateMode) -> Recommendation | None:
    """What the last usable sweep of this very candidate recommends; None where there is none.

    Where the certificate says that decisions are inside ε, all of them or all but the attacks, a figure that is not may not stand
    beside it: only the mode `uncovered` says that real figures were looked at.
    """
    if mode is not GateMode.UNCOVERED:
        return None
    for sweep in reversed(sweeps):
        found = for_partner(sweep.result) if sweep.candidate == candidate else None
        if found is not None:
            return found
    return None
