"""The exporter: what stops it, and that nothing half-written stays behind."""

from __future__ import annotations

import dataclasses
import errno
import os
from datetime import timedelta
from pathlib import Path

import pytest

from policies import PureJudge
from release.bundle import clearing, contents
from release.bundle import export as exporting
from release.bundle.clearing import QUESTIONS, Case, clear
from release.bundle.export import Wanted, export
from release.bundle.verify import verify
from release.canonical import KeyedDigest, Sha256, digest, keyed_digest
from release.errors import (
    FaultError,
    GateError,
    InputError,
    IntegrityError,
    NotAuthorisedError,
    RefusedError,
    ReleaseError,
    TransitionError,
)
from release.quality.sweep import Recommendation
from release.records import EvidenceSet, GateMode, Kind, Person, Purpose, Ruling
from release.workflow.dossier import Sweep
from release.workflow.transitions import State
from tests.policies.cases import GOOD_CONTROLS, GOOD_FIGURES
from tests.release.bundle.scene import ANNA, DORA, ISSUER, KEY, schema, table


def state(scene, release) -> State:
    return scene.registry.show(release).state


def left_behind(scene) -> list[str]:
    out = scene.root / "out"
    return sorted(os.listdir(out)) if out.exists() else []


# ---------------------------------------------------------------------------------------------- the way out


def test_an_approved_release_leaves(approved):
    scene, release = approved
    found = scene.export(release)
    assert state(scene, release) is State.RELEASED
    assert found.path == scene.root / "out" / release
    assert left_behind(scene) == [release]
    bundle = scene.registry.show(release).bundle
    assert bundle.manifest == found.manifest
    assert verify(found.path, scene.trust()).release == release
    assert scene.registry.verify_audit().releases == 1


@pytest.mark.parametrize("packed", [True, False])
def test_encrypted_to_the_partner(approved, packed: bool):
    import pyrage

    scene, release = approved
    identity = pyrage.x25519.Identity.generate()
    other = pyrage.x25519.Identity.generate()
    found = scene.export(release, recipients=(str(identity.to_public()),), packed=packed)
    assert left_behind(scene) == [f"{release}.tar.age"]
    key = scene.root / "identity.txt"
    key.write_text(f"# created\n{identity}\n")
    assert verify(found.path, scene.trust(), identity=key).release == release
    with pytest.raises(InputError, match="encrypted"):
        verify(found.path, scene.trust())
    key.write_text(str(other))
    with pytest.raises(RefusedError, match="another recipient"):
        verify(found.path, scene.trust(), identity=key)


def test_several_signers(approved):
    scene, release = approved
    out = scene.root / "out"
    out.mkdir()
    both = (scene.signer, scene.second)
    found = export(scene.exporter(signers=both), release, Wanted(to=out), by=DORA)
    report = verify(found.path, scene.trust(2, "", *both))
    assert report.signers == ("desk 1", "desk 2")


def test_progress_goes_forward(approved):
    scene, release = approved
    said: list[float] = []
    (scene.root / "out").mkdir()
    wanted = Wanted(to=scene.root / "out", packed=True)
    export(scene.exporter(), release, wanted, by=DORA, progress=lambda done, what: said.append(done))
    assert said == sorted(said)
    assert said[-1] == 1.0


# ---------------------------------------------------------------------------------------------- the registry's no


def test_not_approved(approved):
    scene, _ = approved
    release = scene.propose()
    with pytest.raises(TransitionError):
        scene.export(release)
    scene.make(release)
    scene.judged(release)
    with pytest.raises(TransitionError):
        scene.export(release)
    assert left_behind(scene) == []


def test_not_by_anybody(approved):
    scene, release = approved
    (scene.root / "out").mkdir()
    for person in (ANNA, Person("stranger")):
        with pytest.raises(NotAuthorisedError):
            export(scene.exporter(), release, Wanted(to=scene.root / "out"), by=person)
    assert state(scene, release) is State.APPROVED


def test_not_after_the_approval_ended(approved):
    scene, release = approved
    scene.clock.forward(days=91)
    with pytest.raises(GateError, match="no valid approval"):
        scene.export(release)
    assert left_behind(scene) == []


