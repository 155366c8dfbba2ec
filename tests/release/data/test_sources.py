"""Reading by the schema: units, round trips, the fast reader against a slow one, speed."""

import csv
import io
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from release.canonical import to_json
from release.data.cells import describe
from release.data.csv_text import open_csv
from release.data.schema import OUTSIDE_LEVEL
from release.data.sources import read_table
from release.data.table import Table
from release.errors import SourceError
from tests.builders import make_schema, make_table, random_table
from tests.shared_schemas import DEMOS, TABLES, load_shared, loaded_shared, shared_file, shared_schema

VISITS = make_schema(unit="patient", max_rows=2, ward=["a", "b"], stay=(0, 99))


def visits(rows: list[tuple[str, str, int]]) -> Table:
    frame = pd.DataFrame(rows, columns=["patient", "ward", "stay"])
    return read_table(frame, VISITS).table


# ---------------------------------------------------------------------------------------------- units


def test_units_are_cut_to_their_bound_and_counted() -> None:
    rows = [("p", "a", k) for k in range(5)] + [("q", "b", 50)] + [("r", "a", 60), ("r", "a", 61)]
    loaded = read_table(pd.DataFrame(rows, columns=["patient", "ward", "stay"]), VISITS)
    assert np.bincount(loaded.table.units).tolist() == [2, 1, 2]
    assert (loaded.report.rows_read, loaded.report.rows, loaded.report.rows_cut) == (8, 5, 3)
    assert (loaded.report.units, loaded.report.units_cut) == (3, 1)
    assert loaded.report.dropped == ("patient",)
    assert np.all(np.diff(loaded.table.units) >= 0), "rows stay in file order"


def test_white_space_around_a_unit_s_name_makes_no_other_unit() -> None:
    names = ["p", " p", "p\t", "q", "\u00a0p", "q ", "r"]
    table = visits([(name, "a", k) for k, name in enumerate(names)])
    assert np.bincount(table.units).tolist() == [2, 2, 1]
    bare = visits([(name.strip(), "a", k) for k, name in enumerate(names)])
    assert bare["stay"].values.tolist() == table["stay"].values.tolist()


UNITS = st.lists(
    st.tuples(st.sampled_from("pqrst"), st.sampled_from("ab"), st.integers(0, 99)), min_size=1, max_size=40
)


@settings(max_examples=60, deadline=None)
@given(UNITS, st.sampled_from("pqrst"))
def test_cutting_one_unit_does_not_depend_on_others(rows: list[tuple[str, str, int]], gone: str) -> None:
    """Truncation is 1-stable: removing a unit removes its rows and changes nothing else."""
    rest = [row for row in rows if row[0] != gone]
    if not rest:
        return

    def kept(chosen: list[tuple[str, str, int]]) -> list[tuple[str, int]]:
        frame = pd.DataFrame(chosen, columns=["patient", "ward", "stay"])
        table = read_table(frame, VISITS).table
        names = pd.unique(frame["patient"])
        assert np.bincount(table.units).max() <= 2
        return [(names[unit], stay) for unit, stay in zip(table.units, table["stay"].values.tolist())]

    assert [row for row in kept(rows) if row[0] != gone] == kept(rest)


def test_rows_kept_are_not_always_the_first() -> None:
    first = sum(
        visits([(f"p{n}", "a", k) for k in range(3)])["stay"].values.tolist() == [0, 1] for n in range(300)
    )
    assert 60 < first < 140  # a third of 300, ± 5 standard deviations


@pytest.mark.parametrize("empty", [None, "", " "])
def test_a_row_of_nobody_is_refused(empty: str | None) -> None:
    with pytest.raises(SourceError, match=r'frame row 2, column "patient": the row names no patient'):
        visits([("p", "a", 1), (empty, "a", 1)])  # type: ignore[list-item]


def test_a_device_is_no_file() -> None:
    with pytest.raises(SourceError, match="is not a regular file"):
        read_table(Path("/dev/zero"), VISITS)


@pytest.mark.shared_data
def test_diabetes130_by_patient() -> None:
    report = loaded_shared("diabetes130").report
    assert (report.rows_read, report.rows, report.units, report.units_cut) == (101_766, 99_231, 71_518, 873)


# ---------------------------------------------------------------------------------------------- released columns only


def test_a_synthetic_table_has_no_identifiers() -> None:
    frame = pd.DataFrame({"ward": ["a", "b", "a"], "stay": [1, 2, 3]})
    with pytest.raises(SourceError, match='column "patient"'):
        read_table(frame, VISITS)
    loaded = read_table(frame, VISITS, released_only=True)
    assert loaded.table.units.tolist() == [0, 1, 2]
    assert "never released" in loaded.report.notes[0]


