"""`verify`: what it accepts, and every way of tampering that it must catch."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner

from release.bundle import archive, layout, signing, strict_json
from release.bundle import verify as verifying
from release.bundle.layout import ATTESTATION, MANIFEST, require_name, require_names
from release.bundle.signing import read_trust, sign, trust_bytes, trust_document
from release.bundle.verify import verify
from release.canonical import canonical_bytes
from release.errors import FaultError, InputError, ReleaseError, VerificationError
from tests.release.bundle.scene import ISSUER, PARTNER


def test_a_good_bundle(bundles, trust):
    for path in bundles.values():
        report = verify(path, trust)
        assert report.partner == PARTNER
        assert report.policy == "internal-dev"
        assert report.gate == "uncovered"
        assert report.claim["unit"] == "patient"
        assert datetime.fromisoformat(report.expires) > datetime.fromisoformat(report.time)
        assert (report.signers, report.threshold, report.files) == (("desk 1",), 1, 9)


def test_folder_and_tar_hold_the_same(bundles, trust):
    with archive.open_source(bundles["tar"]) as tar, archive.open_source(bundles["parquet"]) as folder:
        assert set(tar.sizes) == set(folder.sizes)


# ---------------------------------------------------------------------------------------------- bytes and files


def test_any_flipped_byte_of_any_file(bundle: Path, trust: Path):
    for path in sorted(path for path in bundle.rglob("*") if path.is_file()):
        before = path.read_bytes()
        size = len(before)
        for place in sorted({0, 1, 7, size // 5, size // 3, size // 2, 2 * size // 3, size - 2, size - 1}):
            for bit in (0x01, 0x20, 0x80):
                data = bytearray(before)
                data[place] ^= bit
                path.write_bytes(bytes(data))
                with pytest.raises(VerificationError):
                    verify(bundle, trust)
        path.write_bytes(before)
    verify(bundle, trust)


def test_any_flipped_byte_of_the_tar(bundles, tmp_path, trust):
    """Headers, padding and end included: no byte of the one file is free."""
    before = bundles["tar"].read_bytes()
    path = tmp_path / "bundle.tar"
    step = max(1, len(before) // 400)
    missed = []
    for place in range(0, len(before), step):
        data = bytearray(before)
        data[place] ^= 0x04
        path.write_bytes(bytes(data))
        try:
            verify(path, trust)
        except VerificationError:
            continue
        missed.append(place)
    # What tar itself ignores (its checksum covers the header; names and bytes are signed): nothing readable changes.
    for place in missed:
        data = bytearray(before)
        data[place] ^= 0x04
        path.write_bytes(bytes(data))
        with archive.open_source(path) as odd, archive.open_source(bundles["tar"]) as good:
            assert {n: odd.open(n).read() for n in odd.sizes} == {n: good.open(n).read() for n in good.sizes}


TAMPERED = {
    "a file added": lambda b: (b / "extra.txt").write_text("x"),
    "a file added in a folder": lambda b: (b / "data" / "more.parquet").write_bytes(b"x"),
    "a hidden file added": lambda b: (b / ".hidden").write_text("x"),
    "an empty folder added": lambda b: (b / "new").mkdir(),
    "the data removed": lambda b: next((b / "data").iterdir()).unlink(),
    "the card removed": lambda b: (b / "card.html").unlink(),
    "the manifest removed": lambda b: (b / MANIFEST).unlink(),
    "the attestation removed": lambda b: (b / ATTESTATION).unlink(),
    "the card emptied": lambda b: (b / "card.html").write_text(""),
    "the card longer": lambda b: (b / "card.html").write_bytes((b / "card.html").read_bytes() + b"\n"),
    "the card renamed": lambda b: (b / "card.html").rename(b / "Card.html"),
    "two files exchanged": lambda b: _exchange(b / "card.html", b / "schema.yaml"),
    "a link out": lambda b: (b / "link").symlink_to("/etc/passwd"),
    "a file made a link": lambda b: _to_link(b / "card.html"),
    "a folder made a link": lambda b: _to_link(b / "data"),
    "a pipe": lambda b: os.mkfifo(b / "pipe"),
    "names that differ in case": lambda b: (b / "CARD.HTML").write_text("x"),
    "names that differ in Unicode form": lambda b: (b / "ｃard.html").write_text("x"),
    "attestation of nothing": lambda b: (b / ATTESTATION).write_text("{}"),
    "attestation not JSON": lambda b: (b / ATTESTATION).write_text("nonsense"),
    "attestation deep": lambda b: (b / ATTESTATION).write_text("[" * 100_000 + "]" * 100_000),
    "attestation twice a key": lambda b: (b / ATTESTATION).write_text('{"payload": 1, "payload": 2}'),
    "attestation with NaN": lambda b: (b / ATTESTATION).write_text('{"payload": NaN}'),
    "attestation not UTF-8": lambda b: (b / ATTESTATION).write_bytes(b'{"\xff": 1}'),
    "attestation a list": lambda b: (b / ATTESTATION).write_text("[]"),
    "attestation unsigned": lambda b: _envelope(b, lambda e: e.update(signatures=[])),
    "attestation of another payload type": lambda b: _envelope(
        b, lambda e: e.update(payloadType="text/plain")
    ),
    "attestation with another payload": lambda b: _envelope(
        b, lambda e: e.update(payload=base64.b64encode(b"{}").decode())
    ),
    "attestation with a broken signature": lambda b: _envelope(
        b, lambda e: e["signatures"][0].update(sig="AAAA")
    ),
    "attestation with an odd signature": lambda b: _envelope(b, lambda e: e["signatures"][0].update(extra=1)),
    "attestation with a signature that is no map": lambda b: _envelope(b, lambda e: e.update(signatures=[1])),
    "attestation signed twice by one key": lambda b: _envelope(
        b, lambda e: e.update(signatures=e["signatures"] * 2)
    ),
    "attestation with a further key": lambda b: _envelope(b, lambda e: e.update(more=1)),
    "attestation with payload that is no text": lambda b: _envelope(b, lambda e: e.update(payload=7)),
    "attestation huge": lambda b: (b / ATTESTATION).write_bytes(b" " * (strict_json.MOST_BYTES + 1)),
    "too many files": lambda b: [(b / "data" / f"f{n}").write_text("") for n in range(layout.MOST_FILES + 1)],
}


@pytest.mark.parametrize("name", TAMPERED)
def test_tampering_is_caught(bundle: Path, trust: Path, name: str):
    TAMPERED[name](bundle)
    with pytest.raises(VerificationError) as caught:
        verify(bundle, trust)
    assert len(str(caught.value)) < 400
    assert str(bundle) not in str(caught.value)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_damage_is_caught(bundles, tmp_path_factory, trust_bytes_of, data):
    """Property: any byte of any file replaced, cut or inserted."""
    folder = tmp_path_factory.mktemp("damage")
    bundle = Path(shutil.copytree(bundles["parquet"], folder / "b"))
    files = sorted(path for path in bundle.rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files))
    before = path.read_bytes()
    start = data.draw(st.integers(0, len(before)))
    after = before[:start] + data.draw(st.binary(max_size=3)) + before[start + data.draw(st.integers(0, 3)) :]
    (folder / "trust.json").write_bytes(trust_bytes_of)
    path.write_bytes(after)
    if after == before:
        verify(bundle, folder / "trust.json")
    else:
        with pytest.raises(VerificationError):
            verify(bundle, folder / "trust.json")
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def trust_bytes_of(built) -> bytes:
    named = [("desk 1", built.scene.signer)]
    return trust_bytes(trust_document(named, issuer=ISSUER, partner=PARTNER, threshold=1))


def _exchange(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def _to_link(path: Path) -> None:
    real = path.with_name("real")
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")
    assert not real.exists()


def _envelope(bundle: Path, change) -> None:
    data = json.loads((bundle / ATTESTATION).read_text())
    change(data)
    (bundle / ATTESTATION).write_text(json.dumps(data))


# ---------------------------------------------------------------------------------------------- who signed, for whom


def test_a_wrong_key(built, bundle, tmp_path):
    scene = replace(built.scene, root=tmp_path)
    with pytest.raises(VerificationError, match="0 of the trusted keys"):
        verify(bundle, scene.trust(1, PARTNER, scene.second))


def test_the_threshold(built, bundle, tmp_path):
    scene = replace(built.scene, root=tmp_path)
    with pytest.raises(VerificationError, match="1 of the trusted keys signed the bundle, 2 must"):
        verify(bundle, scene.trust(2, PARTNER, scene.signer, scene.second))
    assert verify(bundle, scene.trust(1, PARTNER, scene.signer, scene.second)).signers == ("desk 1",)


def test_another_partner(built, bundle, tmp_path):
    scene = replace(built.scene, root=tmp_path)
    with pytest.raises(VerificationError, match="not for"):
        verify(bundle, scene.trust(1, "somebody else"))
    assert verify(bundle, scene.trust(1, "")).partner == PARTNER


def test_a_good_signature_beside_a_bad_one_by_a_trusted_key(built, bundle, tmp_path):
    scene = replace(built.scene, root=tmp_path)
    key = scene.second.public_key.keyid
    _envelope(
        bundle, lambda e: e["signatures"].append({"keyid": key, "sig": base64.b64encode(b"x" * 64).decode()})
    )
    with pytest.raises(VerificationError, match=r"the signature by .* is wrong"):
        verify(bundle, scene.trust(1, PARTNER, scene.signer, scene.second))
    assert verify(bundle, scene.trust()).signers == ("desk 1",)  # a stranger's signature counts for nothing


def test_the_key_of_a_signature_is_its_key(built, bundle, tmp_path):
    """A signature under the trusted key's id, made by another key, is wrong: the id proves nothing."""
    scene = replace(built.scene, root=tmp_path)
    data = json.loads((bundle / ATTESTATION).read_text())
    payload = base64.b64decode(data["payload"])
    forged = sign(payload, [scene.second])
    forged["signatures"][0]["keyid"] = scene.signer.public_key.keyid
    (bundle / ATTESTATION).write_text(json.dumps(forged))
    with pytest.raises(VerificationError, match="is wrong"):
        verify(bundle, scene.trust())


