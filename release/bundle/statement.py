"""What is signed: an in-toto statement whose subjects are all files of the bundle and whose predicate is the verdict.

The predicate is a SLSA Verification Summary (https://slsa.dev/verification_summary/v1), which other tools know how to
read, with one further key, `sluicegate`, for what they need not know. Rules: the writer takes plain values from the
exporter; the reader refuses whatever it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from release.bundle.strict_json import mapping, parse, sequence, text_of
from release.errors import VerificationError

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://slsa.dev/verification_summary/v1"
PASSED: Final = "PASSED"
LEVEL: Final = "SLUICEGATE_ALL_MET"
DETAILS_FORMAT: Final = "sluicegate/release@1"

_MEND: Final = "do not use the bundle; ask the sender for it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """What the sender vouches for.

    Attributes:
        subjects: SHA-256 of every file but the attestation itself, by name.
        time: when it was verified, RFC 3339.
        policy: name. policy_version: its version. policy_digest: SHA-256 of the canonical policy.
        details: release, turn, candidate, partner, purpose, gate, verdict, claim, …: plain JSON values.
    """

    subjects: Mapping[str, str]
    time: str
    policy: str
    policy_version: str
    policy_digest: str
    details: Mapping[str, Any]

    @property
    def release(self) -> str:
        """The release's id."""
        return str(self.details["release"])


def statement(attested: Attested) -> dict[str, Any]:
    """The in-toto statement as plain JSON values."""
    return {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": name, "digest": {"sha256": digest}} for name, digest in sorted(attested.subjects.items())
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "verifier": {"id": "urn:sluicegate:exporter"},
            "timeVerified": attested.time,
            "resourceUri": f"urn:sluicegate:release:{attested.release}",
            "policy": {
                "uri": f"urn:sluicegate:policy:{attested.policy}:{attested.policy_version}",
                "digest": {"sha256": attested.policy_digest},
            },
            "verificationResult": PASSED,
            "verifiedLevels": [LEVEL],
            "sluicegate": {"format": DETAILS_FORMAT, **attested.details},
        },
    }


def read_statement(payload: bytes, name: str) -> Attested:
    """What a signed statement says. Raises VerificationError where it is not one of ours, or not a yes."""
    data = mapping(parse(payload, name), name)
    if set(data) != {"_type", "subject", "predicateType", "predicate"} or data["_type"] != STATEMENT_TYPE:
        raise VerificationError(f"{name} is not an in-toto statement", mend=_MEND)
    if data["predicateType"] != PREDICATE_TYPE:
        raise VerificationError(
            f"{name} states something of the unknown type {str(data['predicateType'])[:80]!r}",
            mend="a newer version of this tool may know it",
        )
    predicate = mapping(data["predicate"], name)
    details = dict(mapping(predicate.get("sluicegate"), name))
    if details.pop("format", None) != DETAILS_FORMAT:
        raise VerificationError(
            f"{name} is of another format than {DETAILS_FORMAT}",
            mend="a newer version of this tool may know it",
        )
    if predicate.get("verificationResult") != PASSED or predicate.get("verifiedLevels") != [LEVEL]:
        raise VerificationError(f"{name} does not say that every rule of the policy was met", mend=_MEND)
    if details.get("verdict") != "met":
        raise VerificationError(f"{name} does not say that the verdict was met", mend=_MEND)
    for key in ("release", "partner", "gate", "expires"):
        text_of(details, key, name)
    mapping(details.get("claim"), name)
    policy = mapping(predicate.get("policy"), name)
    prefix, _, version = text_of(policy, "uri", name).rpartition(":")
    policy_name = prefix.removeprefix("urn:sluicegate:policy:")
    if policy_name == prefix or not policy_name or not version:
        raise VerificationError(f"{name} names no policy", mend=_MEND)
    found = Attested(
        subjects=_subjects(data, name),
        time=text_of(predicate, "timeVerified", name),
        policy=policy_name,
        policy_version=version,
        policy_digest=_sha256(policy.get("digest"), name),
        details=details,
    )
    if predicate.get("resourceUri") != f"urn:sluicegate:release:{found.release}":
        raise VerificationError(f"{name} speaks of two different releases", mend=_MEND)
    return found


def _subjects(data: dict[str, Any], name: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in sequence(data, "subject", name):
        subject = text_of(entry, "name", name)
        if subject in found:
            raise VerificationError(f"{name} lists {subject[:60]!r} twice", mend=_MEND)
        found[subject] = _sha256(entry.get("digest"), name)
    return found


def _sha256(value: Any, name: str) -> str:
    digest = text_of(value, "sha256", name)
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise VerificationError(f"{name} holds something that is not a SHA-256", mend=_MEND)
    return digest
