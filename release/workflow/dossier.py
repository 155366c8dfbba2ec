"""Everything about one release, gathered in one transaction, and the questions that can be asked of it.

Rules: nothing is written here. "Current" means of the present turn; the policy is the one in force now, so a vote under an older
version binds to nothing any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from release.canonical import KeyedDigest, Sha256, digest, keyed_digest
from release.errors import GateError, IntegrityError, TransitionError
from release.records import (
    Approval,
    Candidate,
    EvidenceSet,
    Person,
    PolicyTerms,
    PrivacyCost,
    ReleaseId,
    Request,
    Verdict,
    Vote,
)
from release.workflow.offices import (
    Dataset,
    PublishedPolicy,
    members_of,
    require_dataset,
    require_policy,
    requires_sweep,
)
from release.workflow.people import Member
from release.workflow.store import Place, Reader, Stored
from release.workflow.transitions import Action, State, actions_from
from release.workflow.votes import Binding, Standing, standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """Why a reviewer sent a release back. Never leaves.

    Attributes:
        by: the reviewer.
        comment: their words, for the requester.
        about: what was sent back; None in remarks written before this was kept.
    """

    by: Person
    comment: str
    about: Binding | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One try: opened, and charged, before the data was read.

    Attributes:
        release: of which release.
        turn: 1, 2, ….
        charge: the ledger entry's id; "" for a baseline.
        cost: what was charged; None for a baseline.
    """

    release: ReleaseId
    turn: int
    charge: str
    cost: PrivacyCost | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A ratio sweep on file: how a downstream model fares as synthetic rows are mixed in.

    Attributes:
        release: of which release.
        turn: of which turn.
        candidate: digest of the candidate.
        mix: digest of what was mixed and how.
        result: plain JSON values.
        by: who ran it.
        at: when.
    """

    release: ReleaseId
    turn: int
    candidate: Sha256
    mix: Sha256
    result: dict[str, Any]
    by: Person
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundled:
    """A bundle that left.

    Attributes:
        release: of which release.
        turn: of which turn.
        candidate: digest of the candidate inside.
        manifest: SHA-256 of the bundle's manifest.
        partner: for whom.
        expires_at: until when it may be used: the approval's end.
        by: who exported it.
        at: when.
    """

    release: ReleaseId
    turn: int
    candidate: Sha256
    manifest: Sha256
    partner: str
    expires_at: datetime
    by: Person
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Clearance:
    """What the exporter gets: everything was checked at `cleared_at`, in the transaction that opened the export."""

    request: Request
    dataset: Dataset
    candidate: Candidate
    evidence: EvidenceSet
    verdict: Verdict
    approval: Approval
    terms: PolicyTerms
    document: str
    cleared_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseView:
    """All there is to see about one release. For screens: nothing may be decided from it.

    Attributes:
        release: its id.
        state: where it stands.
        turn: the present try; 0 before the first.
        request: what was asked for.
        dataset: from which dataset.
        terms: of the policy in force under the request's policy name.
        document: that policy's text.
        opened: the present turn, with its charge.
        candidate: of the present turn.
        evidence: of that candidate.
        verdict: the latest on that evidence.
        votes: all votes of the present turn, oldest first, counting or not.
        remarks: why it was sent back, in every turn, oldest first.
        standing: how the counting ones stand; None where there is nothing to vote on.
        approval: the one that holds now.
        sweeps: on file for the candidate.
        bundle: what left.
        actions: what the table allows from here.
    """

    release: ReleaseId
    state: State
    turn: int
    request: Request
    dataset: Dataset
    terms: PolicyTerms
    document: str
    opened: Turn | None
    candidate: Candidate | None
    evidence: EvidenceSet | None
    verdict: Verdict | None
    votes: tuple[Vote, ...]
    remarks: tuple[Remark, ...]
    standing: Standing | None
    approval: Approval | None
    sweeps: tuple[Sweep, ...]
    bundle: Bundled | None
    actions: tuple[Action, ...]

    @property
    def binding(self) -> Binding | None:
        """What a vote on this view is about; None where there is no verdict to vote on."""
        if self.candidate is None or self.verdict is None:
            return None
        return Binding(
            release=self.release,
            turn=self.turn,
            candidate=digest(self.candidate),
            evidence=self.verdict.evidence,
            policy=self.verdict.policy,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCandidate:
    """The candidate and its public digest."""

    record: Candidate
    digest: Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownEvidence:
    """The evidence and its keyed digest."""

    record: EvidenceSet
    digest: KeyedDigest


@dataclass(frozen=True, slots=True, kw_only=True)
class Dossier:
    """One release's records of the present turn, with digests checked."""

    place: Place
    request: Request
    dataset: Dataset
    policy: PublishedPolicy
    members: dict[Person, Member]
    opened: Turn | None
    candidate: KnownCandidate | None
    evidence: KnownEvidence | None
    verdict: Verdict | None
    votes: tuple[Stored[Vote], ...]
    remarks: tuple[Remark, ...]
    approvals: tuple[Approval, ...]
    sweeps: tuple[Sweep, ...]
    bundle: Bundled | None

    def require_turn(self) -> Turn:
        """The present turn. TransitionError before the first."""
        if self.opened is None:
            raise TransitionError(f"{self.place.release} has no turn yet", mend="run it first")
        return self.opened

    def require_candidate(self) -> KnownCandidate:
        """The present candidate. TransitionError where there is none."""
        if self.candidate is None:
            raise TransitionError(
                f"turn {self.place.turn} of {self.place.release} has no candidate", mend="run it first"
            )
        return self.candidate

    def require_evidence(self) -> KnownEvidence:
        """The present candidate's evidence. TransitionError where there is none."""
        if self.evidence is None:
            raise TransitionError(
                f"turn {self.place.turn} of {self.place.release} was not evaluated", mend="evaluate it first"
            )
        return self.evidence

    @property
    def binding(self) -> Binding:
        """What is up for review now."""
        return Binding(
            release=self.place.release,
            turn=self.place.turn,
            candidate=self.require_candidate().digest,
            evidence=self.require_evidence().digest,
            policy=self.policy.terms.digest,
        )

    @property
    def standing(self) -> Standing:
        """How the votes of the present review stand."""
        return self._standing(self._votes_of_review())

    def standing_with(self, vote: Vote) -> Standing:
        """How they would stand with one more vote."""
        return self._standing((*self._votes_of_review(), vote))

    def current_approval(self, now: datetime) -> Approval | None:
        """The approval that holds now, counted from the votes and the same as on file; None where none does."""
        if self.place.state not in {State.APPROVED, State.EXPORTING} or self.evidence is None:
            return None
        approval, verdict = self.standing.approval, self.verdict
        if approval is None or approval not in self.approvals:  # people's roles may have changed since
            return None
        if verdict is None or not verdict.releasable or not _agrees(verdict, self.binding):
            return None
        return approval if approval.approved_at <= now < approval.expires_at else None

    def due(self, now: datetime) -> bool:
        """Whether time alone moves it on: an approval that lapsed, or a bundle that expired."""
        if self.place.state is State.APPROVED:
            return self.current_approval(now) is None
        return (
            self.place.state is State.RELEASED and self.bundle is not None and now >= self.bundle.expires_at
        )

    def view(self, now: datetime) -> ReleaseView:
        """For screens."""
        return ReleaseView(
            release=self.place.release,
            state=self.place.state,
            turn=self.place.turn,
            request=self.request,
            dataset=self.dataset,
            terms=self.policy.terms,
            document=self.policy.document,
            opened=self.opened,
            candidate=self.candidate.record if self.candidate else None,
            evidence=self.evidence.record if self.evidence else None,
            verdict=self.verdict,
            votes=tuple(vote.record for vote in self.votes),
            remarks=self.remarks,
            standing=self.standing if self.evidence else None,
            approval=self.current_approval(now),
            sweeps=self.sweeps,
            bundle=self.bundle,
            actions=actions_from(self.place.state),
        )

    def _votes_of_review(self) -> tuple[Vote, ...]:
        if not self.place.review:
            return ()
        return tuple(vote.record for vote in self.votes if vote.audit > self.place.review)

    def _standing(self, votes: tuple[Vote, ...]) -> Standing:
        return standing(votes, self.binding, self.policy.terms, self.request.requested_by, self.members)


