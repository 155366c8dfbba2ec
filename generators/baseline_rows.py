"""What a baseline learns from, and valid rows back: a frame of texts and numbers ↔ a `Table`.

Rules: a coded column becomes texts ("v3": level 3; "m1": missing of kind 1), a numeric one finite numbers (dates as days, datetimes as
seconds). Missing cells of a numeric column are filled with present ones at random, and a text column beside it says which they were and of
what kind, so that missingness is learnt with the other columns. On the way back numbers keep their kind, declared bounds, decimals,
steps and `increment` constraints. Other constraints are not kept: `release.data.constraints.violations` counts them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from generators.encoding.wanted import parse, require_known
from release.data.schema import ColumnKind, ColumnSpec, Increment, Range, Schema
from release.data.table import Column, Table
from release.errors import FaultError, PlanError
from release.records import Where

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameForm:
    """How a table stands in a frame.

    Attributes:
        schema: the table's schema.
        levels: of each coded column, as in the training table.
        kinds: numeric column with missing cells → the frame's column that holds their kinds.
    """

    schema: Schema
    levels: Mapping[str, tuple[str, ...]]
    kinds: Mapping[str, str]

    @classmethod
    def of(cls, table: Table) -> Self:
        """The form of this table."""
        taken = set(table.schema.names)
        kinds: dict[str, str] = {}
        for spec in table.schema.released:
            if not spec.kind.coded and not table[spec.name].present.all():
                name = f"{spec.name} (missing)"
                while name in taken:
                    name += "'"
                taken.add(name)
                kinds[spec.name] = name
        levels = {spec.name: table[spec.name].levels for spec in table.schema.released if spec.kind.coded}
        return cls(schema=table.schema, levels=levels, kinds=kinds)

    @property
    def texts(self) -> tuple[str, ...]:
        """The frame's columns of texts; the others hold float64."""
        return (*self.levels, *self.kinds.values())

    def frame(self, table: Table, rng: np.random.Generator) -> pd.DataFrame:
        """The rows as a frame; `rng` draws what stands where a number is missing."""
        import pandas as pd

        columns: dict[str, object] = {}
        for spec in self.schema.released:
            column = table[spec.name]
            if spec.kind.coded:
                columns[spec.name] = _texts(column.values.astype(np.int64), column.missing)
                continue
            columns[spec.name] = _filled(column, rng)
            if spec.name in self.kinds:
                columns[self.kinds[spec.name]] = _texts(np.zeros(len(table), dtype=np.int64), column.missing)
        return pd.DataFrame(columns)

    def table(self, frame: pd.DataFrame) -> Table:
        """Valid rows of what a model drew; each row a unit of its own. Raises FaultError for cells that are none."""
        rows = len(frame)
        columns: dict[str, Column] = {}
        for spec in self.schema.released:
            drawn = frame[spec.name]
            if spec.kind.coded:
                codes, missing = _codes(drawn)
                columns[spec.name] = Column(codes.astype(np.int32), missing, self.levels[spec.name])
                continue
            missing = np.zeros(rows, dtype=np.uint8)
            if spec.name in self.kinds:
                missing = _codes(frame[self.kinds[spec.name]])[1]
            numbers = drawn.to_numpy(dtype=np.float64, na_value=np.nan)
            if not np.isfinite(numbers).all():
                raise FaultError(
                    f'the baseline drew numbers of column "{spec.name}" that are not finite',
                    mend="fit it again, with other options",
                )
            values = valid_numbers(self.schema, spec, numbers)
            columns[spec.name] = Column(np.where(missing == 0, values, values.dtype.type(0)), missing)
        return Table(self.schema, columns, np.arange(rows, dtype=np.int64))


def valid_numbers(schema: Schema, spec: ColumnSpec, numbers: FloatArray) -> npt.NDArray[np.generic]:
    """Numbers as a column of that kind stores them: on its grid, inside its declared bounds, float64 or int64."""
    low, high = spec.bounds or (-np.inf, np.inf)
    grids = [
        (c.start, c.step) for c in schema.constraints if isinstance(c, Increment) and c.column == spec.name
    ]
    if isinstance(spec.domain, Range) and spec.domain.step is not None:
        grids.append((low, spec.domain.step))
    found = numbers
    for start, step in grids:
        # Inside the bounds and on the grid: its first point not below `low`, its last not above `high`.
        first, last = np.ceil((low - start) / step), np.floor((high - start) / step)
        found = start + np.clip(np.rint((found - start) / step), first, last) * step
    if spec.kind is not ColumnKind.REAL:
        # 2^53: beyond it float64 does not hold every whole number, and no date or count lies there.
        return np.clip(np.rint(np.clip(found, -(2.0**53), 2.0**53)), low, high).astype(np.int64)
    if isinstance(spec.domain, Range) and spec.domain.decimals is not None:
        found = np.round(found, spec.domain.decimals)
    return np.asarray(np.clip(found, low, high), dtype=np.float64)


def meets(table: Table, where: Where) -> BoolArray:
    """Shape (n,): True in rows that meet the condition. Raises PlanError where it does not fit the schema."""
    result = np.ones(len(table), dtype=np.bool_)
    released = {spec.name: spec for spec in table.schema.released}
    for name, asked in where.items():
        if name not in released:
            raise PlanError(
                f'the condition names "{name}", which is no released column',
                mend=f"use one of {list(released)}",
            )
        wanted = parse(released[name], asked)
        column = table[name]
        if released[name].kind.coded:
            if released[name].levels is None:
                require_known(released[name], sorted(wanted.values), column.levels, "among its categories")
            places = [place for place, level in enumerate(column.levels) if level in wanted.values]
            hit = np.isin(column.values, places)
        else:
            values = column.values.astype(np.float64)
            hit = np.zeros(len(table), dtype=np.bool_)
            for low, high in wanted.ranges:
                hit |= (values >= low) & (values <= high)
        result &= np.where(column.present, hit, np.isin(column.missing, list(wanted.missing)))
    return result


def _texts(codes: npt.NDArray[np.int64], missing: npt.NDArray[np.uint8]) -> npt.NDArray[np.object_]:
    places = np.where(missing == 0, codes, -missing.astype(np.int64))
    used, back = np.unique(places, return_inverse=True)
    words = np.array([f"v{place}" if place >= 0 else f"m{-place}" for place in used.tolist()], dtype=object)
    return words[back] if len(used) else np.zeros(0, dtype=object)


def _codes(texts: pd.Series) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    words, back = np.unique(texts.to_numpy(dtype=object).astype(str), return_inverse=True)
    codes = np.array([int(word[1:]) if word[0] == "v" else -1 for word in words.tolist()], dtype=np.int64)
    kinds = np.array([int(word[1:]) if word[0] == "m" else 0 for word in words.tolist()], dtype=np.uint8)
    return codes[back], kinds[back]


def _filled(column: Column, rng: np.random.Generator) -> FloatArray:
    values = column.values.astype(np.float64)
    present = values[column.present]
    if len(present) and len(present) < len(values):
        values[~column.present] = rng.choice(present, size=len(values) - len(present))
    return values