BAD_TRUST = {
    "not JSON": "nonsense",
    "another format": {"format": "x"},
    "unknown key": {"more": 1},
    "no keys": {"keys": []},
    "keys no list": {"keys": 1},
    "threshold 0": {"threshold": 0},
    "threshold too high": {"threshold": 2},
    "threshold true": {"threshold": True},
    "threshold text": {"threshold": "1"},
    "no issuer": {"issuer": 1},
    "key of other form": {"keys": [{"name": "x"}]},
    "key not a map": {"keys": [1]},
    "key with number": {"keys": [{"name": 1, "keytype": "ed25519", "scheme": "ed25519", "public": "0" * 64}]},
    "another kind of key": {"keys": [{"name": "x", "keytype": "rsa", "scheme": "rsa", "public": "0" * 64}]},
    "key too short": {"keys": [{"name": "x", "keytype": "ed25519", "scheme": "ed25519", "public": "00"}]},
    "key not hexadecimal": {
        "keys": [{"name": "x", "keytype": "ed25519", "scheme": "ed25519", "public": "Z" * 64}]
    },
    "too many keys": {
        "keys": [
            {"name": "x", "keytype": "ed25519", "scheme": "ed25519", "public": f"{n:064x}"} for n in range(65)
        ]
    },
}


@pytest.mark.parametrize("name", BAD_TRUST)
def test_a_bad_trust_file(bundle, trust, name: str):
    what = BAD_TRUST[name]
    if isinstance(what, str):
        trust.write_text(what)
    else:
        trust.write_text(json.dumps(json.loads(trust.read_text()) | what))
    with pytest.raises(VerificationError):
        verify(bundle, trust)


