"""`sluice evaluate` and the Python API, with the real attacks, on a small table."""

from __future__ import annotations

import json

import numpy as np
import pytest

from app import api
from app.main import run
from release.errors import InputError, PolicyFormatError

SCHEMA = """\
format: sluicegate/schema@1
name: people
population: town
population_size: 50000
unit: {name: person}
provenance: {kind: collected, source: made up, licence: none}
columns:
  - {name: age, kind: integer, roles: [quasi-identifier], domain: {min: 0, max: 99}, domain_source: codebook}
  - {name: income, kind: integer, roles: [quasi-identifier], domain: {min: 0, max: 99999}, domain_source: codebook}
  - {name: code, kind: integer, domain: {min: 0, max: 999}, domain_source: codebook}
  - {name: rent, kind: integer, domain: {min: 0, max: 99999}, domain_source: codebook}
  - {name: debt, kind: integer, domain: {min: 0, max: 99999}, domain_source: codebook}
  - {name: ill, kind: boolean, roles: [sensitive, target], domain: {values: ["no", "yes"]}, domain_source: codebook}
"""


def rows(n, seed):
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 99, n)
    ill = np.where(rng.random(n) < age / 120, "yes", "no")
    wide = rng.integers(0, 99999, (n, 3))
    codes = rng.integers(0, 999, n)
    return [f"{age[k]},{wide[k, 0]},{codes[k]},{wide[k, 1]},{wide[k, 2]},{ill[k]}" for k in range(n)]


@pytest.fixture
def tables(tmp_path):
    (tmp_path / "schema.yaml").write_text(SCHEMA)
    parts = {"members": rows(300, 1), "controls": rows(300, 2), "fresh": rows(300, 3)}
    parts["copy"] = sorted(parts["members"])
    for name, lines in parts.items():
        (tmp_path / f"{name}.csv").write_text("\n".join(["age,income,code,rent,debt,ill", *lines]) + "\n")
    return tmp_path


def line(tables, synthetic, *more):
    return [
        "evaluate",
        *("--members", str(tables / "members.csv")),
        *("--controls", str(tables / "controls.csv")),
        *("--synthetic", str(tables / f"{synthetic}.csv")),
        *("--schema", str(tables / "schema.yaml")),
        *("--suite", "quick", "--target", "ill"),
        *more,
    ]


def test_a_copy_is_broken_by_at_least_two_attacks(tables, capsys):
    assert (
        run(line(tables, "copy", "--policy", "internal-dev", "--json", "--out", str(tables / "out.json")))
        == 1
    )
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads((tables / "out.json").read_text())
    figures = {(e["probe"], e["metric"], e["subject"]): e["outcome"] for e in document["evidence"]}
    assert figures["copies", "excess_exact_share", ""]["low"] > 0.9
    assert figures["linkability", "excess_risk", ""]["low"] > 0.5
    broken = {f["rule"] for f in document["verdict"]["findings"] if f["ruling"] == "broken"}
    assert {"exact-copies", "linkability", "claim"} <= broken
    for outcome in figures.values():
        assert ("reason" in outcome) or outcome["trials"] >= 0
    explained = {(e["probe"], e["title"]): e for e in document["explanations"]}
    risks = explained["dcr", "The units that look most like members"]
    assert len(risks["top_units"]) == 20
    assert all(unit[0] in "mc" and unit[1:].isdigit() for unit in risks["top_units"])
    assert "falls from" in explained["dcr", "What would be left without a column"]["takeaway"] or (
        "No single column" in explained["dcr", "What would be left without a column"]["takeaway"]
    )


def test_without_policy_it_measures_and_exits_0(tables, capsys):
    assert run(line(tables, "fresh")) == 0
    shown = capsys.readouterr().out
    assert "excess_exact_share" in shown
    assert "verdict" not in shown


def test_independent_rows_are_not_broken_by_attacks(tables, capsys):
    assert run(line(tables, "fresh", "--policy", "internal-dev", "--json")) == 1  # no claim of ε
    findings = json.loads(capsys.readouterr().out)["verdict"]["findings"]
    broken = {f["rule"] for f in findings if f["ruling"] == "broken"}
    assert not broken & {"exact-copies", "partial-copies", "membership", "linkability", "singling-out"}


def test_same_tables_same_evidence(tables, capsys):
    documents = []
    for _ in range(2):
        run(line(tables, "fresh", "--json"))
        documents.append(capsys.readouterr().out)
    assert documents[0] == documents[1]


WRONG = {
    "no such suite": ("fresh", ["--suite", "magic"]),
    "no such policy": ("fresh", ["--policy", "magic"]),
    "no such target": ("fresh", ["--target", "height"]),
    "no such file": ("nothing", []),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments(tables, capsys, case):
    synthetic, more = WRONG[case]
    assert run([*line(tables, synthetic), *more]) == 2
    assert capsys.readouterr().out == ""


def test_an_unreadable_policy_file(tables, capsys):
    (tables / "bad.yaml").write_bytes(b"\xff\xfe\x00")
    assert run(line(tables, "fresh", "--policy", str(tables / "bad.yaml"))) == 2
    (tables / "big.yaml").write_text("x: 1\n" * 100_000)
    assert run(line(tables, "fresh", "--policy", str(tables / "big.yaml"))) == 2
    capsys.readouterr()


# ---------------------------------------------------------------------------------------------- Python


def test_the_python_api(tables):
    import pandas as pd

    schema = api.schema(tables / "schema.yaml")
    planned = api.plan(schema, "independent", epsilon=2.0, delta=1e-7, target="ill")
    assert planned.cost.epsilon <= 2.0
    frame = pd.read_csv(tables / "members.csv", dtype=str, keep_default_na=False)
    synthetic = planned.run(frame).sample(200)
    assert list(synthetic.columns) == ["age", "income", "code", "rent", "debt", "ill"]
    assert len(synthetic) == 200
    outcome = api.evaluate(
        members=frame,
        controls=tables / "controls.csv",
        synthetic=synthetic,
        schema=schema,
        claim=planned.cost,
        suite="quick",
        policy="internal-dev",
        target="ill",
    )
    assert outcome.verdict is not None
    assert outcome.to_json()["verdict"]["releasable"] is outcome.verdict.releasable


def test_tables_of_different_schemas(tables):
    schema = api.schema(tables / "schema.yaml")
    (tables / "other.yaml").write_text(SCHEMA.replace("max: 99}", "max: 120}"))
    other = api.schema(tables / "other.yaml")
    table = api.read(tables / "members.csv", schema)
    with pytest.raises(InputError):
        api.evaluate(
            members=table, controls=table, synthetic=api.read(tables / "fresh.csv", other), schema=schema
        )
    with pytest.raises(PolicyFormatError):
        api.evaluate(members=table, controls=table, synthetic=table, schema=schema, policy="magic")
