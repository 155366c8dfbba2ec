"""Export and verify by command: what leaves, what is refused, what a flipped byte does."""

from __future__ import annotations

import base64
import errno
import json
import shutil
from pathlib import Path

import pytest

from app.workspace import Workspace
from release.records import ReleaseId


def state(shell):
    return Workspace.open(shell.workspace).registry.show(ReleaseId("toy-1")).state.value


@pytest.fixture
def approved(reviewed):
    reviewed("release approve toy-1 --as ben")
    return reviewed


@pytest.fixture
def exported(approved):
    approved("release export toy-1 --to out --as emil")
    approved("release trust lab --to trust.json")
    return approved


def test_a_demo_workspace_says_so_wherever_it_signs(exported):
    trust, attestation = (
        Path(name).read_text() for name in ("trust.json", "out/toy-1/attestation.dsse.json")
    )
    payload = json.loads(base64.b64decode(json.loads(attestation)["payload"]))
    issuer = payload["predicate"]["sluicegate"]["issuer"]
    assert "demo: nobody's identity was checked" in issuer
    assert json.loads(trust)["issuer"] == issuer
    assert "(demo: nobody&#39;s" in Path("out/toy-1/card.html").read_text()


def test_the_partner_accepts_what_was_exported(exported):
    exported("verify out/toy-1 --trust trust.json --json")
    assert exported.json["accepted"] is True
    assert exported.json["partner"] == "lab"
    assert exported.json["gate"] == "uncovered"
    assert state(exported) == "released"
    exported("audit verify")
    exported("doctor")


@pytest.mark.parametrize("option", ["--csv", "--tar", "--csv --tar"])
def test_other_forms(approved, option):
    approved(f"release export toy-1 --to out {option} --as emil --json")
    bundle = approved.json["bundle"]
    approved("release trust lab --to trust.json")
    approved(["verify", bundle, "--trust", "trust.json"])


def test_encrypted_to_the_partner(approved, tmp_path):
    import pyrage

    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "identity.txt").write_text(str(identity) + "\n")
    approved(f"release export toy-1 --to out --recipient {identity.to_public()} --as emil --json")
    bundle = approved.json["bundle"]
    assert bundle.endswith(".age")
    approved("release trust lab --to trust.json")
    approved(["verify", bundle, "--trust", "trust.json"], code=2)
    approved(["verify", bundle, "--trust", "trust.json", "--identity", "identity.txt"])


def test_changes_are_noticed(exported, tmp_path):
    for number, change in enumerate(
        (
            lambda folder: (folder / "card.html").write_bytes((folder / "card.html").read_bytes() + b" "),
            lambda folder: (folder / "added.txt").write_text("x"),
            lambda folder: (folder / "manifest.json").unlink(),
        )
    ):
        changed = tmp_path / f"changed-{number}"
        shutil.copytree("out/toy-1", changed)
        change(changed)
        exported(["verify", str(changed), "--trust", "trust.json"], code=1)
        exported(["verify", str(changed), "--trust", "trust.json", "--json"], code=1)
        assert exported.json["error"] == "VerificationError"


def test_another_senders_key_is_refused(exported, tmp_path):
    exported(f"init {tmp_path / 'other'} --demo")
    exported(["release", "trust", "lab", "--to", "other.json", "--workspace", str(tmp_path / "other")])
    exported("verify out/toy-1 --trust other.json", code=1)


def test_nothing_real_is_in_the_bundle(exported):
    text = b"".join(
        path.read_bytes() for path in exported.workspace.parent.glob("out/toy-1/**/*") if path.is_file()
    )
    for secret in (b"toy.csv", b"schema.yaml:", str(exported.workspace).encode(), b"ben", b"emil"):
        assert secret not in text, secret
    assert b"max_tpr" not in text


REFUSED = {
    "not approved": ("release export toy-1 --to out --as emil", 1),
    "not a releaser": ("release export toy-1 --to out --as ana", 1),
    "inside the workspace": ("release export toy-1 --to workspace/out --as emil", 2),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_approval(reviewed, case):
    line, code = REFUSED[case]
    reviewed(line, code=code)
    assert state(reviewed) == "in_review"
    assert not (reviewed.workspace.parent / "out").exists()


def test_nothing_is_overwritten(exported):
    exported("release export toy-1 --to out --as emil", code=2)
    exported("release trust lab --to trust.json", code=2)


def test_a_changed_candidate_is_not_exported(approved):
    place = Workspace.open(approved.workspace)
    view = place.registry.show(ReleaseId("toy-1"))
    path = place.objects.path(view.candidate.table, keyed=False)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    approved("release export toy-1 --to out --as emil", code=4)
    assert not (approved.workspace.parent / "out").exists()
    assert state(approved) == "approved"


def test_a_full_disk_leaves_no_half_bundle(approved, monkeypatch):
    from release.bundle import export as export_module

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(export_module, "write_contents", full)
    approved("release export toy-1 --to out --as emil", code=4)
    assert not (approved.workspace.parent / "out").exists()
    assert state(approved) == "approved"
    monkeypatch.undo()
    monkeypatch.chdir(approved.workspace.parent)
    approved(
        ["release", "export", "toy-1", "--to", "out", "--as", "emil", "--workspace", str(approved.workspace)]
    )


def test_ctrl_c_in_an_export(approved, monkeypatch):
    from release.bundle import export as export_module

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(export_module, "write_contents", stop)
    approved("release export toy-1 --to out --as emil", code=130)
    assert state(approved) == "approved"


def test_policy_that_changed_since_is_judged_again(reviewed, tmp_path):
    """A new version in force sends the release back; run judges the same evidence under it, uncharged."""
    from app import wiring
    from release.records import Person

    place = Workspace.open(reviewed.workspace)
    document = wiring.policies()["internal-dev"].replace('version: "1"', 'version: "2"')
    terms = place.registry.policies.propose(document, wiring.judge(), by=Person("dora"))
    from app.workspace import user

    place.registry.policies.confirm("internal-dev", terms.digest, by=user())
    assert state(reviewed) == "re_review_required"
    reviewed("release approve toy-1 --as ben", code=1)
    reviewed("release run toy-1 --as ana --json")
    assert reviewed.json["state"] == "in_review"
    assert reviewed.json["turn"] == 1
    reviewed("budget --json")
    assert len(reviewed.json[0]["charges"]) == 1
