"""A demo workspace with a toy table, wired with fast parts."""

from __future__ import annotations

import json
import tempfile

import pytest

from app import wiring
from app.main import run
from tests.app import fakes


@pytest.fixture(scope="package", autouse=True)
def _no_logs_left_behind(tmp_path_factory):
    """A fault outside of any workspace is logged in the temporary folder: here one of pytest's own, which pytest removes."""
    before, tempfile.tempdir = tempfile.tempdir, str(tmp_path_factory.mktemp("temporary"))
    yield
    tempfile.tempdir = before


@pytest.fixture
def fast(monkeypatch):
    """The flow's parts replaced by fast ones; the judge, ledger, registry, exporter and verifier stay real."""
    generator, baseline, suite = (
        fakes.FakeGenerator(),
        fakes.FakeGenerator(name="copy", private=False),
        fakes.FakeSuite(),
    )
    monkeypatch.setattr(wiring, "generators", lambda: {"quick": generator, "copy": baseline})
    monkeypatch.setattr(wiring, "attack_suite", lambda: suite)
    monkeypatch.setattr(wiring, "quality_suite", lambda: suite.measure)
    monkeypatch.setattr(wiring, "qualities", lambda: dict.fromkeys(fakes.QUALITY))
    return type("Fast", (), {"generator": generator, "baseline": baseline, "suite": suite})


class Shell:
    """Runs command lines in this process; keeps what they printed."""

    def __init__(self, workspace, capsys):
        self.workspace = workspace
        self.capsys = capsys
        self.out = self.err = ""

    def __call__(self, line, *, code=0):
        words = line.split() if isinstance(line, str) else list(line)
        found = run(words)
        self.out, self.err = self.capsys.readouterr()
        assert found == code, (found, self.out, self.err)
        return self

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def empty(tmp_path, monkeypatch, capsys, fast):
    """A demo workspace without data, and a shell on it."""
    root = tmp_path / "workspace"
    monkeypatch.setenv("SLUICE_WORKSPACE", str(root))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "schema.yaml").write_text(fakes.SCHEMA)
    (tmp_path / "toy.csv").write_text(fakes.toy_csv())
    shell = Shell(root, capsys)
    shell(f"init {root} --demo")
    return shell


@pytest.fixture
def shell(empty):
    """The same with a dataset and a lifetime cap."""
    empty("dataset add toy.csv --schema schema.yaml --as ana")
    empty("budget set toytown --epsilon 20 --as finn")
    return empty


PROPOSE = (
    "release propose toy --generator quick --epsilon 1 --policy internal-dev --partner lab --rows 50 --as ana"
)


@pytest.fixture
def proposed(shell):
    shell(PROPOSE)
    return shell


@pytest.fixture
def reviewed(proposed):
    """toy-1 has run, and everything is met."""
    proposed("release run toy-1 --as ana")
    return proposed