def test_identifiers_of_a_synthetic_table_are_left_out() -> None:
    frame = pd.DataFrame({"patient": ["s1", "s1"], "ward": ["a", "b"], "stay": [1, 2]})
    loaded = read_table(frame, VISITS, released_only=True)
    assert loaded.report.units == 2
    assert loaded.report.dropped == ("patient",)


# ---------------------------------------------------------------------------------------------- round trips

GONE = {"missing": [{"code": ""}, {"code": "?"}]}
MIXED = make_schema(
    sex={"kind": "categorical", "domain": {"values": ["f", "m"]}, **GONE},
    ward={"kind": "code", **GONE},
    size={"kind": "ordinal", "domain": {"values": ["s", "m", "l"]}},
    age={"kind": "integer", "domain": {"min": -5, "max": 120}, **GONE},
    weight={"kind": "real", **GONE},
    born={"kind": "date", **GONE},
    seen={"kind": "datetime", **GONE},
    flag={"kind": "boolean", "domain": {"values": ["no", "yes"]}},
)
# The standard writer leaves a lone carriage return unquoted, which nobody could read back.
LETTERS = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"), min_size=1, max_size=6)
CELLS = {
    "sex": st.sampled_from(["f", "m", "", "?", "x"]),
    "ward": LETTERS.filter(lambda t: bool(t.strip())) | st.just("?"),
    "size": st.sampled_from(["s", "m", "l"]),
    "age": st.integers(-5, 120).map(str) | st.just("?"),
    "weight": st.floats(allow_nan=False, allow_infinity=False).map(repr) | st.just(""),
    "born": st.dates().map(str) | st.just(""),
    "seen": st.datetimes().map(lambda m: m.replace(microsecond=0).isoformat()) | st.just("?"),
    "flag": st.sampled_from(["no", "yes"]),
}


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.fixed_dictionaries(CELLS), min_size=1, max_size=12),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    ends=st.sampled_from(["\n", "\r\n"]),
)
def test_csv_frame_and_arrow_give_the_same_table(
    rows: list[dict[str, str]],
    delimiter: str,
    quoting: int,
    ends: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(CELLS), delimiter=delimiter, quoting=quoting, lineterminator=ends)
    writer.writeheader()
    writer.writerows(rows)
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_bytes(text.getvalue().encode())
    from_csv = read_table(path, MIXED).table
    from_frame = read_table(pd.DataFrame(rows, columns=list(CELLS)), MIXED).table
    from_arrow = read_table(pa.Table.from_pylist(rows), MIXED).table
    for other in (from_frame, from_arrow):
        for name, column in from_csv.columns.items():
            assert np.array_equal(column.values, other[name].values), name
            assert np.array_equal(column.missing, other[name].missing), name
            assert column.levels == other[name].levels, name
    # and what a table shows as a frame reads back as the same table
    again = read_table(from_csv.to_frame(), MIXED).table
    for name, column in from_csv.columns.items():
        assert np.array_equal(column.values, again[name].values), name
        assert np.array_equal(column.missing, again[name].missing), name


@pytest.mark.shared_data
@pytest.mark.parametrize("name", TABLES)
def test_shared_tables_hold_what_the_files_hold(name: str) -> None:
    """The fast way against an obvious one: pandas with text cells, compared cell by cell."""
    schema, table = shared_schema(name), load_shared(name)
    delimiter = ";" if name == "bank-marketing" else ","
    raw = pd.read_csv(shared_file(name), sep=delimiter, dtype=str, keep_default_na=False)
    if name == "diabetes130":
        # Which rows are cut is not this test's business: compare the units that are whole.
        whole = raw["patient_nbr"].map(raw["patient_nbr"].value_counts()) <= 5
        number = {unit: k for k, unit in enumerate(pd.unique(raw["patient_nbr"]))}
        units = {number[unit] for unit in raw.loc[whole, "patient_nbr"]}
        raw, table = raw[whole].reset_index(drop=True), table.take_units(list(units))
    assert len(raw) == len(table)
    for spec in schema.released:
        column = table[spec.name]
        codes = [code.code for code in spec.missing]
        expected = raw[spec.name].map(lambda cell, codes=codes: codes.index(cell) + 1 if cell in codes else 0)
        assert np.array_equal(column.missing, expected.to_numpy())
        present = column.present
        if spec.kind.coded:
            levels = np.array([*column.levels, "-"], dtype=object)
            assert np.array_equal(levels[column.values[present]], raw.loc[present, spec.name].to_numpy())
        else:
            assert np.array_equal(
                column.values[present], raw.loc[present, spec.name].astype(float).to_numpy()
            )


@pytest.mark.parametrize("name", DEMOS)
def test_demo_tables_fit_their_public_schemas(name: str) -> None:
    report = loaded_shared(name).report
    assert all(column.outside == column.clipped == column.trimmed == 0 for column in report.columns)
    assert report.rows == report.rows_read > 9_000
    to_json(report)


# ---------------------------------------------------------------------------------------------- details


