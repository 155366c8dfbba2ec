"""The named table of bad input: each file gives one clear error, or is handled and reported; nothing is left behind."""

import gzip
import io
import os
import traceback
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
import pytest

from release.data.draft import draft_schema
from release.data.schema import OUTSIDE_LEVEL
from release.data.sources import read_table
from release.data.text_bytes import ReadLimits, decode
from release.errors import InputError, SchemaError, SourceError
from tests.builders import make_schema

SECRET = "s3cret-cell"

SCHEMA = make_schema(
    who={"kind": "identifier"},
    sex=["f", "m"],
    age=(0, 120),
    weight=(0.0, 300.0),
    admitted={"kind": "date", "domain": {"min": "2000-01-01", "max": "2030-12-31"}},
    ward={"kind": "code", "missing": [{"code": ""}]},
)
HEADER = "who,sex,age,weight,admitted,ward\n"
GOOD = "ann,f,30,60.5,2020-02-03,w1\n"


def csv(*rows: str, header: str = HEADER) -> bytes:
    return (header + "".join(rows)).encode()


def parquet(**changes: object) -> bytes:
    columns: dict[str, object] = {
        "who": ["ann", SECRET],
        "sex": ["f", "m"],
        "age": [30, 40],
        "weight": [60.5, 70.5],
        "admitted": pa.array(["2020-02-03", "2021-02-03"]),
        "ward": ["w1", None],
    }
    columns |= changes
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({k: v for k, v in columns.items() if v is not None}), sink)
    return sink.getvalue()


def zipped(data: bytes) -> bytes:
    return gzip.compress(data)


@dataclass(frozen=True)
class Bad:
    """A file's bytes, and what its error says."""

    data: bytes
    says: str
    row: int | None = None
    column: str = ""
    mend: str = ""
    kind: type[InputError] = SourceError


