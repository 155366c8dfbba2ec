"""Surrogate keys: what stands in a released table where the real one had an identifier.

Rules: a pure function of how many rows there are; nothing of a real identifier (its form, length or order) enters, and
nobody, we included, could lead back from one. A sampled row is a unit of its own, so keys are unique.
"""

from __future__ import annotations

from release.data.schema import ColumnSpec, Schema
from release.errors import InputError


def surrogate_columns(schema: Schema) -> tuple[ColumnSpec, ...]:
    """The columns that the release shows with surrogate keys: unreleased ones that ask for it."""
    released = {spec.name for spec in schema.released}
    return tuple(spec for spec in schema.columns if spec.surrogate and spec.name not in released)


def surrogate_keys(schema: Schema, rows: int) -> dict[str, tuple[str, ...]]:
    """Keys for each of `surrogate_columns`: "s1" … "s{rows}", padded to one length, the same in each column."""
    if rows < 0:
        raise InputError(f"{rows} rows have no keys", mend="give a number of rows of at least 0")
    width = len(str(max(rows, 1)))
    keys = tuple(f"s{number:0{width}d}" for number in range(1, rows + 1))
    return {spec.name: keys for spec in surrogate_columns(schema)}
