"""The manifest: every file of the bundle but itself and the attestation, with size and SHA-256. Canonical JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from release.bundle.layout import MANIFEST, MANIFEST_FORMAT, MOST_BYTES
from release.bundle.strict_json import mapping, parse, sequence, text_of
from release.errors import VerificationError

_MEND = "do not use the bundle; ask the sender for it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One file as the manifest has it."""

    sha256: str
    size: int


def manifest_document(release: str, files: Mapping[str, Listed]) -> dict[str, Any]:
    """The manifest as plain JSON values."""
    return {
        "format": MANIFEST_FORMAT,
        "release": release,
        "files": [
            {"path": path, "sha256": listed.sha256, "size": listed.size}
            for path, listed in sorted(files.items())
        ],
    }


def read_manifest(data: bytes) -> tuple[str, dict[str, Listed]]:
    """(release, files). Raises VerificationError."""
    document = mapping(parse(data, MANIFEST), MANIFEST)
    if document.get("format") != MANIFEST_FORMAT or set(document) != {"format", "release", "files"}:
        raise VerificationError(f"{MANIFEST} is not of the format {MANIFEST_FORMAT}", mend=_MEND)
    files: dict[str, Listed] = {}
    for entry in sequence(document, "files", MANIFEST):
        path = text_of(entry, "path", MANIFEST)
        size = entry.get("size")
        if path in files or set(entry) != {"path", "sha256", "size"}:
            raise VerificationError(f"{MANIFEST} has a wrong entry for {path[:60]!r}", mend=_MEND)
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MOST_BYTES:
            raise VerificationError(f"{MANIFEST} gives no possible size for {path[:60]!r}", mend=_MEND)
        files[path] = Listed(sha256=text_of(entry, "sha256", MANIFEST), size=size)
    return text_of(document, "release", MANIFEST), files
