"""`Table` ↔ a Parquet file of our own: exact, checked, and the same bytes for the same table.

Rules: the internal form, never what a partner gets. Column k is stored as `v{k}` (codes or numbers) and `m{k}` (kinds
of missing) beside `unit`, so that no column name can clash with ours; the levels and the schema's digest stand in the
file's metadata. Reading checks every code against its levels. The levels of learned columns are real values: the file
is as private as the table.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from release.canonical import canonical_bytes
from release.data.atomic import write_atomically
from release.data.schema import OUTSIDE_LEVEL, ColumnKind, ColumnSpec, Schema
from release.data.table import Column, Table
from release.errors import FaultError, IntegrityError

_FORMAT = "sluicegate/table@1"
_KEY = b"sluicegate"
_MEND = "restore the workspace from its backup; do not edit its files"


def table_bytes(table: Table) -> bytes:
    """The file's bytes. The same table gives the same bytes under the same pyarrow version."""
    arrays: list[pa.Array] = [pa.array(table.units, type=pa.int64())]
    names = ["unit"]
    for place, spec in enumerate(table.schema.released):
        column = table[spec.name]
        arrays += [
            pa.array(column.values, type=_type(spec)),
            pa.array(column.missing, type=pa.uint8()),
        ]
        names += [f"v{place}", f"m{place}"]
    about = {
        "format": _FORMAT,
        "schema": table.schema.digest,
        "levels": [list(table[spec.name].levels) for spec in table.schema.released],
    }
    data = pa.Table.from_arrays(arrays, names=names).replace_schema_metadata({_KEY: canonical_bytes(about)})
    sink = io.BytesIO()
    pyarrow.parquet.write_table(
        data, sink, version="2.6", compression="zstd", compression_level=3, row_group_size=1 << 20
    )
    return sink.getvalue()


def write_table(table: Table, path: Path) -> None:
    """Write the table to `path`, whole or not at all. Raises FaultError."""
    with write_atomically(path) as temporary:
        temporary.write_bytes(table_bytes(table))


def read_table_file(path: Path, schema: Schema) -> Table:
    """The table that `write_table` wrote, of this very schema.

    Raises:
        IntegrityError: damaged, edited, or of another schema.
        FaultError: the file is not there or cannot be read.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise FaultError(
            f"{path.name} cannot be read ({error.strerror})", mend="check the workspace"
        ) from error
    try:
        data = pyarrow.parquet.read_table(pa.BufferReader(raw))
        about = json.loads((data.schema.metadata or {})[_KEY])
        data.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise IntegrityError(f"{path.name} is not a table file of ours, or is damaged", mend=_MEND) from error
    if about.get("format") != _FORMAT:
        raise IntegrityError(
            f"{path.name} has the format {about.get('format')!r}, not {_FORMAT!r}", mend=_MEND
        )
    if about.get("schema") != schema.digest:
        raise IntegrityError(
            f"{path.name} was written under another schema",
            mend="use the schema as it stood, or load the source again",
        )
    released = schema.released
    expected = ["unit", *(f"{letter}{place}" for place in range(len(released)) for letter in "vm")]
    if data.column_names != expected or len(about.get("levels", ())) != len(released):
        raise IntegrityError(f"{path.name} does not have the schema's columns", mend=_MEND)
    columns = {
        spec.name: _column(spec, data, place, tuple(about["levels"][place]), path.name)
        for place, spec in enumerate(released)
    }
    return Table(schema, columns, _array(data, "unit", np.int64, path.name))


def _type(spec: ColumnSpec) -> pa.DataType:
    if spec.kind.coded:
        return pa.int32()
    return pa.float64() if spec.kind is ColumnKind.REAL else pa.int64()


def _array(data: pa.Table, name: str, dtype: type[np.generic], file: str) -> np.ndarray[Any, Any]:
    column = data.column(name)
    if column.null_count or column.type != pa.from_numpy_dtype(dtype):
        raise IntegrityError(f"{file}: {name} is not a full column of {np.dtype(dtype)}", mend=_MEND)
    return np.array(column.to_numpy(), dtype=dtype)


def _column(spec: ColumnSpec, data: pa.Table, place: int, levels: tuple[str, ...], file: str) -> Column:
    coded = spec.kind.coded
    dtype = np.int32 if coded else np.float64 if spec.kind is ColumnKind.REAL else np.int64
    values = _array(data, f"v{place}", dtype, file)
    missing = _array(data, f"m{place}", np.uint8, file)
    declared = spec.levels
    wrong_levels = (
        bool(levels) if not coded else declared is not None and levels != (*declared, OUTSIDE_LEVEL)
    )
    present = missing == 0
    wrong_codes = coded and bool(
        np.any(values[present] < 0) or np.any(values >= len(levels)) or np.any(values[~present] != -1)
    )
    wrong_numbers = not coded and not bool(np.all(np.isfinite(values)))
    if wrong_levels or wrong_codes or wrong_numbers or bool(np.any(missing > len(spec.missing))):
        raise IntegrityError(f'{file}: column "{spec.name}" does not fit the schema', mend=_MEND)
    return Column(values, missing, levels)


__all__ = ["read_table_file", "table_bytes", "write_table"]
