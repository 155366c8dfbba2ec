"""The one table: closed, drawn as documented, and obeyed by who may do what."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from pathlib import Path

import pytest

from release.errors import NotAuthorisedError, TransitionError
from release.records import Kind, Person, Purpose
from release.workflow.people import SYSTEM, Member, Role, may_act, require_role
from release.workflow.transitions import (
    COMMANDS,
    TRANSITIONS,
    VERBS,
    Action,
    State,
    Transition,
    actions_from,
    arrows,
    diagram,
    may_do,
    may_enter_review,
    may_move,
    require_do,
    require_enter_review,
    require_move,
    steps_from,
)

ROOT = Path(__file__).resolve().parents[3]
ANNA, BEN = Person("anna"), Person("ben")


def member(*roles: Role) -> Member:
    return Member(person=BEN, roles=roles, added_by=BEN, added_at=datetime(2026, 1, 1, tzinfo=UTC))


def test_the_diagram_in_the_docs_is_the_table() -> None:
    assert (ROOT / "docs" / "workflow.md").read_text() == diagram()


def test_an_arrow_that_stands_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        arrows([*TRANSITIONS, TRANSITIONS[3]])


def test_the_design_s_states_are_all_there_and_all_reachable() -> None:
    reached = {State.DRAFT}
    for _ in State:
        reached |= {row.target for row in TRANSITIONS if row.source in reached}
    assert reached == set(State)


def test_the_only_way_to_released_is_approved_then_exporting() -> None:
    assert {row.source for row in TRANSITIONS if row.target is State.RELEASED} == {State.EXPORTING}
    entering = {(row.source, row.action) for row in TRANSITIONS if row.target is State.EXPORTING}
    assert entering == {(State.APPROVED, Action.BEGIN_EXPORT)}
    approving = [row for row in TRANSITIONS if row.target is State.APPROVED]
    assert {row.action for row in approving} == {Action.APPROVE, Action.FAIL_EXPORT}
    assert all(row.others for row in approving if row.action is Action.APPROVE)
    assert {row.action for row in TRANSITIONS if row.target is State.IN_REVIEW} == {Action.RECORD_VERDICT}


def test_what_has_left_never_comes_back_and_ends_are_ends() -> None:
    ends = {state for state in State if not actions_from(state)}
    assert ends == {State.REJECTED, State.EXPIRED, State.REVOKED, State.SUPERSEDED, State.WITHDRAWN}
    after = {row.target for row in TRANSITIONS if row.source is State.RELEASED}
    assert after == {State.EXPIRED, State.REVOKED, State.SUPERSEDED}


@pytest.mark.parametrize(("source", "action"), list(itertools.product(State, Action)))
def test_what_is_not_in_the_table_is_refused_with_what_is_possible(source: State, action: Action) -> None:
    for target in State:
        if may_move(source, action, target):
            assert require_move(source, action, target).target is target
            continue
        with pytest.raises(
            TransitionError, match="possible now" if actions_from(source) else "nothing can be"
        ):
            require_move(source, action, target)


STEPS = {
    State.SUBMITTED: ("`sluice release run x-1` (requester)", "`sluice release withdraw x-1` (requester)"),
    State.BLOCKED: (
        "`sluice release run x-1 --new-turn` (requester)",
        "`sluice release withdraw x-1` (requester)",
    ),
    State.EVALUATING: (
        "`sluice release run x-1` (requester)",
    ),  # judging alone is also a reviewer's, measuring is not
    State.EXPORTING: ("`sluice release export x-1 --to DIR` (releaser)",),
    State.RELEASED: (
        '`sluice release revoke x-1 -m "why"` (releaser or policy-owner)',
        "`sluice release supersede x-1 --by LATER-ID` (releaser)",
    ),
    State.REVOKED: (),
}


def test_what_people_can_type() -> None:
    for state, steps in STEPS.items():
        assert steps_from(State(state), "x-1") == steps


def test_every_action_can_be_said_and_every_action_of_people_typed() -> None:
    assert set(VERBS) == set(Action)
    assert set(COMMANDS) == {row.action for row in TRANSITIONS if row.roles}
    assert all(steps_from(state, "x-1") for state in State if actions_from(state))


def test_a_refusal_says_from_where_it_can_be_done_and_what_can_be_done_now() -> None:
    with pytest.raises(TransitionError) as refused:
        require_move(State.SUBMITTED, Action.BEGIN_EXPORT, State.EXPORTING, "x-1")
    assert refused.value.fact == "x-1 is submitted; to export x-1 it must be approved"
    assert refused.value.mend == "`sluice release show x-1` says why; possible now: " + ", ".join(
        STEPS[State.SUBMITTED]
    )
    with pytest.raises(TransitionError) as refused:
        require_move(State.IN_REVIEW, Action.APPROVE, State.REJECTED, "x-1")
    assert refused.value.fact == "to approve x-1 does not lead from in_review to rejected"
    with pytest.raises(TransitionError) as refused:
        require_move(State.REVOKED, Action.SUPERSEDE, State.SUPERSEDED, "x-1")
    assert str(refused.value).endswith("says why; nothing can be done to it any more")


def test_who_may_not_is_told_in_plain_words() -> None:
    sending_back = require_move(State.IN_REVIEW, Action.RETURN, State.RETURNED)
    with pytest.raises(NotAuthorisedError, match="so cannot send it back; another person has to"):
        require_do(sending_back, member(Role.REVIEWER), BEN, BEN)
    exporting = require_move(State.APPROVED, Action.BEGIN_EXPORT, State.EXPORTING)
    with pytest.raises(NotAuthorisedError, match="to export a release takes the role releaser"):
        require_do(exporting, member(Role.REVIEWER), BEN, ANNA)


def test_who_may_do_what_in_every_case() -> None:
    for row in TRANSITIONS:
        for role, requester in itertools.product((None, *Role), (ANNA, BEN)):
            who = member(role) if role else None
            expected = (
                role in row.roles
                and not (row.others and requester == BEN)
                and not (row.own and requester != BEN)
            )
            assert may_do(row, who, BEN, requester) is expected
            if expected:
                require_do(row, who, BEN, requester)
            else:
                with pytest.raises(NotAuthorisedError, match=_why_not(row, requester)):
                    require_do(row, who, BEN, requester)


def _why_not(row: Transition, requester: Person) -> str:
    if not row.roles:
        return "happens by itself; ben cannot"
    if row.others and requester == BEN:
        return "ben asked for this release"
    if row.own and requester == ANNA:
        return "only anna"
    return "takes the role" if len(row.roles) == 1 else "has none of the roles"


def test_what_happens_by_itself_is_done_by_nobody() -> None:
    by_itself = [row for row in TRANSITIONS if not row.roles]
    assert {row.action for row in by_itself} == {Action.REQUIRE_RE_REVIEW, Action.LAPSE, Action.EXPIRE}
    for row in by_itself:
        require_do(row, None, SYSTEM, ANNA)
        with pytest.raises(NotAuthorisedError, match="by itself"):
            require_do(row, member(*Role), BEN, ANNA)
    for row in TRANSITIONS:
        if row.roles:
            assert not may_do(row, None, SYSTEM, ANNA)


@pytest.mark.parametrize(
    ("purpose", "kind", "private"), list(itertools.product(Purpose, Kind, (True, False)))
)
def test_baselines_non_private_and_augmented_rows_never_enter_review(purpose, kind, private) -> None:
    allowed = purpose is not Purpose.BASELINE and kind is not Kind.AUGMENTED and private
    assert may_enter_review(purpose, kind, private=private) is allowed
    if allowed:
        require_enter_review(purpose, kind, private=private)
    else:
        with pytest.raises(TransitionError, match="never be"):
            require_enter_review(purpose, kind, private=private)


def test_roles() -> None:
    assert may_act(member(Role.REVIEWER), Role.REVIEWER)
    assert not may_act(member(), Role.REVIEWER)
    assert not may_act(None, Role.REVIEWER)
    require_role(member(Role.REVIEWER), BEN, Role.REVIEWER, "vote")
    with pytest.raises(NotAuthorisedError, match="has the roles none"):
        require_role(member(), BEN, Role.REVIEWER, "vote")
    with pytest.raises(NotAuthorisedError, match="is not known"):
        require_role(None, BEN, Role.REVIEWER, "vote")
