"""The internal table file: exact, stable, checked; and atomic writing beneath it."""

import errno
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from release.data.atomic import leftovers, remove_leftovers, write_atomically, write_bytes
from release.data.sources import read_table
from release.data.table import Table
from release.data.table_file import read_table_file, table_bytes, write_table
from release.errors import FaultError, IntegrityError
from tests.builders import make_schema, make_table
from tests.shared_schemas import load_shared

SCHEMA = make_schema(
    unit="who",
    max_rows=2,
    sex={"kind": "categorical", "domain": {"values": ["f", "m"]}, "missing": [{"code": ""}, {"code": "?"}]},
    ward={"kind": "code"},
    age={"kind": "integer", "missing": [{"code": ""}]},
    weight={"kind": "real", "missing": [{"code": ""}]},
    seen={"kind": "datetime", "missing": [{"code": ""}]},
)


def same(a: Table, b: Table) -> bool:
    return (
        a.schema == b.schema
        and np.array_equal(a.units, b.units)
        and all(
            a[name].values.dtype == b[name].values.dtype
            and np.array_equal(a[name].values, b[name].values)
            and np.array_equal(a[name].missing, b[name].missing)
            and a[name].levels == b[name].levels
            for name in a.columns
        )
    )


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d"]),
        st.sampled_from(["f", "m", "?", None, "other"]),
        st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=5).filter(
            lambda t: bool(t.strip())
        ),
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.floats(allow_nan=False, allow_infinity=False),
        st.none() | st.datetimes().map(lambda m: m.replace(microsecond=0).isoformat()),
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=50, deadline=None)
@given(rows=ROWS)
def test_round_trip_is_exact_and_bytes_are_stable(
    rows: list, tmp_path_factory: pytest.TempPathFactory
) -> None:
    names = ["who", "sex", "ward", "age", "weight", "seen"]
    table = make_table(SCHEMA, {name: [row[k] for row in rows] for k, name in enumerate(names)})
    path = tmp_path_factory.mktemp("t") / "table.parquet"
    write_table(table, path)
    again = read_table_file(path, SCHEMA)
    assert same(table, again)
    assert path.read_bytes() == table_bytes(again)


@pytest.mark.parametrize("name", ["meps", "lending-club"])
def test_demo_tables_survive(name: str, tmp_path: Path) -> None:
    table = load_shared(name)
    write_table(table, tmp_path / "t.parquet")
    assert same(table, read_table_file(tmp_path / "t.parquet", table.schema))


def table_of(rows: int = 4) -> Table:
    return make_table(
        SCHEMA,
        {
            "who": list("aabb")[:rows],
            "sex": ["f", "m", "?", None][:rows],
            "ward": ["x", "y", "x", "y"][:rows],
            "age": [1, 2, None, 4][:rows],
            "weight": [0.5, None, 2.5, 3.5][:rows],
            "seen": [None, "2020-01-01T00:00:01", "1999-01-01", "1970-01-01"][:rows],
        },
    )


def edit(path: Path, change) -> None:
    data = pyarrow.parquet.read_table(path)
    meta = data.schema.metadata
    data, meta = change(data, dict(meta))
    pyarrow.parquet.write_table(data.replace_schema_metadata(meta), path)


def set_column(name: str, values: object):
    def change(data: pa.Table, meta: dict) -> tuple[pa.Table, dict]:
        array = (
            values if isinstance(values, pa.Array) else pa.array(values, type=data.schema.field(name).type)
        )
        return data.set_column(data.column_names.index(name), name, array), meta

    return change


EDITS = {
    "a code beyond the levels": set_column("v0", [0, 1, -1, 3]),
    "a code where missing": set_column("v0", [0, 1, 0, -1]),
    "a present cell without code": set_column("v0", [-1, 1, -1, -1]),
    "an unknown kind of missing": set_column("m0", [0, 0, 2, 3]),
    "a number that is none": set_column("v3", [0.5, 0.0, float("nan"), 1.0]),
    "a null": set_column("unit", [0, 0, None, 1]),
    "another type": set_column("v2", pa.array([1.0, 2.0, 0.0, 4.0])),
    "a column less": lambda data, meta: (data.drop_columns(["m4"]), meta),
    "a column more": lambda data, meta: (data.append_column("v9", pa.array([1, 2, 3, 4])), meta),
    "no metadata": lambda data, _: (data, {}),
    "another format": lambda data, meta: (
        data,
        {k: v.replace(b"table@1", b"table@9") for k, v in meta.items()},
    ),
    "other levels": lambda data, meta: (data, {k: v.replace(b'"f"', b'"w"') for k, v in meta.items()}),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_file_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table(table_of(), path)
    edit(path, EDITS[name])
    with pytest.raises(IntegrityError) as caught:
        read_table_file(path, SCHEMA)
    assert caught.value.mend


def test_an_unedited_copy_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table(table_of(), path)
    edit(path, lambda data, meta: (data, meta))
    assert same(read_table_file(path, SCHEMA), table_of())


def test_another_schema_is_refused(tmp_path: Path) -> None:
    write_table(table_of(), tmp_path / "t.parquet")
    other = SCHEMA.model_copy(update={"title": "other"})
    with pytest.raises(IntegrityError, match="another schema"):
        read_table_file(tmp_path / "t.parquet", other)


def test_damaged_and_absent_files(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with pytest.raises(FaultError, match="cannot be read"):
        read_table_file(path, SCHEMA)
    path.write_bytes(b"PAR1 rubbish PAR1")
    with pytest.raises(IntegrityError, match="damaged"):
        read_table_file(path, SCHEMA)


def test_reading_a_written_frame_back_gives_the_same_table() -> None:
    table = table_of()
    frame = table.to_frame().assign(who=["a", "a", "b", "b"])
    assert same(read_table(frame, SCHEMA).table, table)


# ---------------------------------------------------------------------------------------------- atomic writing


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_bytes(path, b"old")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), ValueError("x"), SystemExit(3)], ids=lambda e: type(e).__name__
)
@pytest.mark.parametrize("directory", [False, True])
def test_whatever_ends_the_block_leaves_nothing(
    error: BaseException, directory: bool, tmp_path: Path
) -> None:
    path = tmp_path / "f"
    if not directory:
        path.write_bytes(b"old")
    with pytest.raises(type(error)), write_atomically(path, directory=directory) as temporary:
        (temporary / "part" if directory else temporary).write_bytes(b"half")
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ([] if directory else ["f"])
    if not directory:
        assert path.read_bytes() == b"old"


def test_a_directory_comes_whole_and_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with write_atomically(path, directory=True) as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub" / "a.json").write_text("{}")
        assert not path.exists()
    assert (path / "sub" / "a.json").read_text() == "{}"
    with pytest.raises(FaultError, match="exists already"), write_atomically(path, directory=True):
        pass


def test_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(FaultError, match="the disk is full"), write_atomically(tmp_path / "f"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FaultError, match="could not be written"):
        write_bytes(tmp_path / "gone" / "f", b"x")


def test_leftovers_of_a_killed_process(tmp_path: Path) -> None:
    (tmp_path / "objects").mkdir()
    left = tmp_path / "objects" / ".f.00ff00ff00ff.partial"
    left.write_bytes(b"half")
    (tmp_path / "objects" / ".model.00ff00ff00fe.partial").mkdir()
    (tmp_path / "keep.partial").write_bytes(b"mine")
    assert len(leftovers(tmp_path)) == 2
    assert remove_leftovers(tmp_path) == 2
    assert not left.exists()
    assert (tmp_path / "keep.partial").exists()
