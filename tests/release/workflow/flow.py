"""A small world for workflow tests: a workspace's registry with people, a policy and a dataset, and steps through it."""

from __future__ import annotations

import functools
import json
import tempfile
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from release.canonical import KeyedDigest, Sha256, digest, keyed_digest
from release.data.schema import Schema
from release.database import Database
from release.privacy.accounting import cost, rho_for
from release.records import (
    Budget,
    Candidate,
    DatasetId,
    Decision,
    DpEvent,
    Evidence,
    EvidenceSet,
    Finding,
    GateMode,
    Measured,
    Mechanism,
    Person,
    PolicyTerms,
    Population,
    Purpose,
    Ruling,
    Verdict,
)
from release.workflow.people import Role
from release.workflow.registry import Registry

KEY = b"k" * 32
ANNA, BEN, CORA, DORA, OTTO = (Person(name) for name in ("anna", "ben", "cora", "dora", "otto"))
"""Requester, two reviewers, releaser, and the owner of policies and budgets; PIA is a second policy owner."""
PIA = Person("pia")


@dataclass
class FakeClock:
    now: datetime = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **step: float) -> None:
        self.now += timedelta(**step)


@dataclass
class FakeJudge:
    """Reads "name version approvals owner days limit sweep"; met where the one figure is at most the limit."""

    def terms(self, document: str) -> PolicyTerms:
        name, version, approvals, owner, days, *rest = document.split()
        return PolicyTerms(
            name=name,
            version=version,
            digest=digest({"document": document}),
            approvals=int(approvals),
            owner_approval=owner == "owner",
            approval_days=int(days),
            suite="quick",
            smallest_cell=11,
            max_epsilon=10.0,
            requires_sweep=(Purpose.TRAINING,) if "sweep" in rest else (),
        )

    def judge(self, document, evidence, evidence_digest, claim, purpose, mode) -> Verdict:
        limit = float(document.split()[5])
        findings = tuple(
            Finding(
                rule="fake",
                subject="",
                ruling=Ruling.MET if item.outcome.high <= limit else Ruling.BROKEN,
                value=item.outcome,
                limit=f"at most {limit}",
                reason="because",
            )
            for item in evidence.evidence
        )
        return Verdict(
            policy=self.terms(document).digest,
            candidate=evidence.candidate,
            evidence=evidence_digest,
            mode=mode,
            findings=findings,
        )


def schema(name: str = "clinic", **changes: object) -> Schema:
    document = {
        "name": name,
        "population": "patients",
        "population_size": 10_000,
        "unit": {"name": "patient", "column": "id", "max_rows": 2},
        "provenance": {"kind": "collected", "source": "made for a test", "licence": "CC0-1.0"},
        "columns": [
            {"name": "id", "kind": "identifier"},
            {
                "name": "sex",
                "kind": "categorical",
                "domain": {"values": ["f", "m"]},
                "domain_source": "codebook",
            },
        ],
        **changes,
    }
    return Schema.model_validate_json(json.dumps(document))


DOCUMENT = "partner 1 2 - 30 0.1"


