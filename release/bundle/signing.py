"""Who signs a bundle, and whom a partner trusts.

Rules: ed25519 through securesystemslib; DSSE envelopes over in-toto statements, so that other tools can check them;
a threshold counts different keys, never one key under two names: a key's id is computed here from the key itself. The
private key is the workspace's and never passes through here as bytes.

The trust file (`sluicegate/trust@1`) is what the partner gets once, by another way than the bundle:

    {"format": …, "issuer": "Hospital A", "partner": "Hospital B", "threshold": 1,
     "keys": [{"name": "release desk", "keytype": "ed25519", "scheme": "ed25519", "public": "<64 hex digits>"}]}

`partner` may be empty: then bundles for anybody are accepted.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from release.bundle.strict_json import mapping, parse, sequence, text_of
from release.errors import InputError, VerificationError

if TYPE_CHECKING:
    from securesystemslib.signer import Signer, SSlibKey  # type: ignore[attr-defined]

TRUST_FORMAT: Final = "sluicegate/trust@1"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
MOST_TRUST_BYTES: Final = 1024 * 1024
MOST_KEYS: Final = 64
_ED25519: Final = "ed25519"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """One public key.

    Attributes:
        name: whose it is, for people.
        public: the ed25519 public key, 64 hexadecimal digits.
    """

    name: str
    public: str

    @property
    def key(self) -> SSlibKey:
        """For securesystemslib, under the id that follows from the key itself."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]

        return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.public)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whom a partner trusts.

    Attributes:
        issuer: who sends bundles, for people.
        partner: for whom bundles must be; "" for anybody.
        threshold: how many different keys must have signed.
        keys: which keys count.
    """

    issuer: str
    partner: str
    threshold: int
    keys: tuple[TrustedKey, ...]


def trust_document(
    signers: Sequence[tuple[str, Signer]], *, issuer: str, partner: str, threshold: int
) -> Trust:
    """The trust file's content for these (name, signer) pairs. Raises InputError where it makes no sense."""
    keys = tuple(TrustedKey(name=name, public=signer.public_key.keyval["public"]) for name, signer in signers)
    try:
        return read_trust(_canonical(Trust(issuer=issuer, partner=partner, threshold=threshold, keys=keys)))
    except VerificationError as error:
        raise InputError(f"no trust file can be made: {error.fact}", mend=error.mend) from error


def trust_bytes(trust: Trust) -> bytes:
    """The trust file, canonical JSON."""
    return _canonical(trust)


def read_trust(data: bytes, name: str = "the trust file") -> Trust:
    """The trust file's content. Raises VerificationError."""
    document = mapping(parse(data, name, most=MOST_TRUST_BYTES), name)
    if document.get("format") != TRUST_FORMAT:
        raise VerificationError(
            f"{name} is not of the format {TRUST_FORMAT}", mend="use the trust file that the sender gave you"
        )
    unknown = set(document) - {"format", "issuer", "partner", "threshold", "keys"}
    if unknown:
        raise VerificationError(f"{name} has the unknown key {min(unknown)!r}", mend="remove it")
    keys = tuple(_trusted(entry, name) for entry in sequence(document, "keys", name)[: MOST_KEYS + 1])
    threshold = document.get("threshold")
    if len(keys) > MOST_KEYS:
        raise VerificationError(f"{name} has more than {MOST_KEYS} keys", mend="remove some")
    if len({key.public for key in keys}) != len(keys):
        raise VerificationError(f"{name} lists a key twice", mend="remove the second")
    if not isinstance(threshold, int) or isinstance(threshold, bool) or not 1 <= threshold <= len(keys):
        raise VerificationError(
            f"{name} asks for {threshold!r} signatures of {len(keys)} keys", mend="ask for 1 to all of them"
        )
    return Trust(
        issuer=text_of(document, "issuer", name),
        partner=text_of(document, "partner", name),
        threshold=threshold,
        keys=keys,
    )


