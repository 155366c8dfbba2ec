"""The workspace's two keys: one for digests of what must stay inside, one that signs bundles.

Rules: made once at `sluice init` from the operating system's randomness; files are 0600 and never leave the workspace;
only the public half of the signing key goes out (the partner's trust file).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.objects import PRIVATE_FOLDER
from release.data.atomic import write_bytes
from release.errors import IntegrityError

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]

DIGEST_KEY = "digest.key"
SIGNING_KEY = "signing.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Where the keys lie."""

    folder: Path

    def create(self) -> None:
        """Make both keys. Raises FaultError."""
        from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]

        self.folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        self.folder.chmod(PRIVATE_FOLDER)
        write_bytes(self.folder / DIGEST_KEY, secrets.token_bytes(32))
        write_bytes(self.folder / SIGNING_KEY, CryptoSigner.generate_ed25519().private_bytes)

    @property
    def digest_key(self) -> bytes:
        """32 bytes for `keyed_digest`. Raises IntegrityError."""
        key = self._read(DIGEST_KEY)
        if len(key) != 32:
            raise IntegrityError(
                f"{DIGEST_KEY} has {len(key)} bytes, not 32", mend="restore it from the backup"
            )
        return key

    @property
    def signer(self) -> CryptoSigner:
        """The ed25519 key that signs bundles. Raises IntegrityError."""
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]

        try:
            return CryptoSigner(load_pem_private_key(self._read(SIGNING_KEY), password=None))
        except (ValueError, TypeError) as error:
            raise IntegrityError(
                f"{SIGNING_KEY} is not an ed25519 key", mend="restore it from the backup"
            ) from error

    def _read(self, name: str) -> bytes:
        try:
            return (self.folder / name).read_bytes()
        except OSError as error:
            raise IntegrityError(
                f"the key {name} cannot be read", mend="restore it from the backup"
            ) from error