BAD: dict[str, Bad] = {
    # nothing there
    "empty file": Bad(b"", "is empty", mend="header line"),
    "only white space": Bad(b" \n\n \n", "is empty"),
    "empty gzip": Bad(zipped(b""), "is empty"),
    "byte order mark alone": Bad(b"\xef\xbb\xbf", "is empty"),
    "header only": Bad(csv(), "header of 6 columns and no rows", mend="add at least one row"),
    "header and blank lines": Bad(csv("\n", "\n"), "no rows"),
    # names
    "a column name twice": Bad(
        csv(GOOD, header="who,sex,age,weight,sex,ward\n"), 'columns 2, 5 have one name ("sex")', row=1
    ),
    "an empty column name": Bad(
        csv(GOOD, header="who,,age,weight,admitted,ward\n"), "column 2 has no name", row=1, mend="index"
    ),
    "no header": Bad(
        csv(f"{SECRET},f,30,60,2020-01-01,w\n", GOOD, header=""),
        "none of the schema's 6 columns",
        mend="header line",
    ),
    "no header, equal cells": Bad(
        f"{SECRET},{SECRET},1,2,3,4\nx,f,30,60,2020-01-01,w\n".encode(), "columns 1, 2 have one name", row=1
    ),
    "5,000 columns": Bad(
        (",".join(f"c{k}" for k in range(5000)) + "\n" + ",".join("1" for _ in range(5000)) + "\n").encode(),
        "5,000 columns; the limit is 2,000",
    ),
    # schema against file
    "a column missing": Bad(
        csv("ann,f,30,60.5,w1\n", header="who,sex,age,weight,ward\n"), "not in the file", column="admitted"
    ),
    "a column in other letters": Bad(
        csv(GOOD, header="who,sex,AGE,weight,admitted,ward\n"),
        "not in the file",
        column="age",
        mend='the file has "AGE"',
    ),
    "a column too many": Bad(
        csv(f"ann,f,30,60.5,2020-02-03,w1,{SECRET}\n", header=HEADER.strip() + ",notes\n"),
        "not in the schema",
        column="notes",
        mend="direct-identifier",
    ),
    "words where numbers are declared": Bad(
        csv(GOOD, f"bob,m,{SECRET},60,2020-01-01,w\n"),
        "a text of 11 characters where a number",
        row=3,
        column="age",
    ),
    "fractions where whole numbers are declared": Bad(
        csv(GOOD, "bob,m,30.5,60,2020-01-01,w\n"),
        "a number with a fraction",
        row=3,
        column="age",
        mend="kind: real",
    ),
    "words where dates are declared": Bad(
        csv(GOOD, f"bob,m,30,60,{SECRET},w\n"),
        "a text of 11 characters that is not a date",
        row=3,
        column="admitted",
    ),
    "dates where numbers are declared": Bad(
        parquet(age=pa.array([0, 1], type=pa.date32())), "holds dates, but", column="age", mend="kind: date"
    ),
    "numbers where dates are declared": Bad(parquet(admitted=[1, 2]), "int64 values, but", column="admitted"),
    "a decimal comma": Bad(
        csv("ann;f;30;60,5;2020-01-01;w\n", header=HEADER.replace(",", ";")),
        "written with a comma",
        row=2,
        column="weight",
        mend="full stop",
    ),
    # rows
    "a short row": Bad(csv(GOOD, "bob,m,30\n"), "has 3 cells, fewer than the 6", row=3),
    "a long row": Bad(
        csv(GOOD, f"bob,m,30,60,2020-01-01,w,{SECRET}\n"), "has 7 cells, more than the 6", row=3
    ),
    "a short row far down": Bad(
        csv(*[GOOD] * 5_000, f"{SECRET}\n", *[GOOD] * 5_000), "has 1 cells", row=5_002
    ),
    "a quote never closed": Bad(
        csv(GOOD, f'bob,m,30,60,2020-01-01,"{SECRET}\n', GOOD), "opened and not closed", row=3
    ),
    "two quotes that swallow rows": Bad(
        csv(GOOD, 'bob,m,30,60,2020-01-01,"w\n', GOOD, 'eve,f,1,2,2020-01-01,w"x"\n', GOOD),
        "opened and not closed",
        row=3,
    ),
    "an empty cell not declared": Bad(
        csv(GOOD, "bob,m,,60,2020-01-01,w\n"), "the cell is empty", row=3, column="age", mend="missing"
    ),
    "an empty category not declared": Bad(
        csv(GOOD, "bob,,3,60,2020-01-01,w\n"), "the cell is empty", row=3, column="sex"
    ),
    "blank lines are counted": Bad(
        csv(GOOD, "\n", "\n", "bob,m,x,60,2020-01-01,w\n"), "a number is expected", row=5, column="age"
    ),
    "a cell with a line break before": Bad(
        csv('ann,f,30,60.5,2020-02-03,"w\n1"\n', "bob,m,x,60,2020-01-01,w\n"),
        "a number is expected",
        row=4,
        column="age",
    ),
    # characters
    "NUL characters": Bad(csv(GOOD, f"bob,m,3\x00,60,2020-01-01,{SECRET}\n"), "a NUL character", row=3),
    "binary rubbish": Bad(bytes(range(256)) * 40, "", kind=SourceError),
    "declared encoding is wrong": Bad(
        "who,sex\nann,\xe9\n".encode("latin-1") + b"\x81\x8d", "", kind=SourceError
    ),
    # values
    "an infinite value": Bad(csv(GOOD, "bob,m,30,inf,2020-01-01,w\n"), "infinite", row=3, column="weight"),
    "minus infinity in Parquet": Bad(parquet(weight=[1.0, -np.inf]), "infinite", row=2, column="weight"),
    "a float overflow": Bad(
        csv(GOOD, "bob,m,30,1e999,2020-01-01,w\n"), "beyond 1.8e308", row=3, column="weight"
    ),
    "an int64 overflow": Bad(
        csv(GOOD, "bob,m,99999999999999999999,6,2020-01-01,w\n"),
        "whole number of 20 digits",
        row=3,
        column="age",
    ),
    "an unsigned overflow": Bad(
        parquet(age=pa.array([1, 2**64 - 1], type=pa.uint64())), "64-bit", row=2, column="age"
    ),
    "hexadecimal": Bad(
        csv(GOOD, "bob,m,0x10,6,2020-01-01,w\n"), "a text of 4 characters", row=3, column="age"
    ),
    "a date that does not exist": Bad(
        csv(GOOD, "bob,m,3,6,2021-02-29,w\n"), "not a date (format ISO", row=3, column="admitted"
    ),
    "a date beyond the calendar": Bad(
        csv(GOOD, "bob,m,3,6,99999-01-01,w\n"), "not a date", row=3, column="admitted"
    ),
    "a time of day in a date": Bad(
        csv(GOOD, "bob,m,3,6,2021-02-01T10:00:00,w\n"), "not a date", row=3, column="admitted"
    ),
    "a 10 kB category": Bad(
        csv(GOOD, f"bob,m,3,6,2021-02-01,{SECRET * 1000}\n"),
        "a text of 11,000 characters; a category has at most 1,000",
        row=3,
        column="ward",
        mend="kind: text",
    ),
    # containers
    "truncated gzip": Bad(
        zipped(csv(*(GOOD.replace("30", str(k % 97)) for k in range(1000))))[:-200],
        "gzip file ends too early",
    ),
    "damaged gzip": Bad(
        zipped(csv(*(GOOD.replace("30", str(k % 97)) for k in range(1000))))[:60] + b"\x00" * 40, "gzip file"
    ),
    "corrupt Parquet": Bad(parquet()[:-30], "damaged parquet file"),
    "Parquet with a spoilt page": Bad(b"PAR1" + os.urandom(400) + b"PAR1", "damaged parquet file"),
    "Arrow cut short": Bad(b"ARROW1\0\0" + b"\0" * 30, "damaged arrow file"),
    "an Excel workbook": Bad(b"PK\x03\x04" + b"\0" * 100, "Excel workbook", mend="CSV or Parquet"),
    "nested Parquet: list": Bad(parquet(ward=[["a"], ["b"]]), "nested values of type list", column="ward"),
    "nested Parquet: struct": Bad(
        parquet(age=[{"a": 1}, {"a": 2}]), "nested values of type struct", column="age"
    ),
    "Parquet bytes": Bad(parquet(ward=[b"\xff", b"b"]), "type binary", column="ward"),
    "Parquet durations": Bad(parquet(age=pa.array([1, 2], type=pa.duration("s"))), "duration", column="age"),
    "Parquet without rows": Bad(
        parquet(**{k: pa.array([], type=pa.string()) for k in HEADER.strip().split(",")}), "no rows"
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_file_gives_one_clear_error(name: str, tmp_path: Path) -> None:
    bad = BAD[name]
    path = tmp_path / "claims.csv"
    path.write_bytes(bad.data)
    encoding = "utf-8" if name == "declared encoding is wrong" else None
    with pytest.raises(bad.kind) as caught:
        read_table(path, SCHEMA, encoding=encoding)
    error = caught.value
    text = str(error)
    assert bad.says in text
    assert bad.mend in error.mend
    assert error.mend, "every message says what to do"
    assert error.file == "claims.csv"
    assert error.column == bad.column
    if bad.row is not None:
        assert error.row == bad.row
    whole = "".join(traceback.format_exception(error))
    assert SECRET not in whole, "no cell value in message or traceback"
    assert str(tmp_path) not in text
    assert [part.name for part in tmp_path.iterdir()] == ["claims.csv"]


#: Without a schema the draft must refuse, or survive, the same files.
@pytest.mark.parametrize("name", BAD)
def test_drafting_a_bad_file_is_an_error_or_a_draft(name: str, tmp_path: Path) -> None:
    path = tmp_path / "claims.csv"
    path.write_bytes(BAD[name].data)
    error: SourceError | None = None
    try:
        draft = draft_schema(path)
    except SourceError as caught:
        draft, error = "", caught
    if error is None:
        assert draft.startswith("# A draft")
    else:
        assert error.mend
        assert SECRET not in "".join(traceback.format_exception(error))


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is a directory"):
        read_table(tmp_path, SCHEMA)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.csv: there is no such file; check the path"):
        read_table(tmp_path / "gone.csv", SCHEMA)


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "claims.csv"
    path.write_bytes(csv(GOOD))

    def refuse(self: Path) -> bytes:  # also where the tests run as root, to whom permissions say nothing
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(SourceError, match=r"cannot be read \(Permission denied\)") as caught:
        read_table(path, SCHEMA)
    assert str(tmp_path) not in str(caught.value)


def test_a_gzip_bomb_stops_early(tmp_path: Path) -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(b"0" * (1 << 20)) for _ in range(200)) + packer.flush()
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(bomb)
    assert len(bomb) < 1 << 20
    with pytest.raises(SourceError, match="unpacks to more than"):
        read_table(path, SCHEMA)


def test_a_file_beyond_the_size_limit(tmp_path: Path) -> None:
    path = tmp_path / "claims.csv"
    path.write_bytes(csv(*[GOOD] * 100))
    with pytest.raises(SourceError, match="the limit is 1,000"):
        read_table(path, SCHEMA, limits=ReadLimits(max_bytes=1_000))
    path.write_bytes(parquet())
    with pytest.raises(SourceError, match="the limit is 100"):
        read_table(path, SCHEMA, limits=ReadLimits(max_bytes=100))


def test_free_text_is_refused() -> None:
    schema = make_schema(sex=["f", "m"], notes={"kind": "text"})
    with pytest.raises(
        SchemaError, match='column "notes": free text cannot be released; give the column the role'
    ):
        read_table(pd.DataFrame({"sex": ["f"], "notes": [SECRET]}), schema)


def test_no_table_at_all() -> None:
    with pytest.raises(SourceError, match="a list is no table"):
        read_table([1, 2], SCHEMA)  # type: ignore[arg-type]


BAD_FRAMES: dict[str, tuple[Callable[[], pd.DataFrame], str]] = {
    "no rows": (lambda: pd.DataFrame({"sex": [], "age": []}), "no rows"),
    "levels of names": (
        lambda: pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])),
        "several levels",
    ),
    "a name twice": (lambda: pd.DataFrame([["f", "m"]], columns=["sex", "sex"]), "have one name"),
    "mixed objects": (
        lambda: pd.DataFrame({"sex": ["f"], "age": [(1, SECRET)]}),
        "where a number is expected",
    ),
    "lists": (lambda: pd.DataFrame({"sex": ["f"], "age": [[1]]}), "nested values"),
    "complex numbers": (lambda: pd.DataFrame({"sex": ["f"], "age": [1 + 2j]}), "a number is expected"),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_bad_frames(name: str) -> None:
    make, says = BAD_FRAMES[name]
    with pytest.raises(SourceError, match=says) as caught:
        read_table(make(), make_schema(sex=["f", "m"], age=(0, 120)), name="people")
    assert str(caught.value).startswith("people")
    assert SECRET not in "".join(traceback.format_exception(caught.value))