def dossier(reader: Reader, release: ReleaseId) -> Dossier:
    """Gather it. InputError where there is no such release, IntegrityError where a record does not hold."""
    place = reader.place(release)
    request = reader.get(Request, "request", release)
    if request is None:
        raise IntegrityError(
            f"the request of {release} is gone", mend="restore the workspace from its backup"
        )
    dataset, dataset_digest = require_dataset(reader, request.record.dataset)
    if dataset_digest != request.record.dataset_digest:
        raise IntegrityError(f"{release} was asked for on another state of its dataset")
    stem = f"{release}/{place.turn}"
    opened = reader.get(Turn, "turn", stem)
    candidate = reader.get(Candidate, "candidate", stem)
    known = evidence = None
    if candidate is not None:
        known = KnownCandidate(record=candidate.record, digest=digest(candidate.record))
        evidence = reader.get(EvidenceSet, "evidence", known.digest)
    verdict = reader.last(Verdict, "verdict", stem)
    bundle = reader.get(Bundled, "bundle", stem)
    return Dossier(
        place=place,
        request=request.record,
        dataset=dataset,
        policy=require_policy(reader, request.record.policy),
        members=members_of(reader),
        opened=opened.record if opened else None,
        candidate=known,
        evidence=_known_evidence(reader, evidence),
        verdict=verdict.record if verdict else None,
        votes=tuple(vote for vote in reader.all(Vote, "vote", release) if vote.record.turn == place.turn),
        remarks=tuple(found.record for found in reader.all(Remark, "remark", release)),
        approvals=tuple(
            found.record
            for found in reader.all(Approval, "approval", release)
            if found.record.turn == place.turn
        ),
        sweeps=tuple(
            found.record
            for found in reader.all(Sweep, "sweep", release)
            if known is not None and found.record.candidate == known.digest
        ),
        bundle=bundle.record if bundle else None,
    )


