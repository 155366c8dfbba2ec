"""Cells of categorical, ordinal, boolean and code columns → codes into levels (rules: `release.data.cells`)."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from release.data.cells import (
    ColumnReport,
    Place,
    codes_of,
    describe,
    empty_cell_error,
    empty_kind,
    missing_counts,
)
from release.data.schema import OUTSIDE_LEVEL, ColumnKind, ColumnSpec
from release.data.table import Column
from release.errors import SourceError

LONGEST_CATEGORY = 1_000
"""Characters. A longer value of a category column whose domain is learnt is free text, and refused."""

MOST_LEVELS = 100_000
"""As many as a schema may declare (`Categories`)."""

_WHOLE_FLOAT = re.compile(r"[+-]?\d+\.0+")


def parse_coded(spec: ColumnSpec, array: pa.ChunkedArray, place: Place) -> tuple[Column, ColumnReport]:
    """Codes into the declared levels and OUTSIDE_LEVEL, or into the sorted values found. Raises SourceError."""
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
    empty = empty_kind(spec)
    for place_in, value in enumerate(distinct):
        written = _as_declared(value, code_of, kinds)
        changed[place_in] = written != value
        if written in kinds:
            kind_of[place_in] = kinds[written]
        elif written in code_of:
            target[place_in] = code_of[written]
        elif written == "":
            raise empty_cell_error(spec, int(np.argmax(cells == place_in)), place)
        elif outside is not None:
            target[place_in] = outside
    if np.any(cells == -1):
        if empty is None:
            raise empty_cell_error(spec, int(np.argmax(cells == -1)), place)
        kind_of[-1] = empty
    values, missing = target[cells], kind_of[cells]
    report = ColumnReport(
        name=spec.name,
        outside=int(np.sum(values == outside)) if declared is not None else 0,
        trimmed=int(np.sum(changed[cells])),
        missing=missing_counts(spec, missing),
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