# ---------------------------------------------------------------------------------------------- handled and reported


def load(tmp_path: Path, data: bytes, **schema: object):
    path = tmp_path / "claims.csv"
    path.write_bytes(data)
    return read_table(path, make_schema(**schema) if schema else SCHEMA)


def test_values_outside_the_domain_are_counted(tmp_path: Path) -> None:
    loaded = load(tmp_path, csv(GOOD, "b,x,-5,400.5,1990-01-01,\n", "c,f,200,-1,2050-01-01,w2\n"))
    reports = {report.name: report for report in loaded.report.columns}
    table = loaded.table
    assert reports["sex"].outside == 1
    assert table["sex"].levels == ("f", "m", OUTSIDE_LEVEL)
    assert table["sex"].values.tolist() == [0, 2, 0]
    assert (reports["age"].clipped, table["age"].values.tolist()) == (2, [30, 0, 120])
    assert (reports["weight"].clipped, table["weight"].values.tolist()) == (2, [60.5, 300.0, 0.0])
    assert reports["admitted"].clipped == 2
    assert reports["ward"].missing == (("", 1),)
    assert table["ward"].values.tolist() == [0, -1, 1]


def test_one_row(tmp_path: Path) -> None:
    loaded = load(tmp_path, csv(GOOD))
    assert (len(loaded.table), loaded.report.units) == (1, 1)
    assert loaded.report.dropped == ("who",)


