"""A file or a frame of real rows → `Table`, with a report of everything that was changed on the way.

Rules: read by the schema, never by guessing; a table of rows per unit is cut to the schema's `max_rows`, which is what
the privacy of every later step rests on; a file that does not fit is one `SourceError` and nothing is left behind.
The report counts real values: it stays inside. Column order is the schema's, whatever the file's is.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from release.data.cells import ColumnReport, Place, codes_of
from release.data.columns import parse_column
from release.data.containers import arrow_of_file, arrow_of_frame, is_container
from release.data.csv_text import open_csv, require_names
from release.data.schema import ColumnKind, Schema
from release.data.table import Column, IntArray, Table
from release.data.text_bytes import ReadLimits, unpack
from release.errors import SchemaError, SourceError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What reading found and did. Private: counts of real rows.

    Attributes:
        file: the file's name, or the name given to the frame.
        format: "csv", "csv.gz", "parquet", "arrow", "feather", "pandas" or "pyarrow".
        encoding: of the text, as found; "" for typed files.
        delimiter: of the text, as found; "" for typed files.
        rows_read: rows in the file.
        rows: rows in the table.
        units: privacy units in the table.
        units_cut: units that had more than `max_rows` rows.
        columns: one report for each released column, in the schema's order.
        dropped: columns of the file that the table leaves out (identifiers).
        notes: what else was noticed and handled, one sentence each; no cell values.
    """

    file: str
    format: str
    encoding: str = ""
    delimiter: str = ""
    rows_read: int
    rows: int
    units: int
    units_cut: int
    columns: tuple[ColumnReport, ...]
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def rows_cut(self) -> int:
        """Rows left out because their unit had too many."""
        return self.rows_read - self.rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A table and how it came to be."""

    table: Table
    report: LoadReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """A source opened: names are known, the wanted columns can be had as Arrow columns."""

    file: str
    format: str
    names: tuple[str, ...]
    read: Callable[[Sequence[str]], pa.Table]
    row_of: Callable[[int], int]
    encoding: str = ""
    delimiter: str = ""


def read_table(
    source: Path | str | pd.DataFrame | pa.Table,
    schema: Schema,
    *,
    name: str = "",
    released_only: bool = False,
    encoding: str | None = None,
    limits: ReadLimits | None = None,
) -> Loaded:
    """The table that `source` holds, by the schema.

    Args:
        source: a CSV file (any delimiter, gzip or not), Parquet, Arrow IPC or Feather file; a DataFrame; an Arrow table.
        schema: what the columns mean.
        name: how messages call a frame; a file is called by its name.
        released_only: the source holds the released columns alone, as a synthetic table does: identifiers may be absent
            and each row is a unit of its own.
        encoding: of a CSV file; None to find it.
        limits: of size; see `ReadLimits`.

    Raises:
        SourceError: the source does not fit the schema (file, row, column, what, mend).
        SchemaError: the schema has free text among the released columns.
    """
    _require_no_text(schema)
    limits = limits or ReadLimits()
    known = frozenset(schema.names)
    words = frozenset(word for word in _declared(schema) if not word.isascii())
    cells = open_source(source, known=known, words=words, name=name, encoding=encoding, limits=limits)
    unit = None if released_only else schema.unit.column
    _require_match(cells, schema, unit)
    wanted = [spec.name for spec in schema.released]
    data = cells.read([*wanted, *([unit] if unit is not None else [])])
    if data.num_rows == 0:
        raise SourceError("has columns and no rows", mend="add at least one row", file=cells.file)
    rows_read = data.num_rows
    place = Place(cells.file, cells.row_of)
    units, kept, units_cut = _units(data, schema, unit, place)
    columns: dict[str, Column] = {}
    reports: list[ColumnReport] = []
    for spec in schema.released:
        column, counts = parse_column(spec, _chunked(data.column(spec.name)), place)
        data = data.drop_columns([spec.name])  # its cells are not needed twice: memory
        columns[spec.name] = column if kept is None else column.take(kept)
        reports.append(counts)
    table = Table(schema, columns, units)
    report = LoadReport(
        file=cells.file,
        format=cells.format,
        encoding=cells.encoding,
        delimiter=cells.delimiter,
        rows_read=rows_read,
        rows=len(table),
        units=int(units.max()) + 1,
        units_cut=units_cut,
        columns=tuple(reports),
        dropped=tuple(column for column in cells.names if column not in columns),
        notes=_notes(cells, schema),
    )
    return Loaded(table=table, report=report)


def open_source(
    source: Path | str | pd.DataFrame | pa.Table,
    *,
    known: frozenset[str] = frozenset(),
    words: frozenset[str] = frozenset(),
    name: str = "",
    encoding: str | None = None,
    limits: ReadLimits | None = None,
) -> Cells:
    """The source with its column names, nothing parsed yet. Raises SourceError where it cannot be read at all.

    `known` and `words` are what the schema declares, where there is one: see `open_csv`.
    """
    limits = limits or ReadLimits()
    if isinstance(source, Path | str):
        return _open_file(Path(source), known, words, encoding, limits)
    if isinstance(source, pa.Table):
        return _typed(source, name or "table", "pyarrow", known, limits)
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(source, pandas.DataFrame):
        return _typed(arrow_of_frame(source, name or "frame"), name or "frame", "pandas", known, limits)
    raise SourceError(
        f"a {type(source).__name__} is no table",
        mend="give a path, a pandas DataFrame or a pyarrow Table",
        file=name,
    )


def _open_file(
    path: Path, known: frozenset[str], words: frozenset[str], encoding: str | None, limits: ReadLimits
) -> Cells:
    file = path.name or str(path)
    try:
        if path.is_dir():
            raise SourceError("is a directory, not a file", mend="name one file", file=file)
        if path.exists() and not path.is_file():
            raise SourceError("is not a regular file", mend="copy it to a file first", file=file)
        size = path.stat().st_size
        if size > limits.max_bytes:
            raise SourceError(
                f"has {size:,} bytes; the limit is {limits.max_bytes:,}", mend="split the file", file=file
            )
        raw = path.read_bytes()
    except FileNotFoundError:
        raise SourceError("there is no such file", mend="check the path", file=file) from None
    except OSError as error:
        raise SourceError(
            f"cannot be read ({error.strerror})", mend="check the file's permissions and the disk", file=file
        ) from None
    packed = raw[:2] == b"\x1f\x8b"
    if packed:
        raw = unpack(raw, file, limits)
    if is_container(raw):
        table, form = arrow_of_file(raw, file, limits)
        return _typed(table, file, form, known, limits)
    text = open_csv(raw, file, known=known, words=words, encoding=encoding, limits=limits)
    return Cells(
        file=file,
        format="csv.gz" if packed else "csv",
        names=text.header,
        read=text.read,
        row_of=text.line_of,
        encoding=text.encoding,
        delimiter=text.dialect.delimiter,
    )


def _typed(table: pa.Table, file: str, form: str, known: frozenset[str], limits: ReadLimits) -> Cells:
    if table.num_columns == 0:
        raise SourceError("has no columns", mend="check the file", file=file)
    if table.num_columns > limits.max_columns:
        raise SourceError(
            f"has {table.num_columns:,} columns; the limit is {limits.max_columns:,}",
            mend="choose the columns that the partner needs",
            file=file,
        )
    require_names(table.column_names, known, file, row=None)
    return Cells(
        file=file,
        format=form,
        names=tuple(table.column_names),
        read=lambda columns: table.select(list(columns)),
        row_of=lambda index: index + 1,
    )


# ---------------------------------------------------------------------------------------------- schema against source


def _require_no_text(schema: Schema) -> None:
    text = [spec.name for spec in schema.released if spec.kind is ColumnKind.TEXT]
    if text:
        raise SchemaError(
            "free text cannot be released",
            mend="give the column the role direct-identifier, which drops it, or code it into categories",
            column=text[0],
        )


def _require_match(cells: Cells, schema: Schema, unit: str | None) -> None:
    """Raise SourceError where the columns of schema and source differ. Identifiers that get dropped may be absent."""
    found = set(cells.names)
    needed = [spec.name for spec in schema.released] + ([unit] if unit is not None else [])
    absent = [column for column in needed if column not in found]
    if absent and not found & set(schema.names):
        raise SourceError(
            f"none of the schema's {len(schema.names)} columns is in the header of {len(cells.names)}",
            mend="check that the file has a header line, and that this is the file's schema",
            file=cells.file,
        )
    unknown = [column for column in cells.names if column not in set(schema.names)]
    if absent:
        hint = _nearest(absent[0], unknown)
        also = f" ({len(absent)} columns are missing in all)" if len(absent) > 1 else ""
        raise SourceError(
            f"the schema's column is not in the file{also}",
            mend=hint or "add it to the file, or take it out of the schema",
            file=cells.file,
            column=absent[0],
        )
    if unknown:
        also = f" ({len(unknown)} columns are unknown in all)" if len(unknown) > 1 else ""
        raise SourceError(
            f"the file's column is not in the schema{also}",
            mend="describe it in the schema (role direct-identifier drops it), or take it out of the file",
            file=cells.file,
            column=unknown[0],
        )


def _declared(schema: Schema) -> Iterator[str]:
    """Names, categories and missing codes: text that the file is expected to hold."""
    for spec in schema.columns:
        yield spec.name
        yield from spec.levels or ()
        yield from (code.code for code in spec.missing)


def _nearest(name: str, candidates: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name.casefold(), [c.casefold() for c in candidates], n=1, cutoff=0.8)
    for candidate in candidates:
        if near and candidate.casefold() == near[0]:
            return f'the file has "{candidate}": make the names alike'
    return ""


def _notes(cells: Cells, schema: Schema) -> tuple[str, ...]:
    notes = []
    shared = [column for column in schema.names if column in set(cells.names)]
    if [column for column in cells.names if column in set(shared)] != shared:
        notes.append(
            "The file's columns stand in another order than the schema's; the schema's order is used."
        )
    absent = [spec.name for spec in schema.columns if spec.name not in set(cells.names)]
    if absent:
        notes.append(f"Not in the file, and not needed (never released): {', '.join(absent)}.")
    return tuple(notes)


# ---------------------------------------------------------------------------------------------- units


def _chunked(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray:
    return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])


def _units(
    data: pa.Table, schema: Schema, unit: str | None, place: Place
) -> tuple[IntArray, npt.NDArray[np.int64] | None, int]:
    """Unit number of each kept row, the kept rows (None: all), and how many units were cut.

    Which rows of a unit stay depends on nothing but that unit: its rows are ranked by a hash of (unit, how many-th
    row), so that adding or removing another unit changes nothing here, and no end of the file is preferred.
    """
    if unit is None:
        return np.arange(data.num_rows, dtype=np.int64), None, 0
    spec = schema.column(unit)
    array = _chunked(data.column(unit))
    if pa.types.is_nested(array.type):
        raise SourceError(
            f"holds {array.type} values, which cannot name a unit",
            mend="spread it",
            file=place.file,
            column=unit,
        )
    codes, distinct = _bare(*codes_of(array.cast(pa.string())))
    missing = {code.code for code in spec.missing}
    nameless = [code for code, value in enumerate(distinct) if value in missing or not value]
    bad = (codes == -1) | np.isin(codes, nameless)
    if bad.any():
        raise place.error(
            spec,
            int(np.argmax(bad)),
            f"the row names no {schema.unit.name} (the privacy unit)",
            "fill the cell, or take out rows that belong to nobody",
        )
    counts = np.bincount(codes, minlength=len(distinct))
    over = np.flatnonzero(counts > schema.unit.max_rows)
    keep = np.ones(len(codes), dtype=bool)
    if over.size:
        order = np.argsort(codes, kind="stable")
        starts = np.concatenate([[0], np.cumsum(counts)])
        for code in over.tolist():
            rows = order[starts[code] : starts[code + 1]]
            ranks = [_rank(distinct[code], k) for k in range(len(rows))]
            ranked = sorted(range(len(rows)), key=ranks.__getitem__)
            keep[rows[ranked[schema.unit.max_rows :]]] = False
    kept = np.flatnonzero(keep) if over.size else None
    final = codes if kept is None else codes[kept]
    return final.astype(np.int64), kept, int(over.size)


def _bare(codes: npt.NDArray[np.int32], distinct: list[str]) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Names without the white space around them, as every other cell is read: " u1" and "u1" are one unit."""
    bare = [value.strip() for value in distinct]
    place = {value: code for code, value in enumerate(dict.fromkeys(bare))}
    if len(place) == len(distinct):
        return codes, bare
    merged = np.array(
        [*(place[value] for value in bare), -1], dtype=np.int32
    )  # -1 stays -1: it names the last
    return merged[codes], list(place)


def _rank(unit: str, place: int) -> bytes:
    """A fixed pseudo-random rank of a unit's `place`-th row."""
    return hashlib.sha256(f"{place}\x1f{unit}".encode()).digest()
