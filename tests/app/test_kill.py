"""Real processes, killed: the workspace stays whole, what was charged stays charged, the mechanism never runs uncharged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from app.main import run
from app.workspace import Workspace
from release.records import ReleaseId
from tests.app import fakes

CHILD = """
import sys, time
from pathlib import Path
from app import wiring
from app.main import run
from tests.app import fakes
generator, suite = fakes.FakeGenerator(), fakes.FakeSuite()
where, marker = sys.argv[1], Path(sys.argv[2])
def hang(*args, **kwargs):
    marker.write_text("here")
    time.sleep(600)
if where == "mechanism":
    fakes.FakePlan.run = hang
elif where == "sampling":
    fakes.FakeModel.sample = hang
elif where == "attacks":
    fakes.FakeSuite.__call__ = hang
elif where == "quality":
    suite.measure = hang
wiring.generators = lambda: {"quick": generator}
wiring.attack_suite = lambda: suite
wiring.quality_suite = lambda: suite.measure
wiring.qualities = lambda: dict.fromkeys(fakes.QUALITY)
sys.exit(run(sys.argv[3:]))
"""
# where it is killed -> the state that a kill leaves
PLACES = {
    "mechanism": "generating",
    "sampling": "generating",
    "attacks": "evaluating",
    "quality": "evaluating",
}


CASES = [(where, signal.SIGKILL) for where in PLACES] + [
    (where, signal.SIGINT) for where in ("mechanism", "attacks")
]


@pytest.mark.parametrize(("where", "how"), CASES, ids=[f"{where}-{how.name}" for where, how in CASES])
def test_killed(shell, tmp_path, where, how):
    shell(
        "release propose toy --generator quick --epsilon 1 --policy internal-dev --partner lab --rows 50 --as ana"
    )
    marker = tmp_path / "marker"
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(CHILD),
            where,
            str(marker),
            *["release", "run", "toy-1", "--as", "ana"],
        ],
        env={**os.environ, "PYTHONPATH": _root()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not marker.exists() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(how)
    _, err = child.communicate(timeout=60)
    assert marker.exists(), err
    place = Workspace.open(shell.workspace)
    view = place.registry.show(ReleaseId("toy-1"))
    charges = place.registry.ledger.balance("toytown").charges
    assert [charge.turn for charge in charges] == [1]
    if how is signal.SIGINT:
        assert child.returncode == 130
        assert "stays charged" in err
        assert view.state.value == ("failed" if PLACES[where] == "generating" else "evaluating")
    else:
        assert view.state.value == PLACES[where]
    shell("audit verify")
    shell("doctor --json")
    bad = {check["check"] for check in shell.json["checks"] if check["state"] != "good"}
    assert bad <= {"unfinished"}
    if PLACES[where] == "generating":
        assert (
            run(["release", "run", "toy-1", "--as", "ana"]) == 1
        )  # a further turn, a further charge: asked for
        shell.capsys.readouterr()
        shell("release run toy-1 --new-turn --as ana")
        assert len(place.registry.ledger.balance("toytown").charges) == 2
    else:
        shell("release run toy-1 --as ana")
        assert len(place.registry.ledger.balance("toytown").charges) == 1
    assert place.registry.show(ReleaseId("toy-1")).state.value == "in_review"


def _root():
    from pathlib import Path

    return str(Path(fakes.__file__).parents[2])
