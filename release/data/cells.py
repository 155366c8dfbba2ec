"""One column's cells → `Column`: missing codes, levels, numbers, dates.

Rules: what the schema can take is taken and counted (a value outside the declared categories goes to `OUTSIDE_LEVEL`,
a number outside the bounds to the nearer bound, white space around a value is cut off); what it cannot take is one
`SourceError` with file, row and column. A message tells what class of thing stands in a cell ("a text of 5
characters"), never the cell. Foreign exceptions are dropped, not chained, where their text would hold a cell.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from release.data.schema import OUTSIDE_LEVEL, ColumnKind, ColumnSpec
from release.data.table import Column
from release.errors import SourceError

LONGEST_CATEGORY = 1_000
"""Characters. A longer value of a category column whose domain is learnt is free text, and refused."""

MOST_LEVELS = 100_000
"""As many as a schema may declare (`Categories`)."""

_WHOLE_FLOAT = re.compile(r"[+-]?\d+\.0+")
_EPOCH = dt.date(1970, 1, 1)
_MOST_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnReport:
    """What reading one column met. Private: it stays inside.

    Attributes:
        name: the column.
        outside: cells whose value is not among the declared categories.
        clipped: numbers or dates that were moved to the nearer declared bound.
        trimmed: cells taken without the white space around them, or a whole number written with ".0".
        truncated: datetimes whose fraction of a second was cut off.
        missing: cells per missing code, in the schema's order.
    """

    name: str
    outside: int = 0
    clipped: int = 0
    trimmed: int = 0
    truncated: int = 0
    missing: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where cells stand, for messages: the file's name, and the row number as an editor shows it."""

    file: str
    row_of: Callable[[int], int]

    def error(self, spec: ColumnSpec, index: int, fact: str, mend: str) -> SourceError:
        """The one message about the cell `index` (0-based data row) of a column."""
        return SourceError(fact, mend=mend, file=self.file, row=self.row_of(index), column=spec.name)


def parse_column(spec: ColumnSpec, array: pa.ChunkedArray, place: Place) -> tuple[Column, ColumnReport]:
    """The typed column of `array` (text cells of a CSV file, or a typed Arrow column).

    Raises:
        SourceError: a cell, or the column's type, cannot be what the schema says.
    """
    array = _flat(spec, array, place)
    if spec.kind.coded:
        return _coded(spec, array, place)
    if spec.kind in {ColumnKind.INTEGER, ColumnKind.REAL}:
        return _number(spec, array, place)
    return _moment(spec, array, place)


# ---------------------------------------------------------------------------------------------- any


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


