"""The reports: complete inside, silent outside, and pages that stand alone."""

from __future__ import annotations

import datetime as dt
import re
import shutil
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from release.data.schema import ColumnKind
from release.errors import GateError
from release.quality import PROBES, measure_quality
from release.quality.findings import sentences
from release.quality.plots import draw, number, rows_of, ticks
from release.quality.report import (
    Heading,
    PublicRuling,
    internal_report,
    partner_report,
    released_exhibits,
)
from release.records import (
    Accountant,
    Adjacency,
    Evidence,
    Exhibit,
    Finding,
    Measured,
    NotMeasured,
    PrivacyCost,
    ProbeReport,
    Ruling,
)
from tests.release.quality.build import arena_of, coded_spec, number_spec, people, schema_of, table_of

CLAIM = PrivacyCost(
    epsilon=2.5,
    delta=1e-7,
    unit="person",
    max_rows_per_unit=1,
    adjacency=Adjacency.ADD_REMOVE_UNIT,
    accountant=Accountant.ZCDP,
    events=(),
)
HEADING = Heading(
    release="r-1",
    title="People",
    partner="clinic B",
    generator="mst",
    policy="partner-healthcare",
    claim=CLAIM,
    made_at=dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC),
)
FINDING = Finding(
    rule="pairs",
    subject="slice:old",
    ruling=Ruling.MET,
    value=Measured(estimate=0.0717171, low=0.0616161, high=0.0818181, trials=4321),
    limit="at most 0.10",
    reason="the upper end 0.0818181 is inside the limit",
)


@pytest.fixture(scope="module")
def release():
    rng = np.random.default_rng(1)
    arena = arena_of(people(1500, rng), people(1500, rng), people(1000, rng))
    return arena, measure_quality(arena, np.random.default_rng(0))


@pytest.fixture(scope="module")
def pages(release):
    arena, reports = release
    summaries = {name: probe.summary for name, probe in PROBES.items()}
    internal = internal_report(HEADING, reports, [FINDING], summaries)
    return internal, partner_report(HEADING, arena.synthetic, [PublicRuling.of(FINDING)])


def test_the_internal_page_says_everything(release, pages):
    internal, _ = pages
    for report in release[1]:
        for item in report.evidence:
            if isinstance(item.outcome, NotMeasured):
                assert item.outcome.reason.split('"')[0][:40] in internal.replace("&#39;", "'")
            else:
                assert number(item.outcome.estimate) in internal
        assert all(exhibit.title.split("'")[0] in internal for exhibit in report.exhibits)
    exhibits = [exhibit for report in release[1] for exhibit in report.exhibits]
    assert internal.count("<figure>") == internal.count("<figcaption>") == len(exhibits)
    assert internal.count("<svg") == sum(draw(exhibit) is not None for exhibit in exhibits)
    assert internal.count('role="img" aria-label=') == internal.count("<svg")
    for probe in PROBES:
        # No mix was asked for, so there is nothing to say of it.
        assert (f'id="{probe}"' in internal) is (probe != "rebalance")
    for figure in ("0.072", "0.062", "0.082", "0.0818181 is inside"):
        assert figure in internal


def test_the_partner_page_holds_no_figure_of_the_real_data(release, pages):
    """Nothing of the evidence, and not one byte that depends on the real table: other real rows, the same page."""
    arena, reports = release
    internal, partner = pages
    for figure in ("0.072", "0.062", "0.082", "0.0717", "0.0818", "4321", "inside the limit"):
        assert figure not in partner
    assert "at most 0.10" in partner
    assert ">met<" in partner
    rng = np.random.default_rng(99)
    other = arena_of(people(900, rng, link=-1.0, gone=0.5), arena.synthetic, people(500, rng))
    again = measure_quality(other, np.random.default_rng(5), names=["marginals", "tails"])
    assert internal_report(HEADING, again, [FINDING]) != internal
    changed = Finding(
        rule=FINDING.rule,
        subject=FINDING.subject,
        ruling=FINDING.ruling,
        value=Measured(estimate=0.01, low=0.0, high=0.02, trials=77),
        limit=FINDING.limit,
        reason="other words",
    )
    assert partner_report(HEADING, other.synthetic, [PublicRuling.of(changed)]) == partner
    # Every distinctive number of the evidence (six digits) is absent; three digits could meet by chance.
    text = re.sub(r"<[^>]+>", " ", partner)
    for report in reports:
        for item in report.evidence:
            if isinstance(item.outcome, Measured) and item.outcome.estimate not in {0.0, 1.0}:
                assert f"{item.outcome.estimate:.6f}" not in text


def test_a_table_without_a_claim_has_no_partner_page(release):
    import dataclasses

    with pytest.raises(GateError, match="no privacy claim"):
        partner_report(dataclasses.replace(HEADING, claim=None), release[0].synthetic, [])
    assert "not differentially private" in internal_report(
        dataclasses.replace(HEADING, claim=None), release[1]
    )


