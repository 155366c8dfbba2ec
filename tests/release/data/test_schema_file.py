"""schema.yaml: safe reading, located errors, writing back, the published JSON Schema."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from release.data.lattice import decimals_of
from release.data.schema import (
    Categories,
    ColumnKind,
    ColumnSpec,
    DomainSource,
    MissingCode,
    Provenance,
    Range,
    Role,
    Schema,
    Unit,
)
from release.data.schema_file import dump_schema, json_schema, load_schema, parse_schema
from release.data.yaml_text import MOST_BYTES, flow, parse_yaml
from release.errors import PolicyFormatError, SchemaError
from release.records import Kind
from tests.shared_schemas import DEMO, DEMOS, TABLES, shared_schema

HEAD = """\
name: claims
population: town
population_size: 1000
provenance: {kind: collected, source: a test, licence: none}
columns:
  - name: sex
    kind: categorical
    domain: {values: [f, m]}
    domain_source: codebook
  - name: age
    kind: integer
    domain: {min: 0, max: 120}
    domain_source: codebook
"""


def column(text: str) -> str:
    return HEAD + "  - name: more\n" + "".join(f"    {line}\n" for line in text.splitlines())


#: name -> (text, words of the fact, row, column, words of the mend)
BAD = {
    "empty": ("", "is empty", None, "", "required keys"),
    "a list": ("- a\n", "not a map", 1, "", "begin with"),
    "not YAML": ("name: [a\n", "is not YAML", 2, "", "quotes"),
    "a tab": ("name:\n\t- a\n", "is not YAML", 2, "", "indentation"),
    "a control character": ("name: \x07\n", "does not allow", None, "", "remove"),
    "an alias": ("a: &x [1]\nb: *x\n", "anchor or alias", 1, "", "write the value out"),
    "an alias bomb": (
        "a: &a [x,x]\n" + "".join(f"{chr(98 + k)}: &{chr(98 + k)} [*{chr(97 + k)},*{chr(97 + k)}]\n" for k in range(20)),
        "anchor or alias",
        1,
        "",
        "",
    ),
    "a tag": ("a: !!python/object/apply:os.system [ls]\n", "uses a tag", 1, "", "plain"),
    "deep": ("[" * 100_000, "deeper than 32", 1, "", "flatten"),
    "deep maps": ("".join(" " * k + "a:\n" for k in range(60)), "deeper than 32", 33, "", ""),
    "two documents": (HEAD + "---\n" + HEAD, "several documents", 14, "", "keep one"),
    "too large": ("#" * (MOST_BYTES + 1), "larger than 4 MiB", None, "", ""),
    "a key twice": (HEAD + "name: other\n", 'the key "name" stands twice', 14, "", "remove one"),
    "a key that is no text": ("yes: 1\n", "the key yes", 1, "", "quotes"),
    "a key that is a list": ("? [a]\n: 1\n", "a key is a list", 1, "", ""),
    "an unquoted date": ("name: 2020-01-01\n", "as a date of its own", 1, "", '"2020-01-01"'),
    "an unquoted no": (HEAD.replace("sex", "no"), "reads an unquoted yes, no", 6, "", "quotes"),
    "unquoted categories": (column("kind: boolean\ndomain: {values: [no, yes]}\ndomain_source: codebook"), "reads an unquoted", 16, "more", "quotes"),
    "numbers as categories": (column("kind: code\ndomain: {values: [36, 60]}\ndomain_source: codebook"), "36 is read as a number", 16, "more", '"36"'),
    "a null category": (column("kind: code\ndomain: {values: [~]}\ndomain_source: codebook"), "is empty, but text", 16, "more", "quotes"),
    "an unknown key": (column("kind: code\nrole: [target]"), '"role" is no key', 16, "more", 'write "roles"'),
    "an unknown kind": (column("kind: category"), "'category' is no column kind", 15, "more", "categorical, ordinal"),
    "an unknown role": (column("kind: code\nroles: [secret]"), "roles", 16, "more", ""),
    "a missing key": (HEAD.replace("population: town\n", ""), '"population" is missing', 1, "", "add it"),
    "a missing kind": (column("roles: []"), '"kind" is missing', 14, "more", "add it"),
    "bounds in the wrong order": (column("kind: integer\ndomain: {min: 5, max: 1}\ndomain_source: codebook"), "not in order", 14, "more", ""),
    "infinite bounds": (column("kind: real\ndomain: {min: 0, max: .inf}\ndomain_source: codebook"), "finite", 14, "more", ""),
    "a bound that is a word": (column("kind: real\ndomain: {min: a, max: b}\ndomain_source: codebook"), "not a number", 14, "more", ""),
    "a bound missing": (column("kind: real\ndomain: {min: 1}\ndomain_source: codebook"), '"max" is missing', 16, "more", "add it"),
    "a bound that is Boolean": (column("kind: real\ndomain: {min: true, max: 2}\ndomain_source: codebook"), "valid number", 16, "more", ""),
    "both shapes of domain": (column("kind: code\ndomain: {values: [a], min: 2}\ndomain_source: codebook"), '"min" is no key', 16, "more", ""),
    "a domain without source": (column("kind: code\ndomain: {values: [a]}"), "a learned domain is not written down", 14, "more", "say where it comes from"),
    "a source without domain": (column("kind: code\ndomain_source: codebook"), "without a domain", 14, "more", "write learned"),
    "three booleans": (column("kind: boolean\ndomain: {values: [a, b, c]}\ndomain_source: codebook"), "two values", 14, "more", ""),
    "a unit that is no column": (HEAD + "unit: {name: x, column: patient}\n", 'there is no column "patient"', 14, "", ""),
    "a constraint on no column": (HEAD + "constraints:\n  - {type: increment, column: x, step: 1}\n", "there is no column", 15, "", ""),
    "a constraint of no type": (HEAD + "constraints:\n  - {type: less, left: a, right: b}\n", "does not match any", 15, "", ""),
    "a contradiction": (
        HEAD + "constraints:\n  - {type: increment, column: age, step: 7}\n",
        "the bound 120 is not 0 + k·7",
        15,
        "age",
        "bounds that the increments hit",
    ),
    "a slice outside the domain": (HEAD + "slices:\n  - {name: s, where: {sex: [x]}}\n", '"x" is neither', 15, "sex", ""),
    "bad where": (HEAD + "slices:\n  - {name: s, where: {age: {min: 1}}}\n", '"max" is missing', 15, "", ""),
    "no columns": (HEAD[: HEAD.index("columns")] + "columns: []\n", "columns", 5, "", ""),
    "nothing to release": (HEAD[: HEAD.index("columns")] + "columns: [{name: a, kind: identifier}]\n", "nothing is left", 5, "", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_schema_gives_one_located_error(name: str, tmp_path: Path) -> None:
    text, says, row, where, mend = BAD[name]
    path = tmp_path / "claims.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SchemaError) as caught:
        load_schema(path)
    error = caught.value
    assert says in str(error)
    assert mend in error.mend
    assert error.mend
    assert (error.file, error.column) == ("claims.yaml", where)
    assert error.row == row
    assert str(tmp_path) not in str(error)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="is a directory"):
        load_schema(tmp_path)
    with pytest.raises(SchemaError, match="no such file"):
        load_schema(tmp_path / "x.yaml")
    (tmp_path / "x.yaml").write_bytes("name: é".encode("latin-1"))
    with pytest.raises(SchemaError, match="row 1: is not UTF-8"):
        load_schema(tmp_path / "x.yaml")
    (tmp_path / "x.yaml").write_bytes(b"\xef\xbb\xbf" + HEAD.encode())
    assert load_schema(tmp_path / "x.yaml").name == "claims"


def test_another_kind_of_file_gets_its_own_error() -> None:
    with pytest.raises(PolicyFormatError, match=r"tier\.yaml: is empty"):
        parse_yaml("", PolicyFormatError, "tier.yaml")


@pytest.mark.parametrize("name", DEMOS)
def test_demo_schemas_are_public_and_plannable(name: str) -> None:
    schema = load_schema(DEMO / name / "schema.yaml")
    assert all(spec.domain_source is DomainSource.CODEBOOK for spec in schema.released)
    assert parse_schema(dump_schema(schema)) == schema


@pytest.mark.shared_data
@pytest.mark.parametrize("name", TABLES)
def test_shared_schemas_survive_writing(name: str) -> None:
    schema = shared_schema(name)
    assert parse_schema(dump_schema(schema)) == schema


WORDS = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00", exclude_categories=("Cs",)),
    min_size=1,
    max_size=30,
)
NAMES = WORDS.map(str.strip).filter(bool)
NUMBERS = st.floats(-1e280, 1e280, allow_nan=False, width=64)


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    specs = []
    for name in draw(st.lists(NAMES, min_size=1, max_size=4, unique=True)):
        if draw(st.booleans()):
            values = draw(st.lists(WORDS, min_size=1, max_size=30, unique=True))
            codes = draw(
                st.lists(WORDS.filter(lambda w, taken=values: w not in taken), max_size=2, unique=True)
            )
            specs.append(
                ColumnSpec(
                    name=name,
                    kind=ColumnKind.CATEGORICAL,
                    description=draw(WORDS),
                    domain=Categories(values=tuple(values)),
                    domain_source=DomainSource.CODEBOOK,
                    missing=tuple(MissingCode(code=code, meaning=draw(WORDS)) for code in codes),
                )
            )
        else:
            low, high = sorted((draw(NUMBERS), draw(NUMBERS)))
            least = max(decimals_of(low), decimals_of(high))
            fine = st.none() | st.integers(least, 12) if least <= 12 else st.none()
            domain = Range(min=low, max=high, decimals=draw(fine))
            specs.append(
                ColumnSpec(
                    name=name, kind=ColumnKind.REAL, domain=domain, domain_source=DomainSource.OBSERVED
                )
            )
    return Schema(
        name="t",
        title=draw(WORDS),
        population="p",
        population_size=draw(st.integers(1, 10**12)),
        unit=Unit(name=draw(WORDS)),
        provenance=Provenance(kind=Kind.COLLECTED, source=draw(WORDS), licence=draw(WORDS)),
        columns=tuple(specs),
    )


@settings(max_examples=60, deadline=None)
@given(schemas())
def test_any_schema_survives_writing(schema: Schema) -> None:
    assert parse_schema(dump_schema(schema)) == schema


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | NUMBERS
    | WORDS
    | st.just("no")
    | st.just("2020-01-01"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_any_value_survives_one_line(value: object) -> None:
    text = flow({"k": value})
    assert "\n" not in text
    assert parse_yaml(text, SchemaError).data == {"k": value}


def test_the_example_and_the_words_of_the_documentation() -> None:
    text = (DEMO.parent.parent / "docs" / "schema.md").read_text("utf-8")
    schema = parse_schema(text.split("```yaml\n")[1].split("```")[0])
    assert schema.unit.max_rows == 5
    assert parse_schema(dump_schema(schema)) == schema
    for word in (
        *ColumnKind,
        *Role,
        *DomainSource,
        "less-equal",
        "impossible",
        "allowed",
        "determines",
        "increment",
    ):
        assert f"`{word}`" in text, word


def test_the_published_json_schema_is_current() -> None:
    """If it fails: `sluice schema json-schema > docs/schema.json`."""
    published = json.loads((DEMO.parent.parent / "docs" / "schema.json").read_text("utf-8"))
    assert published == json_schema()
    assert published["$schema"].endswith("2020-12/schema")
    assert published["additionalProperties"] is False
