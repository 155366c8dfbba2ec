"""The standalone HTML reports: an internal one, and one for the partner.

Rules: one file each, no script, no network, prints well; beside each plot stand a sentence and a table. The *internal* report shows every real-data
figure and never leaves. The *partner* report is a function of the released table, its public schema, the privacy claim and the rulings alone:
its type has no way in for a real-data figure, and a test holds that. Both name the same rulings, so they cannot disagree.
"""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from release.data.schema import ColumnKind, Schema
from release.data.table import Column, Table
from release.errors import GateError
from release.quality.associations import association_matrix
from release.quality.findings import sentences
from release.quality.plots import draw, number, rows_of
from release.records import (
    Evidence,
    Exhibit,
    Finding,
    Measured,
    NotMeasured,
    PrivacyCost,
    ProbeReport,
    Ruling,
)

if TYPE_CHECKING:
    from jinja2 import Template

BINS = 20
"""Equal bins of a numeric column's declared range in the partner's plots."""
MOST_BARS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What both reports say at the top; all of it public.

    Attributes:
        release: the release's id.
        title: of the dataset.
        partner: who receives it.
        generator: registered name.
        policy: name of the policy.
        claim: the privacy claim; None for what can never leave.
        made_at: when the candidate was made.
        mix: the mix of slices that was asked for, in words; "" for none.
    """

    release: str
    title: str
    partner: str
    generator: str
    policy: str
    claim: PrivacyCost | None
    made_at: dt.datetime
    mix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicRuling:
    """What of a finding may leave: the rule, its limit and the ruling; never the figure, nor its reason."""

    rule: str
    subject: str
    limit: str
    ruling: Ruling

    @classmethod
    def of(cls, finding: Finding) -> Self:
        """The public part of a finding."""
        return cls(rule=finding.rule, subject=finding.subject, limit=finding.limit, ruling=finding.ruling)


_WORST_FIRST = (Ruling.BROKEN, Ruling.INVALID, Ruling.UNPROVEN, Ruling.MET)

_TITLES: Mapping[str, str] = {
    "tstr": "Train on synthetic, test on real (TSTR)",
    "sdmetrics": "SDMetrics reports",
    "two_sample": "Two-sample test",
    "coverage": "Coverage (α-precision, β-recall)",
    "sweep": "Ratio sweep",
    "price": "The price of privacy",
    "rebalance": "The mix that was asked for",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Section:
    probe: str
    title: str
    summary: str
    evidence: tuple[Evidence, ...]
    plots: tuple[Mapping[str, Any], ...]


def internal_report(
    heading: Heading,
    reports: Sequence[ProbeReport],
    findings: Sequence[Finding] = (),
    summaries: Mapping[str, str] | None = None,
) -> str:
    """The page for stewards: every figure with its interval, every exhibit, every reason for a missing one.

    `summaries` are the probes' own two sentences by name (`{name: probe.summary for …}`).
    """
    evidence = [item for report in reports for item in report.evidence]
    return _template("report_internal.html.jinja").render(
        heading=heading,
        claim=_claim(heading.claim),
        sentences=sentences(evidence),
        findings=sorted(findings, key=lambda one: _WORST_FIRST.index(one.ruling)),
        tally=_tally(findings),
        sections=[_section(report, summaries or {}) for report in reports if _says_something(report)],
        slices=_slices(evidence),
        missing=[item for item in evidence if isinstance(item.outcome, NotMeasured)],
        show=_show,
        number=number,
    )


def partner_report(heading: Heading, synthetic: Table, rulings: Sequence[PublicRuling]) -> str:
    """The page for the partner: what the released table holds, what protects it, and which rules it passed.

    Raises `GateError` for a table without a privacy claim: it can never leave.
    """
    if heading.claim is None:
        raise GateError("the table has no privacy claim, so there is no partner report of it")
    return _template("report_partner.html.jinja").render(
        heading=heading,
        claim=_claim(heading.claim),
        rows=len(synthetic),
        schema=synthetic.schema,
        rulings=_grouped(rulings),
        plots=[_plot(exhibit) for exhibit in released_exhibits(synthetic)],
        number=number,
    )


def _grouped(rulings: Sequence[PublicRuling]) -> list[tuple[str, Ruling, str, list[str]]]:
    """(rule, ruling, limit, subjects), one row for all subjects that fared alike under one limit; in the rules' order."""
    rows: dict[tuple[str, Ruling, str], list[str]] = {}
    for one in rulings:
        rows.setdefault((one.rule, one.ruling, one.limit), []).append(one.subject or "whole release")
    return [(*key, subjects) for key, subjects in rows.items()]


def released_exhibits(synthetic: Table) -> list[Exhibit]:
    """Pictures of the released table alone (post-processing of what the claim covers)."""
    exhibits = [_distribution(synthetic.schema, name, column) for name, column in synthetic.columns.items()]
    if len(synthetic.columns) > 1 and len(synthetic) > 1:
        labels, values = association_matrix(synthetic)
        pairs = [(a, b) for a in range(len(labels)) for b in range(a) if values[a][b] is not None]
        a, b = max(pairs, key=lambda pair: values[pair[0]][pair[1]] or 0.0)
        exhibits.append(
            Exhibit(
                probe="release",
                title="How the released columns hang together",
                kind="matrix",
                takeaway=f"{labels[a]} and {labels[b]} hang together most closely in the release ({values[a][b]:.2f} of 1).",
                data={"labels": labels, "values": values},
            )
        )
    return exhibits


