"""What a bundle is made of, by name, and which names may stand in one. Shared by the exporter and by `verify`.

Rules: standard library only. A name is safe on every system or it is refused: relative, with forward slashes, no
"..", nothing hidden, no device names, no two names that a file system without case or with another Unicode form
would mix up.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Final

from release.errors import VerificationError

MANIFEST: Final = "manifest.json"
ATTESTATION: Final = "attestation.dsse.json"
CARD: Final = "card.html"
REPORT: Final = "report-partner.html"
DATAPACKAGE: Final = "datapackage.json"
CROISSANT: Final = "croissant.json"
REGISTRY_ENTRY: Final = "deployment-registry.json"
SCHEMA: Final = "schema.yaml"

MANIFEST_FORMAT: Final = "sluicegate/bundle@1"
MOST_FILES: Final = 1_000
MOST_BYTES: Final = 256 * 1024**3
"""Of one file. A bundle is meant to be carried about."""

_DEVICES: Final = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)),
}
_MEND: Final = "do not open the bundle; ask the sender for it again"


def require_names(names: Iterable[str]) -> None:
    """Raise VerificationError where a name is unsafe, or two would be one file somewhere."""
    seen: dict[str, str] = {}
    for name in names:
        require_name(name)
        key = unicodedata.normalize("NFKC", name).casefold()
        if key in seen:
            raise VerificationError(
                f"the names {seen[key]!r} and {name!r} are one file on some systems", mend=_MEND
            )
        seen[key] = name
        if len(seen) > MOST_FILES:
            raise VerificationError(f"there are more than {MOST_FILES:,} files", mend=_MEND)


def require_name(name: str) -> None:
    """Raise VerificationError where the name of a file in a bundle is not safe everywhere."""
    parts = name.split("/")
    fault = ""
    if not name or len(name) > 240:
        fault = "is empty or longer than 240 characters"
    elif any(part in {"", ".", ".."} for part in parts):
        fault = "leads out of the bundle or is not plain"
    elif any(part.startswith(".") or part != part.strip() or part.endswith(".") for part in parts):
        fault = "is hidden, or begins or ends in a way that some systems drop"
    elif any(letter in '\\:*?"<>|' or not letter.isprintable() for letter in name):
        fault = "holds a letter that some systems do not allow"
    elif any(part.split(".")[0].casefold() in _DEVICES for part in parts):
        fault = "is the name of a device on some systems"
    if fault:
        raise VerificationError(f"the name {name[:60]!r} {fault}", mend=_MEND)
