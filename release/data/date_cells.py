"""Cells of date and datetime columns → days and seconds since 1970-01-01 UTC (rules: `release.data.cells`)."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from release.data.cells import (
    ColumnReport,
    Place,
    clip,
    codes_of,
    describe,
    empty_cell_error,
    empty_kind,
    mark_blank,
    mask_of,
    missing_counts,
    numpy_of,
)
from release.data.schema import ColumnKind, ColumnSpec
from release.data.table import Column
from release.errors import SourceError

_EPOCH = dt.date(1970, 1, 1)


def parse_moment(spec: ColumnSpec, array: pa.ChunkedArray, place: Place) -> tuple[Column, ColumnReport]:
    """Dates as days and datetimes as seconds since 1970-01-01 UTC."""
    if pa.types.is_string(array.type):
        return _moment_of_text(spec, array, place)
    if not (pa.types.is_date(array.type) or pa.types.is_timestamp(array.type)):
        raise SourceError(
            f"holds {array.type} values, but the schema says kind: {spec.kind}",
            mend="write the column as ISO dates, or correct the kind in the schema",
            file=place.file,
            column=spec.name,
        )
    missing = mark_blank(spec, np.zeros(len(array), dtype=np.uint8), mask_of(pc.is_null(array)), place)
    if pa.types.is_timestamp(array.type):
        # A zone only says how to print: the stored number is UTC already. Without one, UTC is assumed.
        array = array.cast(pa.timestamp(array.type.unit))
    seconds = pa.types.is_timestamp(array.type)
    exact = numpy_of(array.cast(pa.timestamp("s"), safe=False).cast(pa.int64()).fill_null(0), np.int64)
    truncated = 0
    if seconds and array.type.unit != "s":
        per_second = {"ms": 10**3, "us": 10**6, "ns": 10**9}[array.type.unit]
        ticks = numpy_of(array.cast(pa.int64()).fill_null(0), np.int64)
        exact, truncated = ticks // per_second, int(np.sum(ticks % per_second != 0))
    if spec.kind is ColumnKind.DATE:
        within_day = exact % 86_400 != 0
        if within_day.any():
            raise place.error(
                spec,
                int(np.argmax(within_day)),
                "holds a time of day, but the schema says kind: date",
                "write kind: datetime in the schema, or cut the times off",
            )
        exact //= 86_400
    values, clipped = clip(spec, exact, missing)
    report = ColumnReport(
        name=spec.name, clipped=clipped, truncated=truncated, missing=missing_counts(spec, missing)
    )
    return Column(values, missing), report


def _moment_of_text(spec: ColumnSpec, array: pa.ChunkedArray, place: Place) -> tuple[Column, ColumnReport]:
    cells, distinct = codes_of(array)
    kinds = {code.code: kind for kind, code in enumerate(spec.missing, start=1)}
    number = np.zeros(len(distinct) + 1, dtype=np.int64)
    kind_of = np.zeros(len(distinct) + 1, dtype=np.uint8)
    changed = np.zeros(len(distinct) + 1, dtype=bool)
    cut = np.zeros(len(distinct) + 1, dtype=bool)
    for code, value in enumerate(distinct):
        text = value.strip()
        changed[code] = text != value
        if value in kinds or text in kinds:
            kind_of[code] = kinds.get(value, 0) or kinds[text]
        elif text == "":
            raise empty_cell_error(spec, int(np.argmax(cells == code)), place)
        else:
            try:
                number[code], cut[code] = _read_moment(spec, text)
            except (ValueError, OverflowError):
                form = spec.format or "ISO 8601, year first"
                raise place.error(
                    spec,
                    int(np.argmax(cells == code)),
                    f"holds {describe(value)} that is not a {spec.kind} (format {form})",
                    "fix the cell, declare it as a missing code, or declare the column's `format` in the schema",
                ) from None
    if np.any(cells == -1):
        kind = empty_kind(spec)
        if kind is None:
            raise empty_cell_error(spec, int(np.argmax(cells == -1)), place)
        kind_of[-1] = kind
    missing = kind_of[cells]
    values, clipped = clip(spec, number[cells], missing)
    report = ColumnReport(
        name=spec.name,
        clipped=clipped,
        trimmed=int(np.sum(changed[cells])),
        truncated=int(np.sum(cut[cells])),
        missing=missing_counts(spec, missing),
    )
    return Column(values, missing), report


def _read_moment(spec: ColumnSpec, text: str) -> tuple[int, bool]:
    """Days or seconds, and whether a fraction of a second was cut off. Raises ValueError."""
    if spec.format is not None:
        moment = dt.datetime.strptime(text, spec.format)  # noqa: DTZ007 - the zone is settled below
    else:
        moment = dt.datetime.fromisoformat(text)
    if spec.kind is ColumnKind.DATE:
        if moment.time() != dt.time(0):
            raise ValueError("a time of day")
        return (moment.date() - _EPOCH).days, False
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    whole = moment.replace(microsecond=0)
    return round((whole - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)).total_seconds()), moment.microsecond != 0
