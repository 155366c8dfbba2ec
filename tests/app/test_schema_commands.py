"""`sluice schema`: what a plan would refuse is said, and SDV metadata goes in and out. And the frame's packages live together."""

from __future__ import annotations

import json

import pytest

from app.main import run
from tests.app import fakes


@pytest.fixture
def schema(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "schema.yaml").write_text(fakes.SCHEMA)
    return tmp_path / "schema.yaml"


def check(capsys, path):
    assert run(["schema", "check", str(path), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_finished_schema_may_be_used(schema, capsys):
    assert check(capsys, schema)["plannable"]


REFUSED = {
    "free text": (
        "kind: categorical, roles: [quasi-identifier], domain: {values: [red, green, blue]}, domain_source: codebook",
        "kind: text",
        "free text",
    ),
    "observed": (
        'roles: [sensitive, target], domain: {values: ["no", "yes"]}, domain_source: codebook',
        'domain: {values: ["no", "yes"]}, domain_source: observed',
        "observed",
    ),
    "as drafted": ("population: toytown", "population: fill-in", "draft"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_plan_would_refuse_is_said(schema, capsys, name):
    old, new, word = REFUSED[name]
    assert old in fakes.SCHEMA
    schema.write_text(fakes.SCHEMA.replace(old, new))
    found = check(capsys, schema)
    assert not found["plannable"]
    assert word in found["refusal"]


def test_every_reason_is_said(schema, capsys):
    text = fakes.SCHEMA
    for name in ("observed", "as drafted"):
        text = text.replace(*REFUSED[name][:2])
    schema.write_text(text)
    found = check(capsys, schema)["refusal"]
    assert "draft" in found
    assert "observed" in found


def test_sdv_metadata_out_and_in(schema, capsys):
    assert run(["schema", "to-sdv", "schema.yaml", "--out", "metadata.json"]) == 0
    assert run(["schema", "to-sdv", "schema.yaml", "--out", "metadata.json"]) == 2
    assert run(["schema", "from-sdv", "metadata.json", "--out", "back.yaml"]) == 0
    capsys.readouterr()
    found = check(capsys, schema.parent / "back.yaml")
    assert found["columns"] == 2
    assert found["observed"] == ["colour", "ill"]


def test_the_frames_packages_import_together(capsys):
    assert run(["doctor", "--imports", "--json"]) in {0, 1, 3}
    checks = {item["check"]: item for item in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["imports"]["state"] == "good", checks["imports"]
