"""The table itself, and the schema's own rules: what cannot be said is refused when it is said."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from release.data.schema import (
    OUTSIDE_LEVEL,
    ColumnKind,
    ColumnSpec,
    Provenance,
    Role,
    Schema,
    Unit,
    columns_of,
    require_plannable,
)
from release.data.table import Column, Table, concatenate, recode
from release.errors import PlanError
from release.records import Kind
from tests.builders import make_schema, make_table, random_table

SCHEMA = make_schema(
    sex={"kind": "categorical", "domain": {"values": ["f", "m"]}, "missing": [{"code": ""}, {"code": "?"}]},
    size={"kind": "ordinal", "domain": {"values": ["s", "l"]}},
    ward={"kind": "code"},
    age={"kind": "integer", "missing": [{"code": ""}]},
    dose={"kind": "real", "missing": [{"code": ""}, {"code": "refused"}]},
    born={"kind": "date", "missing": [{"code": ""}]},
    seen={"kind": "datetime", "missing": [{"code": ""}, {"code": "never"}]},
)
DATA: dict[str, list[Any]] = {
    "sex": ["f", "?", None],
    "size": ["s", "l", "s"],
    "ward": ["w2", "w1", "w2"],
    "age": [30, None, 50],
    "dose": ["1.5", "refused", None],
    "born": ["1970-01-02", None, "0999-12-31"],
    "seen": ["1970-01-01T00:00:09", "never", None],
}


def test_a_frame_shows_what_an_analyst_expects() -> None:
    frame = make_table(SCHEMA, DATA).to_frame()
    assert frame["sex"].tolist()[:2] == ["f", "?"]
    assert frame["sex"].isna().tolist() == [False, False, True]
    assert frame["size"].cat.ordered
    assert frame["age"].tolist()[::2] == [30, 50]
    assert frame["age"].isna().tolist() == [False, True, False]
    assert frame["dose"].tolist()[:2] == ["1.5", "refused"]
    assert frame["born"].iloc[0] == pd.Timestamp("1970-01-02")
    assert frame["seen"].tolist()[:2] == ["1970-01-01T00:00:09", "never"]
    assert frame["seen"].isna().tolist() == [False, False, True]


def test_rows_units_and_names() -> None:
    schema = make_schema(unit="who", max_rows=2, sex=["f", "m"])
    table = make_table(schema, {"who": ["a", "b", "a", "c"], "sex": ["f", "m", "m", "f"]})
    assert (len(table), table.n_units) == (4, 3)
    assert table.take(np.array([3, 0]))["sex"].values.tolist() == [0, 0]
    assert table.take_units([0]).units.tolist() == [0, 0]
    assert table.take(table["sex"].values == 1).units.tolist() == [1, 0]
    with pytest.raises(KeyError):
        table["who"]


def test_tables_below_each_other_keep_units_apart() -> None:
    schema = make_schema(unit="who", max_rows=2, ward={"kind": "code"}, sex=["f", "m"])
    one = make_table(schema, {"who": ["a", "a"], "ward": ["x", "y"], "sex": ["f", "odd"]})
    two = make_table(schema, {"who": ["a", "b"], "ward": ["z", "x"], "sex": ["m", "f"]})
    both = concatenate([one, two])
    assert both.units.tolist() == [0, 0, 1, 2]
    assert [both["ward"].levels[code] for code in both["ward"].values] == ["x", "y", "z", "x"]
    assert both["sex"].levels == ("f", "m", OUTSIDE_LEVEL)
    assert both["sex"].values.tolist() == [0, 2, 1, 0]
    with pytest.raises(ValueError, match="different schemas"):
        concatenate([one, random_table(make_schema(sex=["f", "m"]), 2, np.random.default_rng(0))])


def test_recoding_to_other_levels() -> None:
    column = Column(np.array([0, 1, -1], dtype=np.int32), np.array([0, 0, 1], dtype=np.uint8), ("a", "b"))
    assert recode(column, ("b", OUTSIDE_LEVEL)).tolist() == [1, 0, -1]
    assert recode(column, ("b", "a")).tolist() == [1, 0, -1]
    with pytest.raises(ValueError, match="not among the new ones"):
        recode(column, ("b",))


def test_columns_that_do_not_fit() -> None:
    good = make_table(make_schema(sex=["f", "m"]), {"sex": ["f", "m"]})
    with pytest.raises(ValueError, match="vectors of one length"):
        Column(np.zeros(2), np.zeros(3, dtype=np.uint8))
    with pytest.raises(ValueError, match="released columns"):
        Table(good.schema, {"gender": good["sex"]}, good.units)
    with pytest.raises(ValueError, match="differ in length"):
        Table(good.schema, good.columns, np.zeros(3, dtype=np.int64))


BAD_COLUMNS: dict[str, tuple[dict[str, Any], str]] = {
    "white space": ({"name": " sex", "kind": "code"}, "white space"),
    "a role twice": ({"kind": "code", "roles": ["target", "target"]}, "a role stands twice"),
    "a missing code twice": ({"kind": "code", "missing": [{"code": "?"}, {"code": "?"}]}, "a missing code stands twice"),
    "a value twice": ({"domain": {"values": ["a", "a"]}}, "lists a value twice"),
    "our own level": ({"domain": {"values": [OUTSIDE_LEVEL]}}, "is reserved"),
    "a range for categories": ({"kind": "code", "domain": {"min": 0, "max": 1}}, "takes a list of values"),
    "categories for numbers": ({"kind": "real", "domain": {"values": ["1"]}}, "takes min and max"),
    "a domain of an identifier": ({"kind": "identifier", "domain": {"values": ["1"]}}, "has no domain"),
    "a value that is missing": ({"domain": {"values": ["?"]}, "missing": [{"code": "?"}]}, "both as values and as missing"),
    "a fraction bounding integers": ({"kind": "integer", "domain": {"min": 0.5, "max": 3}}, "whole numbers"),
    "a spike outside": ({"kind": "real", "domain": {"min": 0, "max": 3, "spikes": [4]}}, "a spike lies outside"),
    "a date that is none": ({"kind": "date", "domain": {"min": "2020-02-31", "max": "2021-01-01"}}, "out of range"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_COLUMNS)
def test_columns_that_cannot_be(name: str) -> None:
    column, says = BAD_COLUMNS[name]
    with pytest.raises(ValidationError, match=says):
        make_schema(sex={"kind": "categorical", **column})


def test_units_and_provenance_that_cannot_be() -> None:
    with pytest.raises(ValidationError, match="max_rows is 1"):
        Unit(max_rows=3)
    with pytest.raises(ValidationError, match="need their real_anchor"):
        Provenance(kind=Kind.GENERATED, source="x", licence="y", depth=1)
    with pytest.raises(ValidationError, match="depth 1 or more"):
        Provenance(kind=Kind.AUGMENTED, source="x", licence="y", real_anchor="z")


def test_names_that_clash() -> None:
    good = make_schema(a=["x", "y"]).model_dump(mode="json")
    for change, says in (
        ({"columns": good["columns"] * 2}, r"\['a'\] stand twice"),
        ({"unit": {"name": "who", "column": "who", "max_rows": 1}}, 'there is no column "who"'),
        ({"slices": [{"name": "s", "where": {"a": ["x"]}}] * 2}, "a name stands twice"),
        ({"slices": [{"name": "s", "where": {"b": ["x"]}}]}, "there is no column"),
    ):
        with pytest.raises(ValidationError, match=says):
            Schema.model_validate_json(json.dumps(good | change), strict=True)


def test_what_a_plan_may_use() -> None:
    schema = make_schema(sex=["f", "m"], population_size=1_000)
    assert schema.largest_delta == 1e-6
    assert make_schema(sex=["f", "m"], population_size=10**7).largest_delta == 1e-9
    require_plannable(schema, 1e-6)
    for delta in (0.0, 2e-6, float("nan")):
        with pytest.raises(PlanError, match="δ ="):
            require_plannable(schema, delta)
    observed = make_schema(sex={"kind": "code", "domain": {"values": ["f"]}, "domain_source": "observed"})
    with pytest.raises(PlanError, match=r"\['sex'\] was read off the data"):
        require_plannable(observed, 1e-6)
    with pytest.raises(PlanError, match="free text"):
        require_plannable(make_schema(sex=["f", "m"], notes={"kind": "text"}), 1e-6)


def test_released_columns() -> None:
    schema = make_schema(
        unit="who",
        sex={"kind": "code", "roles": ["quasi-identifier"]},
        name={"kind": "code", "roles": ["direct-identifier"]},
        key={"kind": "identifier"},
        constraints=[{"type": "increment", "column": "sex", "step": 1}],
    )
    assert [spec.name for spec in schema.released] == ["sex"]
    assert [spec.name for spec in schema.with_role(Role.QUASI_IDENTIFIER)] == ["sex"]
    assert columns_of(schema.constraints[0]) == ("sex",)
    with pytest.raises(KeyError):
        schema.column("gone")


def test_numbers_as_stored() -> None:
    day = ColumnSpec(name="d", kind=ColumnKind.DATE)
    moment = ColumnSpec(name="d", kind=ColumnKind.DATETIME)
    number = ColumnSpec(name="d", kind=ColumnKind.REAL)
    assert day.to_number("1970-01-03") == 2.0
    assert moment.to_number("1970-01-01T01:00:00+01:00") == 0.0
    assert moment.to_number("1970-01-01T00:01:00") == 60.0
    with pytest.raises(ValueError, match="not a number"):
        number.to_number("x")
