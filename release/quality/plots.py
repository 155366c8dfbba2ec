"""Exhibits as inline SVG: no script, no network, readable in print and without colour.

Rules: one function a kind, in a literal table; sizes in user units so that a browser may scale; every mark that differs by colour differs
by shape, too; text is escaped here, so the result is safe to insert. The numbers themselves stand in a table beside the plot
(`rows_of`), for those who cannot see it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from release.records import Exhibit

INK, SOFT, GRID = "var(--ink, #1b1f24)", "var(--soft, #57606a)", "var(--line, #d0d7de)"
MAIN, OTHER = "var(--mark, #0b5cad)", "var(--other, #b35900)"
"""The page's own colours, which follow its light and dark themes; what stands alone is light."""
ON_PALE = "#1b1f24"
"""Text in a pale cell of a matrix, which is pale in either theme."""
_SERIES = (
    (MAIN, ""),
    (OTHER, "6 3"),
    ("var(--s3, #3d7a3a)", "2 3"),
    ("var(--s4, #7a3d78)", "9 3 2 3"),
    ("var(--s5, #57606a)", "1 3"),
    ("var(--s6, #8a1f2d)", "4 2"),
)
_WIDTH = 720.0
_LABEL = 210.0
_ROW = 22.0


def number(value: Any) -> str:
    """A figure for people: three significant digits, no false precision; text as it is."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    value = float(value)
    if value == 0:
        return "0"
    if abs(value) >= 1e6 or abs(value) < 1e-4:
        return f"{value:.2e}"
    if abs(value) < 5e-4:
        return f"{value:.1g}"
    if abs(value) >= 100 or (value.is_integer() and abs(value) >= 2):
        return f"{value:,.0f}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def shorten(label: str, most: int = 32) -> str:
    """A label that fits; the whole one stands in the table."""
    return label if len(label) <= most else label[: most - 1] + "…"


def draw(exhibit: Exhibit) -> Markup | None:
    """The exhibit as SVG; None for tables, and for kinds that have no picture here."""
    make = _KINDS.get(exhibit.kind)
    return None if make is None else make(exhibit.title, exhibit.data)


def rows_of(exhibit: Exhibit) -> tuple[list[str], list[list[str]]]:
    """(column names, rows) of the exhibit's numbers."""
    data = exhibit.data
    if exhibit.kind == "table":
        return list(data["columns"]), [[number(cell) for cell in row] for row in data["rows"]]
    if exhibit.kind == "matrix":
        labels = list(data["labels"])
        found = [
            (left, labels[b], data["values"][a][b])
            for a, left in enumerate(labels)
            for b in range(a)
            if data["values"][a][b] is not None
        ]
        found.sort(key=lambda row: -abs(row[2]))
        return ["pair", "value"], [[f"{left} × {right}", number(value)] for left, right, value in found[:15]]
    if exhibit.kind == "lines":
        names = list(data["series"])
        # A curve of many points is read off at a dozen of them.
        step = max(1, math.ceil(len(data["x"]) / 12))
        rows = [
            [number(x), *(number(data["series"][name][place]) for name in names)]
            for place, x in enumerate(data["x"])
            if place % step == 0 or place == len(data["x"]) - 1
        ]
        return [str(data["x_label"]), *names], rows
    value_name, reference_name = data.get("names", ("value", "reference"))
    names = ["", value_name]
    columns: list[Sequence[Any]] = [data["labels"], data["values"]]
    for key, title in (("low", "at least"), ("high", "at most"), ("reference", reference_name)):
        if isinstance(data.get(key), list):
            names.append(title)
            columns.append(data[key])
    return names, [[number(cell) for cell in row] for row in zip(*columns, strict=True)]


# ---------------------------------------------------------------------------------------------- kinds