@dataclass
class World:
    registry: Registry
    clock: FakeClock
    judge: FakeJudge = field(default_factory=FakeJudge)

    def propose(
        self, *, epsilon: float = 1.0, purpose: Purpose = Purpose.ANALYSIS, by: Person = ANNA, **changes
    ):
        request = self.registry.propose(
            **{
                "dataset": DatasetId("clinic"),
                "generator": "mst",
                "budget": Budget(epsilon=epsilon, delta=1e-7),
                "policy": "partner",
                "partner": "other hospital",
                "purpose": purpose,
                "rows": 100,
                "by": by,
                **changes,
            }
        )
        self.registry.submit(request.release, by=by)
        return request

    def candidate(self, release, **changes) -> Candidate:
        view = self.registry.show(release)
        made = Candidate(
            release=release,
            turn=view.turn,
            request=digest(view.request),
            dataset=view.request.dataset_digest,
            split=KeyedDigest("0" * 64),
            generator=view.request.generator,
            generator_version="1",
            plan=Sha256("1" * 64),
            claim=view.opened.cost,
            charge=view.opened.charge,
            table=Sha256("2" * 64),
            model="",
            rows=100,
            published=(("sex",),),
            made_at=self.clock(),
        )
        return replace(made, **changes)

    def evidence(self, candidate: Sha256, value: float = 0.05) -> EvidenceSet:
        outcome = Measured(estimate=value, low=value, high=value, trials=100)
        item = Evidence(probe="fake", metric="harm", subject="", outcome=outcome)
        return EvidenceSet(
            candidate=candidate, suite="quick", probes=("fake",), evidence=(item,), controls=()
        )

    def verdict(self, release) -> Verdict:
        view = self.registry.show(release)
        document = self.registry.policies.current(view.request.policy).document
        claim = view.candidate.claim
        return self.judge.judge(
            document,
            view.evidence,
            keyed_digest(view.evidence, KEY),
            claim,
            view.request.purpose,
            GateMode.UNCOVERED,
        )

    def make(self, release, *, value: float = 0.05, epsilon: float | None = 1.0):
        """A turn up to its verdict: the state that leaves the release in."""
        spent = None if epsilon is None else plan_cost(epsilon)
        self.registry.begin_generation(release, cost=spent, by=ANNA)
        candidate = self.registry.record_candidate(self.candidate(release), by=ANNA)
        self.registry.record_evidence(release, self.evidence(candidate, value), by=ANNA)
        return self.registry.record_verdict(release, self.verdict(release), by=ANNA)

    def approve(self, release, *people: Person):
        state = None
        for person in people or (BEN, CORA):
            state = self.registry.vote(release, Decision.APPROVE, comment="fine", by=person)
        return state

    def export(self, release):
        self.registry.begin_export(release, judge=self.judge, by=DORA)
        return self.registry.record_export(release, manifest=Sha256("3" * 64), judge=self.judge, by=DORA)

    def approved(self, **changes):
        release = self.propose(**changes).release
        self.make(release)
        self.approve(release)
        return release


def world(directory: Path, *, url: str = "", epsilon: float = 10.0, document: str = DOCUMENT) -> World:
    """A workspace's registry as after `init`: on SQLite in this folder, or fresh on another database."""
    clock = FakeClock()
    path = directory / "registry.sqlite"
    database = Database(url or f"sqlite:///{path}", key=KEY, clock=clock)
    if url:
        database.upgrade()
        furnish(Registry(database), epsilon, document)
    else:
        path.write_bytes(_furnished(epsilon, document))
    return World(registry=Registry(database), clock=clock)


def furnish(registry: Registry, epsilon: float, document: str) -> None:
    registry.people.add(OTTO, (Role.POLICY_OWNER, Role.BUDGET_OWNER), by=OTTO)
    registry.people.add(PIA, (Role.POLICY_OWNER,), by=OTTO)
    registry.people.add(ANNA, (Role.REQUESTER, Role.REVIEWER), by=OTTO)
    registry.people.add(BEN, (Role.REVIEWER,), by=OTTO)
    registry.people.add(CORA, (Role.REVIEWER,), by=OTTO)
    registry.people.add(DORA, (Role.RELEASER,), by=OTTO)
    registry.policies.install(document, FakeJudge(), by=OTTO)
    registry.datasets.add(schema(), table=KeyedDigest("4" * 64), report={"rows": 3}, by=ANNA)
    registry.datasets.set_cap(Population("patients"), epsilon=epsilon, delta=1e-6, by=OTTO)


@functools.cache
def _furnished(epsilon: float, document: str) -> bytes:
    """Migrating and furnishing once serves every test."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "registry.sqlite"
        database = Database(f"sqlite:///{path}", key=KEY, clock=FakeClock())
        database.upgrade()
        furnish(Registry(database), epsilon, document)
        return path.read_bytes()


@functools.cache
def plan_cost(epsilon: float = 1.0, delta: float = 1e-7, unit: str = "patient", max_rows: int = 2):
    sigma = (2.0 * rho_for(epsilon, delta)) ** -0.5
    events = (DpEvent(label="measure sex", mechanism=Mechanism.DISCRETE_GAUSSIAN, parameter=sigma),)
    return cost(events, delta, unit=unit, max_rows=max_rows)