def codes_of(text: pa.ChunkedArray) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Codes (-1 where null) and distinct values of a text column, in order of first appearance."""
    encoded = text.dictionary_encode().unify_dictionaries()
    if encoded.num_chunks == 0:
        return np.zeros(0, dtype=np.int32), []
    parts = [chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False) for chunk in encoded.chunks]
    return np.concatenate(parts).astype(np.int32, copy=False), encoded.chunk(0).dictionary.to_pylist()


def _counts(spec: ColumnSpec, missing: npt.NDArray[np.uint8]) -> tuple[tuple[str, int], ...]:
    counts = np.bincount(missing, minlength=len(spec.missing) + 1)
    return tuple((code.code, int(counts[k])) for k, code in enumerate(spec.missing, start=1))


def _empty_kind(spec: ColumnSpec) -> int | None:
    """The kind of missing that an empty cell is; None where the schema declares none."""
    for kind, code in enumerate(spec.missing, start=1):
        if code.code == "":
            return kind
    return None


def _refuse_empty(spec: ColumnSpec, index: int, place: Place) -> SourceError:
    return place.error(
        spec,
        index,
        "the cell is empty, but the schema declares no missing code for the empty cell",
        'add `missing: [{code: "", meaning: …}]` to the column, or fill the cell',
    )


def describe(value: str) -> str:
    """What a cell is, without saying what is in it."""
    text = value.strip()
    if not text:
        return "an empty cell" if not value else "white space"
    if re.fullmatch(r"[+-]?\d+", text, re.ASCII):
        return f"a whole number of {len(text.lstrip('+-'))} digits"
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text, re.ASCII):
        return "a number with a fraction or an exponent"
    if re.fullmatch(r"[+-]?\d{1,3}([.,]\d{3})*,\d+|[+-]?\d+,\d+", text, re.ASCII):
        return "a number written with a comma"
    if text.lower().strip("+-") in {"inf", "infinity"}:
        return "an infinite value"
    if text.lower() == "nan":
        return "a not-a-number"
    return f"a text of {len(value):,} character{'s' if len(value) != 1 else ''}"


# ---------------------------------------------------------------------------------------------- coded


def _coded(spec: ColumnSpec, array: pa.ChunkedArray, place: Place) -> tuple[Column, ColumnReport]:
    if pa.types.is_boolean(array.type):
        array = _boolean_text(spec, array)
    elif pa.types.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), None, array).cast(pa.string())
    elif not pa.types.is_string(array.type):
        array = array.cast(pa.string())
    cells, distinct = codes_of(array)
    kinds = {code.code: kind for kind, code in enumerate(spec.missing, start=1)}
    declared = spec.levels
    levels = (
        [*declared, OUTSIDE_LEVEL] if declared is not None else sorted(_learned(spec, distinct, cells, place))
    )
    code_of = {level: code for code, level in enumerate(levels)}
    # The last place of both tables serves index -1: null.
    target = np.full(len(distinct) + 1, -1, dtype=np.int32)
    kind_of = np.zeros(len(distinct) + 1, dtype=np.uint8)
    changed = np.zeros(len(distinct) + 1, dtype=bool)
    outside = code_of.get(OUTSIDE_LEVEL)
    empty = _empty_kind(spec)
    for place_in, value in enumerate(distinct):
        written = _as_declared(value, code_of, kinds)
        changed[place_in] = written != value
        if written in kinds:
            kind_of[place_in] = kinds[written]
        elif written in code_of:
            target[place_in] = code_of[written]
        elif written == "":
            raise _refuse_empty(spec, int(np.argmax(cells == place_in)), place)
        elif outside is not None:
            target[place_in] = outside
    if np.any(cells == -1):
        if empty is None:
            raise _refuse_empty(spec, int(np.argmax(cells == -1)), place)
        kind_of[-1] = empty
    values, missing = target[cells], kind_of[cells]
    report = ColumnReport(
        name=spec.name,
        outside=int(np.sum(values == outside)) if declared is not None else 0,
        trimmed=int(np.sum(changed[cells])),
        missing=_counts(spec, missing),
    )
    return Column(values, missing, tuple(levels)), report


def _boolean_text(spec: ColumnSpec, array: pa.ChunkedArray) -> pa.ChunkedArray:
    """A Boolean column written with the declared names: (false, true) of a boolean, or "False" and "True" in any case."""
    no, yes = "False", "True"
    if spec.levels is not None:
        folded = {level.casefold(): level for level in spec.levels}
        if spec.kind is ColumnKind.BOOLEAN:
            no, yes = spec.levels
        else:
            no, yes = folded.get("false", no), folded.get("true", yes)
    return pc.if_else(array, yes, no)


def _as_declared(value: str, levels: dict[str, int], kinds: dict[str, int]) -> str:
    """The value as the schema writes it: trimmed, or without ".0", where only so it is known; else trimmed."""
    if value in kinds or value in levels:
        return value
    trimmed = value.strip()
    if trimmed not in kinds and trimmed not in levels and _WHOLE_FLOAT.fullmatch(trimmed):
        whole = trimmed.split(".")[0]
        if whole in kinds or whole in levels:
            return whole
    return trimmed


def _learned(spec: ColumnSpec, distinct: list[str], cells: npt.NDArray[np.int32], place: Place) -> set[str]:
    """The values found in a column whose domain is learnt (private), without its missing codes."""
    codes = {code.code for code in spec.missing}
    found = {value.strip() for value in distinct if value not in codes} - codes - {""}
    longest = max(range(len(distinct)), key=lambda k: len(distinct[k]), default=None)
    if longest is not None and len(distinct[longest]) > LONGEST_CATEGORY:
        raise place.error(
            spec,
            int(np.argmax(cells == longest)),
            f"holds {describe(distinct[longest])}; a category has at most {LONGEST_CATEGORY:,}",
            "declare the categories, or the column as kind: text with the role direct-identifier, which drops it",
        )
    if len(found) > MOST_LEVELS:
        raise SourceError(
            f"holds more than {MOST_LEVELS:,} different values",
            mend="declare the column as kind: identifier or text, or declare the public categories",
            file=place.file,
            column=spec.name,
        )
    return found


# ---------------------------------------------------------------------------------------------- numbers


def _number(spec: ColumnSpec, array: pa.ChunkedArray, place: Place) -> tuple[Column, ColumnReport]:
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
    values, clipped = _clip(spec, values, missing)
    report = ColumnReport(name=spec.name, clipped=clipped, trimmed=trimmed, missing=_counts(spec, missing))
    return Column(values, missing), report


def _text_missing(spec: ColumnSpec, array: pa.ChunkedArray, place: Place) -> npt.NDArray[np.uint8]:
    """Kinds of missing of text cells. Raises SourceError for an empty cell that is not declared."""
    missing = np.zeros(len(array), dtype=np.uint8)
    for kind, code in enumerate(spec.missing, start=1):
        if code.code:
            missing[_mask(pc.equal(array, code.code))] = kind
    blank = _mask(pc.equal(pc.utf8_trim_whitespace(array), "")) | _mask(pc.is_null(array))
    blank &= missing == 0
    return _mark_blank(spec, missing, blank, place)


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
        missing[_mask(pc.equal(array.cast(pa.float64(), safe=False), number))] = kind
    blank = _mask(pc.is_null(array, nan_is_null=True))
    return _mark_blank(spec, missing, blank, place)


def _mark_blank(
    spec: ColumnSpec, missing: npt.NDArray[np.uint8], blank: npt.NDArray[np.bool_], place: Place
) -> npt.NDArray[np.uint8]:
    if blank.any():
        kind = _empty_kind(spec)
        if kind is None:
            raise _refuse_empty(spec, int(np.argmax(blank)), place)
        missing[blank] = kind
    return missing


def _mask(array: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """A Boolean Arrow column as an array; null is False."""
    return np.asarray(array.fill_null(False).to_numpy(), dtype=bool)


def _whole(spec: ColumnSpec, present: pa.ChunkedArray, place: Place) -> npt.NDArray[np.int64]:
    """Whole numbers, exact over the whole of int64. Raises SourceError."""
    text = pa.types.is_string(present.type)
    hexadecimal = text and pc.any(pc.match_substring_regex(present, "[xX]")).as_py()
    if not hexadecimal:
        try:
            return _numpy(present.cast(pa.int64()).fill_null(0), np.int64)
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
        numbers = _numpy(present.cast(pa.float64(), safe=False).fill_null(0.0), np.float64)
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


def _numpy(array: pa.ChunkedArray, dtype: type[Any]) -> npt.NDArray[Any]:
    return np.array(array.to_numpy(), dtype=dtype)  # a copy: Arrow's buffers are read-only


def _clip(
    spec: ColumnSpec, values: npt.NDArray[Any], missing: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[Any], int]:
    bounds = spec.bounds
    if bounds is None:
        return values, 0
    low, high = bounds if values.dtype.kind == "f" else _whole_bounds(*bounds)
    outside = ((values < low) | (values > high)) & (missing == 0)
    clipped = np.where(missing == 0, np.clip(values, low, high), 0).astype(values.dtype)
    return clipped, int(outside.sum())


def _whole_bounds(low: float, high: float) -> tuple[int, int]:
    """Whole numbers inside the bounds; declared bounds may lie beyond int64, stored values cannot."""
    return max(math.ceil(low), -(2**63)), min(math.floor(high), 2**63 - 1)


# ---------------------------------------------------------------------------------------------- dates


def _moment(spec: ColumnSpec, array: pa.ChunkedArray, place: Place) -> tuple[Column, ColumnReport]:
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
    missing = _mark_blank(spec, np.zeros(len(array), dtype=np.uint8), _mask(pc.is_null(array)), place)
    if pa.types.is_timestamp(array.type):
        # A zone only says how to print: the stored number is UTC already. Without one, UTC is assumed.
        array = array.cast(pa.timestamp(array.type.unit))
    seconds = pa.types.is_timestamp(array.type)
    exact = _numpy(array.cast(pa.timestamp("s"), safe=False).cast(pa.int64()).fill_null(0), np.int64)
    truncated = 0
    if seconds and array.type.unit != "s":
        per_second = {"ms": 10**3, "us": 10**6, "ns": 10**9}[array.type.unit]
        ticks = _numpy(array.cast(pa.int64()).fill_null(0), np.int64)
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
    values, clipped = _clip(spec, exact, missing)
    report = ColumnReport(
        name=spec.name, clipped=clipped, truncated=truncated, missing=_counts(spec, missing)
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
            raise _refuse_empty(spec, int(np.argmax(cells == code)), place)
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
        kind = _empty_kind(spec)
        if kind is None:
            raise _refuse_empty(spec, int(np.argmax(cells == -1)), place)
        kind_of[-1] = kind
    missing = kind_of[cells]
    values, clipped = _clip(spec, number[cells], missing)
    report = ColumnReport(
        name=spec.name,
        clipped=clipped,
        trimmed=int(np.sum(changed[cells])),
        truncated=int(np.sum(cut[cells])),
        missing=_counts(spec, missing),
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