def test_one_key_under_two_names_counts_once(built, bundle, tmp_path):
    scene = replace(built.scene, root=tmp_path)
    path = scene.trust()
    data = json.loads(path.read_text())
    data["keys"].append({**data["keys"][0], "name": "a second name"})
    data["threshold"] = 2
    path.write_text(json.dumps(data))
    with pytest.raises(VerificationError, match="twice"):
        verify(bundle, path)
    with pytest.raises(InputError, match="twice"):
        trust_document([("a", scene.signer), ("b", scene.signer)], issuer="", partner="", threshold=1)


def test_trust_round_trip():
    keys = [(f"k{n}", CryptoSigner.generate_ed25519()) for n in range(3)]
    found = trust_document(keys, issuer="A", partner="B", threshold=2)
    assert read_trust(trust_bytes(found)) == found
    with pytest.raises(InputError, match="signed by at least one key"):
        sign(b"x", [])
    with pytest.raises(InputError, match="each once"):
        sign(b"x", [keys[0][1], keys[0][1]])


def test_files_that_are_not_there(bundle, trust, tmp_path):
    with pytest.raises(InputError, match="trust file"):
        verify(bundle, tmp_path / "nothing")
    with pytest.raises(VerificationError, match="not there"):
        verify(tmp_path / "nothing", trust)
    (tmp_path / "link").symlink_to(bundle)
    with pytest.raises(VerificationError, match="link"):
        verify(tmp_path / "link", trust)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(VerificationError, match="neither"):
        verify(tmp_path / "pipe", trust)
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(VerificationError):
        verify(tmp_path / "empty", trust)
    (tmp_path / "text").write_bytes(b"this is not a tar" * 100)
    with pytest.raises(VerificationError, match="neither a bundle"):
        verify(tmp_path / "text", trust)


