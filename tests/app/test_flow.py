"""The flow by command: each step, what it refuses, what it charges, how it resumes."""

from __future__ import annotations

import errno
import json

import pytest

from app import evaluation, pipeline, wiring
from app.objects import ObjectStore
from app.workspace import Workspace
from release.records import Measured, NotMeasured, ReleaseId


def place(shell):
    return Workspace.open(shell.workspace)


def state(shell, release="toy-1"):
    return place(shell).registry.show(ReleaseId(release)).state.value


def charges(shell):
    return [entry["turn"] for entry in shell("budget --json").json[0]["charges"]]


# ---------------------------------------------------------------------------------------------- the way


def test_workspace_is_private(empty):
    for path in [empty.workspace, *empty.workspace.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_init_refuses_a_folder_in_use(empty):
    empty(f"init {empty.workspace}", code=2)
    assert "not empty" in empty.err


def test_proposing_reads_no_row_and_charges_nothing(shell, fast):
    shell(
        "release propose toy --generator quick --epsilon 1 --policy internal-dev --partner lab --as ana --json"
    )
    assert shell.json["cost"]["epsilon"] <= 1.0
    assert 0 < shell.json["share_of_cap"] < 1
    assert shell.json["request"]["rows"] == 5000  # the public size, not the 200 private rows
    assert fast.generator.runs == []
    assert charges(shell) == []


def test_run_judges_and_charges_once(proposed, fast):
    proposed("release run toy-1 --as ana --json")
    assert proposed.json["verdict"]["ruling"] == "met"
    assert proposed.json["verdict"]["mode"] == "uncovered"
    assert proposed.json["state"] == "in_review"
    assert proposed.json["candidate"]["rows"] == 50
    assert len(fast.generator.runs) == 1
    assert fast.generator.runs[0] < 200  # controls and reference are not in it
    assert charges(proposed) == [1]


def test_the_same_candidate_is_attacked_with_the_same_randomness(proposed, fast, monkeypatch):
    fast.suite.raises.append(KeyboardInterrupt())
    proposed("release run toy-1 --as ana", code=130)
    assert state(proposed) == "evaluating"
    assert "stays charged" in proposed.err
    assert "goes on" in proposed.err
    fast.suite.raises.clear()
    proposed("release run toy-1 --as ana")
    assert len(fast.generator.runs) == 1
    assert charges(proposed) == [1]
    first, second = fast.suite.ran
    assert first == second


RULINGS = {
    "broken": (
        ("membership", "max_tpr_at_fpr_1pct", ""),
        Measured(estimate=0.5, low=0.4, high=0.6, trials=99),
        1,
    ),
    "straddling": (
        ("membership", "max_tpr_at_fpr_1pct", ""),
        Measured(estimate=0.1, low=0.0, high=0.6, trials=99),
        3,
    ),
    "not measured": (("linkability", "excess_risk", ""), NotMeasured(reason="too few"), 3),
    "missing": (("rules", "violations", ""), None, 3),
}


@pytest.mark.parametrize("case", RULINGS)
def test_only_all_met_reaches_review(proposed, fast, case):
    key, outcome, code = RULINGS[case]
    fast.suite.figures[key] = outcome
    proposed("release run toy-1 --as ana", code=code)
    assert state(proposed) == "blocked"
    proposed("release approve toy-1 --as ben", code=1)
    proposed("release export toy-1 --to out --as emil", code=1)
    assert not (proposed.workspace.parent / "out").exists()


def test_a_missed_control_is_invalid(proposed, fast):
    fast.suite.missed = ("membership",)
    proposed("release run toy-1 --as ana", code=3)
    assert state(proposed) == "blocked"


def test_a_further_turn_is_asked_for_and_charged(proposed, fast):
    fast.suite.figures[("rules", "violations", "")] = None
    proposed("release run toy-1 --as ana", code=3)
    proposed("release run toy-1 --as ana", code=1)
    assert "--new-turn" in proposed.err
    assert charges(proposed) == [1]
    fast.suite.figures.clear()
    proposed("release run toy-1 --new-turn --as ana")
    assert charges(proposed) == [1, 2]
    assert state(proposed) == "in_review"


def test_nobody_approves_their_own(reviewed):
    reviewed("release approve toy-1 --as ana", code=1)
    assert state(reviewed) == "in_review"


def test_reject_and_return(reviewed):
    reviewed("release return toy-1 --as ben -m fewer")
    assert state(reviewed) == "returned"
    reviewed("release run toy-1 --new-turn --as ana")
    reviewed("release reject toy-1 --as ben")
    assert state(reviewed) == "rejected"
    reviewed("release run toy-1 --as ana", code=1)


def test_withdraw(proposed):
    proposed("release withdraw toy-1 --as ben", code=1)
    proposed("release withdraw toy-1 --as ana --json")
    assert proposed.json["state"] == "withdrawn"


# ---------------------------------------------------------------------------------------------- refusals


REFUSED = {
    "epsilon above the tier": ("--epsilon 11 --policy internal-dev", 1, "internal-dev"),
    "no such generator": ("--epsilon 1 --policy internal-dev --generator magic", 2, "magic"),
    "no such policy": ("--epsilon 1 --policy nonsense", 2, "nonsense"),
    "no such target": ("--epsilon 1 --policy internal-dev --target height", 2, "height"),
    "delta too large": ("--epsilon 1 --policy internal-dev --delta 0.1", 2, "δ"),
    "negative epsilon": ("--epsilon -1 --policy internal-dev", 2, "ε"),
    "nan epsilon": ("--epsilon nan --policy internal-dev", 2, "ε"),
    "no rows": ("--epsilon 1 --policy internal-dev --rows 0", 2, "rows"),
    "no guarantee": ("--epsilon 1 --policy internal-dev --generator copy", 1, "baseline"),
    "option without value": ("--epsilon 1 --policy internal-dev --option x", 2, "NAME=VALUE"),
    "unknown option": ("--epsilon 1 --policy internal-dev --option x=1", 2, "x"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_proposals_that_are_refused_leave_nothing(shell, case):
    words, code, said = REFUSED[case]
    shell(f"release propose toy --generator quick --partner lab --as ana {words}", code=code)
    assert said in shell.err
    assert charges(shell) == []
    shell("release show --json")
    assert shell.json == []


def test_no_cap_no_charge(empty):
    empty("dataset add toy.csv --schema schema.yaml --as ana")
    empty(
        "release propose toy --generator quick --epsilon 1 --policy internal-dev --partner lab --as ana",
        code=1,
    )
    assert "cap" in empty.err


def test_a_cost_that_no_longer_fits_is_refused_uncharged(empty):
    shell = empty
    shell("dataset add toy.csv --schema schema.yaml --as ana")
    shell("budget set toytown --epsilon 3 --as finn")
    shell("release propose toy --generator quick --epsilon 1 --policy internal-dev --partner lab --as ana")
    shell("release run toy-1 --as ana")
    line = "release propose toy --generator quick --epsilon 3 --policy internal-dev --partner lab --as ana"
    shell(line, code=1)
    assert "nothing was charged" in shell.err
    assert charges(shell) == [1]


def test_a_baseline_is_never_reviewed(shell):
    shell(
        "release propose toy --generator copy --epsilon 1 --policy internal-dev --partner lab --purpose baseline --as ana"
    )
    shell("release run toy-1 --as ana", code=1)
    assert state(shell) == "blocked"
    assert charges(shell) == []


def test_as_is_refused_outside_demo_workspaces(tmp_path, capsys, monkeypatch):
    from app.main import run

    monkeypatch.setenv("SLUICE_WORKSPACE", str(tmp_path / "real"))
    assert run(["init", str(tmp_path / "real")]) == 0
    assert run(["budget", "set", "x", "--epsilon", "1", "--as", "finn"]) == 1
    assert "demo" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------- stops and full disks


def test_ctrl_c_in_the_mechanism(proposed, fast):
    fast.generator.on_run.append(KeyboardInterrupt())
    proposed("release run toy-1 --as ana", code=130)
    assert "stays charged" in proposed.err
    assert state(proposed) == "failed"
    assert charges(proposed) == [1]
    fast.generator.on_run.clear()
    proposed("release run toy-1 --as ana", code=1)
    proposed("release run toy-1 --new-turn --as ana")
    assert charges(proposed) == [1, 2]


def test_a_killed_mechanism_is_not_run_again_uncharged(proposed, fast, monkeypatch):
    """As a kill would leave it: charged, no candidate, nobody recorded the failure."""
    monkeypatch.setattr(pipeline, "_give_up", lambda *args, **kwargs: None)
    fast.generator.on_run.append(RuntimeError("killed"))
    proposed("release run toy-1 --as ana", code=4)
    assert state(proposed) == "generating"
    monkeypatch.undo()
    monkeypatch.setenv("SLUICE_WORKSPACE", str(proposed.workspace))
    monkeypatch.setattr(wiring, "generators", lambda: {"quick": fast.generator})
    monkeypatch.setattr(wiring, "attack_suite", lambda: fast.suite)
    monkeypatch.setattr(wiring, "quality_suite", lambda: fast.suite.measure)
    monkeypatch.setattr(wiring, "qualities", dict)
    fast.generator.on_run.clear()
    proposed("release run toy-1 --as ana", code=1)
    assert state(proposed) == "failed"
    assert charges(proposed) == [1]
    assert len(fast.generator.runs) == 1


def test_an_evaluation_that_cannot_end_is_given_up_only_for_a_further_charge(proposed, fast, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("the same fault each time")

    monkeypatch.setattr(pipeline, "evidence_of", broken)
    for _ in range(2):
        proposed("release run toy-1 --as ana", code=4)
        assert state(proposed) == "evaluating"
        assert charges(proposed) == [1]
    monkeypatch.setattr(pipeline, "evidence_of", evaluation.evidence_of)
    proposed("release run toy-1 --new-turn --as ana")
    assert charges(proposed) == [1, 2]
    assert state(proposed) == "in_review"


@pytest.mark.parametrize("nth", range(6))
def test_a_full_disk_at_any_stored_object(proposed, fast, monkeypatch, nth):
    """The nth stored object meets a full disk: cleanly failed, resumable by a new turn; charges stay."""
    original, calls = ObjectStore._settle, []

    def settle(self, aside, name):
        calls.append(name)
        if len(calls) == nth + 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(self, aside, name)

    monkeypatch.setattr(ObjectStore, "_settle", settle)
    from app.main import run

    code = run(["release", "run", "toy-1", "--as", "ana"])
    proposed.capsys.readouterr()
    happened = len(calls) > nth
    assert code == (4 if happened else 0)
    before = charges(proposed)
    assert len(before) == len(fast.generator.runs)
    proposed("audit verify --json")
    proposed("doctor --json")
    if happened:
        proposed("release run toy-1 --new-turn --as ana")
        assert len(charges(proposed)) == len(fast.generator.runs)
    assert state(proposed) == "in_review"


def test_a_second_process_is_refused(proposed):
    with place(proposed).lock("toy-1"):
        proposed("release run toy-1 --as ana", code=1)
    assert "another process" in proposed.err
    proposed("release run toy-1 --as ana")


def test_a_changed_object_blocks(reviewed):
    view = place(reviewed).registry.show(ReleaseId("toy-1"))
    path = place(reviewed).objects.path(view.candidate.table, keyed=False)
    path.write_bytes(path.read_bytes() + b"x")
    reviewed("doctor --json", code=4)
    bad = [check["check"] for check in reviewed.json["checks"] if check["state"] == "bad"]
    assert "objects" in bad


# ---------------------------------------------------------------------------------------------- looking


JSON_COMMANDS = (
    "dataset show",
    "dataset show toy",
    "generator list",
    "policy list",
    "policy show internal-dev",
    "policy check public",
    "person list",
    "budget",
    "audit log",
    "audit log --release toy-1",
    "audit verify",
    "release show",
    "release show toy-1",
    "doctor",
    "schema check schema.yaml",
    "schema check schema.yaml --file toy.csv",
    "schema draft toy.csv",
    "schema json-schema",
)


@pytest.mark.parametrize("line", JSON_COMMANDS)
def test_json_is_one_document_and_text_works(reviewed, line):
    reviewed(f"{line} --json")
    assert json.loads(reviewed.out) is not None
    assert reviewed.err == ""
    reviewed(line)
    assert reviewed.out


def test_show_names_every_rule(reviewed):
    reviewed("release show toy-1 --evidence")
    for word in ("membership", "linkability", "met", "at most", "planted-leak"):
        assert word in reviewed.out


def test_real_values_are_not_shown(reviewed):
    reviewed("release show toy-1 --json")
    assert "exhibits" not in reviewed.json
    assert "Near the diagonal" not in reviewed.out
