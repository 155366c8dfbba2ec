"""Writes the files of a bundle into an empty folder: exactly those of `release.bundle.layout`, from `Public` and the table.

Rules: no other module writes what a partner gets; every file is read back from the disk for its digest, so that what is
signed is what lies there; the manifest is written after all files and signed last.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from release.bundle.card import card
from release.bundle.croissant import croissant
from release.bundle.data_file import DataFormat, data_name, frame_of, write_data
from release.bundle.datapackage import datapackage
from release.bundle.layout import (
    ATTESTATION,
    CARD,
    CROISSANT,
    DATAPACKAGE,
    MANIFEST,
    REGISTRY_ENTRY,
    REPORT,
    SCHEMA,
)
from release.bundle.manifest import Listed, manifest_document
from release.bundle.registry_entry import registry_entry
from release.bundle.signing import sign
from release.bundle.statement import Attested, statement
from release.canonical import Sha256, canonical_bytes, file_digest, to_json
from release.data.mix import shares_in_words
from release.data.schema_file import dump_schema
from release.data.table import Table
from release.quality.report import Heading, PublicRuling, partner_report
from release.records import Ruling

if TYPE_CHECKING:
    from securesystemslib.signer import Signer  # type: ignore[attr-defined]

    from release.bundle.public import Public


def write_contents(
    folder: Path, public: Public, table: Table, kind: DataFormat, signers: Sequence[Signer]
) -> Sha256:
    """Write and sign every file of the bundle into `folder`, which is empty. The manifest's SHA-256. Raises OSError."""
    path = data_name(public.schema, kind)
    (folder / path).parent.mkdir()
    write_data(table, folder / path, kind)
    listed = _listed(folder / path)
    frame = frame_of(table)
    _write_json(folder / DATAPACKAGE, datapackage(public, frame, path, listed, kind))
    _write_json(folder / CROISSANT, croissant(public, frame, path, listed, kind))
    _write_json(folder / REGISTRY_ENTRY, registry_entry(public))
    (folder / CARD).write_text(card(public, path), encoding="utf-8")
    (folder / REPORT).write_text(report(public, table), encoding="utf-8")
    (folder / SCHEMA).write_text(dump_schema(public.schema), encoding="utf-8")

    names = (path, DATAPACKAGE, CROISSANT, REGISTRY_ENTRY, CARD, REPORT, SCHEMA)
    files = {name: _listed(folder / name) for name in names}
    (folder / MANIFEST).write_bytes(canonical_bytes(manifest_document(public.release, files)))
    manifest = file_digest(folder / MANIFEST)
    attested = attested_of(
        public, {name: entry.sha256 for name, entry in files.items()} | {MANIFEST: manifest}
    )
    envelope = sign(canonical_bytes(statement(attested)), signers)
    (folder / ATTESTATION).write_bytes(canonical_bytes(envelope))
    return manifest


def report(public: Public, table: Table) -> str:
    """`report-partner.html`: what the released table holds, drawn from that table and its public schema alone."""
    heading = Heading(
        release=public.release,
        title=public.title,
        partner=public.partner,
        generator=public.generator,
        policy=public.terms.name,
        claim=public.claim,
        made_at=public.made_at,
        mix=shares_in_words(public.weights),
    )
    rulings = [
        PublicRuling(rule=rule.rule, subject=subject, limit=rule.limit, ruling=Ruling.MET)
        for rule in public.rules
        for subject in rule.subjects or ("",)
    ]
    # Of the public schema: slices and constraints that speak of a column that does not leave are not named.
    return partner_report(heading, Table(public.schema, table.columns, table.units), rulings)


def attested_of(public: Public, subjects: dict[str, str]) -> Attested:
    """What is vouched for, from `Public`."""
    claim = public.claim
    return Attested(
        subjects=subjects,
        time=public.cleared_at.isoformat(timespec="seconds"),
        policy=public.terms.name,
        policy_version=public.terms.version,
        policy_digest=public.terms.digest,
        details={
            "release": public.release,
            "turn": public.turn,
            "candidate": public.candidate,
            "issuer": public.issuer,
            "partner": public.partner,
            "purpose": str(public.purpose),
            "gate": str(public.mode),
            "verdict": "met",
            "rules": len(public.rules),
            **({"mix": dict(public.weights)} if public.weights else {}),
            "approvals": public.approvals,
            "expires": public.expires_at.isoformat(timespec="seconds"),
            "generator": {"name": public.generator, "version": public.generator_version},
            "claim": {
                "epsilon": claim.epsilon,
                "delta": claim.delta,
                "unit": claim.unit,
                "max_rows_per_unit": claim.max_rows_per_unit,
                "adjacency": str(claim.adjacency),
                "accountant": str(claim.accountant),
                "events": [to_json(event) for event in claim.events],
            },
        },
    )


def _listed(path: Path) -> Listed:
    return Listed(sha256=file_digest(path), size=path.stat().st_size)


def _write_json(path: Path, data: dict[str, Any]) -> None:
    """For people to read: indented, keys in our order, no NaN."""
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
