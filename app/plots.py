"""Exhibits and findings as Altair charts for the review app; the numbers always stand in a table beside them.

The printed reports draw the same exhibits as still SVG (`release.quality.plots`); here one can hover and zoom.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from release.records import Exhibit, Finding, Measured

MEMBERS, CONTROLS = "members", "controls"
_PAIR = alt.Scale(range=["#0b5cad", "#d97706"])
_HEIGHT = 26

Drawing = Any
"""An Altair chart; its classes for layers, facets and single charts have no common type."""


def chart_of(exhibit: Exhibit) -> Drawing | None:
    """The exhibit drawn by its kind; None for tables and for an exhibit without data."""
    draw = _KINDS.get(exhibit.kind)
    return None if draw is None else draw(exhibit.data)


def table_of(exhibit: Exhibit) -> pd.DataFrame:
    """The exhibit's numbers as a table."""
    data = exhibit.data
    if exhibit.kind == "table":
        return pd.DataFrame(data["rows"], columns=_unlike(data["columns"]))
    if exhibit.kind == "roc":
        frame = pd.DataFrame({"false alarms": data["fpr"], "members found": data["tpr"]})
        if data.get("ceiling"):
            frame["most that the claim allows"] = data["ceiling"]
        return frame
    if exhibit.kind == "matrix":
        return _pairs(data).sort_values("value", ascending=False, key=abs, ignore_index=True)
    if exhibit.kind == "lines":
        return pd.DataFrame({str(data.get("x_label", "x")): data["x"], **data["series"]})
    if "bars" in data:
        return pd.DataFrame(data["bars"])
    return pd.DataFrame({key: data[key] for key in _columns(data)})


def interval_chart(findings: Sequence[Finding]) -> Drawing | None:
    """Each finding's interval, as a dot with its ends. Where nothing was measured there is no line."""
    rows = [
        {
            "finding": f"{finding.rule} {finding.subject}".strip(),
            "ruling": finding.ruling.value,
            "estimate": finding.value.estimate,
            "low": finding.value.low,
            "high": finding.value.high,
            "limit": finding.limit.rpartition(": ")[2],
        }
        for finding in findings
        if isinstance(finding.value, Measured)
    ]
    if not rows:
        return None
    frame = pd.DataFrame(rows)
    base = alt.Chart(frame).encode(y=alt.Y("finding:N", title=None, sort=None, axis=alt.Axis(labelLimit=260)))
    tip = [
        "finding",
        "ruling",
        alt.Tooltip("estimate:Q", format=".4f"),
        alt.Tooltip("low:Q", format=".4f"),
        alt.Tooltip("high:Q", format=".4f"),
        "limit",
    ]
    line = base.mark_rule(strokeWidth=3).encode(
        x=alt.X("low:Q", title="95 % interval"), x2="high:Q", tooltip=tip
    )
    dot = base.mark_point(filled=True, size=90).encode(
        x="estimate:Q", shape=alt.Shape("ruling:N", title="ruling"), tooltip=tip
    )
    return alt.layer(line, dot).properties(height=alt.Step(_HEIGHT))


# ---------------------------------------------------------------------------------------------- kinds


def _roc(data: Mapping[str, Any]) -> Drawing:
    """Log-log ROC; the dashed line is what (ε, δ) allows, the dotted one is guessing."""
    floor = 1e-4
    curves = [(data["fpr"], data["tpr"], "attack"), ([floor, 1.0], [floor, 1.0], "guessing")]
    if data.get("ceiling"):
        curves.append((data["fpr"], data["ceiling"], "most that the claim allows"))
    frame = pd.concat(
        pd.DataFrame({"fpr": [max(v, floor) for v in x], "tpr": [max(v, floor) for v in y], "curve": name})
        for x, y, name in curves
    )
    scale = alt.Scale(type="log", domain=[floor, 1.0])
    return alt.layer(
        alt.Chart(frame)
        .mark_line(strokeWidth=2.5)
        .encode(
            x=alt.X("fpr:Q", scale=scale, title="false alarms among controls"),
            y=alt.Y("tpr:Q", scale=scale, title="members found"),
            strokeDash=alt.StrokeDash("curve:N", title=None, legend=alt.Legend(orient="bottom")),
            color=alt.Color("curve:N", title=None, legend=alt.Legend(orient="bottom")),
            tooltip=["curve", alt.Tooltip("fpr:Q", format=".4f"), alt.Tooltip("tpr:Q", format=".4f")],
        )
    ).properties(height=340)


