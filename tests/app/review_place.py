"""A workspace for the tests of the review app: releases in the states that matter, with hostile strings and odd exhibits in them."""

from __future__ import annotations

import contextlib
import io
import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from app import wiring
from app.main import run
from release.records import Exhibit, Measured
from tests.app import fakes

HOSTILE_PARTNER = "[x](http://evil.example) <b>hi</b> $a$ :red[b] `c`"
HOSTILE_COLUMN = "<script>alert(1)</script>"
HOSTILE_LEVEL = '<img src=x onerror="alert(2)">'
HOSTILE_COMMENT = "<h1>Approved by everybody</h1> **really** [y](javascript:alert(3))"

SCHEMA = f"""\
format: sluicegate/schema@1
name: toy
population: toytown
population_size: 5000
unit: {{name: person}}
provenance: {{kind: collected, source: made up for a test, licence: none}}
columns:
  - {{name: colour, kind: categorical, roles: [quasi-identifier], domain: {{values: [red, green, blue]}}, domain_source: codebook}}
  - {{name: ill, kind: boolean, roles: [sensitive, target], domain: {{values: ["no", "yes"]}}, domain_source: codebook}}
  - {{name: '{HOSTILE_COLUMN}', kind: categorical, domain: {{values: ['{HOSTILE_LEVEL}', plain]}}, domain_source: codebook}}
"""

_PAIR = {"labels": ["a", "b"], "values": [0.1, 0.2]}

EXHIBITS = {
    "roc": ("roc", {"fpr": [0.0, 0.01, 1.0], "tpr": [0.0, 0.02, 1.0], "ceiling": [1e-6, 0.03, 1.0]}),
    "roc without a claim": ("roc", {"fpr": [0.0, 1.0], "tpr": [0.0, 1.0], "ceiling": None}),
    "bars": ("bars", {"bars": [{"what": HOSTILE_COLUMN, "members": 0.3, "controls": 0.2}]}),
    "bars of nobody": ("bars", {"bars": [{"what": "linked", "members": 0.0, "controls": 0.0}]}),
    "bars beside a reference": ("bars", {**_PAIR, "reference": [0.1, 0.3], "names": ["release", "real"]}),
    "bars of one kind": ("bars", {**_PAIR, "names": ["fall of the AUC", ""]}),
    "histogram": ("histogram", {**_PAIR, "names": ["share", ""]}),
    "intervals": ("intervals", {**_PAIR, "low": [0.05, 0.0], "high": [0.2, 3.0], "reference": 1.0}),
    "lines": (
        "lines",
        {"x": [0, 1], "series": {"[a]": [0.1, 0.2], HOSTILE_COLUMN: [1, 2]}, "x_label": "generation"},
    ),
    "matrix": (
        "matrix",
        {"labels": ["a", "b", "c"], "values": [[None, 1, 2], [1, None, None], [2, None, None]]},
    ),
    "table": ("table", {"columns": ["x", "x", "y"], "rows": [["a", 1.5, True], ["b", None]]}),
}
"""Exhibits as the probes make them, by name: kind and data."""

ODD_EXHIBITS = {
    "no data": ("roc", {}),
    "the wrong fields": ("roc", {"x": [0.0, 1.0]}),
    "unlike lengths": ("roc", {"fpr": [0.0, 0.5, 1.0], "tpr": [0.0], "ceiling": None}),
    "a ceiling of another length": ("roc", {"fpr": [0.0], "tpr": [0.0], "ceiling": [0.1, 0.2]}),
    "texts for numbers": ("bars", {"labels": ["a"], "values": ["many"]}),
    "nothing for numbers": ("bars", {"labels": ["a"], "values": [None]}),
    "bars that are no bars": ("bars", {"bars": [1, None, {"what": 3}]}),
    "a number for a list": ("intervals", {"labels": 3, "values": 4, "low": 5, "high": 6, "reference": 1}),
    "no reference": ("intervals", {**_PAIR, "low": [0, 0], "high": [1, 1], "reference": None}),
    "no series": ("lines", {"x": [1, 2], "series": {}}),
    "a series that is too short": ("lines", {"x": [1, 2], "series": {"a": [1]}}),
    "a ragged matrix": ("matrix", {"labels": ["a", "b"], "values": [[1], []]}),
    "an empty matrix": ("matrix", {"labels": [], "values": []}),
    "rows that are no rows": ("table", {"columns": ["a"], "rows": [1, 2]}),
    "an unknown kind": ("hologram", {"anything": [1, {"deep": [2]}]}),
    "a number beyond every number": ("bars", {"labels": ["a"], "values": [10**400]}),
}
"""Exhibits whose data does not fit their kind, by what is odd about them."""


