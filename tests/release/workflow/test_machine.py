"""No sequence of commands reaches `released` without an all-met verdict and valid approvals by other people.

The machine plays people who try everything in any order. Beside the registry it keeps its own, much simpler account
(a dictionary a release) of what was seen and said, and holds every export that succeeds against that.
"""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from release.canonical import Sha256, digest
from release.errors import ReleaseError
from release.records import Decision, Person, Population, Purpose
from release.workflow.people import Role
from release.workflow.transitions import State
from tests.release.workflow.flow import ANNA, BEN, CORA, DORA, OTTO, PIA, plan_cost, world

PEOPLE = (ANNA, BEN, CORA, DORA, OTTO)
ROLES = {
    ANNA: (Role.REQUESTER, Role.REVIEWER),
    BEN: (Role.REQUESTER, Role.REVIEWER),
    CORA: (Role.REVIEWER,),
    DORA: (Role.RELEASER, Role.REVIEWER),
    OTTO: (Role.POLICY_OWNER, Role.BUDGET_OWNER),
}
POLICIES = ((1, 0.1), (2, 0.1), (2, 0.04), (3, 0.1))
"""(approvals, limit) of the policy versions that come and go."""

PICK = st.integers(0, 9)
WHO = st.sampled_from(PEOPLE)


