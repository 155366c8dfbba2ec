"""Typed columns in arrays: what every part works on between reading and writing.

Rules: a `Table` always fits its `Schema`; missing is never NaN but a kind of its own (`Column.missing`); units are
numbers that mean nothing outside. Reading files is `release.data.sources`' business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from release.data.schema import OUTSIDE_LEVEL, ColumnKind, ColumnSpec, Schema
from release.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column's values.

    Attributes:
        values: shape (n,). Coded kinds: int32 codes into `levels`, -1 where missing. Numeric kinds: float64 for
            `real`, int64 for integer, date (days since 1970-01-01) and datetime (seconds since then, UTC);
            0 where missing.
        missing: shape (n,) uint8: 0 = present, k = the schema's k-th missing code of this column.
        levels: the names of the codes for coded kinds, else (). Declared columns: the declared values, then
            `OUTSIDE_LEVEL` last (always listed, seldom used). Learned columns: the values found (private!).
    """

    values: npt.NDArray[np.generic]
    missing: npt.NDArray[np.uint8]
    levels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.values.shape != self.missing.shape or self.values.ndim != 1:
            raise ValueError("values and missing must be vectors of one length")

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """True where there is a value."""
        return np.asarray(self.missing == 0)

    def take(self, rows: npt.NDArray[np.generic]) -> Column:
        """The rows given by indices or a mask, in that order."""
        return Column(self.values[rows], self.missing[rows], self.levels)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Rows of a schema's released columns.

    Attributes:
        schema: what the columns mean.
        columns: by name, in the order of `schema.released`; all of one length.
        units: shape (n,) int64: rows of one privacy unit share a number (0 … number of units - 1).
    """

    schema: Schema
    columns: Mapping[str, Column]
    units: IntArray

    def __post_init__(self) -> None:
        expected = [column.name for column in self.schema.released]
        if list(self.columns) != expected:
            raise ValueError(f"columns {list(self.columns)} are not the schema's released columns {expected}")
        if any(len(column.values) != len(self.units) for column in self.columns.values()):
            raise ValueError("columns and units differ in length")

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.units)

    @property
    def n_units(self) -> int:
        """Number of different units."""
        return len(np.unique(self.units))

    def __getitem__(self, name: str) -> Column:
        """The column of that name. Raises KeyError."""
        return self.columns[name]

    def take(self, rows: npt.NDArray[np.generic]) -> Table:
        """The rows given by indices or a mask, in that order; units keep their numbers."""
        return Table(self.schema, {name: c.take(rows) for name, c in self.columns.items()}, self.units[rows])

    def take_units(self, units: npt.NDArray[np.generic] | Sequence[int]) -> Table:
        """All rows of these units, in row order."""
        return self.take(np.flatnonzero(np.isin(self.units, np.asarray(units))))

    def to_frame(self) -> pd.DataFrame:
        """A DataFrame as an analyst expects it.

        Coded kinds become pandas categoricals of strings (ordered where ordinal), with missing codes written as
        they stand in the file (the empty code as a missing value). Numbers become Int64/Float64 with <NA> where missing, or
        strings throughout where a missing code is not the empty one and some cell has it; dates become datetime64[s].
        """
        import pandas as pd

        return pd.DataFrame(
            {spec.name: _series(spec, self.columns[spec.name]) for spec in self.schema.released}
        )


def require_read_under(schema: Schema, table: Table) -> None:
    """Raise InputError where the table was not read under this very schema, or a unit has more rows than it allows.

    What every plan asks before it reads a cell: bounds, levels and the contribution bound, on which its claim rests, are those of
    its own schema. Reading under that schema sees to all three; a table that was read under another, or put together by hand, may
    keep none of them. The caller's fault, found after the charge: nothing is refunded.
    """
    if table.schema is not schema and table.schema.digest != schema.digest:
        raise InputError(
            f'the table was read under schema "{table.schema.name}" (digest {table.schema.digest[:12]}), the plan was made for'
            f' "{schema.name}" (digest {schema.digest[:12]})',
            mend="read the table under the plan's schema, or plan for the table's",
        )
    most = int(np.unique(table.units, return_counts=True)[1].max(initial=0))
    if most > schema.unit.max_rows:
        raise InputError(
            f"a {schema.unit.name} of the table has {most:,} rows; the schema allows {schema.unit.max_rows:,} (max_rows)",
            mend="read the table with read_table, which cuts units to max_rows",
        )


def concatenate(tables: Sequence[Table]) -> Table:
    """Rows of several tables of one schema below each other. Units are renumbered so that they stay different.

    Learned columns may have different levels in each table: they are united in order of first appearance.
    """
    first = tables[0]
    if any(table.schema != first.schema for table in tables):
        raise ValueError("tables of different schemas")
    columns: dict[str, Column] = {}
    for spec in first.schema.released:
        parts = [table.columns[spec.name] for table in tables]
        levels = tuple(dict.fromkeys(level for part in parts for level in part.levels))
        values = [recode(part, levels) if spec.kind.coded else part.values for part in parts]
        columns[spec.name] = Column(
            np.concatenate(values), np.concatenate([part.missing for part in parts]), levels
        )
    units, offset = [], 0
    for table in tables:
        units.append(table.units + offset)
        offset += int(table.units.max(initial=-1)) + 1
    return Table(first.schema, columns, np.concatenate(units))


def recode(column: Column, levels: Sequence[str]) -> npt.NDArray[np.int32]:
    """The codes of a coded column with respect to other levels; a level that is not among them becomes OUTSIDE_LEVEL.

    Raises ValueError where `levels` has no OUTSIDE_LEVEL to take it.
    """
    place = {level: code for code, level in enumerate(levels)}
    used = set(np.unique(column.values).tolist()) - {-1}
    outside = place.get(OUTSIDE_LEVEL)
    mapping = np.full(len(column.levels) + 1, -1, dtype=np.int32)
    for code, level in enumerate(column.levels):
        target = place.get(level, outside)
        if target is None and code in used:
            raise ValueError("a level is not among the new ones")
        mapping[code] = -1 if target is None else target
    return np.asarray(mapping[column.values.astype(np.int64)], dtype=np.int32)


def _series(spec: ColumnSpec, column: Column) -> pd.Series:
    import pandas as pd

    codes = [missing.code for missing in spec.missing]
    if spec.kind.coded:
        written = [code for code in codes if code != ""]
        levels = [*column.levels, *(code for code in written if code not in column.levels)]
        numbers = column.values.astype(np.int64)
        for kind, code in enumerate(codes, start=1):
            numbers[column.missing == kind] = -1 if code == "" else levels.index(code)
        return pd.Series(
            pd.Categorical.from_codes(
                numbers.tolist(), categories=levels, ordered=spec.kind is ColumnKind.ORDINAL and not written
            )
        )
    absent = column.missing != 0
    if spec.kind in {ColumnKind.DATE, ColumnKind.DATETIME}:
        step = "D" if spec.kind is ColumnKind.DATE else "s"
        moments = column.values.astype(f"datetime64[{step}]").astype("datetime64[s]")
        moments[absent] = np.datetime64("NaT")
        series = pd.Series(moments)
    elif spec.kind is ColumnKind.INTEGER:
        series = pd.Series(pd.array(column.values, dtype="Int64")).mask(pd.Series(absent))
    else:
        series = pd.Series(pd.array(column.values.astype(np.float64), dtype="Float64")).mask(
            pd.Series(absent)
        )
    present_codes = {codes[kind - 1] for kind in np.unique(column.missing).tolist() if kind}
    if present_codes - {""}:
        if spec.kind in {ColumnKind.DATE, ColumnKind.DATETIME}:
            # ISO with four digits of the year, which pandas does not write before the year 1000.
            step = "D" if spec.kind is ColumnKind.DATE else "s"
            iso = np.datetime_as_string(column.values.astype(f"datetime64[{step}]"))
            text = pd.Series(iso.tolist(), dtype="string").mask(pd.Series(absent), pd.NA)
        else:
            text = series.astype("string")
        for kind, code in enumerate(codes, start=1):
            text = text.mask(pd.Series(column.missing == kind), code if code else pd.NA)
        return text
    return series