def _distribution(schema: Schema, name: str, column: Column) -> Exhibit:
    spec = schema.column(name)
    n = max(len(column.values), 1)
    present = column.values[column.present]
    if spec.kind.coded:
        counts = np.bincount(present.astype(np.int64), minlength=len(column.levels)) / n
        order = (
            range(len(counts))
            if len(counts) <= MOST_BARS
            else np.argsort(-counts, kind="stable")[:MOST_BARS].tolist()
        )
        shown = [
            place
            for place in order
            if counts[place] > 0 or (spec.levels and column.levels[place] in spec.levels)
        ]
        labels, shares = [column.levels[place] for place in shown], [float(counts[place]) for place in shown]
    else:
        values = present.astype(np.float64)
        low, high = spec.bounds or ((float(values.min()), float(values.max())) if len(values) else (0.0, 1.0))
        # Bins over the part of the declared range that the release uses, so that a wide public bound does not hide the shape.
        if len(values):
            low, high = (
                max(low, float(np.quantile(values, 0.005))),
                min(high, float(np.quantile(values, 0.995))),
            )
        edges, labels = _bins(low, high, whole=spec.kind is not ColumnKind.REAL)
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges)
        if spec.kind in {ColumnKind.DATE, ColumnKind.DATETIME}:
            labels = [f"{_day(spec.kind, a)} to {_day(spec.kind, b)}" for a, b in itertools.pairwise(edges)]
        shares = [float(count) / n for count in counts]
    gone = 1.0 - float(column.present.mean()) if len(column.values) else 0.0
    if gone > 0:
        labels, shares = [*labels, "(missing)"], [*shares, gone]
    top = int(np.argmax(shares)) if shares else 0
    takeaway = (
        f"The most frequent is {labels[top]}, with {shares[top]:.1%} of the released rows."
        if shares
        else "The column is empty."
    )
    return Exhibit(
        probe="release",
        title=name,
        kind="histogram",
        takeaway=takeaway,
        data={"labels": labels, "values": shares, "names": ["share of released rows", ""]},
    )


def _bins(low: float, high: float, *, whole: bool) -> tuple[npt.NDArray[np.float64], list[str]]:
    """(edges, labels) of at most `BINS` equal bins; of whole numbers, bins of as many values each."""
    if not whole:
        edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
        return edges, [f"{number(a)} to {number(b)}" for a, b in itertools.pairwise(edges)]
    first, last = math.floor(low), math.ceil(high)
    step = max(1, math.ceil((last - first + 1) / BINS))
    starts = np.arange(first, last + 1, step)
    edges = np.append(starts, starts[-1] + step) - 0.5
    labels = [f"{a:,}" if step == 1 else f"{a:,} to {a + step - 1:,}" for a in starts.tolist()]
    return edges, labels


def _day(kind: ColumnKind, value: float) -> str:
    days = value if kind is ColumnKind.DATE else value / 86_400
    return (dt.date(1970, 1, 1) + dt.timedelta(days=math.floor(days))).isoformat()


# ---------------------------------------------------------------------------------------------- parts of the pages


def _claim(claim: PrivacyCost | None) -> str:
    if claim is None:
        return "no privacy claim: not differentially private, never to leave"
    rows = "one row each" if claim.max_rows_per_unit == 1 else f"up to {claim.max_rows_per_unit} rows each"
    return f"ε = {claim.epsilon:.4g}, δ = {claim.delta:.1e} for one {claim.unit} ({rows})"


def _section(report: ProbeReport, summaries: Mapping[str, str]) -> _Section:
    probe = report.evidence[0].probe
    own = tuple(item for item in report.evidence if not item.subject.startswith("slice:"))
    return _Section(
        probe=probe,
        title=_TITLES.get(probe, probe.replace("_", " ").capitalize()),
        summary=summaries.get(probe, ""),
        evidence=own,
        plots=tuple(_plot(exhibit) for exhibit in report.exhibits),
    )


def _tally(findings: Sequence[Finding]) -> str:
    """How many findings there are of each ruling, the worst first: "1 broken, 107 met"."""
    counts = {ruling: sum(one.ruling is ruling for one in findings) for ruling in _WORST_FIRST}
    return ", ".join(f"{count} {ruling}" for ruling, count in counts.items() if count)


def _says_something(report: ProbeReport) -> bool:
    """Not the one figure that a release without a mix has of its mix: that none was asked for."""
    return any(
        not (
            item.metric == "weighted_slices"
            and isinstance(item.outcome, Measured)
            and not item.outcome.estimate
        )
        for item in report.evidence
    )


def _plot(exhibit: Exhibit) -> Mapping[str, Any]:
    columns, rows = rows_of(exhibit)
    return {
        "title": exhibit.title,
        "takeaway": exhibit.takeaway,
        "svg": draw(exhibit),
        "columns": columns,
        "rows": rows,
    }


def _slices(evidence: Sequence[Evidence]) -> Mapping[str, Sequence[Evidence]]:
    found: dict[str, list[Evidence]] = {}
    for item in evidence:
        if item.subject.startswith("slice:"):
            found.setdefault(item.subject.removeprefix("slice:"), []).append(item)
    return found


def _show(outcome: Measured | NotMeasured) -> tuple[str, str, str]:
    """(estimate, at least, at most) in words; the reason where there is none."""
    if isinstance(outcome, NotMeasured):
        return ("not measured", "", "")
    return (number(outcome.estimate), number(outcome.low), number(outcome.high))


@functools.cache
def _template(name: str) -> Template:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    def load(which: str) -> str:
        return (resources.files("release.quality") / which).read_text(encoding="utf-8")

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(load),
    )
    return environment.get_template(name)
