"""`sluice verify`: is this bundle what the sender's people approved, and nothing else? Offline.

Rules: standard library and securesystemslib only (age where the bundle is encrypted); reads every byte once, writes
nothing; the order is: safe names, signatures, then each file against what was signed, then the manifest against the
files. The first thing that is wrong is a `VerificationError` in plain words. What it does not do: judge
again (the partner has no evidence, by design), or look into the data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from release.bundle.archive import Source, open_source
from release.bundle.layout import ATTESTATION, MANIFEST, MOST_BYTES, require_names
from release.bundle.manifest import Listed, read_manifest
from release.bundle.signing import MOST_TRUST_BYTES, Trust, open_envelope, read_trust
from release.bundle.statement import Attested, read_statement
from release.bundle.strict_json import MOST_BYTES as MOST_JSON_BYTES
from release.errors import InputError, VerificationError

_MEND: Final = "do not use the bundle; ask the sender for it again"
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What was checked, and what the sender vouches for.

    Attributes:
        release: the release's id.
        issuer: the sender, by the trust file.
        partner: for whom it is.
        policy: name of the policy. policy_version: its version. policy_digest: SHA-256 of it.
        gate: whether looking at real data in order to decide was inside ε.
        claim: ε, δ, unit, contribution bound, adjacency, accountant: plain JSON values.
        time: when the sender's exporter re-judged the evidence, RFC 3339.
        expires: until when it may be used, RFC 3339. Not compared with a clock here, and a revocation cannot be seen offline.
        signers: names of the trusted keys that signed. threshold: how many had to.
        files: number of files. bytes: their total size.
    """

    release: str
    issuer: str
    partner: str
    policy: str
    policy_version: str
    policy_digest: str
    gate: str
    claim: Mapping[str, Any]
    time: str
    expires: str
    signers: tuple[str, ...]
    threshold: int
    files: int
    bytes: int


def verify(path: Path, trust_file: Path, *, identity: Path | None = None) -> VerifyReport:
    """Check a bundle.

    Args:
        path: the bundle: a folder, a tar, or an age file.
        trust_file: what the sender gave the partner once.
        identity: the partner's age identity file, where the bundle is encrypted.

    Returns:
        What the sender vouches for; every byte of the bundle is covered by it.

    Raises:
        VerificationError: the bundle is not what was approved and signed, or not for this partner.
        InputError: the trust file or the identity cannot be read, or an identity is needed.
    """
    trust = read_trust(_read(trust_file), trust_file.name)
    with open_source(path, identity) as source:
        return _verify(source, trust)


def _verify(source: Source, trust: Trust) -> VerifyReport:
    names = set(source.sizes)
    for needed in (ATTESTATION, MANIFEST):
        if needed not in names:
            raise VerificationError(f"{needed} is missing", mend=_MEND)
    payload, signers = open_envelope(_json_bytes(source, ATTESTATION), trust, ATTESTATION)
    attested = read_statement(payload, ATTESTATION)
    require_names([*attested.subjects, ATTESTATION])
    _require_same_names(names - {ATTESTATION}, set(attested.subjects))
    listed: dict[str, Listed] = {}
    for name in sorted(attested.subjects):
        listed[name] = _listed(source, name)
        if listed[name].sha256 != attested.subjects[name]:
            raise VerificationError(f"{name} was changed after it was signed", mend=_MEND)
    _require_manifest(source, attested, listed)
    if trust.partner and attested.details["partner"] != trust.partner:
        raise VerificationError(
            f'the bundle is for "{attested.details["partner"]}", not for "{trust.partner}"',
            mend="do not use it; tell the sender",
        )
    return VerifyReport(
        release=attested.release,
        issuer=trust.issuer,
        partner=str(attested.details["partner"]),
        policy=attested.policy,
        policy_version=attested.policy_version,
        policy_digest=attested.policy_digest,
        gate=str(attested.details["gate"]),
        claim=dict(attested.details["claim"]),
        time=attested.time,
        expires=str(attested.details["expires"]),
        signers=signers,
        threshold=trust.threshold,
        files=len(names),
        bytes=sum(source.sizes.values()),
    )


def _require_same_names(present: set[str], signed: set[str]) -> None:
    if missing := sorted(signed - present):
        raise VerificationError(f"{missing[0]} is missing", mend=_MEND)
    if added := sorted(present - signed):
        raise VerificationError(f"{added[0]} was added after signing", mend=_MEND)


def _require_manifest(source: Source, attested: Attested, files: Mapping[str, Listed]) -> None:
    release, listed = read_manifest(_json_bytes(source, MANIFEST))
    found = {name: entry for name, entry in files.items() if name != MANIFEST}
    if release != attested.release:
        raise VerificationError(f"{MANIFEST} and {ATTESTATION} speak of different releases", mend=_MEND)
    if listed != found:
        differing = sorted(
            name for name in listed.keys() | found.keys() if listed.get(name) != found.get(name)
        )
        raise VerificationError(f"{MANIFEST} says something else of {differing[0]} than is so", mend=_MEND)


def _listed(source: Source, name: str) -> Listed:
    digest, size = hashlib.sha256(), 0
    with source.open(name) as stream:
        while block := stream.read(_BLOCK):
            size += len(block)
            if size > MOST_BYTES:
                raise VerificationError(f"{name} is larger than {MOST_BYTES:,} bytes", mend=_MEND)
            digest.update(block)
    return Listed(sha256=digest.hexdigest(), size=size)


def _json_bytes(source: Source, name: str) -> bytes:
    if source.sizes[name] > MOST_JSON_BYTES:
        raise VerificationError(f"{name} is larger than {MOST_JSON_BYTES:,} bytes", mend=_MEND)
    with source.open(name) as stream:
        return stream.read(MOST_JSON_BYTES + 1)


def _read(trust_file: Path) -> bytes:
    try:
        with trust_file.open("rb") as stream:
            return stream.read(MOST_TRUST_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"the trust file {trust_file.name} cannot be read ({error.strerror})", mend="check its path"
        ) from error
