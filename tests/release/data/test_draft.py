"""Drafts load as they stand, fit the file they were read off, and are never plannable unconfirmed."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from release.data.draft import CAUTIOUS_POPULATION, draft_schema, placeholders
from release.data.schema import ColumnKind, DomainSource, Role, Schema, require_plannable
from release.data.schema_file import parse_schema
from release.data.sources import read_table
from release.errors import PlanError
from tests.shared_schemas import DEMO, DEMOS, TABLES, shared_file


def drafted(path: Path) -> Schema:
    schema = parse_schema(draft_schema(path))
    report = read_table(path, schema).report
    assert all(column.outside == column.clipped == 0 for column in report.columns)
    return schema


@pytest.mark.parametrize("name", DEMOS)
def test_drafts_of_the_demo_tables(name: str) -> None:
    schema = drafted(DEMO / name / DEMOS[name])
    assert placeholders(schema) == (
        "population",
        "population_size",
        "provenance.source",
        "provenance.licence",
    )
    assert schema.population_size == CAUTIOUS_POPULATION
    with pytest.raises(PlanError, match="was read off the data"):
        require_plannable(schema, 1e-12)
    assert all(not spec.roles for spec in schema.columns)


@pytest.mark.shared_data
@pytest.mark.parametrize("name", TABLES)
def test_drafts_of_the_shared_tables(name: str) -> None:
    schema = drafted(shared_file(name))
    dropped = {spec.name for spec in schema.columns} - {spec.name for spec in schema.released}
    assert dropped == {"diabetes130": {"encounter_id", "patient_nbr"}, "credit-default": {"ID"}}.get(
        name, set()
    )


def test_every_guess(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    n = 60
    columns = {
        "patient_id": [f"P{k // 2:04d}" for k in range(n)],
        "full_name": [f"Name {k}" for k in range(n)],
        "notes": [
            f"He said that on day {k} he felt rather better than on the day before, {k * 7}."
            for k in range(n)
        ],
        "age": [str(k % 90) for k in range(n)],
        "visits": [["1", "2", "999"][k % 3] for k in range(n)],
        "weight": [f"{50 + k / 10:.1f}" for k in range(n)],
        "smoker": [["Yes", "No"][k % 2] for k in range(n)],
        "dead": [["0", "1"][k % 2] for k in range(n)],
        "zip": [f"0{1000 + k % 10}" for k in range(n)],
        "race": [["white", "black", "?", ""][k % 4] for k in range(n)],
        "city": [["Bern", "Basel", "unknown"][k % 3] for k in range(n)],
        "born": [f"19{10 + k}-03-04" for k in range(n)],
        "admitted": [f"{1 + k % 28:02d}/05/2020" for k in range(n)],
        "seen": [f"2020-01-01T10:{k:02d}:00" for k in range(n)],
        "score": [["1.5", "NA"][k % 2] for k in range(n)],
        "nothing": [""] * n,
        "code": [f"c{v}" for v in rng.integers(0, 10**6, size=n)],
    }
    path = tmp_path / "my claims.csv"
    rows = zip(*columns.values(), strict=True)
    path.write_text(
        ",".join(columns) + "\n" + "".join(",".join(f'"{c}"' for c in row) + "\n" for row in rows)
    )
    text = draft_schema(path)
    schema = drafted(path)
    kinds = {spec.name: spec.kind.value for spec in schema.columns}
    assert schema.name == "my-claims"
    assert kinds == {
        "patient_id": "identifier",
        "full_name": "identifier",
        "notes": "text",
        "age": "integer",
        "visits": "integer",
        "weight": "real",
        "smoker": "boolean",
        "dead": "boolean",
        "zip": "categorical",
        "race": "categorical",
        "city": "categorical",
        "born": "date",
        "admitted": "date",
        "seen": "datetime",
        "score": "real",
        "nothing": "categorical",
        "code": "identifier",
    }
    assert schema.column("notes").roles == (Role.DIRECT_IDENTIFIER,)
    assert schema.column("smoker").levels == ("No", "Yes")
    assert [code.code for code in schema.column("race").missing] == ["", "?"]
    assert schema.column("city").levels == ("Basel", "Bern", "unknown")
    assert schema.column("admitted").format == "%d/%m/%Y"
    assert [code.code for code in schema.column("score").missing] == ["NA"]
    assert schema.column("nothing").domain_source is DomainSource.LEARNED
    assert "# Columns that may name the unit: patient_id." in text
    assert "# 999 stands far from the rest" in text
    assert "observed: confirm, or learn under budget" in text
    assert text.count("quasi-identifier?") >= 4


def test_a_table_of_keys_alone_still_gives_a_schema(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,email\n" + "".join(f"x{k},y{k // 2}\n" for k in range(50)))
    schema = drafted(path)
    assert [spec.name for spec in schema.released] == ["email"]
    assert schema.column("email").kind is ColumnKind.CODE


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8) | st.sampled_from(
    [
        "",
        "1",
        "2.5",
        "2020-01-01",
        "yes",
        "no",
        "?",
        "NA",
        "inf",
        "007",
        "-0",
        "1e400",
        "true",
        "(outside domain)",
        "null",
        "1_0",
        "٣",
    ]
)


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=30), name=CELL.map(str.strip).filter(bool))
def test_any_readable_file_gives_a_draft_that_fits_it(
    rows: list[tuple[str, str]], name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("d") / "t.csv"
    quoted = ['"' + cell.replace('"', '""') + '"' for cell in (name, name + "2")]
    lines = [",".join(quoted)] + [",".join('"' + c.replace('"', '""') + '"' for c in row) for row in rows]
    path.write_bytes(("\n".join(lines) + "\n").encode())
    schema = parse_schema(draft_schema(path))
    report = read_table(path, schema).report
    # A value equal to our own name for "outside" cannot be declared: it is counted there.
    allowed = sum("(outside domain)" in (a.strip(), b.strip()) for a, b in rows) * 2
    assert sum(column.outside for column in report.columns) <= allowed
    assert all(column.clipped == 0 for column in report.columns)