def test_all_missing_columns(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        b"a,b,c,d\n,?,,\n,?,,\n",
        a={"kind": "integer", "domain": {"min": 0, "max": 9}, "missing": [{"code": ""}]},
        b={"kind": "real", "missing": [{"code": ""}, {"code": "?"}]},
        c={"kind": "categorical", "missing": [{"code": ""}]},
        d={"kind": "datetime", "missing": [{"code": ""}]},
    )
    table = loaded.table
    assert table["a"].missing.tolist() == [1, 1]
    assert table["b"].missing.tolist() == [2, 2]
    assert table["c"].values.tolist() == [-1, -1]
    assert table["c"].levels == ()
    assert table["d"].values.tolist() == [0, 0]


STRANGE = [
    "select",
    "drop table x; --",
    "../../etc/passwd",
    "C:\\temp\\x",
    "<script>alert(1)</script>",
    '=cmd|"/c calc"!A1',
    "@sum(1)",
    "a,b",
    "line\nbreak",
    "quote'and\"quote",
    "null",
    "no",
    "1",
    "v0",
    "units",
    "{{ x }}",
    "%s %d",
    "Größe 体重 😀",
    "__class__",
]


def test_strange_column_names_are_names_like_others(tmp_path: Path) -> None:
    schema = make_schema(**{name: ["x", "y"] for name in STRANGE})
    path = tmp_path / "t.csv"
    pd.DataFrame({name: ["x", "y", "y"] for name in STRANGE}).to_csv(path, index=False)
    loaded = read_table(path, schema)
    assert list(loaded.table.columns) == STRANGE
    assert all(column.values.tolist() == [0, 1, 1] for column in loaded.table.columns.values())
    assert loaded.report.encoding == "UTF-8"