def require_seen(case: Dossier, seen: Binding | None, now: Binding | None) -> None:
    """TransitionError where what somebody looked at is not what stands there now; None: they do not say."""
    if seen is not None and seen != now:
        raise TransitionError(
            f"{case.place.release} has changed since you looked at it",
            mend="look at it again, then decide",
        )


def require_current_verdict(case: Dossier) -> Verdict:
    """The verdict on exactly what is up for review, all met. GateError where there is none."""
    verdict = case.verdict
    if verdict is None or not _agrees(verdict, case.binding):
        raise GateError(
            f"{case.place.release} has no verdict on its present candidate, evidence and policy",
            mend="judge it again",
        )
    if not verdict.releasable:
        raise GateError(f"the verdict on {case.place.release} is {verdict.ruling}", mend="run a new turn")
    return verdict


def require_sweep(case: Dossier) -> None:
    """GateError where the policy wants a ratio sweep for this purpose and none is on file for the candidate."""
    if requires_sweep(case.policy.terms, case.request.purpose) and not case.sweeps:
        raise GateError(
            f'"{case.policy.terms.name}" wants a ratio sweep on file for {case.request.purpose}',
            mend=f"run `sluice release sweep {case.place.release}`",
        )


def _agrees(verdict: Verdict, binding: Binding) -> bool:
    return (verdict.candidate, verdict.evidence, verdict.policy) == (
        binding.candidate,
        binding.evidence,
        binding.policy,
    )


def _known_evidence(reader: Reader, found: Stored[EvidenceSet] | None) -> KnownEvidence | None:
    if found is None:
        return None
    return KnownEvidence(record=found.record, digest=keyed_digest(found.record, reader.transaction.key))