# ---------------------------------------------------------------------------------------------- signed, but not a yes


def _resigned(scene, bundle: Path, change) -> None:
    """Sign what the exporter would never say: the verifier must not rely on the exporter's honesty."""
    data = json.loads((bundle / ATTESTATION).read_text())
    payload = json.loads(base64.b64decode(data["payload"]))
    change(payload)
    (bundle / ATTESTATION).write_text(json.dumps(sign(canonical_bytes(payload), [scene.signer])))


def _p(key: str, value: object):
    return lambda s: s["predicate"].update({key: value})


def _d(key: str, value: object):
    return lambda s: s["predicate"]["sluicegate"].update({key: value})


UNFIT = {
    "not a statement": lambda s: s.update(_type="x"),
    "further key": lambda s: s.update(more=1),
    "unknown predicate": lambda s: s.update(predicateType="https://example.org/else"),
    "failed": _p("verificationResult", "FAILED"),
    "other level": _p("verifiedLevels", ["SLSA_BUILD_LEVEL_3"]),
    "no details": _p("sluicegate", None),
    "other details": _d("format", "sluicegate/release@9"),
    "verdict broken": _d("verdict", "broken"),
    "no partner": _d("partner", None),
    "no claim": _d("claim", None),
    "no policy": _p("policy", None),
    "policy without name": _p("policy", {"uri": "urn:sluicegate:policy::1", "digest": {"sha256": "0" * 64}}),
    "policy of another kind": _p("policy", {"uri": "https://x/y:1", "digest": {"sha256": "0" * 64}}),
    "policy digest of the wrong letters": _p(
        "policy", {"uri": "urn:sluicegate:policy:a:1", "digest": {"sha256": "z" * 64}}
    ),
    "policy digest too short": _p(
        "policy", {"uri": "urn:sluicegate:policy:a:1", "digest": {"sha256": "0" * 63}}
    ),
    "policy digest": _p("policy", {"uri": "urn:sluicegate:policy:a:1", "digest": {"sha256": "xyz"}}),
    "two releases": _p("resourceUri", "urn:sluicegate:release:another"),
    "manifest of another release": lambda s: (
        _d("release", "b-1")(s),
        _p("resourceUri", "urn:sluicegate:release:b-1")(s),
    ),
    "subject missing": lambda s: s["subject"].pop(),
    "subject twice": lambda s: s["subject"].append(s["subject"][0]),
    "subject outside": lambda s: s["subject"].append({"name": "../x", "digest": {"sha256": "0" * 64}}),
    "subject digest": lambda s: s["subject"][0].update(digest={"sha256": "0" * 64}),
    "subject is the attestation": lambda s: s["subject"].append(
        {"name": ATTESTATION, "digest": {"sha256": "0" * 64}}
    ),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_signed_statement_that_is_no_yes(built, bundle, trust, name: str):
    _resigned(built.scene, bundle, UNFIT[name])
    with pytest.raises(VerificationError):
        verify(bundle, trust)


MANIFESTS = {
    "a size": lambda m: m["files"][0].update(size=1),
    "a digest": lambda m: m["files"][0].update(sha256="0" * 64),
    "a file less": lambda m: m["files"].pop(),
    "a file more": lambda m: m["files"].append({"path": "x", "sha256": "0" * 64, "size": 1}),
    "a file twice": lambda m: m["files"].append(m["files"][0]),
    "an impossible size": lambda m: m["files"][0].update(size=-1),
    "a size that is true": lambda m: m["files"][0].update(size=True),
    "a further key": lambda m: m["files"][0].update(more=1),
    "another format": lambda m: m.update(format="x"),
    "another release": lambda m: m.update(release="x"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_signed_manifest_that_is_wrong(built, bundle, trust, name: str):
    """Even where the signature covers it: manifest and files must say the same."""
    with_manifest(built.scene, bundle, MANIFESTS[name])
    with pytest.raises(VerificationError):
        verify(bundle, trust)


def with_manifest(scene, bundle: Path, change) -> None:
    """Change the manifest and sign the bundle anew."""
    manifest = json.loads((bundle / MANIFEST).read_text())
    change(manifest)
    raw = canonical_bytes(manifest)
    (bundle / MANIFEST).write_bytes(raw)

    def subjects(statement):
        for subject in statement["subject"]:
            if subject["name"] == MANIFEST:
                subject["digest"] = {"sha256": hashlib.sha256(raw).hexdigest()}

    _resigned(scene, bundle, subjects)


# ---------------------------------------------------------------------------------------------- archives


def _tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for member, content in members:
            member.size = len(content) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(content))
    return path


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = link
    return member


ARCHIVES = {
    "out of it": _member("../evil"),
    "absolute": _member("/etc/passwd"),
    "through it": _member("data/../../evil"),
    "a link": _member("link", tarfile.SYMTYPE, "/etc/passwd"),
    "a hard link": _member("link", tarfile.LNKTYPE, "card.html"),
    "a device": _member("null", tarfile.CHRTYPE),
    "a pipe": _member("pipe", tarfile.FIFOTYPE),
    "a folder": _member("folder", tarfile.DIRTYPE),
    "a backslash": _member("a\\b"),
    "a device's name": _member("NUL.txt"),
    "a drive": _member("C:x"),
    "a letter that does not print": _member("a\u202eb"),
    "a trailing dot": _member("a."),
    "a hidden name": _member(".ssh/authorized_keys"),
    "an endless name": _member("a" * 250),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_with_a_bad_member(bundles, tmp_path, trust, name: str):
    path = tmp_path / "bundle.tar"
    shutil.copy(bundles["tar"], path)
    with tarfile.open(path, "a") as tar:
        tar.addfile(ARCHIVES[name])
    with pytest.raises(VerificationError):
        verify(path, trust)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle.tar", "trust.json"]


def test_an_archive_with_a_name_twice(bundles, tmp_path, trust):
    path = tmp_path / "bundle.tar"
    shutil.copy(bundles["tar"], path)
    with tarfile.open(path, "a") as tar:
        tar.addfile(_member("card.html"))
    with pytest.raises(VerificationError, match="one file"):
        verify(path, trust)


def test_an_archive_with_bytes_behind_its_end(bundles, tmp_path, trust):
    path = tmp_path / "bundle.tar"
    for tail in (b"hidden", b"\0" * 40_000):
        path.write_bytes(bundles["tar"].read_bytes() + tail)
        with pytest.raises(VerificationError, match="behind the last file"):
            verify(path, trust)


def test_an_archive_cut_short(bundles, tmp_path, trust):
    whole = bundles["tar"].read_bytes()
    path = tmp_path / "bundle.tar"
    for size in (1, 100, 512, 700, len(whole) // 2, len(whole) * 2 // 3):
        path.write_bytes(whole[:size])
        with pytest.raises(VerificationError):
            verify(path, trust)


def test_an_archive_with_too_many_members(tmp_path, trust):
    path = _tar(tmp_path / "many.tar", *((_member(f"f{n}"), b"") for n in range(layout.MOST_FILES + 1)))
    with pytest.raises(VerificationError, match="more than"):
        verify(path, trust)


def test_compressed_archives_are_not_opened(bundles, tmp_path, trust):
    import gzip

    path = tmp_path / "bundle.tar.gz"
    path.write_bytes(gzip.compress(bundles["tar"].read_bytes()))
    with pytest.raises(VerificationError, match="neither a bundle"):
        verify(path, trust)


def test_the_tar_is_deterministic(bundles, tmp_path):
    folder = bundles["parquet"]
    archive.write_tar(folder, tmp_path / "a.tar")
    archive.write_tar(folder, tmp_path / "b.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as tar:
        for member in tar:
            assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")


def test_age_files(bundles, tmp_path, trust):
    import pyrage

    identity = pyrage.x25519.Identity.generate()
    sealed = tmp_path / "bundle.tar.age"
    archive.encrypt_file(bundles["tar"], sealed, (str(identity.to_public()),))
    key = tmp_path / "key.txt"
    key.write_text(str(identity))
    assert verify(sealed, trust, identity=key).files == 9
    armoured = tmp_path / "armoured.age"
    armoured.write_bytes(pyrage.encrypt(bundles["tar"].read_bytes(), [identity.to_public()], armored=True))
    assert verify(armoured, trust, identity=key).files == 9
    data = bytearray(sealed.read_bytes())
    for place in (30, len(data) // 2, len(data) - 1):
        broken = bytearray(data)
        broken[place] ^= 1
        sealed.write_bytes(bytes(broken))
        with pytest.raises(VerificationError):
            verify(sealed, trust, identity=key)
    for text in (
        "",
        "# only a comment\n",
        "AGE-SECRET-KEY-NONSENSE",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nx",
    ):
        key.write_text(text)
        with pytest.raises(InputError, match="identity"):
            verify(armoured, trust, identity=key)
    key.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot be read"):
        verify(armoured, trust, identity=key)
    with pytest.raises(InputError, match="nobody"):
        archive.encrypt_file(bundles["tar"], tmp_path / "x", ())


def test_a_failing_encryption_is_a_fault(bundles, tmp_path, monkeypatch):
    import pyrage

    def fail(*_args):
        raise pyrage.EncryptError("odd")

    monkeypatch.setattr(pyrage, "encrypt_io", fail)
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    with pytest.raises(FaultError, match="could not be encrypted"):
        archive.encrypt_file(bundles["tar"], tmp_path / "x", (recipient,))


def test_ssh_keys(bundles, tmp_path, trust):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    key = tmp_path / "id_ed25519"
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    sealed = tmp_path / "bundle.age"
    archive.encrypt_file(bundles["tar"], sealed, (public,))
    assert verify(sealed, trust, identity=key).files == 9


# ---------------------------------------------------------------------------------------------- limits and names


def test_json_limits(bundle, trust, monkeypatch):
    monkeypatch.setattr(verifying, "MOST_JSON_BYTES", 10)
    with pytest.raises(VerificationError, match="larger than"):
        verify(bundle, trust)


def test_file_limits(bundle, trust, monkeypatch):
    monkeypatch.setattr(verifying, "MOST_BYTES", 1_000)
    with pytest.raises(VerificationError, match="larger than 1,000"):
        verify(bundle, trust)


def test_tar_member_limits(bundles, trust, monkeypatch):
    monkeypatch.setattr(archive, "MOST_BYTES", 1_000)
    with pytest.raises(VerificationError, match="no possible size"):
        verify(bundles["tar"], trust)


def test_strict_json():
    assert strict_json.parse(b'{"a": ["[", "\\"[", 1.5]}', "x") == {"a": ["[", '"[', 1.5]}
    with pytest.raises(VerificationError, match="more than 3"):
        strict_json.parse(b"[1]  ", "x", most=3)
    for bad in (b"", b"{", b'{"a": Infinity}', b'{"a": 1, "a": 1}', b"\xff"):
        with pytest.raises(VerificationError, match="not JSON"):
            strict_json.parse(bad, "x")


@given(st.text(max_size=40))
@settings(max_examples=300)
def test_names_are_safe_or_refused(name: str):
    try:
        require_name(name)
    except VerificationError:
        return
    path = Path("/root/of/it") / name
    assert path.is_relative_to("/root/of/it")
    assert ".." not in path.parts
    assert os.path.normpath(path) == str(path)


GOOD_NAMES = ("a", "data/x.parquet", "a" * 240, "ü.html", "a b.txt", "a.b.c", "console.txt")
BAD_NAMES = (
    "",
    "a" * 241,
    "../x",
    "a/../b",
    "a//b",
    "./a",
    "/a",
    "a/",
    ".a",
    "a/.b",
    " a",
    "a ",
    "a.",
    "a/b./c",
    "a\\b",
    "a:b",
    "a*",
    "a?",
    'a"',
    "a<",
    "a>",
    "a|",
    "a\n",
    "a\u202eb",
    "con",
    "NUL.txt",
    "a/LPT1",
    "com9.x.y",
)


def test_good_and_bad_names():
    for name in GOOD_NAMES:
        require_name(name)
    for name in BAD_NAMES:
        with pytest.raises(VerificationError):
            require_name(name)


def trust_of(publics: list[str], threshold: int) -> bytes:
    """A trust file of these public keys."""
    keys = [
        {"name": f"k{n}", "keytype": "ed25519", "scheme": "ed25519", "public": public}
        for n, public in enumerate(publics)
    ]
    document = {
        "format": signing.TRUST_FORMAT,
        "issuer": "A",
        "partner": "",
        "threshold": threshold,
        "keys": keys,
    }
    return json.dumps(document).encode()


def test_names_are_counted():
    with pytest.raises(VerificationError, match="more than 1,000"):
        require_names(f"f{n}" for n in range(layout.MOST_FILES + 1))
    require_names(f"f{n}" for n in range(layout.MOST_FILES))


def test_names_that_would_be_one_file():
    require_names(["a/b", "a/c", "A2"])
    for pair in (["a", "A"], ["ß", "ss"], ["é", "e\u0301"], ["ﬁ", "fi"], ["x", "x"]):
        with pytest.raises(VerificationError, match="one file"):
            require_names(pair)


# ---------------------------------------------------------------------------------------------- lightness


def test_verify_imports_nothing_heavy(bundles, trust):
    """The partner's command is quick: no pandas, no arrays, no pydantic, no database."""
    code = (
        "import sys; from pathlib import Path; from release.bundle.verify import verify;"
        f"verify(Path({str(bundles['parquet'])!r}), Path({str(trust)!r}));"
        "heavy = {'pandas', 'numpy', 'pyarrow', 'pydantic', 'sqlalchemy', 'torch', 'jinja2', 'scipy', 'yaml'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_refusal_is_ours(bundle, trust, monkeypatch):
    """Whatever a library raises on bytes from outside becomes a VerificationError."""
    from securesystemslib.dsse import Envelope

    def odd(_data):
        raise RuntimeError("odd")

    monkeypatch.setattr(Envelope, "from_dict", odd)
    with pytest.raises(ReleaseError):
        verify(bundle, trust)


def test_a_bundle_that_cannot_be_read(bundle, trust, monkeypatch):
    def denied(*_args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(archive.Folder, "open", denied)
    with pytest.raises(VerificationError, match="cannot be read"):
        verify(bundle, trust)
    assert signing.MOST_KEYS >= 1
