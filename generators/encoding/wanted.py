"""What a condition or a constraint asks of one column, parsed against the column's public description.

Rules: values are matched as they stand in the file; a missing code asks for that kind of missing; an interval never
asks for missing values. What no row could satisfy is refused with the reason, and so is a value that a declared domain does not have, even
beside others that it has: it may be a typing error. Messages say what class of thing was asked for, never the value.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from release.data.schema import OUTSIDE_LEVEL, ColumnKind, ColumnSpec, Range
from release.errors import PlanError
from release.records import Within

Asked = str | float | Collection[str | float] | Within | Range
"""An allowed value, several in a tuple, list or set, or an interval."""


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


def parse(spec: ColumnSpec, asked: Asked, also: Collection[str] = ()) -> Wanted:
    """What is asked of this column; `also` are values that may be named besides those of its declared domain.

    Raises `PlanError` where it does not fit the column or nothing could satisfy it.
    """
    if not isinstance(asked, Within | Range):
        return _values(spec, _listed(spec, asked), also)
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
                    f'column "{spec.name}": {_class(end)} is not one of its values',
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
        if isinstance(value, bool):
            raise ValueError("a truth value is no number")  # noqa: TRY004, TRY301 - said below
        result = float(value) if plain else spec.to_number(value)
    except (ValueError, OverflowError) as error:
        raise PlanError(
            f'column "{spec.name}": {_class(value)} is not a value of kind {spec.kind}',
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


def _class(value: object) -> str:
    """What class of thing a value is, without saying which."""
    if isinstance(value, str):
        from release.data.cells import describe  # pulls in pyarrow, which a fit does not need

        return describe(value)
    return "a number" if type(value) in {int, float} else f"a {type(value).__name__}"


def _listed(spec: ColumnSpec, asked: object) -> tuple[str | float, ...]:
    """The values asked for, plain: a value by itself, or several in a tuple, a list or a set."""
    several = isinstance(asked, tuple | list | set | frozenset | np.ndarray)
    found: list[str | float] = []
    for value in asked if several else [asked]:  # type: ignore[attr-defined]
        plain = value.item() if isinstance(value, np.generic) else value
        if not isinstance(plain, str | int | float):
            raise PlanError(
                f'column "{spec.name}": a condition is {_class(plain)}',
                mend="give a value, several in a tuple, list or set, or an interval (Within)",
            )
        found.append(plain)
    return tuple(found)


def _values(spec: ColumnSpec, asked: tuple[str | float, ...], also: Collection[str]) -> Wanted:
    if not asked:
        raise PlanError(f'column "{spec.name}": no value is allowed', mend="name at least one")
    codes = [code.code for code in spec.missing]
    missing = frozenset(codes.index(str(value)) + 1 for value in asked if str(value) in codes)
    present = [value for value in asked if str(value) not in codes]
    if spec.kind.numeric:
        points = sorted({number(spec, value) for value in present})
        return Wanted(ranges=tuple((point, point) for point in points), missing=missing)
    if spec.levels is not None:
        require_known(spec, present, {*spec.levels, *also, OUTSIDE_LEVEL}, "in its domain")
    return Wanted(values=frozenset(str(value) for value in present), missing=missing)


def require_known(spec: ColumnSpec, values: Iterable[str | float], known: Collection[str], what: str) -> None:
    """Raise PlanError where one of the values is none of the known ones."""
    if strange := [value for value in values if str(value) not in known]:
        raise PlanError(
            f'column "{spec.name}": {_class(strange[0])} is asked for that is not {what}'
            + (f", and {len(strange) - 1} more" if len(strange) > 1 else ""),
            mend="write values as they stand in the file, or take them out of the condition",
        )