def test_not_twice(approved):
    scene, release = approved
    scene.export(release)
    with pytest.raises(TransitionError):
        scene.export(release, to=scene.root / "again")


# ---------------------------------------------------------------------------------------------- the target


def test_an_existing_target_is_refused(approved):
    scene, release = approved
    out = scene.root / "out"
    out.mkdir()
    for make in (Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")):
        make(out / release)
        with pytest.raises(InputError, match="already there"):
            scene.export(release)
        (out / release).rmdir() if (out / release).is_dir() else (out / release).unlink()
    assert state(scene, release) is State.APPROVED
    with pytest.raises(InputError, match="no folder"):
        export(scene.exporter(), release, Wanted(to=scene.root / "nowhere"), by=DORA)
    with pytest.raises(InputError, match="age recipient"):
        scene.export(release, recipients=("age1nonsense",))
    with pytest.raises(InputError, match="age recipient"):
        scene.export(release, recipients=("ssh-nonsense",))
    assert left_behind(scene) == []


def test_a_target_that_appears_meanwhile_is_not_overwritten(approved, monkeypatch):
    scene, release = approved
    real = exporting.write_contents

    def slow(folder, *rest):
        (scene.root / "out" / release).write_text("somebody else's")
        return real(folder, *rest)

    monkeypatch.setattr(exporting, "write_contents", slow)
    with pytest.raises(InputError, match="already there"):
        scene.export(release)
    assert left_behind(scene) == [release]
    assert state(scene, release) is State.APPROVED


# ---------------------------------------------------------------------------------------------- faults


class Boom(RuntimeError):
    """Not one of ours."""


def _raise(error):
    def fail(*_args, **_keywords):
        raise error

    return fail


WHERE = {
    "the questions": (exporting, "clear"),
    "the data": (contents, "write_data"),
    "the card": (contents, "card"),
    "the manifest": (contents, "manifest_document"),
    "the signature": (contents, "sign"),
    "the disk": (exporting, "flush"),
    "the tar": (exporting, "write_tar"),
}


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full"), Boom()], ids=repr)
def test_nothing_half_written_stays(approved, monkeypatch, where: str, error: BaseException):
    """A full disk, Ctrl-C or a fault at any step leaves no file, and a release that can be exported again."""
    scene, release = approved
    monkeypatch.setattr(*WHERE[where], _raise(error))
    expected = FaultError if isinstance(error, OSError) and where != "the questions" else type(error)
    with pytest.raises(expected) as caught:
        scene.export(release, packed=True)
    if isinstance(caught.value, FaultError):
        assert "the disk is full" in str(caught.value)
    assert left_behind(scene) == []
    assert state(scene, release) is State.APPROVED
    monkeypatch.undo()
    assert verify(scene.export(release).path, scene.trust()).release == release


@pytest.mark.parametrize("packed", [False, True])
def test_once_recorded_the_bundle_is_there(approved, monkeypatch, packed: bool):
    """Ctrl-C between the registry's record and the bundle's name: the bundle gets its name all the same."""
    scene, release = approved
    real, calls = exporting._publish, []

    def interrupted(finished, target):
        calls.append(target)
        if len(calls) == 1:
            raise KeyboardInterrupt
        real(finished, target)

    monkeypatch.setattr(exporting, "_publish", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        scene.export(release, packed=packed)
    assert "complete" in caught.value.__notes__[0]
    assert state(scene, release) is State.RELEASED
    name = f"{release}.tar" if packed else release
    assert left_behind(scene) == [name]
    assert verify(scene.root / "out" / name, scene.trust()).release == release


def test_interrupted_just_after_the_name(approved, monkeypatch):
    scene, release = approved
    real = exporting._publish

    def interrupted(finished, target):
        real(finished, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting, "_publish", interrupted)
    with pytest.raises(KeyboardInterrupt):
        scene.export(release)
    assert left_behind(scene) == [release]
    assert verify(scene.root / "out" / release, scene.trust()).release == release


def test_where_even_the_name_fails_the_bundle_is_kept(approved, monkeypatch):
    scene, release = approved
    monkeypatch.setattr(exporting, "_publish", _raise(OSError(errno.EIO, "broken")))
    with pytest.raises(FaultError) as caught:
        scene.export(release)
    assert "rename it" in caught.value.__notes__[0]
    (partial,) = left_behind(scene)
    assert verify(scene.root / "out" / partial / "bundle", scene.trust()).release == release


def test_ctrl_c_after_recording_but_before_returning(approved, monkeypatch):
    scene, release = approved
    real = scene.registry.record_export

    def record(*args, **keywords):
        real(*args, **keywords)
        raise KeyboardInterrupt

    monkeypatch.setattr(scene.registry, "record_export", record)
    with pytest.raises(KeyboardInterrupt):
        scene.export(release)
    assert left_behind(scene) == [release]
    assert state(scene, release) is State.RELEASED


def test_a_killed_export_is_taken_up_again(approved):
    scene, release = approved
    scene.registry.begin_export(release, judge=PureJudge(), by=DORA)
    assert state(scene, release) is State.EXPORTING
    scene.export(release)
    assert state(scene, release) is State.RELEASED
    assert any(
        "came to no end" in str(line) or "did not come" in str(line) for line in scene.registry.audit_log()
    )


def test_a_failure_that_cannot_be_recorded_says_so(approved, monkeypatch):
    scene, release = approved
    monkeypatch.setattr(exporting, "clear", _raise(Boom()))
    monkeypatch.setattr(scene.registry, "fail_export", _raise(FaultError("the database is away")))
    with pytest.raises(Boom) as caught:
        scene.export(release)
    assert "could not be recorded" in caught.value.__notes__[0]
    monkeypatch.undo()
    assert scene.export(release).path.is_dir()


def test_a_registry_that_cannot_be_read_means_not_recorded(approved, monkeypatch):
    scene, release = approved
    monkeypatch.setattr(scene.registry, "record_export", _raise(Boom()))
    real = scene.registry.show
    calls = []

    def show(*args):
        calls.append(args)
        if len(calls) > 2:
            raise FaultError("the database is away")
        return real(*args)

    monkeypatch.setattr(scene.registry, "show", show)
    with pytest.raises(Boom):
        scene.export(release)
    assert left_behind(scene) == []


# ---------------------------------------------------------------------------------------------- flipped bytes


def _flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 0x01
    mode = path.stat().st_mode
    path.chmod(0o600)
    path.write_bytes(bytes(data))
    path.chmod(mode)


def test_any_flipped_byte_of_any_stored_object_stops_export(approved):
    """Every file of the object store: candidate, real table, split, model. Sampled places: both ends and between."""
    scene, release = approved
    files = [path for path in (scene.root / "objects").rglob("*") if path.is_file()]
    assert len(files) >= 5
    for path in files:
        size = path.stat().st_size
        for place in {0, 1, size // 3, size // 2, size - 2, size - 1}:
            before = path.read_bytes()
            _flip(path, place)
            with pytest.raises(IntegrityError):
                scene.export(release)
            assert left_behind(scene) == []
            path.write_bytes(before)
    scene.export(release)


@pytest.mark.parametrize("change", ["missing", "empty", "longer"])
def test_an_object_that_is_gone_or_cut_stops_export(approved, change: str):
    scene, release = approved
    for path in [path for path in (scene.root / "objects").rglob("*") if path.is_file()]:
        before = path.read_bytes()
        if change == "missing":
            path.unlink()
        else:
            path.write_bytes(b"" if change == "empty" else before + b"\0")
        with pytest.raises(IntegrityError):
            scene.export(release)
        path.write_bytes(before)
    assert left_behind(scene) == []


def test_an_object_store_that_lies_is_found_out(approved):
    """The exporter recomputes digests itself: a store that checks nothing changes nothing."""
    scene, release = approved

    class Credulous:
        def path(self, name, *, keyed):
            return scene.objects.root / name[:2] / name

        def folder(self, name):
            return scene.objects.root / name[:2] / name

    (scene.root / "out").mkdir()
    candidate = scene.registry.show(release).candidate
    dataset = scene.registry.show(release).dataset
    for name in (candidate.table, candidate.split, dataset.table):
        path = Credulous().path(name, keyed=False)
        before = path.read_bytes()
        _flip(path, len(before) // 2)
        with pytest.raises(IntegrityError, match="is not what was stored"):
            export(scene.exporter(objects=Credulous()), release, Wanted(to=scene.root / "out"), by=DORA)
        path.write_bytes(before)
    assert left_behind(scene) == []


def test_any_changed_record_in_the_database_stops_export(approved):
    import sqlite3

    scene, release = approved
    file = scene.root / "registry.sqlite"
    with sqlite3.connect(file) as connection:
        rows = connection.execute("select rowid, kind, body from records").fetchall()
        assert {kind for _, kind, _ in rows} >= {
            "candidate",
            "evidence",
            "vote",
            "policy",
            "request",
            "dataset",
        }
    with sqlite3.connect(file) as connection:  # an attacker with the file can do this too
        triggers = connection.execute("select name from sqlite_master where type = 'trigger'").fetchall()
        for (name,) in triggers:
            connection.execute(f'drop trigger "{name}"')
    for row, _, body in rows:
        with sqlite3.connect(file) as connection:
            middle = len(body) // 2
            letter = "0" if body[middle] != "0" else "1"
            changed = body[:middle] + letter + body[middle + 1 :]
            connection.execute("update records set body = ? where rowid = ?", (changed, row))
        with pytest.raises(IntegrityError):
            scene.export(release)
        with sqlite3.connect(file) as connection:
            connection.execute("update records set body = ? where rowid = ?", (body, row))
    assert left_behind(scene) == []
    scene.export(release)


# ---------------------------------------------------------------------------------------------- the questions


@pytest.fixture
def case(approved) -> Case:
    scene, release = approved
    clearance = scene.registry.begin_export(release, judge=PureJudge(), by=DORA)
    return Case(
        clearance=clearance,
        charges=scene.registry.ledger.balance(clearance.dataset.population).charges,
        objects=scene.objects,
        judge=PureJudge(),
        digest_key=KEY,
    )


def changed(case: Case, part: str, **changes: object) -> Case:
    record = dataclasses.replace(getattr(case.clearance, part), **changes)
    return dataclasses.replace(case, clearance=dataclasses.replace(case.clearance, **{part: record}))


def _worse(evidence: EvidenceSet) -> EvidenceSet:
    return dataclasses.replace(evidence, evidence=evidence.evidence[1:])


class Yes(PureJudge):
    """Says what was stored, whatever the evidence."""

    def __init__(self, verdict):
        self.verdict = verdict

    def judge(self, *_args):
        return self.verdict


SPOILT = {
    "baseline": (GateError, "baseline", lambda c: changed(c, "request", purpose=Purpose.BASELINE)),
    "augmented": (GateError, "augmented", lambda c: changed(c, "dataset", kind=Kind.AUGMENTED)),
    "no claim": (GateError, "ε is ∞", lambda c: changed(c, "candidate", claim=None)),
    "claim ∞": (
        GateError,
        "ε is ∞",
        lambda c: changed(
            c, "candidate", claim=dataclasses.replace(c.clearance.candidate.claim, epsilon=float("inf"))
        ),
    ),
    "claim δ NaN": (
        GateError,
        "ε is ∞",
        lambda c: changed(
            c, "candidate", claim=dataclasses.replace(c.clearance.candidate.claim, delta=float("nan"))
        ),
    ),
    "policy document": (
        IntegrityError,
        "policy document",
        lambda c: dataclasses.replace(
            c,
            clearance=dataclasses.replace(
                c.clearance, document=c.clearance.document.replace("limit: 0.2", "limit: 0.9")
            ),
        ),
    ),
    "policy terms": (IntegrityError, "policy document", lambda c: changed(c, "terms", approvals=7)),
    "policy terms, a small part": (
        IntegrityError,
        "policy document",
        lambda c: changed(c, "terms", smallest_cell=2),
    ),
    "request": (IntegrityError, "the request", lambda c: changed(c, "request", rows=7)),
    "dataset": (
        IntegrityError,
        "the dataset is",
        lambda c: changed(c, "candidate", dataset=KeyedDigest("0" * 64)),
    ),
    "dataset's schema": (
        IntegrityError,
        "dataset's schema",
        lambda c: changed(c, "dataset", schema_digest=Sha256("0" * 64)),
    ),
    "schema": (
        IntegrityError,
        "schema",
        lambda c: changed(c, "dataset", schema={**c.clearance.dataset.schema, "title": "another"}),
    ),
    "candidate": (
        IntegrityError,
        "evidence's candidate",
        lambda c: changed(c, "candidate", table=Sha256("0" * 64)),
    ),
    "evidence": (GateError, "judged again", lambda c: changed(c, "evidence", evidence=())),
    "evidence, judge says yes anyway": (
        GateError,
        "another than was reviewed",
        lambda c: changed(c, "verdict", findings=c.clearance.verdict.findings[:1]),
    ),
    "key": (GateError, "another than was reviewed", lambda c: dataclasses.replace(c, digest_key=b"x" * 32)),
    "approval's turn": (GateError, "something else", lambda c: changed(c, "approval", turn=2)),
    "approval's candidate": (
        GateError,
        "something else",
        lambda c: changed(c, "approval", candidate=Sha256("0" * 64)),
    ),
    "approval's evidence": (
        GateError,
        "something else",
        lambda c: changed(c, "approval", evidence=KeyedDigest("0" * 64)),
    ),
    "approval's policy": (
        GateError,
        "something else",
        lambda c: changed(c, "approval", policy=Sha256("0" * 64)),
    ),
    "approved by the requester": (
        GateError,
        "requester",
        lambda c: changed(c, "approval", approvers=(ANNA,)),
    ),
    "approved by nobody": (GateError, "0 people approved", lambda c: changed(c, "approval", approvers=())),
    "approval ended just now": (
        GateError,
        "does not hold",
        lambda c: changed(c, "approval", expires_at=c.clearance.cleared_at),
    ),
    "approval begins later": (
        GateError,
        "does not hold",
        lambda c: changed(c, "approval", approved_at=c.clearance.cleared_at + timedelta(seconds=1)),
    ),
    "no charge": (GateError, "no charge", lambda c: dataclasses.replace(c, charges=())),
    "charge of another turn": (
        IntegrityError,
        "for something else",
        lambda c: dataclasses.replace(c, charges=[dataclasses.replace(x, turn=2) for x in c.charges]),
    ),
    "charge of another cost": (
        IntegrityError,
        "for something else",
        lambda c: dataclasses.replace(
            c,
            charges=[
                dataclasses.replace(x, cost=dataclasses.replace(x.cost, epsilon=0.5)) for x in c.charges
            ],
        ),
    ),
}


def test_a_case_that_is_all_right_is_cleared(case: Case):
    public, table = clear(case, issuer=ISSUER, sweeps=())
    assert public.rows == len(table) == 300
    assert public.recommendation is None
    assert public.weights == {}


@pytest.mark.parametrize("name", SPOILT)
def test_each_question_has_its_no(case: Case, name: str):
    error, says, spoil = SPOILT[name]
    with pytest.raises(error) as caught:
        clear(spoil(case), issuer=ISSUER, sweeps=())
    assert says in str(caught.value)


ASKED_OF_RECORDS = [question for question in QUESTIONS if question is not clearing._objects_are_whole]
"""The last question's spoilt cases are the flipped bytes above."""


@pytest.mark.parametrize("question", ASKED_OF_RECORDS, ids=lambda q: q.__name__)
def test_every_question_is_needed(case: Case, question, monkeypatch):
    """Without it, at least one spoilt case goes through: so none of them is there for nothing."""
    left = tuple(other for other in QUESTIONS if other is not question)
    monkeypatch.setattr(clearing, "QUESTIONS", left)
    through = 0
    for _, _, spoil in SPOILT.values():
        try:
            clear(spoil(case), issuer=ISSUER, sweeps=())
        except (ReleaseError, ValueError):  # ValueError: ∞ cannot even be written down
            continue
        through += 1
    assert through, question.__name__


def test_other_charges_and_no_model_are_no_matter(case: Case):
    """The charge is found among others; a candidate whose model was not kept has none to check."""
    (charge,) = case.charges
    other = dataclasses.replace(charge, id="ledger:99", release="another-1")
    clear(dataclasses.replace(case, charges=(other, charge)), issuer=ISSUER, sweeps=())
    clearing._objects_are_whole(changed(case, "candidate", model=""))
    with pytest.raises(IntegrityError):
        clearing._objects_are_whole(changed(case, "candidate", model="0" * 64))


def test_a_judge_that_says_yes_to_a_no(case: Case):
    """A stored all-met verdict is worth nothing where the judge, asked again, says something else."""
    verdict = case.clearance.verdict
    no = dataclasses.replace(
        verdict, findings=(dataclasses.replace(verdict.findings[0], ruling=Ruling.UNPROVEN),)
    )
    spoilt = dataclasses.replace(case, judge=Yes(no))
    with pytest.raises(GateError, match="judged again, the verdict is unproven"):
        clear(spoilt, issuer=ISSUER, sweeps=())


def test_a_candidate_with_other_rows_than_recorded(case: Case, approved):
    scene, _ = approved
    from release.canonical import digest
    from release.data.table_file import write_table

    other = Sha256(
        scene.objects.put(lambda path: write_table(table(schema(), 299, town="x", seed=1), path), keyed=False)
    )
    candidate = dataclasses.replace(case.clearance.candidate, table=other)
    evidence = EvidenceSet(
        candidate=digest(candidate),
        suite="standard",
        probes=(),
        evidence=GOOD_FIGURES,
        controls=GOOD_CONTROLS,
    )
    key = keyed_digest(evidence, KEY)
    clearance = dataclasses.replace(
        case.clearance,
        candidate=candidate,
        evidence=evidence,
        approval=dataclasses.replace(case.clearance.approval, candidate=digest(candidate), evidence=key),
        verdict=PureJudge().judge(
            case.clearance.document,
            evidence,
            key,
            candidate.claim,
            case.clearance.request.purpose,
            case.clearance.verdict.mode,
        ),
    )
    with pytest.raises(IntegrityError, match="299 rows"):
        clear(dataclasses.replace(case, clearance=clearance), issuer=ISSUER, sweeps=())


def test_the_recommended_share_comes_from_the_last_usable_sweep_of_this_candidate(case: Case):
    base = sweep_of(case, 0.614159)
    odd = [sweep_of(case, value) for value in ("x", 7.0, -0.1, None, True, float("nan"))]
    lost = dataclasses.replace(base, result={"cap": 1.0})
    other = dataclasses.replace(sweep_of(case, 1.0), candidate=Sha256("0" * 64))
    found = clear(case, issuer=ISSUER, sweeps=(base, *odd, lost, other))[0].recommendation
    assert found == Recommendation(share=0.5, target="again")


@pytest.mark.parametrize(
    ("cap", "share"), [(0, 0.0), (0.1, 0.0), (0.25, 0.25), (0.7499, 0.5), (0.75, 0.75), (1, 1.0)]
)
def test_the_recommended_share_is_one_of_five(case: Case, cap, share):
    found = clear(case, issuer=ISSUER, sweeps=(sweep_of(case, cap),))[0].recommendation
    assert found.share == share


def test_beside_a_covered_gate_no_figure_stands_that_is_not(case: Case):
    sweep = sweep_of(case, 0.5)
    for mode in GateMode:
        found = clearing._recommended((sweep,), sweep.candidate, mode)
        assert (found is None) is (mode is not GateMode.UNCOVERED)


def sweep_of(case: Case, cap: object) -> Sweep:
    return Sweep(
        release=case.clearance.candidate.release,
        turn=1,
        candidate=digest(case.clearance.candidate),
        mix=Sha256("0" * 64),
        result={"cap": cap, "mix": {"plan": {"task": {"target": "again"}}}},
        by=ANNA,
        at=case.clearance.cleared_at,
    )


def schema_of(case: Case):
    return schema()
