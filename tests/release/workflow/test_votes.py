"""What votes add up to: a pure function, and what can never make it say yes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release.canonical import KeyedDigest, Sha256
from release.records import Decision, Person, PolicyTerms, ReleaseId, Vote
from release.workflow.people import Member, Role
from release.workflow.transitions import State
from release.workflow.votes import Binding, binding_of, may_vote, standing

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
ANNA, BEN, CORA, OTTO, ZOE = (Person(name) for name in ("anna", "ben", "cora", "otto", "zoe"))
BINDING = Binding(
    release=ReleaseId("r-1"),
    turn=2,
    candidate=Sha256("c" * 64),
    evidence=KeyedDigest("e" * 64),
    policy=Sha256("p" * 64),
)
MEMBERS = {
    person: Member(person=person, roles=roles, added_by=OTTO, added_at=NOON)
    for person, roles in {
        ANNA: (Role.REQUESTER, Role.REVIEWER),
        BEN: (Role.REVIEWER,),
        CORA: (Role.REVIEWER,),
        OTTO: (Role.POLICY_OWNER,),
        ZOE: (Role.RELEASER,),
    }.items()
}


def terms(approvals: int = 2, *, owner: bool = False) -> PolicyTerms:
    return PolicyTerms(
        name="partner",
        version="1",
        digest=BINDING.policy,
        approvals=approvals,
        owner_approval=owner,
        approval_days=30,
        suite="quick",
        smallest_cell=11,
        max_epsilon=3.0,
    )


def vote(person: Person, decision: Decision = Decision.APPROVE, minutes: int = 0, **changes) -> Vote:
    made = Vote(
        release=BINDING.release,
        turn=BINDING.turn,
        candidate=BINDING.candidate,
        evidence=BINDING.evidence,
        policy=BINDING.policy,
        person=person,
        decision=decision,
        comment="",
        cast_at=NOON + timedelta(minutes=minutes),
    )
    return replace(made, **changes)


def stand(*votes: Vote, of: PolicyTerms | None = None, requester: Person = ANNA, members=MEMBERS):
    return standing(votes, BINDING, of or terms(), requester, members)


def test_two_others_approve() -> None:
    assert stand().state is State.IN_REVIEW
    assert stand(vote(BEN)).state is State.PARTIALLY_REVIEWED
    found = stand(vote(BEN), vote(CORA, minutes=7))
    assert found.state is State.APPROVED
    assert found.approval is not None
    assert found.approval.approvers == (BEN, CORA)
    assert found.approval.approved_at == NOON + timedelta(minutes=7)
    assert found.approval.expires_at == NOON + timedelta(days=30, minutes=7)
    assert binding_of(found.approval) == BINDING


NOT_COUNTED = {
    "the requester's own": vote(ANNA),
    "a second of the same person": vote(BEN, minutes=1),
    "somebody without the role": vote(ZOE),
    "somebody unknown": vote(Person("nobody")),
    "on another release": vote(CORA, release=ReleaseId("r-2")),
    "on another turn": vote(CORA, turn=1),
    "on another candidate": vote(CORA, candidate=Sha256("0" * 64)),
    "on other evidence": vote(CORA, evidence=KeyedDigest("0" * 64)),
    "under another policy": vote(CORA, policy=Sha256("0" * 64)),
}


@pytest.mark.parametrize("name", NOT_COUNTED)
def test_a_second_vote_that_does_not_count(name: str) -> None:
    found = stand(vote(BEN), NOT_COUNTED[name])
    assert found.state is State.PARTIALLY_REVIEWED
    assert found.missing == 1
    assert found.approval is None


def test_a_changed_vote_counts_as_it_was_last() -> None:
    changed = stand(vote(BEN), vote(CORA), vote(BEN, Decision.REJECT, 2))
    assert changed.state is State.REJECTED
    assert (changed.approvers, changed.rejecters) == ((CORA,), (BEN,))
    back = stand(vote(BEN, Decision.REJECT), vote(CORA), vote(BEN, minutes=2))
    assert back.state is State.APPROVED


def test_one_reject_outweighs_any_number_of_approvals() -> None:
    found = stand(vote(BEN), vote(CORA), vote(OTTO, Decision.REJECT), of=terms(1))
    assert found.state is State.REJECTED
    assert found.approval is None


def test_the_owner_s_approval_where_the_policy_wants_it() -> None:
    wanting = terms(2, owner=True)
    found = stand(vote(BEN), vote(CORA), of=wanting)
    assert found.state is State.REVIEWED
    assert found.owner_missing
    assert stand(vote(BEN), vote(CORA), vote(OTTO), of=wanting).state is State.APPROVED
    assert stand(vote(BEN), vote(OTTO), of=wanting).state is State.APPROVED
    assert stand(vote(OTTO), of=wanting).state is State.PARTIALLY_REVIEWED
    assert stand(vote(BEN), vote(OTTO), of=wanting, requester=OTTO).approval is None


@pytest.mark.parametrize("asked", [0, -3])
def test_a_policy_that_asks_for_nobody_is_still_approved_by_somebody(asked: int) -> None:
    assert stand(of=terms(asked)).state is State.IN_REVIEW
    assert stand(of=terms(asked)).approval is None
    assert stand(vote(BEN), of=terms(asked)).state is State.APPROVED


def test_other_terms_than_those_bound_never_approve() -> None:
    other = replace(terms(1), digest=Sha256("9" * 64))
    assert stand(vote(BEN), of=other).approval is None


def test_who_loses_the_role_loses_the_vote() -> None:
    left = {**MEMBERS, BEN: replace(MEMBERS[BEN], roles=())}
    assert stand(vote(BEN), vote(CORA), members=left).missing == 1
    assert not may_vote(left[BEN], BEN, ANNA)
    assert may_vote(MEMBERS[OTTO], OTTO, ANNA)


PEOPLE = st.sampled_from([ANNA, BEN, CORA, OTTO, ZOE, Person("nobody")])
VOTES = st.lists(
    st.builds(
        vote,
        PEOPLE,
        st.sampled_from(Decision),
        st.integers(0, 99),
        policy=st.sampled_from([BINDING.policy, Sha256("0" * 64)]),
    ),
    max_size=8,
)


@given(VOTES, st.integers(-1, 4), st.booleans(), PEOPLE)
def test_no_votes_approve_without_enough_other_people(votes, approvals, owner, requester) -> None:
    found = stand(*votes, of=terms(approvals, owner=owner), requester=requester)
    if found.approval is None:
        assert found.state is not State.APPROVED
        return
    people = found.approval.approvers
    assert len(set(people)) == len(people) >= max(1, approvals)
    assert requester not in people
    assert not owner or OTTO in people
    last = {item.person: item.decision for item in votes if item.policy == BINDING.policy}
    assert all(last[person] is Decision.APPROVE for person in people)
    assert not any(
        last.get(person) is Decision.REJECT for person in (ANNA, BEN, CORA, OTTO) if person != requester
    )


@given(VOTES, st.integers(1, 3))
def test_a_stricter_policy_never_turns_no_into_yes(votes, approvals) -> None:
    if stand(*votes, of=terms(approvals)).approval is None:
        assert stand(*votes, of=terms(approvals + 1)).approval is None
        assert stand(*votes, of=terms(approvals, owner=True)).approval is None
