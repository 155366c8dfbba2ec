"""SDV metadata in and out, checked by SDV itself; surrogate keys."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from release.data.schema import ColumnKind, DomainSource
from release.data.sdv_metadata import schema_from_sdv, sdv_dict, sdv_metadata
from release.data.surrogates import surrogate_columns, surrogate_keys
from release.errors import InputError, SchemaError
from tests.builders import make_schema
from tests.shared_schemas import DEMO, load_shared, shared_schema

SCHEMA = make_schema(
    patient={"kind": "identifier", "surrogate": True},
    ssn={"kind": "identifier"},
    mail={"kind": "text", "roles": ["direct-identifier"], "surrogate": True},
    sex={"kind": "categorical", "domain": {"values": ["f", "m"]}, "missing": [{"code": ""}, {"code": "?"}]},
    size={"kind": "ordinal", "domain": {"values": ["s", "l"]}},
    flag={"kind": "boolean", "domain": {"values": ["no", "yes"]}},
    ward={"kind": "code"},
    age=(0, 120),
    weight={"kind": "real", "domain": {"min": 0.5, "max": 300, "decimals": 1}},
    born={"kind": "date", "domain": {"min": "1900-01-01", "max": "2030-12-31"}},
    seen={"kind": "datetime", "domain": {"min": "2000-01-01T00:00:00", "max": "2030-12-31T12:00:00"}},
)


def test_out_and_in_again_keeps_kinds_and_domains() -> None:
    back = schema_from_sdv(sdv_metadata(SCHEMA))
    assert [c.name for c in back.columns] == ["patient", "mail", *(c.name for c in SCHEMA.released)]
    for spec in SCHEMA.released:
        other = back.column(spec.name)
        expected = ColumnKind.CATEGORICAL if spec.kind in {ColumnKind.CODE, ColumnKind.BOOLEAN} else spec.kind
        assert other.kind is expected
        assert other.bounds == spec.bounds
        if other.domain is not None:
            assert other.domain_source is DomainSource.OBSERVED
    assert back.column("sex").levels == ("f", "m", "?")
    assert [code.code for code in back.column("sex").missing] == [""]
    assert back.column("patient").kind is ColumnKind.IDENTIFIER
    assert "ssn" not in back.names


@pytest.mark.parametrize("name", ["meps", "lending-club"])
def test_sdv_accepts_a_demo_table_under_its_metadata(name: str) -> None:
    table = load_shared(name)
    sdv_metadata(table.schema).validate_data({table.schema.name: table.to_frame()})


def test_metadata_that_sdv_wrote(tmp_path: Path) -> None:
    columns = {
        "id": {"sdtype": "id"},
        "mail": {"sdtype": "email", "pii": True},
        "sex": {"sdtype": "categorical"},
        "flag": {"sdtype": "boolean"},
        "n": {"sdtype": "numerical"},
        "day": {"sdtype": "datetime", "datetime_format": "%d/%m/%Y"},
        "at": {"sdtype": "datetime", "datetime_format": "%Y-%m-%d %H:%M:%S"},
    }
    old = {"columns": columns, "primary_key": "id", "METADATA_SPEC_VERSION": "SINGLE_TABLE_V1"}
    path = tmp_path / "m.json"
    path.write_text(json.dumps(old))
    schema = schema_from_sdv(path)
    kinds = {spec.name: spec.kind.value for spec in schema.columns}
    assert kinds == {
        "id": "identifier",
        "mail": "identifier",
        "sex": "categorical",
        "flag": "boolean",
        "n": "real",
        "day": "date",
        "at": "datetime",
    }
    assert schema.column("day").format == "%d/%m/%Y"
    assert schema.column("flag").levels == ("False", "True")


def test_a_sequence_key_names_the_unit() -> None:
    table = {"columns": {"who": {"sdtype": "id"}, "n": {"sdtype": "numerical"}}, "sequence_key": "who"}
    schema = schema_from_sdv(
        {"tables": {"visits": table}, "relationships": [], "METADATA_SPEC_VERSION": "V1"}
    )
    assert (schema.unit.column, schema.unit.max_rows) == ("who", 1)


BAD = {
    "no metadata": {"tables": 3},
    "an unknown type": {"tables": {"t": {"columns": {"a": {"sdtype": "banana!"}}}}, "relationships": []},
    "identifiers alone": {"tables": {"t": {"columns": {"a": {"sdtype": "id"}}}}, "relationships": []},
}


@pytest.mark.parametrize("name", BAD)
def test_bad_metadata(name: str) -> None:
    with pytest.raises(SchemaError) as caught:
        schema_from_sdv(BAD[name])
    assert caught.value.mend


def test_several_tables_need_a_name(tmp_path: Path) -> None:
    one = {"columns": {"a": {"sdtype": "categorical"}}}
    both = {"tables": {"s": one, "t": one}, "relationships": [], "METADATA_SPEC_VERSION": "V1"}
    with pytest.raises(SchemaError, match="the tables s, t; name one"):
        schema_from_sdv(both)
    assert schema_from_sdv(both, "t").name == "t"
    with pytest.raises(SchemaError, match="not SDV metadata"):
        schema_from_sdv(tmp_path / "gone.json")


def test_sdv_is_imported_only_when_asked_for() -> None:
    code = (
        "import sys; import release.data.sdv_metadata as m; import release.data.sources, release.data.draft;"
        "from release.data.schema_file import load_schema; from pathlib import Path;"
        f"m.sdv_dict(load_schema(Path({str(DEMO / 'meps' / 'schema.yaml')!r})));"
        "print([p for p in ('sdv', 'torch', 'pandas', 'sklearn') if p in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=DEMO.parent.parent
    )
    assert done.stdout.strip() == "[]"


# ---------------------------------------------------------------------------------------------- surrogates


def test_surrogate_keys_are_unique_and_say_nothing() -> None:
    keys = surrogate_keys(SCHEMA, 12)
    assert list(keys) == ["patient", "mail"] == [spec.name for spec in surrogate_columns(SCHEMA)]
    assert keys["patient"][0] == "s01"
    assert keys["patient"][-1] == "s12"
    assert len(set(keys["patient"])) == 12
    assert keys == surrogate_keys(SCHEMA, 12)
    assert surrogate_keys(SCHEMA, 0)["patient"] == ()
    assert surrogate_keys(shared_schema("meps"), 5) == {}
    with pytest.raises(InputError):
        surrogate_keys(SCHEMA, -1)


def test_sdv_sees_surrogates_as_keys() -> None:
    (table,) = sdv_dict(SCHEMA)["tables"].values()
    assert table["primary_key"] == "patient"
    assert table["columns"]["mail"] == {"sdtype": "id"}
