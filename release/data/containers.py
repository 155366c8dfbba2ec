"""Parquet, Arrow, Feather and DataFrames → Arrow tables.

Rules: told apart by their first bytes, not by the file's name; size is asked of the file's own header before anything
is unpacked; a foreign message never passes, because it may hold a cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from release.data.text_bytes import ReadLimits
from release.errors import SourceError

if TYPE_CHECKING:
    import pandas as pd

_MAGIC = {b"PAR1": "parquet", b"PARE": "encrypted parquet", b"ARRO": "arrow", b"FEA1": "feather"}
_FOREIGN = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"SQLi": "an SQLite database",
    b"%PDF": "a PDF document",
    b"$FL2": "an SPSS file",
    b"Obj\x01": "an Avro file",
    b"BZh9": "a bzip2 archive",
    b"\xfd7zX": "an xz archive",
    b"(\xb5/\xfd": "a zstd archive",
}


def is_container(raw: bytes) -> bool:
    """Whether the bytes are a typed file (or one that is known and not read), rather than text."""
    return raw[:4] in _MAGIC or raw[:4] in _FOREIGN


def arrow_of_file(raw: bytes, file: str, limits: ReadLimits) -> tuple[pa.Table, str]:
    """The table of a Parquet, Arrow IPC or Feather file, and the format's name. Raises SourceError."""
    import pyarrow.feather
    import pyarrow.ipc
    import pyarrow.parquet

    head = raw[:4]
    if head in _FOREIGN:
        raise SourceError(f"is {_FOREIGN[head]}", mend="write the table as CSV or Parquet", file=file)
    form = _MAGIC[head]
    if form == "encrypted parquet":
        raise SourceError("is an encrypted Parquet file", mend="decrypt it first", file=file)
    buffer = pa.BufferReader(raw)
    try:
        if form == "parquet":
            opened = pyarrow.parquet.ParquetFile(buffer)
            groups = range(opened.metadata.num_row_groups)
            _require_size(sum(opened.metadata.row_group(g).total_byte_size for g in groups), file, limits)
            _require_rows(opened.metadata.num_rows, file)
            table = opened.read()
        elif form == "arrow":
            table = pyarrow.ipc.open_file(buffer).read_all()
        else:
            table = pyarrow.feather.read_table(buffer)
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, KeyError):
        raise SourceError(
            f"is a damaged {form} file", mend="fetch or write the file again", file=file
        ) from None
    _require_size(table.nbytes, file, limits)
    return table, form


def arrow_of_frame(frame: pd.DataFrame, name: str) -> pa.Table:
    """A DataFrame's columns; its index is left out. Mixed columns become text. Raises SourceError."""
    if getattr(frame.columns, "nlevels", 1) != 1:
        raise SourceError("the columns have several levels of names", mend="flatten them", file=name)
    if frame.empty:
        raise SourceError("the frame has no rows or no columns", mend="check how it was made", file=name)
    names = [str(column).strip() for column in frame.columns]
    arrays = [_array(frame.iloc[:, place]) for place in range(len(names))]
    return pa.Table.from_arrays(arrays, names=names)


def _array(series: pd.Series[Any]) -> pa.Array | pa.ChunkedArray:
    try:
        made = pa.Array.from_pandas(series)
    except (pa.ArrowException, TypeError, OverflowError, ValueError):
        # Mixed objects (numbers and words in one column): as text, the way the frame would print them.
        text = [None if value is None or value != value else str(value) for value in series]  # noqa: PLR0124 - NaN
        made = pa.array(text, type=pa.string())
    return made


def _require_size(size: int, file: str, limits: ReadLimits) -> None:
    if size > limits.max_bytes:
        raise SourceError(
            f"unpacks to {size:,} bytes; the limit is {limits.max_bytes:,}", mend="split the file", file=file
        )


def _require_rows(rows: int, file: str) -> None:
    if rows > 2_000_000_000:
        raise SourceError(f"claims {rows:,} rows; the limit is 2e9", mend="split the file", file=file)
