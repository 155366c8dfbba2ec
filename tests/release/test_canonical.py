"""Digests: of everything that is not as by default, and of nothing else."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import pydantic
import pytest

from release import records
from release.canonical import digest, keyed_digest, to_json
from release.data import constraints, schema
from tests.builders import make_schema
from tests.release.workflow import flow

KEY = b"k" * 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """A record as a version of the program had it."""

    name: str
    size: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """The same in the next version, with two more fields."""

    name: str
    size: float = 1.0
    mix: dict[str, float] = field(default_factory=dict)
    parts: tuple[Before, ...] = ()


def test_a_field_that_is_added_changes_no_digest_of_what_was_there_before() -> None:
    for size in (1.0, 2.0):
        assert digest(After(name="a", size=size)) == digest(Before(name="a", size=size))
        assert keyed_digest(After(name="a", size=size), KEY) == keyed_digest(Before(name="a", size=size), KEY)


OTHERS = {
    "a required field": After(name="b"),
    "a default that is not so": After(name="a", size=2.0),
    "a mix": After(name="a", mix={"ward": 0.5}),
    "an empty part": After(name="a", parts=(Before(name=""),)),
    "a part": After(name="a", parts=(Before(name="x"),)),
    "a part's part": After(name="a", parts=(Before(name="x", size=3.0),)),
    "two parts": After(name="a", parts=(Before(name="x"), Before(name="x"))),
}


def test_everything_else_changes_it() -> None:
    everyone = [After(name="a"), *OTHERS.values()]
    assert len({digest(record) for record in everyone}) == len(everyone)
    assert len({keyed_digest(record, KEY) for record in everyone}) == len(everyone)
    assert (
        digest(After(name="a"))
        != keyed_digest(After(name="a"), KEY)
        != keyed_digest(After(name="a"), b"K" * 32)
    )


def test_what_is_written_down_is_whole() -> None:
    assert to_json(After(name="a")) == {"name": "a", "size": 1.0, "mix": {}, "parts": []}


RECORDS = {
    "Request": {"weights": {}},
    "EvidenceSet": {"exhibits": ()},
    "Evidence": {"note": ""},
    "Measured": {"detectable": None},
    "NotMeasured": {"needed": None},
    "DpEvent": {"count": 1, "sampling_rate": 1.0},
    "Finding": {"waivable": False},
    "Task": {"features": ()},
}
"""Defaults of fields of digested records. They may never change; a new field's default is added."""

SCHEMA = {
    schema.Schema: {"title": "", "constraints": (), "slices": (), "format": "sluicegate/schema@1"},
    schema.Unit: {"name": "row", "column": None, "max_rows": 1},
    schema.Provenance: {"depth": 0, "real_anchor": None},
    schema.Range: {"decimals": None, "step": None, "spikes": ()},
    schema.MissingCode: {"meaning": "missing"},
    constraints.LessEqual: {"strictly": False},
    constraints.Increment: {"start": 0.0},
    constraints.Determines: {"table": (), "cuts": (), "values": ()},
}
"""The same for a schema."""


@pytest.mark.parametrize("name", RECORDS)
def test_the_defaults_of_records_stay_what_they_were(name: str) -> None:
    fields = dataclasses.fields(getattr(records, name))
    assert RECORDS[name].keys() <= {item.name for item in fields}
    for item in fields:
        if item.name in RECORDS[name]:
            default = (
                item.default_factory() if item.default_factory is not dataclasses.MISSING else item.default
            )
            assert (type(default), default) == (type(RECORDS[name][item.name]), RECORDS[name][item.name])


@pytest.mark.parametrize("model", SCHEMA, ids=lambda model: model.__name__)
def test_the_defaults_of_a_schema_stay_what_they_were(model: type) -> None:
    for name, default in SCHEMA[model].items():
        assert model.model_fields[name].get_default(call_default_factory=True) == default


def test_a_schema_s_digest_sees_what_is_declared() -> None:
    plain = flow.schema()
    assert plain.digest == flow.schema(title="", slices=[]).digest
    assert plain.digest != flow.schema(title="a clinic").digest
    assert plain.digest != flow.schema(population_size=10_001).digest
    again = schema.Schema.model_validate_json(plain.model_dump_json())
    assert (again, again.digest) == (plain, plain.digest)


def test_the_version_of_a_format_is_never_left_out() -> None:
    class Versioned(pydantic.BaseModel):
        format: str = "sluicegate/schema@1"
        name: str

    class Newer(pydantic.BaseModel):
        format: str = "sluicegate/schema@2"
        name: str

    assert digest(Versioned(name="a")) != digest(Newer(name="a"))
    assert digest(Versioned(name="a")) == digest({"format": "sluicegate/schema@1", "name": "a"})


def test_a_schema_s_digest_holds_the_version_of_its_format() -> None:
    """It is a default, and defaults are left out: without it the next version's schema could pass for this one's."""
    made = make_schema(a=["x", "y"])
    plain = made.model_dump(mode="json", exclude_defaults=True)
    assert "format" not in plain
    assert made.digest == digest(plain | {"format": made.format})