def sign(payload: bytes, signers: Sequence[Signer]) -> dict[str, Any]:
    """A DSSE envelope over the in-toto statement `payload`, signed by each signer, as plain JSON values.

    Raises InputError where there is no signer, or one stands twice.
    """
    from securesystemslib.dsse import Envelope

    if not signers or len({signer.public_key.keyval["public"] for signer in signers}) != len(signers):
        raise InputError("a bundle is signed by at least one key, each once", mend="run `sluice doctor`")
    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    for signer in signers:
        envelope.sign(signer)
    data: dict[str, Any] = envelope.to_dict()
    return data


def open_envelope(data: bytes, trust: Trust, name: str) -> tuple[bytes, tuple[str, ...]]:
    """The payload of a DSSE envelope that enough trusted keys signed, and their names.

    Every signature is looked at: all that count are named, and a bad one by a trusted key is an error even where enough
    others are good. Raises VerificationError.
    """
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import UnverifiedSignatureError

    document = mapping(parse(data, name), name)
    entries = sequence(document, "signatures", name)
    if not 1 <= len(entries) <= MOST_KEYS or set(document) != {"payload", "payloadType", "signatures"}:
        raise VerificationError(f"{name} is not a DSSE envelope", mend=_MEND)
    for entry in entries:
        if set(mapping(entry, name)) != {"keyid", "sig"}:
            raise VerificationError(f"{name} has a signature of another form", mend=_MEND)
    try:
        envelope = Envelope.from_dict(document)
        pae = envelope.pae()
    except Exception as error:  # whatever a library makes of bytes from outside
        raise VerificationError(f"{name} is not a DSSE envelope", mend=_MEND) from error
    if envelope.payload_type != PAYLOAD_TYPE:
        raise VerificationError(f"{name} signs a payload of another type than {PAYLOAD_TYPE}", mend=_MEND)
    good: list[str] = []
    for trusted in trust.keys:
        key = trusted.key
        signature = envelope.signatures.get(key.keyid)
        if signature is None:
            continue
        try:
            key.verify_signature(signature, pae)
        except UnverifiedSignatureError as error:
            raise VerificationError(f'the signature by "{trusted.name}" is wrong', mend=_MEND) from error
        good.append(trusted.name)
    if len(good) < trust.threshold:
        raise VerificationError(
            f"{len(good)} of the trusted keys signed the bundle, {trust.threshold} must have",
            mend="check that this is the sender's present trust file; else do not use the bundle",
        )
    return envelope.payload, tuple(good)


_MEND = "do not use the bundle; ask the sender for it again"


def _trusted(entry: Any, name: str) -> TrustedKey:
    where = f"a key of {name}"
    found = mapping(entry, where)
    if set(found) != {"name", "keytype", "scheme", "public"} or not all(
        isinstance(value, str) for value in found.values()
    ):
        raise VerificationError(
            f"{where} is not made of name, keytype, scheme and public",
            mend="ask the sender for the trust file",
        )
    public = found["public"]
    if (found["keytype"], found["scheme"]) != (_ED25519, _ED25519):
        raise VerificationError(f"{where} is not an ed25519 key", mend="ask the sender for the trust file")
    if len(public) != 64 or not set(public) <= set(string.hexdigits.lower()):
        raise VerificationError(
            f"{where} is not 64 hexadecimal digits", mend="ask the sender for the trust file"
        )
    return TrustedKey(name=found["name"], public=public)


def _canonical(trust: Trust) -> bytes:
    from release.canonical import canonical_bytes

    return canonical_bytes(
        {
            "format": TRUST_FORMAT,
            "issuer": trust.issuer,
            "partner": trust.partner,
            "threshold": trust.threshold,
            "keys": [
                {"name": key.name, "keytype": _ED25519, "scheme": _ED25519, "public": key.public}
                for key in trust.keys
            ],
        }
    )
