"""One column of a source → `Column`, whatever its kind."""

from __future__ import annotations

import pyarrow as pa

from release.data.cells import ColumnReport, Place
from release.data.coded_cells import parse_coded
from release.data.date_cells import parse_moment
from release.data.number_cells import parse_number
from release.data.schema import ColumnKind, ColumnSpec
from release.data.table import Column
from release.errors import SourceError


def parse_column(spec: ColumnSpec, array: pa.ChunkedArray, place: Place) -> tuple[Column, ColumnReport]:
    """The typed column of `array` (text cells of a CSV file, or a typed Arrow column).

    Raises:
        SourceError: a cell, or the column's type, cannot be what the schema says.
    """
    array = _flat(spec, array, place)
    if spec.kind.coded:
        return parse_coded(spec, array, place)
    if spec.kind in {ColumnKind.INTEGER, ColumnKind.REAL}:
        return parse_number(spec, array, place)
    return parse_moment(spec, array, place)


def _flat(spec: ColumnSpec, array: pa.ChunkedArray, place: Place) -> pa.ChunkedArray:
    """The column without dictionaries and with one plain type. Raises SourceError for nested and binary types."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        array = array.cast(kind.value_type)
        kind = array.type
    if pa.types.is_null(kind):
        return array.cast(pa.string())
    plain = (
        pa.types.is_string(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_timestamp(kind)
        or pa.types.is_date(kind)
    )
    if plain:
        return array.cast(pa.float32()) if pa.types.is_float16(kind) else array
    if pa.types.is_large_string(kind) or pa.types.is_decimal(kind) or kind == pa.string_view():
        return array.cast(pa.string())
    if pa.types.is_time(kind):
        return array.cast(pa.string())
    what = "nested values" if pa.types.is_nested(kind) else "values"
    raise SourceError(
        f"holds {what} of type {kind}, which no column kind of a schema can be",
        mend="write the column as text, numbers or dates, or spread its parts over columns of their own",
        file=place.file,
        column=spec.name,
    )