class Office(RuleBasedStateMachine):
    exported = 0
    refused = 0

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.made = world(Path(self.folder.name), epsilon=40.0, document="partner 0 2 - 30 0.1")
        self.registry = self.made.registry
        self.roles = dict(ROLES)
        for person, roles in ROLES.items():
            self.registry.people.add(person, roles, by=OTTO)
        self.version, self.needed, self.limit = 0, 2, 0.1
        self.seen: dict[str, dict[str, Any]] = {}
        self.charged: list[str] = []

    def attempt(self, act) -> bool:
        try:
            act()
        except ReleaseError:
            type(self).refused += 1
            return False
        return True

    def pick(self, number: int) -> str:
        names = sorted(self.seen)
        return names[number % len(names)] if names else "clinic-1"

    # ------------------------------------------------------------------ requesting and making

    @rule(purpose=st.sampled_from([Purpose.ANALYSIS, Purpose.ANALYSIS, Purpose.BASELINE]), by=WHO)
    def propose(self, purpose: Purpose, by: Person) -> None:
        if len(self.seen) < 3:
            name = f"clinic-{len(self.seen) + 1}"
            if self.attempt(lambda: self.made.propose(purpose=purpose, by=by)):
                self.seen[name] = {"by": by, "purpose": purpose, "value": None, "votes": {}, "private": None}

    @rule(pick=PICK, by=WHO, private=st.sampled_from([True, True, True, False]))
    def begin(self, pick: int, by: Person, private: bool) -> None:
        name = self.pick(pick)
        cost = plan_cost(1.0) if private else None
        if self.attempt(lambda: self.registry.begin_generation(name, cost=cost, by=by)):
            self.seen[name].update(private=private, value=None, votes={})
            self.charged += [name] * private

    @rule(pick=PICK, by=WHO)
    def candidate(self, pick: int, by: Person) -> None:
        name = self.pick(pick)
        if name in self.seen and self.registry.show(name).opened:
            self.attempt(lambda: self.registry.record_candidate(self.made.candidate(name), by=by))

    @rule(pick=PICK, by=WHO, value=st.sampled_from([0.03, 0.05, 0.2]))
    def evidence(self, pick: int, by: Person, value: float) -> None:
        name = self.pick(pick)

        def act() -> None:
            current = self.registry.show(name).candidate
            about = digest(current) if current else Sha256("0" * 64)
            self.registry.record_evidence(name, self.made.evidence(about, value), by=by)

        if self.attempt(act):
            assert self.seen[name]["value"] is None, "a candidate was evaluated twice"
            self.seen[name]["value"] = value

    @rule(pick=PICK, by=WHO)
    def verdict(self, pick: int, by: Person) -> None:
        name = self.pick(pick)
        view = self.registry.show(name) if name in self.seen else None
        if (
            view
            and view.evidence
            and self.attempt(lambda: self.registry.record_verdict(name, self.made.verdict(name), by=by))
        ):
            self.seen[name]["votes"] = {}

    @rule(pick=PICK, by=WHO)
    def fail(self, pick: int, by: Person) -> None:
        self.attempt(lambda: self.registry.fail(self.pick(pick), reason="", by=by))

    @rule(pick=PICK, steps=st.sampled_from([2, 6, 12]))
    def the_usual_way(self, pick: int, steps: int) -> None:
        """So that runs get far: what an honest office would do next, a few times."""
        if not self.seen:
            self.propose(Purpose.ANALYSIS, ANNA)
        name = self.pick(pick)
        by = self.seen[name]["by"]
        for _ in range(steps):
            match self.registry.show(name).state:
                case State.SUBMITTED | State.BLOCKED | State.RETURNED | State.FAILED:
                    self.begin(pick, by, True)
                case State.GENERATING:
                    self.candidate(pick, by)
                case State.EVALUATING:
                    self.evidence(pick, by, 0.03)
                    self.verdict(pick, by)
                case State.RE_REVIEW_REQUIRED:
                    self.verdict(pick, by)
                case State.IN_REVIEW | State.PARTIALLY_REVIEWED:
                    for person in (BEN, CORA, DORA, OTTO):
                        self.vote(pick, person, Decision.APPROVE)
                case State.APPROVED:
                    self.begin_export(pick, DORA)
                case State.EXPORTING:
                    self.record_export(pick, DORA)

    # ------------------------------------------------------------------ reviewing

    @rule(pick=PICK, by=WHO, decision=st.sampled_from([*[Decision.APPROVE] * 5, Decision.REJECT]))
    def vote(self, pick: int, by: Person, decision: Decision) -> None:
        name = self.pick(pick)
        if self.attempt(lambda: self.registry.vote(name, decision, by=by)):
            self.seen[name]["votes"][by] = (decision, self.made.clock())

    @rule(pick=PICK, by=WHO)
    def send_back(self, pick: int, by: Person) -> None:
        self.attempt(lambda: self.registry.send_back(self.pick(pick), comment="", by=by))

    @rule(pick=PICK, by=WHO)
    def withdraw(self, pick: int, by: Person) -> None:
        if pick == 0:
            self.attempt(lambda: self.registry.withdraw(self.pick(pick), by=by))

    # ------------------------------------------------------------------ the world goes on

    @rule(days=st.sampled_from([1, 1, 10, 40]))
    def time_passes(self, days: int) -> None:
        self.made.clock.forward(days=days)

    @rule()
    def what_is_due(self) -> None:
        for name in self.registry.expire_due():
            if self.registry.show(name).state is State.RE_REVIEW_REQUIRED:
                self.seen[name]["votes"] = {}

    @rule(policy=st.sampled_from(POLICIES))
    def new_policy(self, policy: tuple[int, float]) -> None:
        self.version += 1
        self.needed, self.limit = policy
        document = f"partner {self.version} {self.needed} - 30 {self.limit}"
        terms = self.registry.policies.propose(document, self.made.judge, by=OTTO)
        self.registry.policies.confirm("partner", terms.digest, by=PIA)
        for seen in self.seen.values():
            seen["votes"] = {}  # a version never comes back here, so no earlier vote can bind again

    @rule(person=st.sampled_from([BEN, CORA, DORA]), has=st.booleans())
    def somebody_leaves_or_returns(self, person: Person, has: bool) -> None:
        self.roles[person] = ROLES[person] if has else ()
        self.registry.people.add(person, self.roles[person], by=OTTO)

    # ------------------------------------------------------------------ releasing

    @rule(pick=PICK, by=WHO)
    def begin_export(self, pick: int, by: Person) -> None:
        name = self.pick(pick)
        if self.attempt(lambda: self.registry.begin_export(name, judge=self.made.judge, by=by)):
            self.require_sound(name, self.made.clock())

    @rule(pick=PICK, by=WHO)
    def record_export(self, pick: int, by: Person) -> None:
        name = self.pick(pick)
        manifest = Sha256("3" * 64)
        if self.attempt(
            lambda: self.registry.record_export(name, manifest=manifest, judge=self.made.judge, by=by)
        ):
            self.require_sound(name, self.made.clock())
            type(self).exported += 1

    @rule(pick=PICK, by=WHO)
    def fail_export(self, pick: int, by: Person) -> None:
        self.attempt(lambda: self.registry.fail_export(self.pick(pick), reason="", by=by))

    # ------------------------------------------------------------------ what must hold

    def require_sound(self, name: str, now: datetime) -> None:
        seen = self.seen[name]
        assert seen["purpose"] is not Purpose.BASELINE
        assert seen["private"] is True
        assert seen["value"] is not None
        assert seen["value"] <= self.limit
        good = [
            (person, at)
            for person, (decision, at) in seen["votes"].items()
            if decision is Decision.APPROVE
            and person != seen["by"]
            and {Role.REVIEWER, Role.POLICY_OWNER} & set(self.roles[person])
        ]
        assert len(good) >= self.needed
        assert not any(
            decision is Decision.REJECT and self.roles[person]
            for person, (decision, _) in seen["votes"].items()
        )
        assert max(at for _, at in good) <= now < max(at for _, at in good) + timedelta(days=30)

    def teardown(self) -> None:
        with self.folder:
            self.registry.verify_audit()
            charged = [
                charge.release for charge in self.registry.ledger.balance(Population("patients")).charges
            ]
            assert sorted(charged) == sorted(self.charged)


def test_no_sequence_of_commands_releases_what_must_not_be() -> None:
    Office.exported = Office.refused = 0
    run_state_machine_as_test(
        Office,
        settings=settings(
            max_examples=16,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Office.exported >= 3, "the machine must get somewhere for its silence to mean anything"
    assert Office.refused >= 100