def test_the_pages_stand_alone(pages):
    for page in pages:
        assert "<script" not in page
        assert not re.search(r"(src|href)=\"(?!#)", page)
        assert "url(" not in page
        assert "@import" not in page
        assert set(re.findall(r"https?://[^\"' <]+", page)) == {"http://www.w3.org/2000/svg"}
        assert "default-src 'none'" in page


@pytest.mark.browser
def test_a_browser_shows_them_without_a_network_and_prints_them(pages, tmp_path):
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        for name, content in zip(("internal", "partner"), pages, strict=True):
            path = tmp_path / f"{name}.html"
            path.write_text(content, encoding="utf-8")
            page = browser.new_page(viewport={"width": 390, "height": 800})
            said, asked = [], []
            page.on("console", lambda message, said=said: said.append(message.text))
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.goto(path.as_uri())
            assert asked == [path.as_uri()]
            assert said == []
            # On a phone only the tables scroll, each in its own box.
            assert page.evaluate("document.documentElement.scrollWidth") <= 400
            assert len(page.pdf()) > 20_000
        browser.close()


NASTY = '<script>alert("x")</script>'
EXHIBITS = {
    "bars": {"labels": [NASTY, "b"], "values": [0.1, -0.2], "reference": [0.05, 0.1]},
    "histogram": {"labels": ["a"], "values": [0.0]},
    "intervals": {"labels": [NASTY], "values": [0.0], "low": [0.0], "high": [3.0], "reference": 1.0},
    "lines": {
        "x": [0.0, 0.5, 1.0],
        "x_label": NASTY,
        "y_label": "y",
        "series": {NASTY: [0.1, None, 0.3], "b": [0.2, 0.2, 0.2]},
        "bands": {"b": [[0.1, 0.3], [None, None], [0.1, 0.2]]},
    },
    "matrix": {
        "labels": [NASTY, "b", "c"],
        "values": [[None, 0.1, None], [0.1, None, 0.3], [None, 0.3, None]],
    },
    "table": {"columns": ["a", "b"], "rows": [[NASTY, 0.5]]},
}


@pytest.mark.parametrize("kind", EXHIBITS)
def test_every_kind_is_drawn_escaped_and_tabled(kind):
    exhibit = Exhibit(probe="p", title=NASTY, kind=kind, takeaway="It is so.", data=EXHIBITS[kind])
    svg = draw(exhibit)
    columns, rows = rows_of(exhibit)
    assert rows
    assert all(len(row) == len(columns) for row in rows)
    page = internal_report(HEADING, [ProbeReport(evidence=(_evidence(),), exhibits=(exhibit,))])
    assert "<script" not in page
    if kind == "table":
        assert svg is None
        return
    root = ET.fromstring(str(svg))
    assert root.attrib["aria-label"] == NASTY
    for element in root.iter():
        for key in ("x", "y", "width", "height", "x1", "x2", "y1", "y2", "cx", "cy"):
            if key in element.attrib:
                assert np.isfinite(float(element.attrib[key]))
                if key in {"width", "height"}:
                    assert float(element.attrib[key]) >= 0


def _evidence(metric="tvd_2way_mean", outcome=None, probe="marginals", subject="", note=""):
    outcome = outcome or Measured(estimate=0.05, low=0.04, high=0.06, trials=100)
    return Evidence(probe=probe, metric=metric, subject=subject, outcome=outcome, note=note)


def test_the_short_version_says_what_the_figures_say():
    def measured(value, low=None, high=None):
        return Measured(
            estimate=value, low=value if low is None else low, high=value if high is None else high, trials=9
        )

    found = {
        one.heading: one.text
        for one in sentences(
            [
                _evidence(),
                _evidence("noise_floor_2way", measured(0.03)),
                _evidence("tvd_2way_mean", measured(0.13), probe="references", subject="independent columns"),
                _evidence(
                    "loss",
                    measured(0.1, 0.05, 0.2),
                    probe="tstr",
                    subject="ill",
                    note="AUC; real rows choose",
                ),
                _evidence("tstr_score", measured(0.7), probe="tstr", subject="ill"),
                _evidence("trtr_score", measured(0.8), probe="tstr", subject="ill"),
                _evidence(
                    "outlier_rate_ratio",
                    measured(0.4, 0.3, 0.5),
                    probe="tails",
                    note="worst column: income; no",
                ),
                _evidence("violations", measured(3.0), probe="rules"),
                _evidence("two_sample_auc", NotMeasured(reason="too few"), probe="two_sample"),
            ]
        )
    }
    # (0.13 − 0.05) / (0.13 − 0.03) of the way.
    assert "about 80% of the way" in found["Relations"]
    assert "loses 0.100 (0.050 to 0.200) in AUC: it reaches 0.700" in found["Prediction"]
    assert "income" in found["Tails"]
    assert "lost outliers" in found["Tails"]
    assert found["Rules"].startswith("3 breaches")
    assert found["Not measured"].startswith("1 of 9")
    assert "Telling apart" not in found
    assert sentences([]) == ()