ENCODINGS = {
    "UTF-8": ("utf-8", "UTF-8"),
    "byte order mark": ("utf-8-sig", "UTF-8 with byte order mark"),
    "UTF-16": ("utf-16", "UTF-16"),
    "UTF-16 without mark": ("utf-16-le", "UTF-16 without byte order mark"),
    "big-endian UTF-16 without mark": ("utf-16-be", "UTF-16 without byte order mark"),
    "UTF-32": ("utf-32", "UTF-32"),
    "Windows": ("cp1252", "cp1252"),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_the_encoding_found_is_stated(name: str, tmp_path: Path) -> None:
    codec, stated = ENCODINGS[name]
    rows = ["Zürich,Café\n", "Genève,naïve\n", "Köln,plain\n"] * 20
    loaded = load(
        tmp_path,
        ("city,word\n" + "".join(rows)).encode(codec),
        city=["Zürich", "Genève", "Köln"],
        word={"kind": "code"},
    )
    assert loaded.report.encoding == stated
    assert loaded.report.columns[0].outside == 0
    assert loaded.table["word"].levels == ("Café", "naïve", "plain")


PAGES = {
    "cp1250": "Zażółć gęślą jaźń, Łódź, Kraków, Gdańsk i Wrocław są miastami; życie jest piękne",
    "cp1251": "Пациент поступил в больницу с жалобами на боль в груди",
    "koi8_r": "Пациент поступил в больницу с жалобами на боль в груди",
    "cp932": "患者は胸の痛みを訴えて入院しました。東京都",
    "gb18030": "病人因胸痛入院，北京市",
    "cp1253": "Ο ασθενής εισήχθη στο νοσοκομείο",
}


@pytest.mark.parametrize("page", PAGES)
def test_code_pages_are_recognised_in_a_text(page: str) -> None:
    raw = "".join(f"{k}\t{PAGES[page]}\n" for k in range(20)).encode(page)
    text, found = decode(raw, "t.csv")
    assert found == page
    assert PAGES[page] in text.decode()


@pytest.mark.parametrize("page", ["cp1250", "iso8859_2", "mac_roman", "cp850", "cp1254"])
def test_words_of_the_schema_settle_the_code_page(page: str, tmp_path: Path) -> None:
    city = {
        "cp1250": "Łódź",
        "iso8859_2": "Łódź",
        "mac_roman": "Zürich",
        "cp850": "Zürich",
        "cp1254": "ağrı",
    }[page]
    loaded = load(tmp_path, f"city\n{city}\nBern\n".encode(page), city=[city, "Bern"])
    assert loaded.report.encoding == page
    assert loaded.report.columns[0].outside == 0


def test_an_encoding_can_be_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("city\nŁódź\nKraków\n".encode("cp1250"))
    loaded = read_table(path, make_schema(city=["Łódź", "Kraków"]), encoding="cp1250")
    assert loaded.report.columns[0].outside == 0


DIALECTS = {
    "semicolon": b"sex;age\nf;3\nm;4\n",
    "tab": b"sex\tage\nf\t3\nm\t4\n",
    "bar": b"sex|age\nf|3\nm|4\n",
    "quoted": b'"sex","age"\n"f","3"\n"m","4"\n',
    "single quotes": b"'sex','age'\n'f','3'\n'm','4'\n",
    "windows lines": b"sex,age\r\nf,3\r\nm,4\r\n",
    "old mac lines": b"sex,age\rf,3\rm,4\r",
    "no last line end": b"sex,age\nf,3\nm,4",
    "sep line": b"sep=;\nsex;age\nf;3\nm;4\n",
    "blank lines": b"\n\nsex,age\n\nf,3\n\nm,4\n\n",
    "spaces": b"sex , age\nf, 3\n m ,4 \n",
    "other order": b"age,sex\n3,f\n4,m\n",
    "float spelling": b"sex,age\nf,3.0\nm,4.00\n",
    "plus signs": b"sex,age\nf,+3\nm,4\n",
    "gzip": gzip.compress(b"sex,age\nf,3\nm,4\n"),
    "two gzip members": gzip.compress(b"sex,age\nf,3\n") + gzip.compress(b"m,4\n"),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_any_dialect(name: str, tmp_path: Path) -> None:
    loaded = load(tmp_path, DIALECTS[name], sex=["f", "m"], age=(0, 9))
    assert loaded.table["sex"].values.tolist() == [0, 1]
    assert loaded.table["age"].values.tolist() == [3, 4]
    if name == "other order":
        assert "another order" in loaded.report.notes[0]
    if name == "spaces":
        assert [report.trimmed for report in loaded.report.columns] == [1, 2]


def test_backslash_escapes(tmp_path: Path) -> None:
    loaded = load(tmp_path, b'sex,word\n"f","a \\"b\\" c"\n"m","d"\n', sex=["f", "m"], word={"kind": "code"})
    assert loaded.table["word"].levels == ('a "b" c', "d")


def test_quoted_cells_may_hold_anything(tmp_path: Path) -> None:
    loaded = load(
        tmp_path, b'sex,word\nf,"a,b"\nm,"c\nd"\nf,"e ""f"" g"\n', sex=["f", "m"], word={"kind": "code"}
    )
    column = loaded.table["word"]
    assert [column.levels[code] for code in column.values] == ["a,b", "c\nd", 'e "f" g']


def test_words_that_other_readers_swallow(tmp_path: Path) -> None:
    words = ["None", "NA", "nan", "null", "NULL", "007", "1e5", "true", "?"]
    loaded = load(tmp_path, ("word\n" + "\n".join(words) + "\n").encode(), word=words)
    assert loaded.table["word"].values.tolist() == list(range(len(words)))


def test_a_column_alone_may_have_empty_cells(tmp_path: Path) -> None:
    loaded = load(tmp_path, b"word\na\n\nb\n", word={"kind": "code", "missing": [{"code": ""}]})
    assert loaded.table["word"].missing.tolist() == [0, 1, 0]


def test_typed_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table = pa.table(
        {
            "amount": pa.array([Decimal("1.50"), None, Decimal("999.99")], type=pa.decimal128(10, 2)),
            "seen": pa.array([0, 1_600_000_000_500, None], type=pa.timestamp("ms", tz="Europe/Zurich")),
            "day": pa.array([0, 86_400_000, None], type=pa.timestamp("ms")),
            "flag": pa.array([True, False, True]),
            "ward": pa.array(["a", "b", "a"]).dictionary_encode(),
            "code": pa.array([1.0, 2.0, 9.0]),
            "count": pa.array([1, 2, None], type=pa.int8()),
            "big": pa.array([2**62 + 1, -(2**62) - 1, 0]),
            "half": np.array([0.5, 1.5, 2.5], dtype=np.float16),
        }
    )
    pyarrow.parquet.write_table(table, path)
    gone = {"missing": [{"code": ""}]}
    schema = make_schema(
        amount={"kind": "real", **gone},
        seen={"kind": "datetime", **gone},
        day={"kind": "date", **gone},
        flag={"kind": "boolean", "domain": {"values": ["no", "yes"]}},
        ward=["a", "b"],
        code={"kind": "categorical", "domain": {"values": ["1", "2"]}, "missing": [{"code": "9"}]},
        count={"kind": "integer", **gone},
        big={"kind": "integer"},
        half={"kind": "real"},
    )
    loaded = read_table(path, schema)
    read = loaded.table
    assert read["amount"].values.tolist() == [1.5, 0.0, 999.99]
    assert read["seen"].values.tolist() == [0, 1_600_000_000, 0]
    assert {r.name: r.truncated for r in loaded.report.columns}["seen"] == 1
    assert read["day"].values.tolist() == [0, 1, 0]
    assert read["flag"].values.tolist() == [1, 0, 1]
    assert read["ward"].values.tolist() == [0, 1, 0]
    assert read["code"].missing.tolist() == [0, 0, 1]
    assert read["count"].missing.tolist() == [0, 0, 1]
    assert read["big"].values.tolist() == [2**62 + 1, -(2**62) - 1, 0]
    assert read["half"].values.tolist() == [0.5, 1.5, 2.5]
    assert loaded.report.format == "parquet"


@pytest.mark.parametrize("form", ["feather", "arrow", "parquet", "parquet.gz", "pyarrow"])
def test_arrow_formats_read_alike(form: str, tmp_path: Path) -> None:
    table = pa.table({"sex": ["f", "m"], "age": [3, 4]})
    path = tmp_path / "t"
    if form == "feather":
        pyarrow.feather.write_feather(table, path)
    elif form == "arrow":
        with pyarrow.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    elif form.startswith("parquet"):
        pyarrow.parquet.write_table(table, path)
        if form.endswith("gz"):
            path.write_bytes(gzip.compress(path.read_bytes()))
    read = read_table(table if form == "pyarrow" else path, make_schema(sex=["f", "m"], age=(0, 9))).table
    assert read["sex"].values.tolist() == [0, 1]
    assert read["age"].values.tolist() == [3, 4]
