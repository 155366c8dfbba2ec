"""An approved release with real parts: registry, object store, the pure judge, signing keys; and canaries everywhere.

A canary is a value that must never leave: it stands where the product keeps what is private, and the tests look for it
in every byte of every bundle.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from securesystemslib.signer import CryptoSigner

from app.objects import ObjectStore
from policies import PureJudge, builtin
from release.bundle.export import Exporter, Wanted, export
from release.bundle.signing import trust_bytes, trust_document
from release.canonical import KeyedDigest, Sha256, canonical_bytes, digest, keyed_digest
from release.data.schema import Schema
from release.data.table import Column, Table
from release.data.table_file import write_table
from release.database import Database
from release.privacy.accounting import cost, rho_for
from release.records import (
    Budget,
    Candidate,
    DatasetId,
    Decision,
    DpEvent,
    EvidenceSet,
    Exhibit,
    GateMode,
    Measured,
    Mechanism,
    Person,
    Population,
    Purpose,
    ReleaseId,
    Task,
)
from release.workflow.people import Role
from release.workflow.registry import Registry
from tests.policies.cases import GOOD_CONTROLS, GOOD_FIGURES

KEY = b"K" * 32
ANNA, BEN, CORA, DORA, OTTO = (
    Person(f"{name}-canary-person") for name in ("anna", "ben", "cora", "dora", "otto")
)
ISSUER, PARTNER = "St <b>Mary</b> Hospital", 'Clinic "B" & sons'

FORMULA = '=HYPERLINK("http://evil.example","x")'
MARKUP = "<script>alert('x')</script>"
REAL_ROWS = 7_919
SCORE = 0.0142317891
CANARIES = (
    "CANARY",
    "canary-person",
    "0142317891",
    "7919",
    "7,919",
    KEY.decode(),
)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **step: float) -> None:
        self.now += timedelta(**step)


def schema(**changes: object) -> Schema:
    document = {
        "name": "clinic",
        "title": f"Visits {MARKUP}",
        "population": "patients",
        "population_size": 10_000,
        "unit": {"name": "patient", "column": "id", "max_rows": 2},
        "provenance": {"kind": "collected", "source": "Visits 2024, public name", "licence": "CC BY 4.0"},
        "columns": [
            {"name": "id", "kind": "identifier", "surrogate": True},
            {"name": "name CANARY", "kind": "text", "roles": ["direct-identifier"]},
            {
                "name": "=sex",
                "kind": "categorical",
                "description": f"as recorded {MARKUP}",
                "roles": ["quasi-identifier"],
                "domain": {"values": ["f", "m", FORMULA, "-1", "@x", MARKUP]},
                "domain_source": "codebook",
                "missing": [{"code": "", "meaning": "not asked"}, {"code": "-9", "meaning": "refused"}],
            },
            {"name": "town", "kind": "categorical", "roles": ["quasi-identifier"]},
            {
                "name": "age",
                "kind": "integer",
                "domain": {"min": 0, "max": 120},
                "domain_source": "codebook",
                "missing": [{"code": "", "meaning": "missing"}],
            },
            {
                "name": "change",
                "kind": "real",
                "domain": {"min": -5.0, "max": 5.0, "decimals": 2},
                "domain_source": "codebook",
                "missing": [{"code": "-99", "meaning": "not measured"}],
            },
            {
                "name": "day",
                "kind": "date",
                "domain": {"min": "2024-01-01", "max": "2024-12-31"},
                "domain_source": "codebook",
            },
            {
                "name": "seen",
                "kind": "datetime",
                "domain": {"min": "2024-01-01T00:00:00", "max": "2024-12-31T23:59:59"},
                "domain_source": "codebook",
            },
            {
                "name": "again",
                "kind": "boolean",
                "roles": ["target"],
                "domain": {"values": ["no", "yes"]},
                "domain_source": "codebook",
            },
        ],
        "slices": [{"name": "over 65", "where": {"age": {"min": 65, "max": 120}}}],
        **changes,
    }
    return Schema.model_validate_json(json.dumps(document))


def table(of: Schema, rows: int, *, town: str, seed: int) -> Table:
    """Random values in every declared domain; `town` is the only level of that learnt column that a row has."""
    rng = np.random.default_rng(seed)
    columns = {}
    for spec in of.released:
        missing = np.zeros(rows, np.uint8)
        if spec.missing:
            missing[::7] = len(spec.missing)
            missing[::11] = 1
        levels: tuple[str, ...] = ()
        if spec.name == "town":
            levels = (town, f"CANARY level that no row has {seed}")
            values = np.zeros(rows, np.int32)
        elif spec.kind.coded:
            levels = (*spec.levels, "(outside domain)")
            values = rng.integers(0, len(spec.levels), rows).astype(np.int32)
        else:
            low, high = spec.bounds
            real = spec.kind == "real"
            values = (
                np.round(rng.uniform(low, high, rows), 2)
                if real
                else rng.integers(int(low), int(high) + 1, rows, dtype=np.int64)
            )
        values = np.where(missing > 0, -1 if spec.kind.coded else 0, values).astype(values.dtype)
        columns[spec.name] = Column(values, missing, levels)
    return Table(of, columns, np.arange(rows, dtype=np.int64))


@dataclass
class Scene:
    registry: Registry
    objects: ObjectStore
    clock: Clock
    signer: CryptoSigner
    second: CryptoSigner
    root: Path

    def exporter(self, **changes: object) -> Exporter:
        parts = {
            "registry": self.registry,
            "objects": self.objects,
            "judge": PureJudge(),
            "digest_key": KEY,
            "signers": (self.signer,),
            "issuer": ISSUER,
        }
        return Exporter(**{**parts, **changes})

    def trust(self, threshold: int = 1, partner: str = PARTNER, *signers: CryptoSigner) -> Path:
        named = [(f"desk {n}", signer) for n, signer in enumerate(signers or (self.signer,), start=1)]
        path = self.root / "trust.json"
        path.write_bytes(
            trust_bytes(trust_document(named, issuer=ISSUER, partner=partner, threshold=threshold))
        )
        return path

    def export(self, release: ReleaseId, to: Path | None = None, **wanted: object):
        folder = to or self.root / "out"
        folder.mkdir(exist_ok=True)
        return export(self.exporter(), release, Wanted(to=folder, **wanted), by=DORA)

    # ---------------------------------------------------------------- steps of a release

    def propose(self, **changes: object) -> ReleaseId:
        request = self.registry.propose(
            **{
                "dataset": DatasetId("clinic"),
                "generator": "mst",
                "budget": Budget(epsilon=1.0, delta=1e-7),
                "policy": "internal-dev",
                "partner": PARTNER,
                "purpose": Purpose.ANALYSIS,
                "rows": 300,
                "by": ANNA,
                "task": Task(target="again"),
                "answers": {
                    "intended-use": f"to predict {MARKUP}",
                    "private-note": "CANARY answer that is not public",
                },
                **changes,
            }
        )
        self.registry.submit(request.release, by=ANNA)
        return request.release

    def make(
        self, release: ReleaseId, *, evidence: EvidenceSet | None = None, **changes: object
    ) -> Candidate:
        sigma = (2.0 * rho_for(1.0, 1e-7)) ** -0.5
        events = (DpEvent(label="measure sex", mechanism=Mechanism.DISCRETE_GAUSSIAN, parameter=sigma),)
        self.registry.begin_generation(release, cost=cost(events, 1e-7, unit="patient", max_rows=2), by=ANNA)
        view = self.registry.show(release)
        synthetic = table(schema(), view.request.rows, town="Springfield", seed=5)
        candidate = Candidate(
            release=release,
            turn=view.turn,
            request=digest(view.request),
            dataset=view.request.dataset_digest,
            split=KeyedDigest(self.objects.put_bytes(b'{"key":"CANARY split seed"}', keyed=True)),
            generator="mst",
            generator_version="0.1.0",
            plan=Sha256("1" * 64),
            claim=view.opened.cost,
            charge=view.opened.charge,
            table=Sha256(self.objects.put(lambda path: write_table(synthetic, path), keyed=False)),
            model=self.objects.put_folder(_save_model),
            rows=len(synthetic),
            published=(("=sex",),),
            made_at=self.clock(),
        )
        candidate = replace(candidate, **changes)
        name = self.registry.record_candidate(candidate, by=ANNA)
        self.registry.record_evidence(release, evidence or evidence_of(name), by=ANNA)
        return candidate

    def judged(self, release: ReleaseId):
        view = self.registry.show(release)
        verdict = PureJudge().judge(
            self.registry.policies.current(view.request.policy).document,
            view.evidence,
            keyed_digest(view.evidence, KEY),
            view.candidate.claim,
            view.request.purpose,
            GateMode.UNCOVERED,
        )
        return self.registry.record_verdict(release, verdict, by=ANNA)

    def approve(self, release: ReleaseId, *people: Person) -> None:
        for person in people or (BEN,):
            self.registry.vote(release, Decision.APPROVE, comment="CANARY comment: looks fine", by=person)

    def approved(self, **changes: object) -> ReleaseId:
        release = self.propose(**changes)
        self.make(release)
        self.judged(release)
        self.approve(release)
        return release


def evidence_of(candidate: Sha256) -> EvidenceSet:
    figures = tuple(
        replace(
            item,
            note="CANARY note on nearest rows",
            outcome=Measured(estimate=SCORE, low=SCORE, high=SCORE, trials=REAL_ROWS)
            if item.metric == "max_tpr_at_fpr_1pct"
            else item.outcome,
        )
        for item in GOOD_FIGURES
    )
    return EvidenceSet(
        candidate=candidate,
        suite="standard",
        probes=("copies",),
        evidence=figures,
        controls=GOOD_CONTROLS,
        exhibits=(
            Exhibit(
                probe="copies",
                title="CANARY exhibit",
                kind="table",
                takeaway="CANARY",
                data={"rows": ["CANARY"]},
            ),
        ),
    )


def _save_model(folder: Path) -> None:
    folder.mkdir()
    (folder / "model.json").write_bytes(canonical_bytes({"weights": [SCORE, "CANARY weight"]}))


def build(root: Path) -> Scene:
    clock = Clock()
    database = Database(f"sqlite:///{root / 'registry.sqlite'}", key=KEY, clock=clock)
    database.upgrade()
    registry = Registry(database)
    objects = ObjectStore(root=root / "objects", key=KEY)
    objects.create()
    registry.people.add(OTTO, (Role.POLICY_OWNER, Role.BUDGET_OWNER), by=OTTO)
    registry.people.add(ANNA, (Role.REQUESTER, Role.REVIEWER), by=OTTO)
    registry.people.add(BEN, (Role.REVIEWER,), by=OTTO)
    registry.people.add(CORA, (Role.REVIEWER,), by=OTTO)
    registry.people.add(DORA, (Role.RELEASER,), by=OTTO)
    for document in builtin().values():
        registry.policies.install(document, PureJudge(), by=OTTO)
    real = table(schema(), REAL_ROWS, town="CANARY real town", seed=3)
    registry.datasets.add(
        schema(),
        table=KeyedDigest(objects.put(lambda path: write_table(real, path), keyed=True)),
        report={"file": "/home/CANARY/visits.csv", "rows": REAL_ROWS},
        by=ANNA,
    )
    registry.datasets.set_cap(Population("patients"), epsilon=20.0, delta=1e-6, by=OTTO)
    return Scene(
        registry=registry,
        objects=objects,
        clock=clock,
        signer=CryptoSigner.generate_ed25519(),
        second=CryptoSigner.generate_ed25519(),
        root=root,
    )