def test_the_short_version_speaks_of_mix_sweep_and_dirt():
    def sure(value, half=0.01):
        return Measured(estimate=value, low=value - half, high=value + half, trials=9)

    items = [
        _evidence("share_asked", sure(0.3, 0), probe="rebalance", subject="slice:old"),
        _evidence("share_before", sure(0.05, 0), probe="rebalance", subject="slice:old"),
        _evidence("share_after", sure(0.3, 0), probe="rebalance", subject="slice:old"),
        _evidence("score_change", sure(0.02), probe="rebalance", subject="slice:old"),
        _evidence("score_change", sure(-0.01), probe="rebalance"),
        _evidence("dirt_ratio", sure(0.5), probe="cleanliness", note="cleanest: incomplete rows; 1: as real"),
        _evidence("peak_ratio", sure(0.5), probe="sweep", note="Up to 50% synthetic rows cost nothing."),
        _evidence("loss", sure(-0.1), probe="tstr", subject="ill", note="AUC; real rows choose"),
        _evidence("tstr_score", sure(0.9), probe="tstr", subject="ill"),
        _evidence("trtr_score", sure(0.8), probe="tstr", subject="ill"),
        _evidence("alpha_precision", sure(0.9), probe="coverage", note="50 held-out real rows score 0.950"),
        _evidence("beta_recall", sure(0.8), probe="coverage", note="50 held-out real rows score 0.850"),
        _evidence(
            "interval_overlap_mean",
            sure(0.6),
            probe="coefficients",
            subject="ill",
            note="9 coefficients; another real sample of the same size would overlap by about 0.70",
        ),
        _evidence("sign_agreement", sure(0.75), probe="coefficients", subject="ill"),
    ]
    found = {one.heading: one.text for one in sentences(items)}
    assert found["Mix"] == (
        "As asked for, old has 30.0% of the rows instead of 5.0%, and a model's score on real people of it changes by +0.020 "
        "(+0.010 to +0.030). On everybody the score changes by -0.010 (-0.020 to +0.000)."
    )
    assert found["Too clean?"].startswith(
        "The release is cleaner than the real table: incomplete rows occur 0.50 times"
    )
    assert found["Training mix"] == "Up to 50% synthetic rows cost nothing."
    assert "gains 0.100 (0.090 to 0.110) in AUC" in found["Prediction"]
    assert "held-out real rows score 0.850" in found["Coverage"]
    assert "overlap by about 0.70. 75% of the clear effects" in found["Regression"]


def test_numbers_for_people():
    said = [number(value) for value in (None, "a", 0, 0.12345, 12.345, 1234.5, 1e-6, 3e9)]
    assert said == ["–", "a", "0", "0.123", "12.3", "1,234", "1.00e-06", "3.00e+09"]
    assert ticks(0.0, 1.0) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert ticks(5.0, 5.0) == [5.0]


def test_released_pictures_of_odd_columns():
    schema = schema_of(
        number_spec("d", "2000-01-01", "2020-01-01", kind=ColumnKind.DATE),
        number_spec("n", 0, 9),
        coded_spec("a", ["x", "y"]),
        number_spec("k", 0, 500, kind=ColumnKind.INTEGER),
    )
    n = 60
    every = np.ones(n, dtype=bool)
    table = table_of(
        schema,
        d=np.arange(11_000, 11_000 + n),
        n=np.zeros(n),
        a=np.zeros(n, dtype=int),
        k=np.full(n, 7),
        missing={"n": every, "a": every},
    )
    by_title = {exhibit.title: exhibit for exhibit in released_exhibits(table)}
    assert by_title["d"].data["labels"][0].startswith("2000-02-1")
    assert by_title["n"].data["labels"][-1] == "(missing)"
    assert by_title["n"].takeaway == "The most frequent is (missing), with 100.0% of the released rows."
    assert by_title["k"].data == {"labels": ["7"], "values": [1.0], "names": ["share of released rows", ""]}
    for exhibit in by_title.values():
        assert all(np.isfinite(value) for value in exhibit.data["values"] if not isinstance(value, list))
    assert "no rows" not in partner_report(HEADING, table.take(np.arange(0)), [])


def test_the_internal_page_puts_the_worst_rules_first(release):
    broken = replace(FINDING, rule="tails", ruling=Ruling.BROKEN)
    page = internal_report(HEADING, release[1], [FINDING, FINDING, broken])
    assert "1 broken, 2 met under partner-healthcare" in page
    assert page.index("<td>tails</td>") < page.index("<td>pairs</td>")


@pytest.mark.parametrize("ruling", Ruling)
def test_a_partners_page_of_a_table_that_stays_says_so(release, ruling):
    rulings = [PublicRuling.of(replace(FINDING, ruling=one)) for one in (Ruling.MET, ruling)]
    page = partner_report(HEADING, release[0].synthetic, rulings)
    assert ("Not let through" in page) is (ruling is not Ruling.MET)
    assert "Not let through" in partner_report(HEADING, release[0].synthetic, [])