def _bars(data: Mapping[str, Any]) -> Drawing | None:
    """Members beside controls, or figures beside their reference."""
    if "bars" in data:
        rows = [
            {"what": bar["what"], "group": group, "share": bar[group]}
            for bar in data["bars"]
            for group in (MEMBERS, CONTROLS)
            if group in bar
        ]
        axis = "share"
    else:
        names = list(data.get("names", ("value", "reference")))
        rows = [
            {"what": label, "group": name, "share": value}
            for key, name in zip(("values", "reference"), names, strict=False)
            if isinstance(data.get(key), list)
            for label, value in zip(data["labels"], data[key], strict=True)
        ]
        axis = names[0]
    if not rows:
        return None
    return (
        alt.Chart(pd.DataFrame(rows))
        .mark_bar()
        .encode(
            y=alt.Y("what:N", title=None, sort=None, axis=alt.Axis(labelLimit=200)),
            yOffset=alt.YOffset("group:N", sort=None),
            x=alt.X("share:Q", title=axis),
            color=alt.Color(
                "group:N", sort=None, scale=_PAIR, title=None, legend=alt.Legend(orient="bottom")
            ),
            tooltip=["what", "group", alt.Tooltip("share:Q", format=".4f")],
        )
        .properties(height=alt.Step(16))
    )


def _intervals(data: Mapping[str, Any]) -> Drawing:
    """Ratios with their ends on a logarithmic axis; the line is "as in the real table"."""
    frame = pd.DataFrame({key: data[key] for key in ("labels", "values", "low", "high")})
    frame[["values", "low", "high"]] = frame[["values", "low", "high"]].clip(lower=1e-3)
    base = alt.Chart(frame).encode(y=alt.Y("labels:N", title=None, sort=None, axis=alt.Axis(labelLimit=200)))
    scale = alt.Scale(type="log")
    return alt.layer(
        base.mark_rule(strokeWidth=3).encode(x=alt.X("low:Q", scale=scale, title="ratio"), x2="high:Q"),
        base.mark_point(filled=True, size=90).encode(
            x=alt.X("values:Q", scale=scale), tooltip=["labels", "values", "low", "high"]
        ),
        alt.Chart(pd.DataFrame({"reference": [float(data["reference"])]}))
        .mark_rule(strokeDash=[5, 4])
        .encode(x="reference:Q"),
    ).properties(height=alt.Step(_HEIGHT))


def _lines(data: Mapping[str, Any]) -> Drawing:
    frame = pd.DataFrame({"x": data["x"], **data["series"]}).melt("x", var_name="series", value_name="value")
    return (
        alt.Chart(frame)
        .mark_line(point=True)
        .encode(
            x=alt.X("x:Q", title=str(data.get("x_label", ""))),
            y=alt.Y("value:Q", title=str(data.get("y_label", "")), scale=alt.Scale(zero=False)),
            color=alt.Color("series:N", sort=None, title=None, legend=alt.Legend(orient="bottom")),
            strokeDash=alt.StrokeDash("series:N", sort=None, title=None),
            tooltip=["series", "x", alt.Tooltip("value:Q", format=".4f")],
        )
        .properties(height=320)
    )


def _matrix(data: Mapping[str, Any]) -> Drawing | None:
    frame = _pairs(data)
    if frame.empty:
        return None
    return (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            x=alt.X("right:N", title=None, sort=None),
            y=alt.Y("left:N", title=None, sort=None),
            color=alt.Color("value:Q", scale=alt.Scale(scheme="blues"), title=None),
            tooltip=["left", "right", alt.Tooltip("value:Q", format=".4f")],
        )
        .properties(height=alt.Step(20))
    )


def _histogram(data: Mapping[str, Any]) -> Drawing | None:
    return _bars({"labels": data["labels"], "values": data["values"], "names": ("share", "")})


_KINDS: dict[str, Callable[[Mapping[str, Any]], Drawing | None]] = {
    "roc": _roc,
    "bars": _bars,
    "intervals": _intervals,
    "lines": _lines,
    "matrix": _matrix,
    "histogram": _histogram,
}


def _pairs(data: Mapping[str, Any]) -> pd.DataFrame:
    labels = [str(label) for label in data["labels"]]
    rows = [
        (left, labels[b], data["values"][a][b])
        for a, left in enumerate(labels)
        for b in range(a)
        if data["values"][a][b] is not None
    ]
    return pd.DataFrame(rows, columns=["left", "right", "value"])


def _columns(data: Mapping[str, Any]) -> list[str]:
    return [
        key for key in ("labels", "values", "low", "high", "reference") if isinstance(data.get(key), list)
    ]


def _unlike(names: Sequence[object]) -> list[str]:
    """Column titles, made different from each other by blanks (a table of pandas needs that)."""
    found: list[str] = []
    for name in names:
        title = str(name)
        while title in found:
            title += " "
        found.append(title)
    return found