def _svg(title: str, width: float, height: float, body: Sequence[str]) -> Markup:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="{escape(title)}" style="width:100%;max-width:{width:.0f}px" font-family="inherit" font-size="12">'
    )
    return Markup(head + "".join(body) + "</svg>")  # noqa: S704 - every text in `body` went through `_text`


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    colour: str = INK,
    turn: float | None = None,
    size: float = 12,
) -> str:
    rotated = f' transform="rotate({turn:.0f} {x:.1f} {y:.1f})"' if turn is not None else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size:g}"{rotated}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1.0, dash: str = "") -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width:g}"{dashed}/>'


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers from low to high."""
    if not high > low:
        return [low]
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9) * step
    found = [first + step * k for k in range(int((high - first) / step + 1e-9) + 1)]
    return [0.0 if abs(tick) < step * 1e-9 else tick for tick in found]


def _bars(title: str, data: Mapping[str, Any]) -> Markup:
    """Horizontal bars; a reference is a vertical mark on each row."""
    labels, values = list(data["labels"]), [float(value) for value in data["values"]]
    reference = data.get("reference")
    marks = [float(value) for value in reference] if isinstance(reference, list) else []
    low, high = min(0.0, *values, *marks), max(0.0, *values, *marks) or 1.0
    scale = (_WIDTH - _LABEL - 70) / (high - low)
    height = _ROW * len(labels) + 56

    def x(value: float) -> float:
        return _LABEL + (value - low) * scale

    body = []
    for tick in ticks(low, high):
        body.append(_line(x(tick), 6, x(tick), height - 46, GRID))
        body.append(_text(x(tick), height - 30, f"{tick:g}", anchor="middle", colour=SOFT))
    for place, (label, value) in enumerate(zip(labels, values, strict=True)):
        y = 8 + place * _ROW
        left, right = sorted((x(0.0), x(value)))
        body.append(_text(_LABEL - 8, y + 14, shorten(str(label)), anchor="end"))
        body.append(
            f'<rect x="{left:.1f}" y="{y + 3:.1f}" width="{max(right - left, 0.5):.1f}" height="13" fill="{MAIN}"/>'
        )
        if marks:
            body.append(_line(x(marks[place]), y, x(marks[place]), y + 19, OTHER, 3))
        # The bar's own number stands at the bar's end, unless the mark is in the way.
        mark = x(marks[place]) if marks else right
        place_of_text = mark if right - 4 <= mark <= right + 48 else right
        body.append(_text(max(right, place_of_text) + 6, y + 14, number(value), colour=SOFT, size=11))
    value_name, reference_name = data.get("names", ("value", "reference"))
    legend = [(f"bar: {value_name}", MAIN)] + ([(f"mark: {reference_name}", OTHER)] if marks else [])
    body.append(_legend(height - 10, legend))
    return _svg(title, _WIDTH, height, body)


def _intervals(title: str, data: Mapping[str, Any]) -> Markup:
    """Points with intervals on a logarithmic axis, against one reference line (ratios)."""
    labels = list(data["labels"])
    values, lows, highs = ([max(float(v), 1e-3) for v in data[key]] for key in ("values", "low", "high"))
    reference = float(data["reference"])
    low, high = math.log(min(0.5, *lows)), math.log(max(2.0, *highs))
    scale = (_WIDTH - _LABEL - 70) / (high - low)
    height = _ROW * len(labels) + 56

    def x(value: float) -> float:
        return _LABEL + (math.log(value) - low) * scale

    body = []
    for tick in (0.001, 0.01, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 1000.0):
        if low - 1e-9 <= math.log(tick) <= high + 1e-9:
            body.append(_line(x(tick), 6, x(tick), height - 46, GRID))
            body.append(_text(x(tick), height - 30, f"{tick:g}", anchor="middle", colour=SOFT))
    body.append(_line(x(reference), 4, x(reference), height - 46, OTHER, 2, "5 3"))
    for place, label in enumerate(labels):
        y = 8 + place * _ROW + 9
        body.append(_text(_LABEL - 8, y + 5, shorten(str(label)), anchor="end"))
        body.append(_line(x(lows[place]), y, x(highs[place]), y, MAIN, 2.5))
        body.append(f'<circle cx="{x(values[place]):.1f}" cy="{y:.1f}" r="4.5" fill="{MAIN}"/>')
        body.append(_text(x(highs[place]) + 6, y + 5, number(values[place]), colour=SOFT, size=11))
    body.append(
        _legend(height - 10, [("point and 95 % ends", MAIN), ("dashed: as in the real table", OTHER)])
    )
    return _svg(title, _WIDTH, height, body)


def _lines(title: str, data: Mapping[str, Any]) -> Markup:
    """Lines over a common x, with bands where given."""
    xs = [float(value) for value in data["x"]]
    series: Mapping[str, Sequence[float | None]] = data["series"]
    bands: Mapping[str, Sequence[Sequence[float | None]]] = data.get("bands", {})
    flat = [float(v) for line in series.values() for v in line if v is not None]
    flat += [float(v) for band in bands.values() for pair in band for v in pair if v is not None]
    if not flat:
        return Markup("")
    low, high = min(flat), max(flat)
    pad = (high - low) * 0.06 or 0.5
    low, high = low - pad, high + pad
    left, top, height, legend = 70.0, 12.0, 300.0, 18.0 * len(series) + 30
    bottom = height - 44
    span = (max(xs) - min(xs)) or 1.0

    def px(value: float) -> float:
        return left + (value - min(xs)) / span * (_WIDTH - left - 24)

    def py(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - top)

    body = []
    for tick in ticks(low, high):
        body.append(_line(left, py(tick), _WIDTH - 24, py(tick), GRID))
        body.append(_text(left - 8, py(tick) + 4, f"{tick:g}", anchor="end", colour=SOFT))
    for tick in xs if len(xs) <= 8 else ticks(min(xs), max(xs)):
        body.append(_text(px(tick), bottom + 18, f"{tick:g}", anchor="middle", colour=SOFT))
    body.append(_text((left + _WIDTH) / 2, bottom + 36, str(data["x_label"]), anchor="middle", colour=SOFT))
    body.append(_text(16, (top + bottom) / 2, str(data["y_label"]), anchor="middle", colour=SOFT, turn=-90))
    for place, (name, line) in enumerate(series.items()):
        colour, dash = _SERIES[place % len(_SERIES)]
        if name in bands:
            for x_value, pair in zip(xs, bands[name], strict=True):
                if pair[0] is not None and pair[1] is not None:
                    shift = px(x_value) + 3.0 * (place - (len(series) - 1) / 2)
                    body.append(_line(shift, py(pair[0]), shift, py(pair[1]), colour, 1.2))
        points = [
            (px(x_value), py(value)) for x_value, value in zip(xs, line, strict=True) if value is not None
        ]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.2"{dashed}/>')
        if len(points) <= 12:
            body += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.2" fill="{colour}"/>' for a, b in points]
        y = height + 12 + 18 * place
        body.append(_line(left, y, left + 34, y, colour, 2.2, dash))
        body.append(_text(left + 42, y + 4, shorten(name, 60)))
    return _svg(title, _WIDTH, height + legend, body)


def _matrix(title: str, data: Mapping[str, Any]) -> Markup:
    """A heat map of the lower triangle; darker is larger; the largest cells carry their number."""
    labels = list(data["labels"])
    values: Sequence[Sequence[float | None]] = data["values"]
    flat = [abs(float(v)) for row in values for v in row if v is not None]
    if not flat:
        return Markup("")
    top = max(flat) or 1.0
    cell = max(14.0, min(34.0, (_WIDTH - _LABEL) / max(len(labels), 1)))
    width, height = _LABEL + cell * len(labels) + 110, cell * len(labels) + 150
    shown = sorted(flat, reverse=True)[: max(3, len(flat) // 20)][-1] if cell >= 24 else math.inf
    body = []
    for a, label in enumerate(labels):
        y = 6 + a * cell
        body.append(
            _text(
                _LABEL - 8, y + cell * 0.68, shorten(str(label), 28), anchor="end", size=min(12, cell * 0.8)
            )
        )
        for b in range(a):
            value = values[a][b]
            if value is None:
                continue
            depth = min(1.0, abs(float(value)) / top)
            body.append(
                f'<rect x="{_LABEL + b * cell:.1f}" y="{y:.1f}" width="{cell - 1:.1f}" height="{cell - 1:.1f}" fill="{_shade(depth)}">'
                f"<title>{escape(label)} × {escape(labels[b])}: {number(value)}</title></rect>"
            )
            if abs(float(value)) >= shown:
                colour = "#ffffff" if depth > 0.5 else ON_PALE
                body.append(
                    _text(
                        _LABEL + (b + 0.5) * cell,
                        y + cell * 0.64,
                        f"{value:.2f}",
                        anchor="middle",
                        colour=colour,
                        size=9,
                    )
                )
    for b, label in enumerate(labels[:-1]):
        x, y = _LABEL + (b + 0.6) * cell, 12 + len(labels) * cell
        body.append(_text(x, y, shorten(str(label), 20), anchor="end", turn=-55, size=min(11, cell * 0.8)))
    for step in range(5):
        y = 10 + step * 16
        x = _LABEL + cell * len(labels) + 14
        body.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="14" height="14" fill="{_shade(1 - step / 4)}"/>')
        body.append(_text(x + 20, y + 11, number(top * (1 - step / 4)), colour=SOFT, size=11))
    return _svg(title, width, height, body)


def _shade(depth: float) -> str:
    """White to dark blue; even steps in lightness, so that it survives a grey printer."""
    low, high = (246, 248, 250), (8, 58, 115)
    return "#" + "".join(f"{round(a + (b - a) * depth):02x}" for a, b in zip(low, high, strict=True))


def _legend(y: float, entries: Sequence[tuple[str, str]]) -> str:
    parts, x = [], _LABEL
    for text, colour in entries:
        parts.append(f'<rect x="{x:.1f}" y="{y - 9:.1f}" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(x + 16, y, text, colour=SOFT, size=11))
        x += 30 + 6.6 * len(text)
    return "".join(parts)


_KINDS: Mapping[str, Callable[[str, Mapping[str, Any]], Markup]] = {
    "bars": _bars,
    "histogram": _bars,
    "intervals": _intervals,
    "lines": _lines,
    "matrix": _matrix,
}
