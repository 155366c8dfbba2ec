"""What a bundle holds: standard formats by their own tools, nothing private anywhere, nothing that a program would run."""

from __future__ import annotations

import base64
import csv
import html.parser
import io
import json
import math
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from release.bundle import card as cards
from release.bundle.contents import attested_of, report
from release.bundle.data_file import DataFormat, frame_of, safe_cell, write_data
from release.bundle.datapackage import datapackage, slug
from release.bundle.layout import ATTESTATION, CARD, CROISSANT, DATAPACKAGE, REGISTRY_ENTRY, REPORT, SCHEMA
from release.bundle.manifest import Listed
from release.bundle.public import (
    GATE_WORDS,
    PUBLIC_ANSWERS,
    gate_words,
    guarantee_words,
    public_answers,
    public_schema,
    small_number,
)
from release.bundle.signing import read_trust
from release.data.schema import OUTSIDE_LEVEL
from release.data.schema_file import load_schema
from release.data.sources import read_table
from release.quality.sweep import Recommendation
from release.records import Accountant, GateMode, Kind
from tests.policies.cases import claim
from tests.release.bundle.scene import CANARIES, FORMULA, MARKUP, schema, table

FORMS = ("parquet", "csv")


@pytest.fixture(params=FORMS)
def form(request, bundles) -> Path:
    return bundles[request.param]


# ---------------------------------------------------------------------------------------------- what never leaves


