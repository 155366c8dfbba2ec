"""Cells of integer and real columns → int64 and float64 (rules: `release.data.cells`)."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from release.data.cells import (
    ColumnReport,
    Place,
    clip,
    describe,
    mark_blank,
    mask_of,
    missing_counts,
    numpy_of,
)
from release.data.schema import ColumnKind, ColumnSpec
from release.data.table import Column
from release.errors import SourceError


def parse_number(spec: ColumnSpec, array: pa.ChunkedArray, place: Place) -> tuple[Column, ColumnReport]:
    """Finite numbers inside the declared bounds. Raises SourceError."""
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int8())
    if pa.types.is_date(array.type) or pa.types.is_timestamp(array.type):
        raise SourceError(
            f"holds dates, but the schema says kind: {spec.kind}",
            mend="write kind: date or datetime in the schema",
            file=place.file,
            column=spec.name,
        )
    from_text = pa.types.is_string(array.type)
    missing = _text_missing(spec, array, place) if from_text else _number_missing(spec, array, place)
    present = pc.if_else(pa.chunked_array([pa.array(missing == 0)]), array, None)
    trimmed = 0
    if from_text:
        bare = pc.utf8_trim_whitespace(present)
        trimmed = int(pc.sum(pc.not_equal(bare, present)).as_py() or 0)
        present = bare
    whole = spec.kind is ColumnKind.INTEGER
    values = _whole(spec, present, place) if whole else _real(spec, present, place)
    if from_text:
        trimmed += _mark_other_spellings(spec, values, missing)
    values[missing != 0] = 0
    values, clipped = clip(spec, values, missing)
    report = ColumnReport(
        name=spec.name, clipped=clipped, trimmed=trimmed, missing=missing_counts(spec, missing)
    )
    return Column(values, missing), report


def _text_missing(spec: ColumnSpec, array: pa.ChunkedArray, place: Place) -> npt.NDArray[np.uint8]:
    """Kinds of missing of text cells. Raises SourceError for an empty cell that is not declared."""
    missing = np.zeros(len(array), dtype=np.uint8)
    for kind, code in enumerate(spec.missing, start=1):
        if code.code:
            missing[mask_of(pc.equal(array, code.code))] = kind
    blank = mask_of(pc.equal(pc.utf8_trim_whitespace(array), "")) | mask_of(pc.is_null(array))
    blank &= missing == 0
    return mark_blank(spec, missing, blank, place)


def _mark_other_spellings(spec: ColumnSpec, values: npt.NDArray[Any], missing: npt.NDArray[np.uint8]) -> int:
    """Mark cells that write a missing code as another number does ("999.0" for 999); how many there were."""
    found = 0
    for kind, number in _numeric_codes(spec):
        hit = (values == number) & (missing == 0)
        missing[hit] = kind
        found += int(hit.sum())
    return found


def _numeric_codes(spec: ColumnSpec) -> list[tuple[int, float]]:
    """(kind, number) of the missing codes that are numbers."""
    codes = []
    for kind, code in enumerate(spec.missing, start=1):
        try:
            codes.append((kind, float(code.code)))
        except ValueError:
            continue
    return codes


def _number_missing(spec: ColumnSpec, array: pa.ChunkedArray, place: Place) -> npt.NDArray[np.uint8]:
    """Kinds of missing of a typed number column: null and NaN are the empty cell, codes compare as numbers."""
    missing = np.zeros(len(array), dtype=np.uint8)
    for kind, number in _numeric_codes(spec):
        missing[mask_of(pc.equal(array.cast(pa.float64(), safe=False), number))] = kind
    blank = mask_of(pc.is_null(array, nan_is_null=True))
    return mark_blank(spec, missing, blank, place)


def _whole(spec: ColumnSpec, present: pa.ChunkedArray, place: Place) -> npt.NDArray[np.int64]:
    """Whole numbers, exact over the whole of int64. Raises SourceError."""
    text = pa.types.is_string(present.type)
    hexadecimal = text and pc.any(pc.match_substring_regex(present, "[xX]")).as_py()
    if not hexadecimal:
        try:
            return numpy_of(present.cast(pa.int64()).fill_null(0), np.int64)
        except pa.ArrowInvalid:
            pass  # some cell is "16.0", "+16" or not a whole number: the careful way below tells which
    numbers = _real(spec, present, place)
    wrong = (numbers != np.trunc(numbers)) | (np.abs(numbers) > 2.0**53)
    if not wrong.any():
        return numbers.astype(np.int64)
    return _careful_whole(spec, present, place)


def _careful_whole(spec: ColumnSpec, present: pa.ChunkedArray, place: Place) -> npt.NDArray[np.int64]:
    """Cell by cell, for mixed spellings and numbers beyond 2**53. Raises SourceError at the first bad one."""
    values = np.zeros(len(present), dtype=np.int64)
    for index, cell in enumerate(present.cast(pa.string()).to_pylist()):
        if cell is None:
            continue
        mantissa, _, fraction = cell.partition(".")
        if not re.fullmatch(r"[+-]?\d+", mantissa, re.ASCII) or fraction.strip("0"):
            number = float(cell)
            if not number.is_integer():
                raise place.error(
                    spec,
                    index,
                    "holds a number with a fraction, but the schema says kind: integer",
                    "write kind: real in the schema, or fix the cell",
                )
            mantissa = str(int(number))
        if not -(2**63) <= int(mantissa) < 2**63:
            raise place.error(
                spec,
                index,
                f"holds {describe(mantissa)}, outside the 64-bit whole numbers (limit 9.2e18)",
                "fix the cell, or write kind: real, or kind: identifier for a long number that names somebody",
            )
        values[index] = int(mantissa)
    return values


def _real(spec: ColumnSpec, present: pa.ChunkedArray, place: Place) -> npt.NDArray[np.float64]:
    """Finite numbers, 0 where null. Raises SourceError at the first cell that is none."""
    try:
        numbers = numpy_of(present.cast(pa.float64(), safe=False).fill_null(0.0), np.float64)
    except pa.ArrowInvalid:
        index, cell = _first_unreadable(present)
        comma = "write decimals with a full stop, " if "comma" in describe(cell) else ""
        raise place.error(
            spec,
            index,
            f"holds {describe(cell)} where a number is expected (kind: {spec.kind})",
            f"{comma}fix the cell, declare it as a missing code, or correct the kind in the schema",
        ) from None
    wrong = ~np.isfinite(numbers)
    if wrong.any():
        raise place.error(
            spec,
            int(np.argmax(wrong)),
            "holds an infinite value, a not-a-number or a number beyond 1.8e308",
            "fix the cell, or declare it as a missing code in the schema",
        )
    return numbers + 0.0  # -0.0 becomes 0.0


def _first_unreadable(present: pa.ChunkedArray) -> tuple[int, str]:
    """Index and text of the first cell that Arrow cannot read as a number, by halving."""
    low, high = 0, len(present)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            present.slice(low, middle - low).cast(pa.float64())
        except pa.ArrowInvalid:
            high = middle
        else:
            low = middle
    return low, str(present[low].as_py())