def test_a_level_outside_may_be_written_out_and_read_again() -> None:
    schema = make_schema(sex=["f", "m"])
    table = make_table(schema, {"sex": ["f", "x"]})
    frame = table.to_frame()
    assert frame["sex"].tolist() == ["f", OUTSIDE_LEVEL]
    again = read_table(frame, schema)
    assert again.table["sex"].values.tolist() == [0, 2]
    assert again.report.columns[0].outside == 1


def test_learned_levels_are_sorted_whatever_the_row_order() -> None:
    schema = make_schema(ward={"kind": "code"})
    assert make_table(schema, {"ward": ["z", "a", "m"]})["ward"].levels == ("a", "m", "z")


def test_missing_codes_in_another_spelling() -> None:
    schema = make_schema(
        age={"kind": "integer", "domain": {"min": 0, "max": 120}, "missing": [{"code": "999"}]}
    )
    loaded = read_table(pd.DataFrame({"age": ["1", "999.0", "0999", "998"]}), schema)
    assert loaded.table["age"].missing.tolist() == [0, 1, 1, 0]
    assert (loaded.report.columns[0].clipped, loaded.report.columns[0].trimmed) == (1, 2)


def test_bounds_beyond_whole_numbers() -> None:
    schema = make_schema(big={"kind": "integer", "domain": {"min": -1e30, "max": 1e30}})
    table = make_table(schema, {"big": [str(2**63 - 1), str(-(2**63))]})
    assert table["big"].values.tolist() == [2**63 - 1, -(2**63)]


def test_own_date_formats() -> None:
    schema = make_schema(
        day={"kind": "date", "format": "%d/%m/%Y"}, at={"kind": "datetime", "format": "%d.%m.%Y %H:%M"}
    )
    table = make_table(
        schema, {"day": ["02/01/1970", "31/12/1969"], "at": ["01.01.1970 00:01", "31.12.1969 23:59"]}
    )
    assert table["day"].values.tolist() == [1, -1]
    assert table["at"].values.tolist() == [60, -60]
    with pytest.raises(SourceError, match=r"format %d/%m/%Y"):
        make_table(schema, {"day": ["2020-01-01"], "at": ["01.01.1970 00:01"]})


def test_zones_are_taken_to_utc() -> None:
    schema = make_schema(at={"kind": "datetime"})
    table = make_table(schema, {"at": ["1970-01-01T01:00:00+01:00", "1970-01-01T00:00:00Z", "1970-01-01"]})
    assert table["at"].values.tolist() == [0, 0, 0]


def test_numbers_that_stand_for_missing_in_typed_columns() -> None:
    schema = make_schema(
        age={"kind": "integer", "missing": [{"code": ""}, {"code": "999"}, {"code": "refused"}]}
    )
    table = read_table(pd.DataFrame({"age": [1.0, np.nan, 999.0]}), schema).table
    assert table["age"].missing.tolist() == [0, 1, 2]
    assert make_table(schema, {"age": ["1", "999", "refused"]})["age"].missing.tolist() == [0, 2, 3]


@pytest.mark.parametrize(
    ("cell", "what"),
    {
        "": "an empty cell",
        "  ": "white space",
        "12": "a whole number of 2 digits",
        "-1.5e3": "a number with a fraction or an exponent",
        "1.234,5": "a number written with a comma",
        "-inf": "an infinite value",
        "NaN": "a not-a-number",
        "x": "a text of 1 character",
        "secret": "a text of 6 characters",
    }.items(),
)
def test_cells_are_described_not_shown(cell: str, what: str) -> None:
    assert describe(cell) == what


def test_headers_with_line_breaks_keep_line_numbers() -> None:
    text = open_csv(b'\n"a\nb",c\n1,2\n3,4\n', "t.csv")
    assert text.header == ("a\nb", "c")
    assert [text.line_of(k) for k in range(2)] == [4, 5]


# ---------------------------------------------------------------------------------------------- size


@pytest.mark.slow
def test_a_million_rows_take_seconds(tmp_path: Path) -> None:
    """1,000,000 × 15 in about ten seconds on two cores; the limit leaves room for a busy machine."""
    schema = make_schema(
        **{f"c{k}": [f"level-{j}" for j in range(2 + k)] for k in range(8)},
        **{f"i{k}": (0, 10**k) for k in range(1, 5)},
        **{f"r{k}": (0.0, 1.0) for k in range(3)},
    )
    small = random_table(schema, 20_000, np.random.default_rng(3)).to_frame()
    header, _, body = small.to_csv(index=False).partition("\n")
    path = tmp_path / "big.csv"
    path.write_text(header + "\n" + body * 50, encoding="utf-8")
    began = time.monotonic()
    loaded = read_table(path, schema)
    took = time.monotonic() - began
    assert len(loaded.table) == 1_000_000
    assert took < 30, f"{took:.1f} s"
