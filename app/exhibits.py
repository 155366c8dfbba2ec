"""An exhibit's data read into series and tables that cannot be wrong. What does not fit its kind is refused, never guessed.

Exhibits are plain JSON values that somebody stored; a page must stand whatever is in them. `series_of`, `pairs_of`,
`lines_of` and `roc_of` raise `OddExhibitError`, and the page then shows the numbers as they are (`table_of`, which never
raises).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.panels import Cell
from release.errors import InputError
from release.records import Exhibit

MEMBERS, CONTROLS = "members", "controls"
MOST_ROWS = 200


class OddExhibitError(InputError):
    """The data is not what an exhibit of this kind holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A table: titles and rows of the same length, and how many rows were left out."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    left_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One mark of a picture: which group it belongs to, where it stands, how large it is."""

    group: str
    label: str
    value: float


# ---------------------------------------------------------------------------------------------- reading


def numbers(data: Mapping[str, Any], key: str) -> list[float]:
    """A list of finite numbers."""
    found = _list(data, key)
    if not all(finite(value) for value in found):
        raise OddExhibitError(f'"{key}" holds something that is not a finite number')
    return [float(value) for value in found]


def labels(data: Mapping[str, Any], key: str = "labels") -> list[str]:
    """A list of texts."""
    return [str(value) for value in _list(data, key)]


def alike(*series: Sequence[object]) -> None:
    """All of one length, and not empty."""
    if len({len(one) for one in series}) != 1 or not series[0]:
        raise OddExhibitError(f"its series hold {', '.join(str(len(one)) for one in series)} values")


def bars_of(data: Mapping[str, Any]) -> list[Point]:
    """Members beside controls (`bars`), or figures beside their reference (`labels`, `values`, `reference`)."""
    if "bars" in data:
        points = [
            Point(group=group, label=str(bar.get("what", "")), value=float(bar[group]))
            for bar in _list(data, "bars")
            if isinstance(bar, Mapping)
            for group in (MEMBERS, CONTROLS)
            if finite(bar.get(group))
        ]
    else:
        names = data.get("names")
        names = [str(name) for name in names] if isinstance(names, list | tuple) else []
        first, second = [*names, *("value", "reference")[len(names) :]][:2]
        what, values = labels(data), numbers(data, "values")
        alike(what, values)
        points = [Point(group=first, label=a, value=b) for a, b in zip(what, values, strict=True)]
        if isinstance(data.get("reference"), list):
            other = numbers(data, "reference")
            alike(what, other)
            points += [
                Point(group=second or "reference", label=a, value=b) for a, b in zip(what, other, strict=True)
            ]
    if not points:
        raise OddExhibitError("it holds no bar")
    return points


def roc_of(data: Mapping[str, Any]) -> dict[str, tuple[list[float], list[float]]]:
    """(false alarms, members found) of the attack, and of the most that the claim allows where there is a claim."""
    fpr, tpr = numbers(data, "fpr"), numbers(data, "tpr")
    alike(fpr, tpr)
    curves = {"attack": (fpr, tpr)}
    if data.get("ceiling") is not None:
        ceiling = numbers(data, "ceiling")
        alike(fpr, ceiling)
        curves["most that the claimed ε allows"] = (fpr, ceiling)
    return curves


def lines_of(data: Mapping[str, Any]) -> dict[str, tuple[list[float], list[float]]]:
    """Each series by name: x and y."""
    x, series = numbers(data, "x"), data.get("series")
    if not isinstance(series, Mapping) or not series:
        raise OddExhibitError("it holds no series")
    found = {}
    for name in series:
        y = numbers(series, name)
        alike(x, y)
        found[str(name)] = (x, y)
    return found


def pairs_of(data: Mapping[str, Any]) -> list[tuple[str, str, float]]:
    """Each pair of labels once, with its value; pairs without one are left out."""
    names, matrix = labels(data), _list(data, "values")
    if len(matrix) != len(names) or not all(
        isinstance(row, list | tuple) and len(row) == len(names) for row in matrix
    ):
        raise OddExhibitError("its matrix is not as wide and as high as it has labels")
    found = [
        (left, names[b], float(matrix[a][b]))
        for a, left in enumerate(names)
        for b in range(a)
        if finite(matrix[a][b])
    ]
    if not found:
        raise OddExhibitError("its matrix is empty")
    return found


# ---------------------------------------------------------------------------------------------- as a table


def table_of(exhibit: Exhibit) -> Sheet:
    """The exhibit's numbers as a table; whatever does not fit its kind is listed as it is. Never raises."""
    try:
        return _cut(*_TABLES.get(exhibit.kind, _as_it_is)(exhibit.data))
    except OddExhibitError:
        return _cut(*_as_it_is(exhibit.data))


_Raw = tuple[Sequence[str], Sequence[Sequence[Any]]]


def _plain_table(data: Mapping[str, Any]) -> _Raw:
    rows = _list(data, "rows")
    if not all(isinstance(row, list | tuple) for row in rows):
        raise OddExhibitError("its rows are not lists")
    return labels(data, "columns"), rows


def _roc_table(data: Mapping[str, Any]) -> _Raw:
    curves = roc_of(data)
    columns = ["false alarms", "members found", *list(curves)[1:]]
    return columns, list(zip(curves["attack"][0], *(y for _, y in curves.values()), strict=True))


def _bars_table(data: Mapping[str, Any]) -> _Raw:
    points = bars_of(data)
    groups = list(dict.fromkeys(point.group for point in points))
    rows: dict[str, dict[str, float]] = {}
    for point in points:
        rows.setdefault(point.label, {})[point.group] = point.value
    return ["what", *groups], [
        [label, *(found.get(group) for group in groups)] for label, found in rows.items()
    ]


def _intervals_table(data: Mapping[str, Any]) -> _Raw:
    what = labels(data)
    value, low, high = (numbers(data, key) for key in ("values", "low", "high"))
    alike(what, value, low, high)
    return ["what", "figure", "low", "high"], list(zip(what, value, low, high, strict=True))


def _lines_table(data: Mapping[str, Any]) -> _Raw:
    series = lines_of(data)
    x = next(iter(series.values()))[0]
    return [str(data.get("x_label", "x")), *series], list(
        zip(x, *(y for _, y in series.values()), strict=True)
    )


def _matrix_table(data: Mapping[str, Any]) -> _Raw:
    return ["one", "other", "value"], sorted(pairs_of(data), key=lambda pair: -abs(pair[2]))


def _as_it_is(data: Mapping[str, Any]) -> _Raw:
    return ["field", "value"], [[str(key), str(value)[:500]] for key, value in data.items()]


_TABLES = {
    "table": _plain_table,
    "roc": _roc_table,
    "bars": _bars_table,
    "histogram": _bars_table,
    "intervals": _intervals_table,
    "lines": _lines_table,
    "matrix": _matrix_table,
}


def _cut(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Sheet:
    kept = tuple(tuple(_cell(value) for value in row) for row in rows[:MOST_ROWS])
    return Sheet(columns=tuple(columns), rows=kept, left_out=len(rows) - len(kept))


def _cell(value: object) -> Cell:
    return value if value is None or type(value) in {str, int, float, bool} else str(value)  # type: ignore[return-value]


def _list(data: Mapping[str, Any], key: str) -> list[Any]:
    found = data.get(key)
    if not isinstance(found, list | tuple):
        raise OddExhibitError(f'it has no list "{key}"')
    return list(found)


def finite(value: object) -> bool:
    """Whether it is a number that can be drawn."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e300 <= value <= 1e300