def exhibits(named, probe="membership"):
    return tuple(
        Exhibit(
            probe=probe,
            title=f"{name} {HOSTILE_COLUMN}",
            kind=kind,
            takeaway=f"What to take from {name}.",
            data=data,
        )
        for name, (kind, data) in named.items()
    )


@dataclass
class Suite(fakes.FakeSuite):
    """The fake suite, with pictures of every kind, good and odd."""

    def __call__(self, *arguments, **named):
        found = super().__call__(*arguments, **named)
        odd = {name: item for name, item in ODD_EXHIBITS.items() if name != "a number beyond every number"}
        return replace(found, exhibits=(*exhibits(EXHIBITS), *exhibits(odd, probe="odd_ones")))


BROKEN = {
    ("membership", "max_tpr_at_fpr_1pct", ""): Measured(estimate=0.4, low=0.35, high=0.45, trials=6000),
    ("inference", "risk_difference", "ill"): Measured(
        estimate=0.05, low=0.01, high=0.9, trials=6000, detectable=0.01
    ),
    ("marginals", "tvd_1way_worst", ""): Measured(estimate=0.05, low=0.03, high=0.07, trials=6000),
}
"""Membership broken, inference unproven, one fidelity figure with an interval inside its limit."""


@contextmanager
def wired(suite):
    """The flow's parts replaced by fast ones, as the fixture `fast` of this folder does."""
    generator = fakes.FakeGenerator()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wiring, "generators", lambda: {"quick": generator})
        patch.setattr(wiring, "attack_suite", lambda: suite)
        patch.setattr(wiring, "quality_suite", lambda: suite.measure)
        patch.setattr(wiring, "qualities", lambda: dict.fromkeys(fakes.QUALITY))
        yield


def sluice(*words, code=0):
    """Run a command in this process, quietly."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        found = run([str(word) for word in words])
    assert found == code, (words, found, out.getvalue())


def propose(root, *, policy, partner, person="ana"):
    sluice(
        "release", "propose", "toy", "--generator", "quick", "--epsilon", "1", "--policy", policy,
        "--partner", partner, "--rows", "50", "--as", person, "--workspace", root,
    )  # fmt: skip


def run_turn(root, release, *, suite=None, new_turn=False, code=0):
    again = ["--new-turn"] if new_turn else []
    with wired(suite or Suite()):
        sluice("release", "run", release, *again, "--as", "ana", "--workspace", root, code=code)


def build(root: Path) -> Path:
    """Make it in `root`: toy-1 in review (two approvals), toy-2 blocked, toy-3 submitted, toy-4 and toy-5 in review (one)."""
    rows = fakes.toy_csv().splitlines()
    lines = [f'{rows[0]},"{HOSTILE_COLUMN}"', *(f"{row},plain" for row in rows[1:])]
    inputs = root.parent / "inputs"
    inputs.mkdir()
    (inputs / "schema.yaml").write_text(SCHEMA)
    (inputs / "toy.csv").write_text("\n".join(lines) + "\n")
    place = ("--workspace", root)
    sluice("init", root, "--demo", "--issuer", "Test <b>Hospital</b>")
    sluice("dataset", "add", inputs / "toy.csv", "--schema", inputs / "schema.yaml", "--as", "ana", *place)
    sluice("budget", "set", "toytown", "--epsilon", "20", "--as", "finn", *place)
    with wired(Suite()):
        propose(root, policy="partner-healthcare", partner="clinic")
        propose(root, policy="internal-dev", partner=HOSTILE_PARTNER)
        propose(root, policy="internal-dev", partner="lab")
        propose(root, policy="internal-dev", partner="lab")
        propose(root, policy="internal-dev", partner="lab")
    run_turn(root, "toy-1")
    run_turn(root, "toy-2", suite=Suite(figures=BROKEN), code=1)
    run_turn(root, "toy-4")
    run_turn(root, "toy-5")
    return root


def environment(root):
    return {**os.environ, "SLUICE_WORKSPACE": str(root)}
