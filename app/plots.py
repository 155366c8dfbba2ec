"""Exhibits and findings as Altair charts for the review app; the numbers always stand in a table beside them.

The printed reports draw the same exhibits as still SVG (`release.quality.plots`); here one can hover. Names of columns and
subjects are data in a chart, never its field names or its title, so none of them is read as an expression.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import altair as alt

from app.exhibits import (
    CONTROLS,
    MEMBERS,
    OddExhibitError,
    alike,
    bars_of,
    finite,
    labels,
    lines_of,
    numbers,
    pairs_of,
    roc_of,
)
from app.margins import Margin
from app.rendering import figure
from release.records import Exhibit, Ruling

_PAIR = alt.Scale(range=["#0b5cad", "#d97706"])
_RULINGS = alt.Scale(
    domain=[ruling.value for ruling in (Ruling.MET, Ruling.UNPROVEN, Ruling.INVALID, Ruling.BROKEN)],
    range=["#2da44e", "#b8860b", "#8957e5", "#d1242f"],
)
_SHAPES = alt.Scale(domain=_RULINGS.domain, range=["circle", "diamond", "cross", "square"])
_BAR = 26
_MOST_BARS = 40
_MOST_CELLS = 40
FARTHEST = 2.5
_FLOOR = 1e-4
_RATIO_FLOOR = 1e-3

Drawing = Any
"""An Altair chart; its classes for layers, facets and single charts have no common type."""


def chart_of(exhibit: Exhibit) -> Drawing | None:
    """The exhibit drawn by its kind; None for tables, and where its data does not fit its kind."""
    draw = _KINDS.get(exhibit.kind)
    if draw is None:
        return None
    try:
        return _finished(draw(exhibit.data), exhibit.takeaway)
    except OddExhibitError:
        return None


def margin_chart(found: Sequence[Margin]) -> Drawing | None:
    """Each interval on one scale, with the limit as a line at 100 %. None where nothing has a margin."""
    if not found:
        return None
    rows = [
        {
            "finding": _short(f"{margin.finding.rule} {margin.finding.subject}".strip()),
            "ruling": margin.finding.ruling.value,
            "low": min(margin.low, FARTHEST),
            "estimate": min(margin.estimate, FARTHEST),
            "high": min(margin.high, FARTHEST),
            "figure": figure(margin.finding.value),
            "limit": margin.finding.limit.rpartition(": ")[2],
        }
        for margin in found
    ]
    reach = max(1.15, *(row["high"] for row in rows))
    scale = alt.Scale(domain=[0.0, reach], nice=False)
    base = _chart(rows).encode(
        y=alt.Y("finding:N", title=None, sort=None, axis=alt.Axis(labelLimit=170)),
        color=alt.Color("ruling:N", scale=_RULINGS, title=None, legend=None),
        tooltip=[alt.Tooltip(f"{name}:N") for name in ("finding", "ruling", "figure", "limit")],
    )
    axis = alt.Axis(format=".0%", tickCount=5)
    return _finished(
        alt.layer(
            base.mark_rule(strokeWidth=4, opacity=0.75).encode(
                x=alt.X("low:Q", scale=scale, title="share of the limit used", axis=axis), x2="high:Q"
            ),
            base.mark_point(filled=True, size=80, opacity=1).encode(
                x=alt.X("estimate:Q", scale=scale),
                shape=alt.Shape("ruling:N", scale=_SHAPES, title=None, legend=alt.Legend(orient="bottom")),
            ),
            _chart([{"limit": 1.0}])
            .mark_rule(strokeDash=[6, 4], strokeWidth=2, color="#d1242f")
            .encode(x=alt.X("limit:Q", scale=scale)),
        ).properties(height=alt.Step(_BAR)),
        "How much of each limit is used up, with intervals; the dashed line is the limit.",
    )


# ---------------------------------------------------------------------------------------------- kinds


def _roc(data: Mapping[str, Any]) -> Drawing:
    """Log-log ROC, with what (ε, δ) allows and with guessing."""
    curves = {**roc_of(data), "guessing": ([_FLOOR, 1.0], [_FLOOR, 1.0])}
    rows = [
        {"fpr": max(x, _FLOOR), "tpr": max(y, _FLOOR), "curve": name}
        for name, (xs, ys) in curves.items()
        for x, y in zip(xs, ys, strict=True)
    ]
    scale = alt.Scale(type="log", domain=[_FLOOR, 1.0], clamp=True)
    axis = alt.Axis(values=[1e-4, 1e-3, 1e-2, 0.1, 1.0], format="~%")
    legend = alt.Legend(orient="bottom", columns=1, labelLimit=260)
    order = ["attack", "most that the claimed ε allows", "guessing"]
    colours = alt.Scale(domain=order, range=["#0b7bd4", "#d1242f", "#8b949e"])
    dashes = alt.Scale(domain=order, range=[[1, 0], [8, 4], [2, 3]])
    return (
        _chart(rows)
        .mark_line(strokeWidth=2.5)
        .encode(
            x=alt.X("fpr:Q", scale=scale, axis=axis, title="false alarms among controls"),
            y=alt.Y("tpr:Q", scale=scale, axis=axis, title="members found"),
            color=alt.Color("curve:N", scale=colours, title=None, legend=legend),
            strokeDash=alt.StrokeDash("curve:N", scale=dashes, title=None, legend=legend),
            tooltip=[
                alt.Tooltip("curve:N"),
                alt.Tooltip("fpr:Q", format=".4f", title="false alarms"),
                alt.Tooltip("tpr:Q", format=".4f", title="members found"),
            ],
        )
        .properties(height=360)
    )


def _bars(data: Mapping[str, Any]) -> Drawing:
    """Members beside controls, or figures beside their reference."""
    points = bars_of(data)
    kept = list(dict.fromkeys(point.label for point in points))[:_MOST_BARS]
    groups = list(dict.fromkeys(point.group for point in points))
    rows = [
        {"what": point.label, "group": point.group, "value": point.value}
        for point in points
        if point.label in set(kept)
    ]
    return (
        _chart(rows)
        .mark_bar()
        .encode(
            y=alt.Y("what:N", title=None, sort=None, axis=alt.Axis(labelLimit=150)),
            yOffset=alt.YOffset("group:N", sort=groups),
            x=alt.X("value:Q", title=_axis(groups), scale=_from_zero([point.value for point in points])),
            color=alt.Color(
                "group:N",
                sort=groups,
                scale=_PAIR,
                title=None,
                legend=alt.Legend(orient="bottom") if len(groups) > 1 else None,
            ),
            tooltip=[alt.Tooltip("what:N"), alt.Tooltip("group:N"), alt.Tooltip("value:Q", format=".4f")],
        )
        .properties(height=alt.Step(12 if len(groups) > 1 else 20))
    )


def _axis(groups: Sequence[str]) -> str:
    if set(groups) <= {MEMBERS, CONTROLS}:
        return "share"
    return groups[0] if len(groups) == 1 else "value"


def _from_zero(values: Sequence[float]) -> alt.Scale:
    """From 0 to the largest; where all are 0, the bars stand at the left end and not in the middle."""
    return alt.Scale() if any(values) else alt.Scale(domain=[0.0, 0.01])


def _intervals(data: Mapping[str, Any]) -> Drawing:
    """Ratios with their ends on a logarithmic axis; the line is "as in the real table"."""
    what = labels(data)
    low, value, high = (numbers(data, key) for key in ("low", "values", "high"))
    alike(what, low, value, high)
    rows = [
        {
            "what": name,
            **{key: max(x, _RATIO_FLOOR) for key, x in zip(("low", "value", "high"), ends, strict=True)},
        }
        for name, *ends in list(zip(what, low, value, high, strict=True))[:_MOST_BARS]
    ]
    reference: Any = data.get("reference")
    if not finite(reference) or not reference > 0:
        raise OddExhibitError("its reference is not a positive number")
    base = _chart(rows).encode(
        y=alt.Y("what:N", title=None, sort=None, axis=alt.Axis(labelLimit=150)),
        tooltip=[
            alt.Tooltip("what:N"),
            *(alt.Tooltip(f"{key}:Q", format=".3f") for key in ("value", "low", "high")),
        ],
    )
    scale = alt.Scale(type="log")
    return alt.layer(
        base.mark_rule(strokeWidth=3, color="#0b7bd4").encode(
            x=alt.X("low:Q", scale=scale, title="ratio"), x2="high:Q"
        ),
        base.mark_point(filled=True, size=90, color="#0b7bd4", opacity=1).encode(
            x=alt.X("value:Q", scale=scale)
        ),
        _chart([{"reference": float(reference)}])
        .mark_rule(strokeDash=[5, 4], color="#8b949e", strokeWidth=2)
        .encode(x=alt.X("reference:Q", scale=scale)),
    ).properties(height=alt.Step(_BAR))


def _lines(data: Mapping[str, Any]) -> Drawing:
    series = lines_of(data)
    rows = [
        {"x": x, "y": y, "series": name}
        for name, (xs, ys) in series.items()
        for x, y in zip(xs, ys, strict=True)
    ]
    legend = alt.Legend(orient="bottom", columns=1, labelLimit=260)
    return (
        _chart(rows)
        .mark_line(point=True)
        .encode(
            x=alt.X("x:Q", title=str(data.get("x_label", ""))),
            y=alt.Y("y:Q", title=str(data.get("y_label", "")), scale=alt.Scale(zero=False)),
            color=alt.Color("series:N", sort=list(series), title=None, legend=legend),
            strokeDash=alt.StrokeDash("series:N", sort=list(series), title=None, legend=legend),
            tooltip=[alt.Tooltip("series:N"), alt.Tooltip("x:Q"), alt.Tooltip("y:Q", format=".4f")],
        )
        .properties(height=320)
    )


def _matrix(data: Mapping[str, Any]) -> Drawing:
    pairs = pairs_of(data)
    names = list(dict.fromkeys(name for pair in pairs for name in pair[:2]))
    if len(names) > _MOST_CELLS:
        raise OddExhibitError("it has too many labels to be drawn; its table is sorted by size")
    rows = [{"left": left, "right": right, "value": value} for left, right, value in pairs]
    axis = alt.Axis(labelLimit=110)
    return (
        _chart(rows)
        .mark_rect()
        .encode(
            x=alt.X("right:N", title=None, sort=None, axis=axis),
            y=alt.Y("left:N", title=None, sort=None, axis=axis),
            color=alt.Color("value:Q", scale=alt.Scale(scheme="blues"), title=None),
            tooltip=[alt.Tooltip("left:N"), alt.Tooltip("right:N"), alt.Tooltip("value:Q", format=".4f")],
        )
        .properties(height=alt.Step(20))
    )


_KINDS: dict[str, Callable[[Mapping[str, Any]], Drawing]] = {
    "roc": _roc,
    "bars": _bars,
    "intervals": _intervals,
    "lines": _lines,
    "matrix": _matrix,
    "histogram": _bars,
}


def _chart(rows: list[dict[str, Any]]) -> Drawing:
    """A chart of plain values."""
    return alt.Chart(alt.Data(values=rows))  # type: ignore[no-untyped-call]


def _finished(chart: Drawing, description: str) -> Drawing:
    """With words for those who cannot see it, and without a menu that would save it."""
    return chart.properties(
        description=description, usermeta={"embedOptions": {"actions": False}}, background="transparent"
    )


def _short(text: str) -> str:
    return text if len(text) <= 34 else text[:33] + "…"
