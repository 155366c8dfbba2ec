"""Exhibits of the review app: what fits its kind is drawn, what does not is listed, nothing raises."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from app import exhibits, panels, plots
from release.records import Exhibit
from tests.app.review_place import EXHIBITS, HOSTILE_COLUMN, ODD_EXHIBITS

KINDS = ("roc", "bars", "histogram", "intervals", "lines", "matrix", "table", "hologram")
FIELDS = (
    "fpr", "tpr", "ceiling", "bars", "labels", "values", "low", "high", "reference", "names", "x", "series", "columns", "rows",
)  # fmt: skip


def exhibit(kind, data):
    return Exhibit(probe="p", title="t", kind=kind, takeaway="what to take", data=data)


@pytest.mark.parametrize("name", EXHIBITS)
def test_each_kind_is_drawn(name):
    kind, data = EXHIBITS[name]
    drawing = plots.chart_of(exhibit(kind, data))
    if kind == "table":
        assert drawing is None
    else:
        specification = drawing.to_dict()
        assert specification["description"] == "what to take"
        assert specification["usermeta"] == {"embedOptions": {"actions": False}}
    assert exhibits.table_of(exhibit(kind, data)).rows


@pytest.mark.parametrize("name", ODD_EXHIBITS)
def test_an_odd_one_is_not_drawn_but_listed(name):
    kind, data = ODD_EXHIBITS[name]
    assert plots.chart_of(exhibit(kind, data)) is None
    found = exhibits.table_of(exhibit(kind, data))
    if name == "no reference":  # its other numbers make a table
        assert found.columns == ("what", "figure", "low", "high")
        return
    assert found.columns == ("field", "value")
    assert [row[0] for row in found.rows] == list(data)


json_values = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=5),
    lambda inner: (
        some.lists(inner, max_size=3) | some.dictionaries(some.sampled_from(["what", "members", "a"]), inner)
    ),
    max_leaves=12,
)


@given(
    kind=some.sampled_from(KINDS), data=some.dictionaries(some.sampled_from(FIELDS), json_values, max_size=6)
)
def test_whatever_is_stored_a_page_stands(kind, data):
    found = exhibit(kind, data)
    drawing = plots.chart_of(found)
    if drawing is not None:
        json.dumps(drawing.to_dict(), allow_nan=False)
    sheet = exhibits.table_of(found)
    panels.table(sheet.columns, sheet.rows, caption="c")


@pytest.mark.parametrize("reference", [float("inf"), float("nan"), 0, -1, "1", True])
def test_a_reference_that_is_no_ratio_is_not_drawn(reference):
    data = {**EXHIBITS["intervals"][1], "reference": reference}
    assert plots.chart_of(exhibit("intervals", data)) is None


def test_a_roc_has_the_ceiling_of_the_claim():
    kind, data = EXHIBITS["roc"]
    rows = plots.chart_of(exhibit(kind, data)).to_dict()
    curves = {row["curve"] for row in rows["data"]["values"]}
    assert curves == {"attack", "most that the claimed ε allows", "guessing"}
    sheet = exhibits.table_of(exhibit(kind, data))
    assert sheet.columns == ("false alarms", "members found", "most that the claimed ε allows")


def test_names_are_data_and_never_fields():
    """Vega reads brackets and dots in field names; in values it reads nothing."""
    specification = plots.chart_of(exhibit(*EXHIBITS["lines"])).to_dict()
    assert HOSTILE_COLUMN in {row["series"] for row in specification["data"]["values"]}
    assert HOSTILE_COLUMN not in json.dumps(specification["encoding"]["x"])
    assert {specification["encoding"][channel]["field"] for channel in ("x", "y", "color")} == {
        "x",
        "y",
        "series",
    }


def test_a_long_table_is_cut_and_says_so():
    sheet = exhibits.table_of(exhibit("table", {"columns": ["n"], "rows": [[n] for n in range(500)]}))
    assert (len(sheet.rows), sheet.left_out) == (exhibits.MOST_ROWS, 500 - exhibits.MOST_ROWS)


@given(some.text())
def test_text_in_a_panel_stays_text(text):
    """Whatever is put in comes out escaped: no tag, no attribute, no entity of its own."""
    found = panels.table((text,), [(text,)], caption=text, wide=True)
    found += panels.badge(text, panels.Tone.BAD) + panels.facts([(text, text)]) + panels.with_code(text)
    plain = panels.table(("x",), [("x",)], caption="x", wide=True)
    plain += (
        panels.badge("x", panels.Tone.BAD)
        + panels.facts([("x", "x")])
        + panels.with_code("x`" * text.count("`"))
    )
    for sign in "<>":
        assert found.count(sign) == plain.count(sign) or text.count("`")
    if not text.count("`"):
        assert found.count('"') == plain.count('"')


def test_cells_read_well():
    assert [panels.shown(cell) for cell in (None, True, False, 1234567, 0.123456, "a")] == [
        "", "yes", "no", "1,234,567", "0.1235", "a",
    ]  # fmt: skip


def test_rows_of_the_wrong_length_are_filled_or_cut():
    found = panels.table(("a", "b"), [("1",), ("1", "2", "3")], caption="c")
    assert found.count("<td") == 4
    assert ">3<" not in found
