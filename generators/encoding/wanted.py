"""What a condition or a constraint asks of one column, parsed against the column's public description.

Rules: values are matched as they stand in the file; a missing code asks for that kind of missing; an interval never
asks for missing values. What no row could satisfy is refused with the reason.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass

from release.data.schema import ColumnKind, ColumnSpec, Range
from release.errors import PlanError
from release.records import Within

Asked = tuple[str | float | int, ...] | Within | Range
"""A tuple of allowed values, or an interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The parsed form.

    Attributes:
        ranges: for numeric kinds: ordered inclusive intervals as stored (days, seconds).
        values: for coded kinds: the wanted values.
        missing: the wanted kinds of missing, 1, 2, …
    """

    ranges: tuple[tuple[float, float], ...] = ()
    values: frozenset[str] = frozenset()
    missing: frozenset[int] = frozenset()


def parse(spec: ColumnSpec, asked: Asked) -> Wanted:
    """What is asked of this column. Raises `PlanError` where it does not fit the column or nothing could satisfy it."""
    if isinstance(asked, tuple):
        return _values(spec, asked)
    low, high = (asked.low, asked.high) if isinstance(asked, Within) else (asked.min, asked.max)
    if spec.kind.numeric:
        bottom = -math.inf if low is None else number(spec, low)
        top = math.inf if high is None else number(spec, high)
        if bottom > top:
            raise PlanError(
                f'column "{spec.name}": no value lies between {low} and {high}', mend="swap the two"
            )
        return Wanted(ranges=((bottom, top),))
    if spec.kind is ColumnKind.ORDINAL and spec.levels is not None:
        places = []
        for end, default in ((low, 0), (high, len(spec.levels) - 1)):
            if end is not None and str(end) not in spec.levels:
                raise PlanError(
                    f'column "{spec.name}": {end!r} is not one of its values',
                    mend=f"use one of {spec.levels}",
                )
            places.append(default if end is None else spec.levels.index(str(end)))
        if chosen := spec.levels[places[0] : places[1] + 1]:
            return Wanted(values=frozenset(chosen))
        raise PlanError(f'column "{spec.name}": no value lies between {low} and {high}', mend="swap the two")
    raise PlanError(
        f'column "{spec.name}" is {spec.kind} and has no order, so no interval',
        mend="name the values instead",
    )


def number(spec: ColumnSpec, value: str | float) -> float:
    """A value of a numeric column as stored. Raises `PlanError` where it does not fit the kind."""
    plain = spec.kind in {ColumnKind.INTEGER, ColumnKind.REAL}
    try:
        result = float(value) if plain else spec.to_number(value)
    except ValueError as error:
        raise PlanError(
            f'column "{spec.name}": {value!r} is not a value of kind {spec.kind}',
            mend="write numbers plainly, dates as ISO 8601",
        ) from error
    if math.isnan(result):
        raise PlanError(f'column "{spec.name}": NaN is no value', mend="name the missing code instead")
    return result


def written(spec: ColumnSpec, value: float) -> str:
    """A value of a numeric column as it stands in a schema: the inverse of `number`."""
    if spec.kind is ColumnKind.DATE:
        return (dt.date(1970, 1, 1) + dt.timedelta(days=int(value))).isoformat()
    if spec.kind is ColumnKind.DATETIME:
        return dt.datetime.fromtimestamp(int(value), tz=dt.UTC).isoformat()
    return str(int(value)) if spec.kind is ColumnKind.INTEGER else repr(value)


def _values(spec: ColumnSpec, asked: tuple[str | float | int, ...]) -> Wanted:
    if not asked:
        raise PlanError(f'column "{spec.name}": no value is allowed', mend="name at least one")
    codes = [code.code for code in spec.missing]
    missing = frozenset(codes.index(str(value)) + 1 for value in asked if str(value) in codes)
    present = [value for value in asked if str(value) not in codes]
    if spec.kind.numeric:
        points = sorted({number(spec, value) for value in present})
        return Wanted(ranges=tuple((point, point) for point in points), missing=missing)
    return Wanted(values=frozenset(str(value) for value in present), missing=missing)
