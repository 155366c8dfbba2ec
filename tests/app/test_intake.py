"""Bad files, full disks and half-made workspaces leave nothing behind."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from app.main import run
from app.objects import ObjectStore
from app.workspace import Workspace
from release.database import Database
from release.errors import FaultError

BAD = {
    "empty file": b"",
    "header only": b"colour,ill\n",
    "ragged": b"colour,ill\nred,no,extra\n",
    "NUL bytes": b"colour,ill\nre\x00d,no\n",
    "twice the same column": b"colour,colour\nred,no\n",
    "a column is missing": b"colour\nred\n",
    "a column too many": b"colour,ill,height\nred,no,3\n",
}


def stored(shell):
    return Workspace.open(shell.workspace).objects.names()


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_leaves_nothing(empty, tmp_path, case):
    (tmp_path / "bad.csv").write_bytes(BAD[case])
    empty("dataset add bad.csv --schema schema.yaml --as ana", code=2)
    assert "bad.csv" in empty.err
    assert stored(empty) == ()
    empty("dataset show --json")
    assert empty.json == []


def test_a_name_that_is_taken(shell):
    before = stored(shell)
    shell("dataset add toy.csv --schema schema.yaml --as ana", code=2)
    assert stored(shell) == before


def test_somebody_who_may_not(empty):
    empty("dataset add toy.csv --schema schema.yaml --as ben", code=1)
    assert "requester" in empty.err


def test_a_full_disk(empty, monkeypatch):
    def full(self, aside, name):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ObjectStore, "_settle", full)
    empty("dataset add toy.csv --schema schema.yaml --as ana", code=4)
    assert "space" in empty.err
    assert stored(empty) == ()


def test_a_full_disk_in_the_registry(empty, monkeypatch):
    from contextlib import contextmanager

    @contextmanager
    def full(self):
        raise FaultError("the database failed: disk is full", mend="free some space")
        yield

    monkeypatch.setattr(Database, "write", full)
    empty("dataset add toy.csv --schema schema.yaml --as ana", code=4)
    monkeypatch.undo()
    monkeypatch.setenv("SLUICE_WORKSPACE", str(empty.workspace))
    empty("dataset show --json")
    assert empty.json == []
    empty(
        [
            "dataset",
            "add",
            str(empty.workspace.parent / "toy.csv"),
            "--schema",
            str(empty.workspace.parent / "schema.yaml"),
            "--as",
            "ana",
        ]
    )


def test_a_workspace_is_made_whole_or_not_at_all(tmp_path, monkeypatch, capsys):
    def full(self):
        raise FaultError("the database failed: disk is full", mend="free some space")

    monkeypatch.setattr(Database, "upgrade", full)
    assert run(["init", str(tmp_path / "new")]) == 4
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    assert run(["init", str(tmp_path / "old")]) == 4
    assert list((tmp_path / "old").iterdir()) == []
    monkeypatch.undo()
    assert run(["init", str(tmp_path / "old")]) == 0
    capsys.readouterr()


NO_WORKSPACE = {"named": ["--workspace", "nowhere"], "not here": []}


@pytest.mark.parametrize("case", NO_WORKSPACE)
def test_no_workspace(tmp_path, monkeypatch, capsys, case):
    monkeypatch.delenv("SLUICE_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path)
    assert run(["release", "show", *NO_WORKSPACE[case]]) == 2
    assert "sluice init" in capsys.readouterr().err


def test_settings_that_were_damaged(empty):
    (Path(empty.workspace) / "workspace.yaml").write_text("format: something else\n")
    empty("release show", code=4)


def test_schema_draft_writes_once(empty):
    empty("schema draft toy.csv --out draft.yaml")
    empty("schema draft toy.csv --out draft.yaml", code=2)
    empty("schema check draft.yaml --json")
    assert empty.json["plannable"] is False
