"""What all kinds of cells share: places for messages, reports, missing codes, bounds.

Rules: what the schema can take is taken and counted (a value outside the declared categories goes to `OUTSIDE_LEVEL`,
a number outside the bounds to the nearer bound, white space around a value is cut off); what it cannot take is one
`SourceError` with file, row and column. A message tells what class of thing stands in a cell ("a text of 5
characters"), never the cell. Foreign exceptions are dropped, not chained, where their text would hold a cell.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from release.data.schema import ColumnSpec
from release.errors import SourceError


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


def codes_of(text: pa.ChunkedArray) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Codes (-1 where null) and distinct values of a text column, in order of first appearance."""
    encoded = text.dictionary_encode().unify_dictionaries()
    if encoded.num_chunks == 0:
        return np.zeros(0, dtype=np.int32), []
    parts = [chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False) for chunk in encoded.chunks]
    return np.concatenate(parts).astype(np.int32, copy=False), encoded.chunk(0).dictionary.to_pylist()


def missing_counts(spec: ColumnSpec, missing: npt.NDArray[np.uint8]) -> tuple[tuple[str, int], ...]:
    """(code, number of cells) of each missing code, in the schema's order; `missing` as in `Column`."""
    counts = np.bincount(missing, minlength=len(spec.missing) + 1)
    return tuple((code.code, int(counts[k])) for k, code in enumerate(spec.missing, start=1))


def empty_kind(spec: ColumnSpec) -> int | None:
    """The kind of missing that an empty cell is; None where the schema declares none."""
    for kind, code in enumerate(spec.missing, start=1):
        if code.code == "":
            return kind
    return None


def empty_cell_error(spec: ColumnSpec, index: int, place: Place) -> SourceError:
    """The error for an empty cell of a column that declares none."""
    return place.error(
        spec,
        index,
        "the cell is empty, but the schema declares no missing code for the empty cell",
        'add `missing: [{code: "", meaning: …}]` to the column, or fill the cell',
    )


def mark_blank(
    spec: ColumnSpec, missing: npt.NDArray[np.uint8], blank: npt.NDArray[np.bool_], place: Place
) -> npt.NDArray[np.uint8]:
    """`missing` with the empty cells (`blank`, shape (n,)) marked in place. Raises SourceError where none are declared."""
    if blank.any():
        kind = empty_kind(spec)
        if kind is None:
            raise empty_cell_error(spec, int(np.argmax(blank)), place)
        missing[blank] = kind
    return missing


def mask_of(array: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """A Boolean Arrow column as an array; null is False."""
    return np.asarray(array.fill_null(False).to_numpy(), dtype=bool)


def numpy_of(array: pa.ChunkedArray, dtype: type[Any]) -> npt.NDArray[Any]:
    """An Arrow column without nulls as an array of our own."""
    return np.array(array.to_numpy(), dtype=dtype)  # a copy: Arrow's buffers are read-only


def clip(
    spec: ColumnSpec, values: npt.NDArray[Any], missing: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[Any], int]:
    """Values moved to the nearer declared bound (0 where missing), and how many were."""
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
