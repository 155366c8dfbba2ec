"""What votes add up to: a pure function of votes, people and the policy's terms.

Rules: a vote counts only if it binds to exactly the present release, turn, candidate, evidence and policy, was cast
since the present review was opened, by somebody other than the requester who is still a reviewer (or the policy owner). Each
person's latest vote counts, so a vote may be changed until the release is approved; one standing "reject" is enough
to refuse. An approval begins with the vote that completed it and ends after the policy's number of days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from release.canonical import KeyedDigest, Sha256
from release.records import Approval, Decision, Person, PolicyTerms, ReleaseId, Vote
from release.workflow.people import Member, Role, may_act
from release.workflow.transitions import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What a vote is about, to the letter."""

    release: ReleaseId
    turn: int
    candidate: Sha256
    evidence: KeyedDigest
    policy: Sha256


def binding_of(vote: Vote | Approval) -> Binding:
    """What this vote or approval is about."""
    return Binding(
        release=vote.release,
        turn=vote.turn,
        candidate=vote.candidate,
        evidence=vote.evidence,
        policy=vote.policy,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the votes stand.

    Attributes:
        approvers: who approves, in the order of voting.
        rejecters: who rejects.
        missing: how many more approvals are needed.
        owner_missing: whether the policy owner's is.
        approval: the approval that the votes add up to; None where they do not.
    """

    approvers: tuple[Person, ...]
    rejecters: tuple[Person, ...]
    missing: int
    owner_missing: bool
    approval: Approval | None

    @property
    def state(self) -> State:
        """Where votes of this standing leave a release that is under review."""
        if self.rejecters:
            return State.REJECTED
        if self.approval is not None:
            return State.APPROVED
        if not self.missing:
            return State.REVIEWED
        return State.PARTIALLY_REVIEWED if self.approvers else State.IN_REVIEW


def may_vote(member: Member | None, person: Person, requester: Person) -> bool:
    """Whether this person's vote can count on a release that `requester` asked for."""
    return person != requester and (may_act(member, Role.REVIEWER) or may_act(member, Role.POLICY_OWNER))


def standing(
    votes: Sequence[Vote],
    binding: Binding,
    terms: PolicyTerms,
    requester: Person,
    members: Mapping[Person, Member],
) -> Standing:
    """How the votes stand.

    Args:
        votes: those cast since the review was opened, oldest first.
        binding: what is up for review now.
        terms: of the policy whose digest the binding holds.
        requester: whose vote never counts.
        members: the people as they are now.
    """
    latest: dict[Person, Vote] = {}
    for vote in votes:
        if binding_of(vote) == binding and may_vote(members.get(vote.person), vote.person, requester):
            latest.pop(vote.person, None)  # so that a changed vote stands last
            latest[vote.person] = vote
    approving = [vote for vote in latest.values() if vote.decision is Decision.APPROVE]
    rejecters = tuple(vote.person for vote in latest.values() if vote.decision is Decision.REJECT)
    needed = max(1, terms.approvals)  # a policy that asks for none is still approved by somebody
    owner_missing = terms.owner_approval and not any(
        may_act(members.get(vote.person), Role.POLICY_OWNER) for vote in approving
    )
    missing = max(0, needed - len(approving))
    approval = None
    if not (missing or owner_missing or rejecters) and binding.policy == terms.digest:
        approved_at = max(vote.cast_at for vote in approving)
        approval = Approval(
            release=binding.release,
            turn=binding.turn,
            candidate=binding.candidate,
            evidence=binding.evidence,
            policy=binding.policy,
            approvers=tuple(vote.person for vote in approving),
            approved_at=approved_at,
            expires_at=approved_at + timedelta(days=terms.approval_days),
        )
    return Standing(
        approvers=tuple(vote.person for vote in approving),
        rejecters=rejecters,
        missing=missing,
        owner_missing=owner_missing,
        approval=approval,
    )
