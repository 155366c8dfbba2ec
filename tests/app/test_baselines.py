"""SDV's baselines through the real flow: they run, they are compared with, and no way leads from them to a partner."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace

import pytest

from app import wiring
from app.workspace import open_workspace
from generators import GENERATORS
from policies import PureJudge, builtin
from release.bundle import clearing
from release.canonical import keyed_digest
from release.errors import GateError, RefusedError, TransitionError
from release.records import Budget, Decision, GateMode, Person, Purpose, ReleaseId, Ruling

BASELINES = [name for name, generator in GENERATORS.items() if not generator.private]
EPOCHS = {"sdv-ctgan": "--option epochs=1", "sdv-tvae": "--option epochs=1"}


@pytest.fixture
def real(shell, fast, monkeypatch):
    """The toy workspace with the registered generators; attacks and quality stay stood in for (all would be met)."""
    monkeypatch.setattr(wiring, "generators", lambda: {**GENERATORS, "quick": fast.generator})
    monkeypatch.setattr("generators.baseline_model.KEPT_ROWS", 100)
    return shell


def propose(shell, name, *, code=0, purpose="baseline"):
    shell(
        f"release propose toy --generator {name} --epsilon 1 --policy internal-dev --partner lab --rows 50 "
        f"--purpose {purpose} {EPOCHS.get(name, '')} --as ana",
        code=code,
    )


def state(shell):
    return shell("release show toy-1 --json").json["state"]


def test_they_are_listed_as_what_they_are(real):
    rows = {row["name"]: row for row in real("generator list --json").json}
    assert [name for name, row in rows.items() if not row["private"]] == sorted(BASELINES)
    assert all("Business Source" in rows[name]["summary"] for name in BASELINES)
    assert "none: baseline only" in real("generator list").out


@pytest.mark.parametrize("name", BASELINES)
def test_no_command_leads_from_a_baseline_to_a_partner(real, name):
    for purpose in Purpose:
        if purpose is not Purpose.BASELINE:
            propose(real, name, code=1, purpose=purpose.value)
            assert "never be exported" in real.err
    propose(real, name)
    real("release run toy-1 --as ana", code=1)
    assert state(real) == "blocked"
    assert real("budget --json").json[0]["charges"] == []
    for line in (
        "release approve toy-1 --as ben -m fine",
        "release approve toy-1 --as carl -m fine",
        "release export toy-1 --to out --as emil",
    ):
        assert real(line, code=1).err
        assert state(real) == "blocked"
    assert not (real.workspace.parent / "out").exists()


def test_each_door_is_shut_by_itself(real):
    """Registry, judge and exporter each refuse, whatever the others say."""
    propose(real, "sdv-gaussian-copula")
    real("release run toy-1 --as ana", code=1)
    workspace = open_workspace(None)
    view = workspace.registry.show(ReleaseId("toy-1"))
    assert view.candidate.claim is None

    # The judge: all figures are met, and still the purpose and the missing claim break the verdict.
    document = builtin()["internal-dev"]
    for purpose in Purpose:
        verdict = PureJudge().judge(
            document,
            view.evidence,
            keyed_digest(view.evidence, workspace.keys.digest_key),
            None,
            purpose,
            GateMode.UNCOVERED,
        )
        rulings = {finding.rule: finding.ruling for finding in verdict.findings}
        assert not verdict.releasable
        assert (rulings["purpose"] is Ruling.BROKEN) == (purpose is Purpose.BASELINE)
        assert any(ruling is not Ruling.MET for rule, ruling in rulings.items() if rule != "purpose")

    # The registry: under any other purpose nothing without a cost is begun.
    request = workspace.registry.propose(
        dataset=view.request.dataset,
        generator="sdv-gaussian-copula",
        budget=Budget(epsilon=1.0, delta=1e-7),
        policy="internal-dev",
        partner="lab",
        purpose=Purpose.ANALYSIS,
        rows=10,
        by=Person("ana"),
        options={},
        task=None,
        answers={},
    )
    workspace.registry.submit(request.release, by=Person("ana"))
    with pytest.raises(RefusedError, match="baseline"):
        workspace.registry.begin_generation(request.release, cost=None, by=Person("ana"))
    with pytest.raises(TransitionError):
        workspace.registry.vote(ReleaseId("toy-1"), Decision.APPROVE, by=Person("ben"), comment="")

    # The exporter: with the purpose painted over, the missing claim is still there; and the other way round.
    painted = dataclasses.replace(view.request, purpose=Purpose.ANALYSIS)
    for request, said in ((view.request, "baseline"), (painted, "privacy")):
        clearance = SimpleNamespace(request=request, candidate=view.candidate, dataset=view.dataset)
        with pytest.raises(GateError, match=said):
            clearing._kind_may_leave(SimpleNamespace(clearance=clearance))


def test_the_price_of_privacy(real):
    real(
        "release propose toy --generator quick --epsilon 1 --policy internal-dev --partner lab --rows 120 --as ana"
    )
    real("release run toy-1 --as ana")
    before = real("budget --json").json
    lines = real("release compare toy-1 --with sdv-gaussian-copula --json").json["evidence"]
    found = {(item["metric"], item["subject"]): item["outcome"] for item in lines}
    assert math.isfinite(found["tvd_2way_mean", "sdv-gaussian-copula"]["estimate"])
    assert ("tvd_2way_mean", "release") in found
    assert real("release compare toy-1 --with sdv-ctgan --option epochs=1 --json").json
    assert "speed" in real("release compare toy-1 --with sdv-ctgan --option speed=1", code=2).err
    assert real("budget --json").json == before


def test_a_study_of_a_private_generator_is_not_a_baseline(real):
    real(
        "release propose toy --generator quick --epsilon 1 --policy internal-dev --partner lab --rows 50 --as ana"
    )
    real("release run toy-1 --as ana")
    assert "would be charged" in real("release compare toy-1 --with mst", code=1).err
