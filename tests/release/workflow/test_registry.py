"""The registry's steps: the path that works, and everything that is refused on the way and leaves nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import pytest

from release.canonical import KeyedDigest, Sha256, digest, from_json
from release.database import Database
from release.errors import (
    BudgetExceededError,
    FaultError,
    GateError,
    InputError,
    IntegrityError,
    NotAuthorisedError,
    PlanError,
    RefusedError,
    TransitionError,
)
from release.records import (
    Budget,
    DatasetId,
    Decision,
    Finding,
    GateMode,
    Person,
    Population,
    Purpose,
    ReleaseId,
    Ruling,
    Task,
    Verdict,
)
from release.workflow.dossier import Dossier, Remark, dossier, require_current_verdict, require_seen
from release.workflow.offices import INSTALLED, schema_of
from release.workflow.people import SYSTEM, Role
from release.workflow.registry import Registry
from release.workflow.transitions import Action, State
from tests.release.workflow.flow import (
    ANNA,
    BEN,
    CORA,
    DOCUMENT,
    DORA,
    KEY,
    OTTO,
    PIA,
    FakeJudge,
    World,
    plan_cost,
    schema,
    world,
)


@pytest.fixture
def made(tmp_path) -> World:
    return world(tmp_path)


def unchanged(made: World, error, match: str, act) -> None:
    """The act is refused and leaves no trace at all."""
    before = made.registry.audit_log(), made.registry.all()
    with pytest.raises(error, match=match):
        act()
    assert (made.registry.audit_log(), made.registry.all()) == before
    made.registry.verify_audit()


# ---------------------------------------------------------------------------------------------- the path


def test_from_request_to_release(made: World) -> None:
    registry = made.registry
    request = made.propose(answers={"why": "a course"}, task=Task(target="sex"))
    release = request.release
    assert (release, registry.show(release).state) == ("clinic-1", State.SUBMITTED)
    assert schema_of(registry.datasets.get(DatasetId("clinic"))) == schema()

    turn = registry.begin_generation(release, cost=plan_cost(), by=ANNA)
    assert (turn.turn, turn.charge, turn.cost) == (1, "ledger:2", plan_cost())
    assert registry.ledger.balance(Population("patients")).charges[0].release == release
    candidate = made.candidate(release)
    assert registry.record_candidate(candidate, by=ANNA) == digest(candidate)
    registry.record_evidence(release, made.evidence(digest(candidate)), by=ANNA)
    assert registry.show(release).standing is not None
    assert registry.record_verdict(release, made.verdict(release), by=ANNA) is State.IN_REVIEW
    made.clock.forward(hours=1)
    assert registry.vote(release, Decision.APPROVE, comment="good", by=BEN) is State.PARTIALLY_REVIEWED
    assert registry.current_approval(release) is None
    made.clock.forward(hours=1)
    assert registry.vote(release, Decision.APPROVE, by=CORA) is State.APPROVED
    approval = registry.current_approval(release)
    assert approval is not None
    assert approval.expires_at == made.clock() + timedelta(days=30)

    clearance = registry.begin_export(release, judge=made.judge, by=DORA)
    assert (clearance.request, clearance.candidate, clearance.approval) == (request, candidate, approval)
    assert (clearance.document, clearance.cleared_at) == (DOCUMENT, made.clock())
    bundled = registry.record_export(release, manifest=Sha256("3" * 64), judge=made.judge, by=DORA)
    view = registry.show(release)
    assert (view.state, view.bundle, view.approval) == (State.RELEASED, bundled, None)
    assert [vote.person for vote in view.votes] == [BEN, CORA]
    assert view.actions == (Action.EXPIRE, Action.REVOKE, Action.SUPERSEDE)

    report = registry.verify_audit()
    assert (report.releases, report.ledger_entries) == (1, 2)
    log = registry.audit_log(release)
    assert [line.action for line in log] == [
        "propose",
        "submit",
        "begin_generation",
        "record_candidate",
        "record_evidence",
        "record_verdict",
        "approve",
        "approve",
        "begin_export",
        "record_export",
    ]
    assert log[-1].digest == report.head == registry.database.head("audit")[1]
    assert len(registry.audit_log()) == report.lines > len(log)
    assert "good" not in str(log)


def test_a_second_turn_is_charged_and_judged_anew(made: World) -> None:
    release = made.propose().release
    assert made.make(release, value=0.5) is State.BLOCKED
    with pytest.raises(TransitionError):
        made.approve(release)
    assert made.make(release) is State.IN_REVIEW
    view = made.registry.show(release)
    assert (view.turn, view.opened.charge, view.verdict.ruling) == (2, "ledger:3", Ruling.MET)
    assert len(made.registry.ledger.balance(Population("patients")).charges) == 2


def test_ids_count_up_within_a_dataset(made: World) -> None:
    assert [made.propose().release for _ in range(3)] == ["clinic-1", "clinic-2", "clinic-3"]
    assert [view.release for view in made.registry.all()] == ["clinic-1", "clinic-2", "clinic-3"]


# ---------------------------------------------------------------------------------------------- asking

BAD_REQUESTS = {
    "no such dataset": (InputError, "no dataset", {"dataset": DatasetId("none")}),
    "no such policy": (InputError, "no policy", {"policy": "none"}),
    "epsilon above the tier": (RefusedError, "is above", {"budget": Budget(epsilon=11.0, delta=1e-7)}),
    "nan": (RefusedError, "is above", {"budget": Budget(epsilon=math.nan, delta=1e-7)}),
    "no epsilon": (InputError, "not a positive", {"budget": Budget(epsilon=0.0, delta=1e-7)}),
    "delta too large": (InputError, "is not in", {"budget": Budget(epsilon=1.0, delta=1e-5)}),
    "no delta": (InputError, "is not in", {"budget": Budget(epsilon=1.0, delta=0.0)}),
    "no rows": (InputError, "cannot be sampled", {"rows": 0}),
    "the exact private number of rows": (InputError, "exact count of the real table", {"rows": 3}),
    "an unknown target": (InputError, "does not release", {"task": Task(target="id")}),
    "a mix of an unknown slice": (InputError, "no slice", {"weights": {"women": 0.5}}),
    "an unknown feature": (InputError, "does not release", {"task": Task(target="sex", features=("x",))}),
    "infinite for a baseline": (
        InputError,
        "not a positive",
        {"budget": Budget(epsilon=math.inf, delta=1e-7), "purpose": Purpose.BASELINE},
    ),
    "no requester": (NotAuthorisedError, "takes the role requester", {"by": BEN}),
    "a stranger": (NotAuthorisedError, "is not known", {"by": Person("zoe")}),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_a_request_that_makes_no_sense_is_refused(made: World, name: str) -> None:
    error, match, changes = BAD_REQUESTS[name]
    unchanged(made, error, match, lambda: made.propose(**changes))


def test_the_ends_of_what_makes_sense_are_accepted(made: World) -> None:
    largest = schema().largest_delta
    request = made.propose(rows=1, budget=Budget(epsilon=10.0, delta=largest))
    assert (request.rows, request.budget.delta) == (1, largest)


def test_a_release_that_is_not_there(made: World) -> None:
    for act in (made.registry.show, made.registry.current_approval):
        with pytest.raises(InputError, match="no release"):
            act(ReleaseId("clinic-9"))


def test_only_the_requester_submits_and_withdraws(made: World) -> None:
    made.registry.people.add(BEN, (Role.REQUESTER,), by=OTTO)
    release = made.propose().release
    unchanged(made, NotAuthorisedError, "only anna", lambda: made.registry.withdraw(release, by=BEN))
    made.registry.withdraw(release, by=ANNA)
    unchanged(made, TransitionError, "nothing can be done", lambda: made.registry.submit(release, by=ANNA))


# ---------------------------------------------------------------------------------------------- making


def test_a_charge_beyond_the_cap_changes_nothing(tmp_path) -> None:
    made = world(tmp_path, epsilon=1.2)
    first, second = made.propose().release, made.propose().release
    made.registry.begin_generation(first, cost=plan_cost(1.0), by=ANNA)
    unchanged(
        made,
        BudgetExceededError,
        "nothing was charged",
        lambda: made.registry.begin_generation(second, cost=plan_cost(1.0), by=ANNA),
    )
    assert made.registry.show(second).state is State.SUBMITTED


BAD_COSTS = {
    "more epsilon than asked": (PlanError, "more than the", {"epsilon": 1.01}),
    "more delta than asked": (PlanError, "more than the", {"epsilon": 0.5, "delta": 2e-7}),
    "another unit": (PlanError, "the dataset patient", {"unit": "row"}),
    "another bound": (PlanError, "with 2", {"max_rows": 1}),
}


@pytest.mark.parametrize("name", BAD_COSTS)
def test_a_plan_that_is_not_what_was_asked_for_is_refused(made: World, name: str) -> None:
    error, match, changes = BAD_COSTS[name]
    release = made.propose().release
    unchanged(
        made,
        error,
        match,
        lambda: made.registry.begin_generation(release, cost=plan_cost(**changes), by=ANNA),
    )


def test_nothing_is_charged_without_a_cap(made: World) -> None:
    other = schema("clients", population="clients")
    made.registry.datasets.add(other, table=KeyedDigest("5" * 64), report={}, by=ANNA)
    release = made.propose(dataset=DatasetId("clients")).release
    unchanged(
        made,
        RefusedError,
        "no lifetime cap",
        lambda: made.registry.begin_generation(release, cost=plan_cost(), by=ANNA),
    )


def test_a_non_private_generator_runs_as_a_baseline_only_and_never_reaches_review(made: World) -> None:
    release = made.propose().release
    unchanged(
        made,
        RefusedError,
        "purpose baseline",
        lambda: made.registry.begin_generation(release, cost=None, by=ANNA),
    )
    baseline = made.propose(purpose=Purpose.BASELINE, epsilon=99.0).release
    assert made.make(baseline, epsilon=None) is State.BLOCKED
    view = made.registry.show(baseline)
    assert (view.verdict.releasable, view.opened.charge, view.candidate.claim) == (True, "", None)
    unchanged(made, TransitionError, "it must be", lambda: made.approve(baseline))


def test_a_private_candidate_under_purpose_baseline_never_reaches_review_either(made: World) -> None:
    assert made.make(made.propose(purpose=Purpose.BASELINE).release) is State.BLOCKED


def test_augmented_rows_never_reach_review(made: World) -> None:
    augmented = schema(
        "smote",
        provenance={
            "kind": "augmented",
            "source": "made for a test",
            "licence": "CC0-1.0",
            "depth": 1,
            "real_anchor": "clinic",
        },
    )
    made.registry.datasets.add(augmented, table=KeyedDigest("6" * 64), report={}, by=OTTO)
    release = made.propose(dataset=DatasetId("smote")).release
    assert made.make(release) is State.BLOCKED
    assert made.registry.show(release).verdict.releasable


BAD_CANDIDATES = {
    "turn": 2,
    "request": Sha256("0" * 64),
    "dataset": KeyedDigest("0" * 64),
    "charge": "ledger:1",
    "claim": None,
    "generator": "aim",
}


@pytest.mark.parametrize("field", BAD_CANDIDATES)
def test_a_candidate_that_does_not_follow_from_its_turn_is_refused(made: World, field: str) -> None:
    release = made.propose().release
    made.registry.begin_generation(release, cost=plan_cost(), by=ANNA)
    wrong = made.candidate(release, **{field: BAD_CANDIDATES[field]})
    unchanged(made, IntegrityError, field, lambda: made.registry.record_candidate(wrong, by=ANNA))


def test_a_claim_smaller_than_the_charge_is_refused(made: World) -> None:
    release = made.propose().release
    made.registry.begin_generation(release, cost=plan_cost(), by=ANNA)
    wrong = made.candidate(release, claim=replace(plan_cost(), epsilon=0.1))
    unchanged(made, IntegrityError, "claim", lambda: made.registry.record_candidate(wrong, by=ANNA))


def test_a_candidate_is_evaluated_once(made: World) -> None:
    release = made.propose().release
    made.make(release, value=0.5)
    again = made.evidence(digest(made.registry.show(release).candidate), 0.01)
    unchanged(
        made,
        RefusedError,
        "already evaluated",
        lambda: made.registry.record_evidence(release, again, by=ANNA),
    )


def test_evidence_has_its_place_and_its_candidate(made: World) -> None:
    registry, release = made.registry, made.propose().release
    some = made.evidence(Sha256("0" * 64))
    unchanged(made, TransitionError, "no candidate", lambda: registry.record_evidence(release, some, by=ANNA))
    registry.begin_generation(release, cost=plan_cost(), by=ANNA)
    candidate = registry.record_candidate(made.candidate(release), by=ANNA)
    unchanged(made, IntegrityError, "not about", lambda: registry.record_evidence(release, some, by=ANNA))
    mine = made.evidence(candidate)
    unchanged(made, NotAuthorisedError, "requester", lambda: registry.record_evidence(release, mine, by=BEN))
    unchanged(
        made,
        TransitionError,
        "not evaluated",
        lambda: registry.record_verdict(release, empty_verdict(), by=ANNA),
    )
    registry.fail(release, reason="out of memory", by=ANNA)
    unchanged(made, TransitionError, "while failed", lambda: registry.record_evidence(release, mine, by=ANNA))
    assert made.make(release) is State.IN_REVIEW


def empty_verdict(**changes) -> Verdict:
    made = Verdict(
        policy=Sha256("0" * 64),
        candidate=Sha256("0" * 64),
        evidence=KeyedDigest("0" * 64),
        mode=GateMode.UNCOVERED,
        findings=(),
    )
    return replace(made, **changes)


@pytest.mark.parametrize("field", ["policy", "candidate", "evidence"])
def test_a_verdict_about_something_else_is_refused(made: World, field: str) -> None:
    registry, release = made.registry, made.propose().release
    registry.begin_generation(release, cost=plan_cost(), by=ANNA)
    candidate = registry.record_candidate(made.candidate(release), by=ANNA)
    registry.record_evidence(release, made.evidence(candidate), by=ANNA)
    wrong = replace(made.verdict(release), **{field: "0" * 64})
    unchanged(made, IntegrityError, "not about", lambda: registry.record_verdict(release, wrong, by=ANNA))
    nothing = replace(made.verdict(release), findings=())
    assert registry.record_verdict(release, nothing, by=ANNA) is State.BLOCKED


def test_a_failed_turn_stays_charged_and_can_be_tried_again(made: World) -> None:
    release = made.propose().release
    made.registry.begin_generation(release, cost=plan_cost(), by=ANNA)
    made.registry.fail(release, reason="interrupted", by=ANNA)
    assert made.registry.show(release).state is State.FAILED
    assert len(made.registry.ledger.balance(Population("patients")).charges) == 1
    assert made.make(release) is State.IN_REVIEW
    assert len(made.registry.ledger.balance(Population("patients")).charges) == 2


# ---------------------------------------------------------------------------------------------- reviewing


def test_who_may_not_vote(made: World) -> None:
    release = made.propose().release
    unchanged(made, TransitionError, "it must be", lambda: made.approve(release, BEN))
    made.make(release)
    unchanged(made, NotAuthorisedError, "asked for this release", lambda: made.approve(release, ANNA))
    unchanged(made, NotAuthorisedError, "none of the roles", lambda: made.approve(release, DORA))
    unchanged(made, NotAuthorisedError, "none of the roles", lambda: made.approve(release, Person("zoe")))
    made.approve(release, BEN)
    unchanged(made, RefusedError, "already approved", lambda: made.approve(release, BEN))


def test_a_vote_on_what_is_no_longer_up_for_review_is_refused(made: World) -> None:
    release = made.propose().release
    made.make(release)
    seen = case_of(made, release).binding
    made.registry.send_back(release, comment="", by=BEN)
    made.make(release)
    unchanged(
        made,
        TransitionError,
        "has changed since",
        lambda: made.registry.vote(release, Decision.APPROVE, by=CORA, seen=seen),
    )
    now = case_of(made, release).binding
    assert made.registry.vote(release, Decision.APPROVE, by=CORA, seen=now) is State.PARTIALLY_REVIEWED


def test_an_outdated_verdict_keeps_nobody_from_sending_back(made: World) -> None:
    """What was looked at is the outdated verdict; a vote on it is refused, and sending back is how it gets a new one."""
    release = made.propose().release
    made.make(release)
    case = case_of(made, release)
    assert case.view(made.clock()).binding == case.binding == made.registry.show(release).binding
    stale = replace(case, verdict=replace(case.verdict, evidence=KeyedDigest("0" * 64)))
    seen = stale.view(made.clock()).binding
    assert seen is not None
    assert seen != stale.binding
    require_seen(stale, seen, stale.view(made.clock()).binding)
    with pytest.raises(TransitionError, match="has changed since"):
        require_seen(stale, seen, stale.binding)


def test_sending_back_what_is_no_longer_up_for_review_is_refused(made: World) -> None:
    """A comment on the first candidate must not send back the second, nor void the votes on it."""
    release = made.propose().release
    made.make(release)
    first = case_of(made, release).binding
    made.registry.send_back(release, comment="too few columns", by=BEN, seen=first)
    made.make(release)
    made.approve(release, BEN)
    unchanged(
        made,
        TransitionError,
        "has changed since",
        lambda: made.registry.send_back(release, comment="too few columns", by=CORA, seen=first),
    )
    second = case_of(made, release).binding
    made.registry.send_back(release, comment="too many rows", by=CORA, seen=second)
    view = made.registry.show(release)
    assert (view.state, view.standing.approvers) == (State.RETURNED, ())
    assert [(remark.by, remark.comment, remark.about) for remark in view.remarks] == [
        (BEN, "too few columns", first),
        (CORA, "too many rows", second),
    ]


def test_what_a_remark_was_about_is_kept_also_where_nobody_says_what_they_saw(made: World) -> None:
    release = made.propose().release
    made.make(release)
    about = case_of(made, release).binding
    made.registry.send_back(release, comment="", by=BEN)
    assert [remark.about for remark in made.registry.show(release).remarks] == [about]
    assert made.registry.show(made.propose().release).remarks == ()


def test_a_remark_of_an_earlier_version_is_still_read() -> None:
    assert from_json(Remark, {"by": "ben", "comment": "again"}) == Remark(by=BEN, comment="again")


def test_one_reject_ends_it(made: World) -> None:
    release = made.propose().release
    made.make(release)
    made.approve(release, BEN)
    assert made.registry.vote(release, Decision.REJECT, comment="no", by=BEN) is State.REJECTED
    unchanged(made, TransitionError, "nothing can be done", lambda: made.approve(release, CORA))


def test_an_approval_can_be_taken_back_until_it_is_out(made: World) -> None:
    release = made.approved()
    made.registry.send_back(release, comment="on second thoughts", by=BEN)
    assert made.registry.current_approval(release) is None
    assert made.make(release) is State.IN_REVIEW
    assert made.registry.show(release).votes == ()
    rejected = made.approved()
    assert made.registry.vote(rejected, Decision.REJECT, by=CORA) is State.REJECTED
    assert "second thoughts" not in str(made.registry.audit_log())


def test_the_policy_owner_where_wanted(tmp_path) -> None:
    made = world(tmp_path, document="partner 1 2 owner 30 0.1")
    release = made.propose().release
    made.make(release)
    assert made.approve(release, BEN, CORA) is State.REVIEWED
    assert made.registry.current_approval(release) is None
    unchanged(made, TransitionError, "it must be", lambda: made.export(release))
    assert made.approve(release, OTTO) is State.APPROVED
    made.export(release)


def test_approvals_expire(made: World) -> None:
    release = made.approved()
    made.clock.forward(days=29, hours=23)
    assert made.registry.expire_due() == ()
    assert made.registry.current_approval(release) is not None
    made.clock.forward(hours=1)
    assert made.registry.current_approval(release) is None
    unchanged(made, GateError, "no valid approval", lambda: made.export(release))
    still = made.approved()
    assert made.registry.expire_due() == (release,)
    assert made.registry.show(release).state is State.RE_REVIEW_REQUIRED
    assert made.registry.show(still).state is State.APPROVED
    # The same evidence goes to review again, and the old votes no longer count.
    assert made.registry.record_verdict(release, made.verdict(release), by=BEN) is State.IN_REVIEW
    assert made.registry.show(release).standing.approvers == ()
    assert made.approve(release) is State.APPROVED
    made.export(release)
    made.clock.forward(days=31)
    assert set(made.registry.expire_due()) == {release, still}
    assert made.registry.show(release).state is State.EXPIRED
    lines = made.registry.audit_log(release)
    assert (lines[-1].by, lines[-1].action) == (SYSTEM, "expire_due")


def test_an_approver_who_leaves_takes_the_approval_along(made: World) -> None:
    release = made.approved()
    made.registry.people.add(BEN, (), by=OTTO)
    assert made.registry.current_approval(release) is None
    unchanged(made, GateError, "no valid approval", lambda: made.export(release))
    assert made.registry.expire_due() == (release,)


def test_a_new_policy_version_sends_open_releases_back(made: World) -> None:
    registry = made.registry
    approved, reviewing, blocked, out = (made.approved() for _ in range(4))
    registry.send_back(reviewing, comment="", by=BEN)
    made.make(reviewing)
    registry.send_back(blocked, comment="", by=BEN)
    made.make(blocked, value=0.5)
    made.export(out)
    terms = registry.policies.propose("partner 2 2 - 30 0.04", made.judge, by=OTTO)
    assert [policy.terms for policy in registry.policies.waiting()] == [terms]
    assert registry.show(approved).state is State.APPROVED
    registry.policies.confirm("partner", terms.digest, by=PIA)
    states = [registry.show(release).state for release in (approved, reviewing, blocked, out)]
    again = State.RE_REVIEW_REQUIRED
    assert states == [again, again, State.BLOCKED, State.RELEASED]
    # The same evidence, 0.05, is not enough under the new limit.
    assert registry.record_verdict(approved, made.verdict(approved), by=BEN) is State.BLOCKED
    assert registry.current_approval(approved) is None


def test_a_policy_that_changes_while_an_export_runs_stops_it(made: World) -> None:
    release = made.approved()
    made.registry.begin_export(release, judge=made.judge, by=DORA)
    terms = made.registry.policies.propose("partner 2 1 - 30 0.2", made.judge, by=OTTO)
    made.registry.policies.confirm("partner", terms.digest, by=PIA)
    unchanged(
        made,
        GateError,
        "no verdict on its present",
        lambda: made.registry.record_export(release, manifest=Sha256("3" * 64), judge=made.judge, by=DORA),
    )
    state = made.registry.fail_export(release, reason="policy changed", by=DORA)
    assert state is State.RE_REVIEW_REQUIRED


def test_training_wants_a_sweep_on_file_where_the_policy_says_so(tmp_path) -> None:
    made = world(tmp_path, document="partner 1 1 - 30 0.1 sweep")
    registry = made.registry
    free, release = made.propose().release, made.propose(purpose=Purpose.TRAINING).release
    made.make(free)
    assert made.approve(free, BEN) is State.APPROVED
    made.make(release)
    unchanged(made, GateError, "sweep on file", lambda: made.approve(release, BEN))
    unchanged(
        made,
        NotAuthorisedError,
        "run a sweep",
        lambda: registry.record_sweep(release, mix=Sha256("7" * 64), result={}, by=BEN),
    )
    registry.record_sweep(release, mix=Sha256("7" * 64), result={"auc": [0.7, 0.71]}, by=ANNA)
    assert registry.show(release).sweeps[0].result == {"auc": [0.7, 0.71]}
    assert made.approve(release, BEN) is State.APPROVED
    made.export(release)
    # A new turn has a new candidate, and needs its own.
    second = made.propose(purpose=Purpose.TRAINING).release
    made.make(second)
    registry.record_sweep(second, mix=Sha256("7" * 64), result={}, by=ANNA)
    registry.send_back(second, comment="", by=BEN)
    made.make(second)
    unchanged(made, GateError, "sweep on file", lambda: made.approve(second, BEN))


# ---------------------------------------------------------------------------------------------- releasing


def test_only_a_releaser_exports_and_only_what_is_approved(made: World) -> None:
    release = made.propose().release
    unchanged(made, TransitionError, "it must be", lambda: made.export(release))
    made.make(release)
    unchanged(made, TransitionError, "it must be", lambda: made.export(release))
    made.approve(release)
    for person in (ANNA, BEN, OTTO):
        unchanged(
            made,
            NotAuthorisedError,
            "takes the role releaser",
            lambda person=person: made.registry.begin_export(release, judge=made.judge, by=person),
        )


class Stricter(FakeJudge):
    def judge(self, *arguments) -> Verdict:
        found = super().judge(*arguments)
        broken = tuple(replace(finding, ruling=Ruling.BROKEN) for finding in found.findings)
        return replace(found, findings=broken)


class Forgetful(FakeJudge):
    def judge(self, *arguments) -> Verdict:
        return replace(super().judge(*arguments), findings=())


class Talkative(FakeJudge):
    def judge(self, *arguments) -> Verdict:
        found = super().judge(*arguments)
        more = Finding(
            rule="more", subject="", ruling=Ruling.MET, value=None, limit="none", reason="a new rule"
        )
        return replace(found, findings=(*found.findings, more))


class Wordy(FakeJudge):
    """The same ruling for another reason, as after an upgrade."""

    def judge(self, *arguments: object) -> Verdict:
        found = super().judge(*arguments)
        return replace(found, findings=tuple(replace(item, reason="newly put") for item in found.findings))


class Elsewhere(FakeJudge):
    """The same findings, said to be of another gate mode."""

    def judge(self, *arguments: object) -> Verdict:
        return replace(super().judge(*arguments), mode=GateMode.COVERED)


@pytest.mark.parametrize(
    ("judge", "difference"),
    [
        (Stricter(), "gives broken, not the stored verdict: fake was met and is broken; find out"),
        (Forgetful(), "fake was met and is absent"),
        (Talkative(), "gives met, not the stored verdict: more was absent and is met"),
        (
            Wordy(),
            "gives met, not the stored verdict: the same rulings, otherwise worded or limited, in fake",
        ),
        (Elsewhere(), "the same findings, under another policy, mode or candidate"),
    ],
)
def test_export_judges_again_and_stops_at_any_difference(
    made: World, judge: FakeJudge, difference: str
) -> None:
    release = made.approved()
    unchanged(
        made,
        GateError,
        difference,
        lambda: made.registry.begin_export(release, judge=judge, by=DORA),
    )
    made.registry.begin_export(release, judge=made.judge, by=DORA)
    unchanged(
        made,
        GateError,
        "judged again",
        lambda: made.registry.record_export(release, manifest=Sha256("3" * 64), judge=judge, by=DORA),
    )


def test_an_export_that_broke_off_can_begin_again_while_the_approval_holds(made: World) -> None:
    release = made.approved()
    made.registry.begin_export(release, judge=made.judge, by=DORA)
    assert made.registry.current_approval(release) is not None
    assert made.registry.fail_export(release, reason="disk full", by=DORA) is State.APPROVED
    made.registry.begin_export(release, judge=made.judge, by=DORA)
    made.clock.forward(days=40)
    unchanged(
        made,
        GateError,
        "no valid approval",
        lambda: made.registry.record_export(release, manifest=Sha256("3" * 64), judge=made.judge, by=DORA),
    )
    assert made.registry.fail_export(release, reason="late", by=DORA) is State.RE_REVIEW_REQUIRED


def test_revoke_and_supersede(made: World) -> None:
    first, second = made.approved(), made.approved()
    made.export(first)
    for successor in (first, second):
        unchanged(
            made,
            RefusedError,
            "not another release",
            lambda successor=successor: made.registry.supersede(first, successor=successor, by=DORA),
        )
    made.export(second)
    made.registry.supersede(first, successor=second, by=DORA)
    assert made.registry.show(first).state is State.SUPERSEDED
    unchanged(made, NotAuthorisedError, "none of", lambda: made.registry.revoke(second, reason="", by=ANNA))
    made.registry.revoke(second, reason="a flaw", by=OTTO)
    assert made.registry.show(second).state is State.REVOKED


# ---------------------------------------------------------------------------------------------- offices


def test_people(made: World) -> None:
    people = made.registry.people
    assert people.get(Person("zoe")) is None
    assert people.add(Person("zoe"), (Role.REVIEWER, Role.REVIEWER), by=OTTO).roles == (Role.REVIEWER,)
    assert people.get(Person("zoe")).added_by == OTTO
    assert people.all()[-1].person == "zoe"
    unchanged(made, NotAuthorisedError, "give roles", lambda: people.add(ANNA, (Role.RELEASER,), by=ANNA))
    for name in ("", "system", "built-in", "a/b", " a", "a" * 129):
        unchanged(
            made, InputError, "name", lambda name=name: people.add(Person(name), (Role.REVIEWER,), by=OTTO)
        )
    held = (Role.POLICY_OWNER, Role.BUDGET_OWNER)
    for gain in (Role.REVIEWER, Role.RELEASER):
        unchanged(
            made, NotAuthorisedError, "themselves", lambda gain=gain: people.add(OTTO, (*held, gain), by=OTTO)
        )
    assert people.add(OTTO, (Role.POLICY_OWNER,), by=OTTO).roles == (Role.POLICY_OWNER,)
    assert people.add(OTTO, (*held, Role.REVIEWER), by=PIA).roles == (*held, Role.REVIEWER)
    people.add(PIA, (), by=OTTO)
    unchanged(made, RefusedError, "nobody would", lambda: people.add(OTTO, (Role.REVIEWER,), by=OTTO))


def test_the_first_person_must_be_a_policy_owner(tmp_path) -> None:
    from tests.release.workflow.flow import FakeClock

    database = Database(f"sqlite:///{tmp_path / 'new.sqlite'}", key=KEY, clock=FakeClock())
    database.upgrade()
    registry = Registry(database)
    with pytest.raises(RefusedError, match="nobody would be policy owner"):
        registry.people.add(ANNA, (Role.REQUESTER,), by=ANNA)
    registry.people.add(ANNA, tuple(Role), by=ANNA)
    with pytest.raises(NotAuthorisedError, match="install"):
        registry.policies.install(DOCUMENT, FakeJudge(), by=BEN)
    assert registry.verify_audit().lines == 1


def test_names_that_begin_alike_are_different_people(made: World) -> None:
    made.registry.people.add(Person("be_"), (Role.RELEASER,), by=OTTO)
    made.registry.people.add(Person("ben%"), (Role.RELEASER,), by=OTTO)
    assert made.registry.people.get(BEN).roles == (Role.REVIEWER,)


def test_policies(made: World) -> None:
    policies, judge = made.registry.policies, made.judge
    current = policies.current("partner")
    assert (current.document, current.confirmed_by) == (DOCUMENT, INSTALLED)
    assert policies.by_digest(current.terms.digest) == current
    assert policies.all() == (current,)
    for act, error, match in (
        (lambda: policies.by_digest(Sha256("0" * 64)), InputError, "no policy has"),
        (lambda: policies.current("none"), InputError, "no policy"),
        (lambda: policies.install(DOCUMENT, judge, by=OTTO), RefusedError, "only once"),
        (lambda: policies.propose(DOCUMENT, judge, by=OTTO), RefusedError, "already in force"),
        (lambda: policies.propose("partner 2 1 - 1 1", judge, by=ANNA), NotAuthorisedError, "publish"),
        (lambda: policies.confirm("partner", current.terms.digest, by=PIA), InputError, "waits for"),
        (lambda: policies.confirm("none", current.terms.digest, by=PIA), InputError, "waits for"),
    ):
        unchanged(made, error, match, act)
    new = policies.propose("partner 2 1 - 1 1", judge, by=OTTO)
    other = policies.propose("internal 1 1 - 1 1", judge, by=PIA)
    assert {policy.terms.name for policy in policies.waiting()} == {"partner", "internal"}
    assert policies.current("partner") == current
    assert policies.all() == (current,)
    unchanged(
        made,
        NotAuthorisedError,
        "proposed this policy",
        lambda: policies.confirm("partner", new.digest, by=OTTO),
    )
    unchanged(made, NotAuthorisedError, "publish", lambda: policies.confirm("partner", new.digest, by=ANNA))
    unchanged(made, InputError, "waits for", lambda: policies.confirm("partner", other.digest, by=PIA))
    policies.confirm("partner", new.digest, by=PIA)
    assert policies.current("partner").terms == new
    assert [policy.terms.name for policy in policies.waiting()] == ["internal"]


def test_installing_is_over_once_there_are_releases(made: World) -> None:
    made.propose()
    unchanged(
        made,
        RefusedError,
        "only once",
        lambda: made.registry.policies.install("late 1 1 - 1 1", made.judge, by=OTTO),
    )


GENERATED = {"kind": "generated", "source": "a model", "licence": "CC0-1.0", "depth": 1}
BAD_DATASETS = {
    "the name is taken": (schema(), "already a dataset"),
    "generated without a registered anchor": (
        schema("fake", provenance={**GENERATED, "real_anchor": "nowhere"}),
        "need a registered dataset",
    ),
    "generated from generated": (
        schema("fake", provenance={**GENERATED, "real_anchor": "second"}),
        "need a registered dataset",
    ),
    "another unit of the same population": (schema("visits", unit={"name": "row"}), "counts per patient"),
}


@pytest.mark.parametrize("name", BAD_DATASETS)
def test_a_dataset_that_cannot_be_added(made: World, name: str) -> None:
    bad, match = BAD_DATASETS[name]
    datasets = made.registry.datasets
    second = schema("second", provenance={**GENERATED, "real_anchor": "clinic"})
    datasets.add(second, table=KeyedDigest("5" * 64), report={}, by=ANNA)
    unchanged(
        made, InputError, match, lambda: datasets.add(bad, table=KeyedDigest("5" * 64), report={}, by=ANNA)
    )


def test_one_file_draws_on_one_population(made: World) -> None:
    datasets = made.registry.datasets
    file = KeyedDigest("f" * 64)
    datasets.add(schema("visits"), table=KeyedDigest("5" * 64), report={}, by=ANNA, file=file)
    unchanged(
        made,
        InputError,
        "this file is registered",
        lambda: datasets.add(
            schema("again", population="others"), table=KeyedDigest("6" * 64), report={}, by=ANNA, file=file
        ),
    )
    datasets.add(schema("again"), table=KeyedDigest("6" * 64), report={}, by=ANNA, file=file)


def test_what_a_vote_on_a_view_is_about(made: World) -> None:
    release = made.propose().release
    assert made.registry.show(release).binding is None
    made.make(release)
    assert made.registry.show(release).binding == case_of(made, release).binding


def test_who_may_add_datasets_and_set_caps(made: World) -> None:
    datasets = made.registry.datasets
    assert [dataset.id for dataset in datasets.all()] == ["clinic"]
    with pytest.raises(InputError, match="no dataset"):
        datasets.get(DatasetId("none"))
    unchanged(
        made,
        NotAuthorisedError,
        "add a dataset",
        lambda: datasets.add(schema("b"), table=KeyedDigest("5" * 64), report={}, by=BEN),
    )
    patients = Population("patients")
    unchanged(
        made,
        NotAuthorisedError,
        "lifetime cap",
        lambda: datasets.set_cap(patients, epsilon=99.0, delta=1e-6, by=ANNA),
    )
    unchanged(
        made,
        InputError,
        "no dataset belongs",
        lambda: datasets.set_cap(Population("none"), epsilon=99.0, delta=1e-6, by=OTTO),
    )
    assert datasets.set_cap(patients, epsilon=12.0, delta=1e-6, by=OTTO).epsilon == 12.0


# ---------------------------------------------------------------------------------------------- breaking off


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_breaking_off_in_the_middle_of_any_write_leaves_nothing(made: World, monkeypatch, error) -> None:
    """Every statement of every step in turn is the one at which the program dies."""
    import sqlalchemy as sa

    release = made.propose().release
    steps = [
        lambda: made.registry.begin_generation(release, cost=plan_cost(), by=ANNA),
        lambda: made.registry.record_candidate(made.candidate(release), by=ANNA),
        lambda: made.registry.record_evidence(
            release, made.evidence(digest(made.registry.show(release).candidate)), by=ANNA
        ),
        lambda: made.registry.record_verdict(release, made.verdict(release), by=ANNA),
        lambda: made.approve(release, BEN),
        lambda: made.approve(release, CORA),
        lambda: made.registry.begin_export(release, judge=made.judge, by=DORA),
        lambda: made.registry.record_export(release, manifest=Sha256("3" * 64), judge=made.judge, by=DORA),
    ]
    real = sa.Connection.execute

    for step in steps:
        died = True
        at = 0
        while died:
            at += 1
            left = at

            def dying(self, statement, *arguments, **more):
                nonlocal left
                if isinstance(statement, sa.Insert | sa.Update):
                    left -= 1
                    if not left:
                        raise error("pulled the plug")
                return real(self, statement, *arguments, **more)

            before = made.registry.audit_log()
            with monkeypatch.context() as patch:
                patch.setattr(sa.Connection, "execute", dying)
                try:
                    step()
                    died = False
                except error:
                    died = True
            if died:
                assert made.registry.audit_log() == before
                made.registry.verify_audit()
        assert at >= 4
    assert made.registry.show(release).state is State.RELEASED
    made.registry.verify_audit()


def test_a_clock_that_goes_backwards_stops_every_step(made: World) -> None:
    release = made.approved()
    made.clock.forward(days=-1)
    for act in (
        lambda: made.registry.current_approval(release),
        lambda: made.export(release),
        lambda: made.propose(),
        lambda: made.registry.show(release),
    ):
        with pytest.raises(FaultError, match="went backwards"):
            act()


# ---------------------------------------------------------------------------------------------- second lines of defence


def case_of(made: World, release: ReleaseId) -> Dossier:
    with made.registry._store.look() as reader:
        return dossier(reader, release)


def test_an_approval_without_a_current_all_met_verdict_is_none(made: World) -> None:
    case = case_of(made, made.approved())
    now = made.clock()
    assert case.current_approval(now) is not None
    broken = replace(case.verdict, findings=())
    stale = replace(case.verdict, policy=Sha256("0" * 64))
    for verdict in (None, broken, stale):
        assert replace(case, verdict=verdict).current_approval(now) is None
    assert replace(case, approvals=()).current_approval(now) is None
    assert replace(case, evidence=None).current_approval(now) is None
    assert replace(case, place=replace(case.place, review=0)).current_approval(now) is None
    assert case.current_approval(now - timedelta(seconds=1)) is None


def test_a_verdict_must_be_current_and_all_met(made: World) -> None:
    case = case_of(made, made.approved())
    assert require_current_verdict(case) == case.verdict
    for verdict, match in (
        (None, "no verdict"),
        (replace(case.verdict, candidate=Sha256("0" * 64)), "no verdict"),
        (replace(case.verdict, findings=()), "is unproven"),
    ):
        with pytest.raises(GateError, match=match):
            require_current_verdict(replace(case, verdict=verdict))


def test_a_release_without_a_turn_has_none(made: World) -> None:
    case = case_of(made, made.propose().release)
    with pytest.raises(TransitionError, match="no turn yet"):
        case.require_turn()
