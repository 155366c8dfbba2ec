"""Every mutant of the last door and of the verifier dies on the tables of what must be refused.

For `clearing`: the spoilt cases and the flipped objects. For the verifier's modules: the tampered bundles, the signed
statements that are no yes, the wrong manifests and trust files, the names and the JSON.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner

from release.errors import InputError, ReleaseError, VerificationError
from release.records import GateMode
from tests.mutation import load_as, served, survivors
from tests.release.bundle import test_export as exports
from tests.release.bundle import test_verify as verifies
from tests.release.bundle.scene import ISSUER, PARTNER

case = exports.case  # the fixture


def _refuses(error: type[ReleaseError], says: str, call: Callable[[], object]) -> bool:
    try:
        call()
    except error as refused:
        return says in str(refused)
    except ValueError:
        return says == "ε is ∞"  # ∞ cannot even be written down
    return False


def _or_dies(passes: Callable[[object], bool]) -> Callable[[object], bool]:
    """An error that is none of ours is a death too."""

    def guarded(subject: object) -> bool:
        try:
            return passes(subject)
        except Exception:  # noqa: BLE001 - of any kind
            return False

    return guarded


# ---------------------------------------------------------------------------------------------- the last door


def test_no_mutant_of_the_last_door_survives(case, approved):
    scene, _ = approved
    candidate, dataset = case.clearance.candidate, case.clearance.dataset
    model = scene.objects.root / candidate.model[:2] / candidate.model / "model.json"
    objects = [
        *(scene.objects.root / name[:2] / name for name in (candidate.table, candidate.split, dataset.table)),
        model,
    ]

    class Credulous:
        def path(self, name, *, keyed):
            del keyed
            return scene.objects.root / name[:2] / name

        def folder(self, name):
            return scene.objects.folder(name)

    lying = dataclasses.replace(case, objects=Credulous())

    def refuses_flipped(module, path: Path) -> bool:
        before = path.read_bytes()
        exports._flip(path, len(before) // 2)
        try:
            return _refuses(ReleaseError, "not what was stored", lambda: module._objects_are_whole(lying))
        finally:
            path.write_bytes(before)

    def passes(module) -> bool:
        public, _ = module.clear(case, issuer=ISSUER, sweeps=())
        (charge,) = case.charges
        other = dataclasses.replace(charge, id="ledger:99", release="another-1")
        module.clear(dataclasses.replace(case, charges=(other, charge)), issuer=ISSUER, sweeps=())
        module._objects_are_whole(exports.changed(case, "candidate", model=""))
        candidate = exports.sweep_of(case, 0.25).candidate
        odd = [exports.sweep_of(case, value) for value in ("x", 7.0, -0.1, None)]
        foreign = dataclasses.replace(exports.sweep_of(case, 1.0), candidate="0" * 64)
        said = [
            module._recommended((exports.sweep_of(case, 0.3), *odd, foreign), candidate, mode)
            for mode in (GateMode.UNCOVERED, GateMode.COVERED_EXCEPT_ATTACKS, GateMode.COVERED)
        ]
        of_this = module.clear(case, issuer=ISSUER, sweeps=(exports.sweep_of(case, 0.8),))[0].recommendation
        return (
            public.recommendation is None
            and [found.share if found else None for found in said] == [0.25, None, None]
            and of_this.share == 0.75
            and all(
                _refuses(error, says, lambda spoil=spoil: module.clear(spoil(case), issuer=ISSUER, sweeps=()))
                for error, says, spoil in exports.SPOILT.values()
            )
            and _refuses(
                ReleaseError,
                "record says 299",
                lambda: module._table(exports.changed(case, "candidate", rows=299), exports.schema_of(case)),
            )
            and all(refuses_flipped(module, path) for path in objects)
        )

    name = "release.bundle.clearing"
    found = survivors(name, lambda tree: load_as(name, tree), _or_dies(passes))
    assert not found, "\n".join(found)


# ---------------------------------------------------------------------------------------------- the verifier


NAMED = {
    "a size": "of card.html",
    "a digest": "of card.html",
    "a file less": "of schema.yaml",
    "a file more": "of x",
}
"""Which file the refusal of a wrong manifest must name."""


@pytest.fixture(scope="module")
def refused(built, bundles, tmp_path_factory) -> list[tuple[Path, Path, str]]:
    """(bundle, trust file, what the refusal must say): all of these must be refused."""
    root = tmp_path_factory.mktemp("refused")
    good = replace(built.scene, root=root).trust()
    slow = {"too many files", "attestation huge", "attestation deep"}
    pairs: list[tuple[Path, Path, str]] = []

    def bundle() -> Path:
        return Path(shutil.copytree(bundles["parquet"], root / f"b{len(pairs)}" / "bundle"))

    for name, tamper in verifies.TAMPERED.items():
        if name not in slow:
            path = bundle()
            tamper(path)
            pairs.append((path, good, ""))
    for change in verifies.UNFIT.values():
        path = bundle()
        verifies._resigned(built.scene, path, change)
        pairs.append((path, good, ""))
    for name, change in verifies.MANIFESTS.items():
        path = bundle()
        verifies.with_manifest(built.scene, path, change)
        pairs.append((path, good, NAMED.get(name, "")))
    for number, what in enumerate(verifies.BAD_TRUST.values()):
        bad = root / f"bad-{number}.json"
        text = what if isinstance(what, str) else json.dumps(json.loads(good.read_text()) | what)
        bad.write_text(text)
        pairs.append((bundles["parquet"], bad, ""))
    scene, second = built.scene, built.scene.second
    for number, (threshold, partner, signers) in enumerate(
        ((1, PARTNER, (second,)), (2, PARTNER, (scene.signer, second)), (1, "somebody else", ()))
    ):
        folder = root / f"t{number}"
        folder.mkdir()
        trust = replace(scene, root=folder).trust(threshold, partner, *signers)
        pairs.append((bundles["parquet"], trust, ""))
    nameless = root / "nameless.json"
    document = json.loads(good.read_text())
    document["keys"][0]["name"] = 1
    nameless.write_text(json.dumps(document))
    pairs.append((bundles["parquet"], nameless, ""))
    return pairs


@pytest.fixture
def real_modules():
    """Puts the real package back."""
    saved = {n: m for n, m in sys.modules.items() if n == "release.bundle" or n.startswith("release.bundle.")}
    parent = sys.modules["release"].bundle
    yield
    for name in [n for n in sys.modules if n == "release.bundle" or n.startswith("release.bundle.")]:
        del sys.modules[name]
    sys.modules.update(saved)
    sys.modules["release"].bundle = parent


@pytest.mark.parametrize("part", ["verify", "statement", "manifest", "signing", "layout", "strict_json"])
def test_no_mutant_of_the_verifier_survives(built, bundles, refused, tmp_path, real_modules, part: str):
    scene = replace(built.scene, root=tmp_path)
    trust = scene.trust()
    crowd = [scene.signer, *(CryptoSigner.generate_ed25519() for _ in range(63))]
    (tmp_path / "any").mkdir()
    anybody = replace(scene, root=tmp_path / "any").trust(1, "", scene.signer, scene.second)

    def load(tree):
        with served("release.bundle", {f"release.bundle.{part}": tree}):
            return importlib.import_module("release.bundle.verify")

    def passes(module) -> bool:
        report = module.verify(bundles["parquet"], trust)
        loose = module.verify(bundles["tar"], anybody)
        return (
            (report.release, report.policy, report.policy_version) == (built.release, "internal-dev", "1")
            and (report.partner, report.gate, report.files, report.threshold) == (PARTNER, "uncovered", 9, 1)
            and loose.signers == ("desk 1",)
            and _limits_hold()
            and all(
                _refuses(VerificationError, says, lambda one=one, trust=trust: module.verify(one, trust))
                for one, trust, says in refused
            )
            and _sizes_hold(module)
        )

    def _sizes_hold(module) -> bool:
        """Files and papers just as large as is allowed, and one byte more."""
        with module.open_source(bundles["parquet"]) as source:
            sizes = dict(source.sizes)
        papers = max(sizes["manifest.json"], sizes["attestation.dsse.json"])
        refused_each = []
        for name, most in (("MOST_BYTES", max(sizes.values())), ("MOST_JSON_BYTES", papers)):
            before = getattr(module, name)
            setattr(module, name, most)
            module.verify(bundles["parquet"], trust)
            setattr(module, name, most - 1)
            refused_each.append(
                _refuses(VerificationError, "larger", lambda: module.verify(bundles["parquet"], trust))
            )
            setattr(module, name, before)
        return all(refused_each)

    def _limits_hold() -> bool:
        """Sizes, names and nesting just inside and just outside of what is allowed."""
        layout = sys.modules["release.bundle.layout"]
        strict = sys.modules["release.bundle.strict_json"]
        signing = sys.modules["release.bundle.signing"]
        manifest = sys.modules["release.bundle.manifest"]
        deep = strict.MOST_DEPTH
        strict.parse(b"[" * deep + b"]" * deep, "x")
        strict.parse(b'{"a": "[[\\"[[", "b": [{}, {}]}', "x", most=30)
        strict.parse(b"[1]", "x", most=3)
        strict.parse(b'{"a": "\\"' + b"[" * 99 + b'"}', "x")
        strict.parse(b"[" + b"[[[]]]," * 99 + b"1]", "x")
        for name in verifies.GOOD_NAMES:
            layout.require_name(name)
        layout.require_names(f"f{number}" for number in range(layout.MOST_FILES))
        key = scene.signer.public_key.keyval["public"]
        many = [f"{number:062x}{key[:2]}" for number in range(signing.MOST_KEYS - 1)] + [
            "0123456789abcdef" * 4
        ]
        signing.read_trust(verifies.trust_of(many, 64))
        envelope = json.dumps(signing.sign(b"x", crowd)).encode()
        signing.open_envelope(envelope, signing.read_trust(verifies.trust_of([key], 1)), "x")
        size = {"path": "x", "sha256": "0" * 64, "size": layout.MOST_BYTES}
        listing = {"format": layout.MANIFEST_FORMAT, "release": "r"}
        manifest.read_manifest(
            json.dumps({**listing, "files": [size, {**size, "path": "y", "size": 0}]}).encode()
        )
        too_big = json.dumps({**listing, "files": [{**size, "size": layout.MOST_BYTES + 1}]}).encode()
        refusals = [
            lambda: strict.parse(b"[" * (deep + 1) + b"]" * (deep + 1), "x"),
            lambda: strict.parse(b"[1] ", "x", most=3),
            lambda: strict.parse(b'["a", "bb", "ccc", ' + b"[" * 99 + b"]" * 99 + b"]", "x"),
            lambda: strict.parse(b'["\\\\", ' + b"[" * 99 + b"]" * 99 + b"]", "x"),
            lambda: strict.parse(b'{"a": 1, "a": 1}', "x"),
            lambda: layout.require_names(f"f{number}" for number in range(layout.MOST_FILES + 1)),
            lambda: layout.require_names(["a", "A"]),
            lambda: manifest.read_manifest(too_big),
            *(lambda name=name: layout.require_name(name) for name in verifies.BAD_NAMES),
        ]
        ours = all(_refuses(VerificationError, "", call) for call in refusals)
        return (
            ours
            and _refuses(InputError, "at least one key", lambda: signing.sign(b"x", []))
            and _refuses(InputError, "each once", lambda: signing.sign(b"x", [scene.signer, scene.signer]))
        )

    found = survivors(f"release.bundle.{part}", load, _or_dies(passes))
    assert not found, "\n".join(found)