def _bytes_of_everything(path: Path) -> dict[str, bytes]:
    """Every file as it lies, and once more as text where it is coded: Parquet's cells, the signed payload."""
    if path.is_file():
        with tarfile.open(path) as tar:
            found = {member.name: tar.extractfile(member).read() for member in tar}
        found["the archive"] = path.read_bytes()
    else:
        found = {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    for name, content in list(found.items()):
        if name.endswith(".parquet"):
            file = pq.ParquetFile(io.BytesIO(content))
            found[f"{name} cells"] = file.read().to_pandas().to_csv().encode()
            found[f"{name} metadata"] = (str(file.metadata.metadata) + str(file.schema)).encode()
        if name.endswith(ATTESTATION):
            found[f"{name} payload"] = base64.b64decode(json.loads(content)["payload"])
    return found


@pytest.mark.parametrize("name", ["parquet", "csv", "tar"])
def test_no_canary_leaves(bundles, name: str):
    """Paths, comments, people, scores, notes, exhibits, seeds, real values, unused levels, exact counts, the key."""
    everything = _bytes_of_everything(bundles[name])
    assert len(everything) >= 10
    for file, content in everything.items():
        for canary in CANARIES:
            assert canary.encode() not in content, f"{canary} in {file}"
        assert str(bundles[name].parent).encode() not in content, file


def test_the_canaries_are_really_there(built):
    """The test above could have failed: inside the workspace each canary can be found."""
    stored = b"".join(
        path.read_bytes() for path in built.root.rglob("*") if path.is_file() and "out" not in path.parts
    )
    for canary in ("CANARY", "canary-person", "0142317891", "7919"):
        assert canary.encode() in stored, canary


def test_only_what_is_on_the_list(form):
    data = next((form / "data").iterdir()).name
    expected = {
        f"data/{data}",
        CARD,
        REPORT,
        DATAPACKAGE,
        CROISSANT,
        REGISTRY_ENTRY,
        SCHEMA,
        "manifest.json",
        ATTESTATION,
    }
    assert {str(file.relative_to(form)) for file in form.rglob("*") if file.is_file()} == expected


def test_no_verdict_figures_only_limits(form):
    text = (form / CARD).read_text(encoding="utf-8")
    assert "best membership attack" in text
    assert "at most 0.1" in text
    assert "interval [" not in text
    assert "0.008" not in text  # an end of an interval of the good evidence


# ---------------------------------------------------------------------------------------------- the data


def test_parquet_carries_nothing_of_ours(bundles):
    path = next((bundles["parquet"] / "data").iterdir())
    file = pq.ParquetFile(path)
    assert file.metadata.metadata is None
    assert b"pandas" not in path.read_bytes()
    assert b"ARROW:schema" not in path.read_bytes()
    assert file.schema_arrow.names == ["id", "=sex", "town", "age", "change", "day", "seen", "again"]
    kinds = {name: str(file.schema_arrow.field(name).type) for name in file.schema_arrow.names}
    assert kinds["day"] == "date32[day]"
    assert kinds["age"] == "int64"
    assert kinds["town"] == "string"


def test_both_forms_hold_the_same_cells(bundles):
    made = pq.read_table(next((bundles["parquet"] / "data").iterdir())).to_pandas()
    text = pd.read_csv(
        next((bundles["csv"] / "data").iterdir()), dtype=str, keep_default_na=False, na_values=[""]
    )
    assert list(text.columns) == ["id", "'=sex", *made.columns[2:]]
    assert len(text) == len(made) == 300
    assert text["id"].tolist() == made["id"].tolist()
    sex = [None if value is None else safe_cell(value) for value in made["=sex"]]
    assert [None if pd.isna(value) else value for value in text["'=sex"]] == sex
    ages = [None if pd.isna(value) else int(value) for value in made["age"]]
    assert [None if pd.isna(value) else int(value) for value in text["age"]] == ages
    assert text["day"].tolist() == [str(value) for value in made["day"]]


def test_no_cell_is_a_formula(bundles):
    """Every cell of the CSV, header included, is safe to open in a spreadsheet; numbers stay numbers."""
    with next((bundles["csv"] / "data").iterdir()).open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    cells = {cell for row in rows for cell in row}
    assert f"'{FORMULA}" in cells
    assert "'@x" in cells
    assert "'=sex" in cells
    assert "-1" in cells  # a category that is a plain number
    for cell in cells:
        assert not cell.startswith(("=", "+", "@", "\t", "\r", "\n", "|", "%", "＝"))
        if cell.startswith("-"):
            float(cell)


@given(st.text(max_size=12))
def test_safe_cells(text: str):
    safe = safe_cell(text)
    assert safe in {text, f"'{text}"}
    assert safe_cell(safe) == safe
    if safe.startswith(("=", "@", "\t", "\r")):
        pytest.fail(safe)


@pytest.mark.parametrize("number", ["-1", "+1", "-1.5", "-.5", "-1e5", "+1.E-3"])
def test_numbers_stay_numbers(number: str):
    assert safe_cell(number) == number
    assert math.isfinite(float(number))


@pytest.mark.parametrize(
    "bad", ["-1+2", "=1", "+cmd|' /C calc'!A0", "@SUM(1)", "-", "+", "-inf", "--1", "\t=1", "%0A", "|x"]
)
def test_others_are_defused(bad: str):
    assert safe_cell(bad) == f"'{bad}"


def test_unused_levels_do_not_leave(tmp_path):
    made = table(schema(), 50, town="here", seed=1)
    assert any("CANARY" in level for level in made["town"].levels)
    for kind in DataFormat:
        path = tmp_path / f"x.{kind}"
        write_data(made, path, kind)
        assert b"CANARY" not in path.read_bytes()


def test_a_table_without_rows_can_be_written(tmp_path):
    empty = table(schema(), 3, town="here", seed=1).take(np.array([], dtype=np.int64))
    for kind in DataFormat:
        write_data(empty, tmp_path / f"x.{kind}", kind)
    assert len(frame_of(empty)) == 0
    assert pq.read_table(tmp_path / "x.parquet").num_rows == 0


# ---------------------------------------------------------------------------------------------- the papers


def test_frictionless_accepts_the_csv(bundles):
    """Structure, types, enums, sizes and hashes, by the standard's own tool."""
    from frictionless import Package

    package = Package(str(bundles["csv"] / DATAPACKAGE))
    report = package.validate()
    assert report.valid, report.flatten(["rowNumber", "fieldName", "type", "message"])
    assert report.stats["tasks"] == 1
    resource = package.resources[0]
    assert [field.type for field in resource.schema.fields] == [
        "string",
        "string",
        "string",
        "integer",
        "string",
        "date",
        "datetime",
        "string",
    ]


def test_frictionless_notices_a_changed_file(bundles, tmp_path):
    import shutil

    from frictionless import Package

    copy = Path(shutil.copytree(bundles["csv"], tmp_path / "b"))
    data = next((copy / "data").iterdir())
    data.write_bytes(data.read_bytes().replace(b"no\r\n", b"nay\r\n", 1))
    assert not Package(str(copy / DATAPACKAGE)).validate().valid


def test_frictionless_accepts_the_parquet_descriptor(bundles):
    from frictionless import Package

    descriptor = json.loads((bundles["parquet"] / DATAPACKAGE).read_text(encoding="utf-8"))
    assert list(Package.metadata_validate(descriptor)) == []
    assert descriptor["resources"][0]["mediatype"] == "application/vnd.apache.parquet"


def test_croissant_names_the_file_and_every_column(form):
    document = json.loads((form / CROISSANT).read_text(encoding="utf-8"))
    manifest = json.loads((form / "manifest.json").read_text(encoding="utf-8"))
    (file,) = document["distribution"]
    listed = {entry["path"]: entry for entry in manifest["files"]}[file["contentUrl"]]
    assert file["sha256"] == listed["sha256"]
    assert file["contentSize"] == f"{listed['size']} B"
    assert document["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    (records,) = document["recordSet"]
    columns = [field["source"]["extract"]["column"] for field in records["field"]]
    header = "'=sex" if file["encodingFormat"] == "text/csv" else "=sex"
    assert columns == ["id", header, "town", "age", "change", "day", "seen", "again"]
    assert len({field["@id"] for field in records["field"]}) == len(columns)
    kinds = [field["dataType"] for field in records["field"]]
    assert kinds == ["sc:Text"] * 3 + ["sc:Integer", "sc:Text", "sc:Date", "sc:DateTime", "sc:Text"]


def test_the_deployment_registry_entry(form):
    entry = json.loads((form / REGISTRY_ENTRY).read_text(encoding="utf-8"))
    deployment = entry["deployment"]
    assert set(entry) == {"url_slug", "deployment"}
    assert set(deployment) == {
        "basic",
        "dp_variant",
        "privacy_loss",
        "deployment_model",
        "accounting",
        "implementation",
        "administrative",
    }
    assert deployment["basic"]["data_product_type"] == "Synthetic data"
    assert deployment["privacy_loss"]["privacy_parameters"]["delta"] == 1e-7
    assert 0.99 < deployment["privacy_loss"]["privacy_parameters"]["epsilon"] <= 1.0
    assert deployment["dp_variant"]["variant_name"] == "Approximate DP"
    assert deployment["dp_variant"]["unprotected_quantities"] == GATE_WORDS[GateMode.UNCOVERED]
    assert deployment["administrative"]["status"] == "Draft"
    assert "discrete Gaussian" in deployment["implementation"]["mechanisms"]


def test_the_schema_reads_the_data_back(bundles):
    """The partner's schema.yaml fits the partner's data file, by our own reader."""
    public = load_schema(bundles["parquet"] / SCHEMA)
    assert public.provenance.kind is Kind.GENERATED
    assert (public.provenance.depth, public.provenance.real_anchor) == (1, "clinic")
    assert [column.name for column in public.columns][:2] == ["id", "=sex"]
    assert public.unit.column is None
    loaded = read_table(next((bundles["parquet"] / "data").iterdir()), public)
    assert len(loaded.table) == 300
    raw = yaml.safe_load((bundles["parquet"] / SCHEMA).read_text(encoding="utf-8"))
    assert "name CANARY" not in str(raw)


def test_what_speaks_of_a_dropped_column_is_dropped():
    full = schema(
        slices=[
            {"name": "old", "where": {"age": {"min": 65, "max": 120}}},
            {"name": "named", "where": {"name CANARY": ["x"]}},
        ],
        constraints=[
            {"type": "less-equal", "left": "age", "right": "age"},
            {"type": "less-equal", "left": "name CANARY", "right": "age"},
        ],
    )
    public = public_schema(full)
    assert [part.name for part in public.slices] == ["old"]
    assert len(public.constraints) == 1
    assert "name CANARY" not in public.names


def test_attestation_names_every_file(form):
    payload = json.loads(base64.b64decode(json.loads((form / ATTESTATION).read_text())["payload"]))
    names = {str(file.relative_to(form)) for file in form.rglob("*") if file.is_file()}
    assert {subject["name"] for subject in payload["subject"]} == names - {ATTESTATION}
    details = payload["predicate"]["sluicegate"]
    assert details["verdict"] == "met"
    assert details["claim"]["unit"] == "patient"
    assert details["approvals"] == 1


# ---------------------------------------------------------------------------------------------- the card


class Reader(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def test_the_card_runs_and_loads_nothing(form):
    text = (form / CARD).read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    tags = {tag for tag, _ in reader.tags}
    assert not tags & {"script", "img", "iframe", "object", "embed", "link", "form", "base", "svg", "a", "b>"}
    for tag, attributes in reader.tags:
        assert not any(name.startswith("on") or name in {"src", "href", "style"} for name in attributes), tag
    assert "default-src 'none'" in text
    assert "@import" not in text
    assert "url(" not in text
    assert MARKUP not in text
    assert "&lt;script&gt;" in text
    assert "St &lt;b&gt;Mary&lt;/b&gt; Hospital" in text


def test_the_card_says_what_it_must(form):
    text = (form / CARD).read_text(encoding="utf-8")
    for sentence in (
        "These are synthetic data",
        "the gate is outside ε",
        "adding or removing one patient",
        "at most 2) rows",
        "1·10⁻⁷",
        "CC BY 4.0",
        "internal-dev",
        "2026-04-05",
        "learnt under the privacy budget",
        "surrogate key",
        "refused",
        "sluice verify",
    ):
        assert sentence in text, sentence


def test_the_card_shows_a_recommended_share_as_outside_epsilon(case_public):
    page = cards.card(
        replace(case_public, recommendation=Recommendation(share=0.5, target="<again>")), "data/x.parquet"
    )
    assert "at most 50% of the training rows" in page
    assert "model of &lt;again&gt;" in page
    assert "outside ε" in page.partition("training rows")[2]
    assert "of the training rows" not in cards.card(case_public, "data/x.parquet")
    none = replace(case_public, recommendation=Recommendation(share=0.0, target="again"))
    # A cap of 10 % is rounded down to 0 too: the card may not say that no share is harmless.
    assert "no share of 25 % or more synthetic rows could be shown" in cards.card(none, "data/x.parquet")


def test_a_mix_that_was_asked_for_is_said_wherever_the_table_is_described(case_public, approved):
    scene, _ = approved
    public = replace(case_public, weights={"<old>": 0.3})
    made = table(schema(), 300, town="Springfield", seed=5)
    for page in (cards.card(public, "data/x.parquet"), report(public, made)):
        assert "&lt;old&gt; 30 %, the rest 70 %" in page
        assert "weighting the groups back" in page
    listed = Listed(sha256="0" * 64, size=1)
    package = datapackage(public, frame_of(made), "data/x.csv", listed, DataFormat.CSV)
    assert "<old> 30 %" in package["description"]
    assert attested_of(public, {}).details["mix"] == {"<old>": 0.3}
    assert "mix" not in attested_of(case_public, {}).details
    for page in (cards.card(case_public, "data/x.parquet"), report(case_public, made)):
        assert "mix" not in page
    del scene


def test_the_report_stands_alone_and_names_only_what_leaves(bundles):
    page = (bundles["parquet"] / REPORT).read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert MARKUP not in page
    assert "best membership attack" in page
    assert ">met<" in page
    assert "Not let through" not in page
    assert "name CANARY" not in page
    assert page.count("<figure>") == 8


@pytest.fixture
def case_public(approved):
    from policies import PureJudge
    from release.bundle.clearing import Case, clear
    from tests.release.bundle.scene import DORA, ISSUER, KEY

    scene, release = approved
    clearance = scene.registry.begin_export(release, judge=PureJudge(), by=DORA)
    case = Case(
        clearance=clearance,
        charges=scene.registry.ledger.balance(clearance.dataset.population).charges,
        objects=scene.objects,
        judge=PureJudge(),
        digest_key=KEY,
    )
    return clear(case, issuer=ISSUER, sweeps=())[0]


def test_a_later_try_says_that_choosing_it_is_outside_epsilon(case_public):
    assert gate_words(case_public) == GATE_WORDS[case_public.mode]
    third = replace(case_public, turn=3)
    assert "This is try 3" in gate_words(third)
    assert "choice between 3 is outside" in cards.card(third, "data/x.parquet")
    covered = replace(third, mode=GateMode.COVERED)
    assert gate_words(covered) == GATE_WORDS[GateMode.COVERED]


def test_words():
    assert small_number(0.0) == "0"
    assert small_number(0.25) == "0.25"
    assert small_number(1.5e-9) == "1.5·10⁻⁹"
    assert set(GATE_WORDS) == set(GateMode)
    for accountant in Accountant:
        assert "2.72" in guarantee_words(claim(1.0, accountant=accountant))[0]
    assert "astronomically" in guarantee_words(claim(60.0))[0]
    assert "its one row" in guarantee_words(claim(1.0))[0]
    assert "at most 4" in guarantee_words(claim(1.0, max_rows_per_unit=4))[0]
    assert slug("St Mary's / Ward 3!") == "st-mary-s-ward-3"
    assert slug("…") == "unnamed"


def test_only_public_answers_leave():
    everything = dict.fromkeys(PUBLIC_ANSWERS, " said ") | {"private-note": "x", "reviewer": "y"}
    found = public_answers(everything)
    assert len(found) == len(PUBLIC_ANSWERS)
    assert {answer for _, answer in found} == {"said"}
    assert public_answers({"kind": "  ", "other": "x"}) == ()


def test_long_domains_are_cut_on_the_card():
    long = (
        schema()
        .column("=sex")
        .model_copy(
            update={
                "domain": schema()
                .column("=sex")
                .domain.model_copy(update={"values": tuple(f"v{n}" for n in range(40))})
            }
        )
    )
    assert cards.domain_words(long).endswith("v29, and 10 more")
    assert OUTSIDE_LEVEL not in cards.domain_words(long)


# ---------------------------------------------------------------------------------------------- in a browser


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_the_card_in_a_browser(bundles, scheme: str, width: int):
    """Nothing is requested, nothing runs, nothing sticks out of the page, and text stands out from the ground."""
    sync = pytest.importorskip("playwright.sync_api")
    chromium = Path("/usr/bin/chromium")
    if not chromium.exists():
        pytest.skip("there is no Chromium on this machine")
    with sync.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        page = context.new_page()
        requests, dialogs, errors = [], [], []
        page.on("request", lambda request: requests.append(request.url))
        page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        page.on("console", lambda message: errors.append(message.text))
        page.goto((bundles["parquet"] / CARD).as_uri())
        assert [url.rsplit("/", 1)[-1] for url in requests] == [CARD]
        assert dialogs == []
        assert errors == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.title().startswith("Visits <script>")
        assert page.locator("h1").count() == 1
        ink, paper = page.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
        )
        assert _contrast(ink, paper) > 7
        soft = page.evaluate("getComputedStyle(document.querySelector('.lead')).color")
        assert _contrast(soft, paper) > 4.5
        browser.close()


def _contrast(one: str, other: str) -> float:
    """WCAG contrast of two CSS rgb() colours."""

    def luminance(text: str) -> float:
        parts = [int(part) / 255 for part in text[text.index("(") + 1 : -1].split(",")[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


# ---------------------------------------------------------------------------------------------- docs


def test_docs_name_every_file_and_the_trust_format(built, bundles):
    text = (Path(__file__).parents[3] / "docs" / "bundle.md").read_text(encoding="utf-8")
    for file in bundles["parquet"].iterdir():
        assert f"`{file.name}" in text, file.name
    (example,) = [block for block in text.split("```") if block.startswith("json")]
    example = example.removeprefix("json").replace("<64 hexadecimal digits>", "ab" * 32)
    assert read_trust(example.encode()).issuer == "Hospital A"
