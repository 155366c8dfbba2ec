"""What stands behind a verdict: every rule, the pictures, the figures and controls, synthetic rows, and what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import streamlit as st

from app import desk, panels, plots
from app.exhibits import table_of
from app.panels import Tone
from app.pipeline import synthetic_of
from app.rendering import figure
from policies.format import parse
from release.records import Control, ControlKind, Evidence, Exhibit, Finding, NotMeasured
from release.workflow.dossier import ReleaseView

_ROWS = 30
_COLUMNS = 40
_FIGURES = 100


def rules(view: ReleaseView) -> None:
    """Every finding, the worst first; then what the policy's authors say about their numbers."""
    verdict = view.verdict
    if verdict is None:
        st.markdown("Not judged yet.")
        return
    ordered = sorted(verdict.findings, key=lambda finding: desk.WORST_FIRST.index(finding.ruling))
    st.html(
        panels.table(
            ("ruling", "rule", "figure (one-sided 95 % ends)", "limit", "reason"),
            [_finding_row(finding) for finding in ordered],
            caption=f"{len(ordered)} findings under {view.terms.name} {view.terms.version}, the worst first",
            widths=(10, 20, 18),
        )
    )
    notes = parse(desk.workspace().registry.policies.by_digest(verdict.policy).document).notes
    if notes:
        st.header("Where the limits come from")
        items = panels.joined(panels.Markup("<li>{}</li>").format(note) for note in notes)
        st.html(panels.Markup('<ul class="sg">{}</ul>').format(items))


def _finding_row(finding: Finding) -> tuple[panels.Cell, ...]:
    rule = panels.Markup("<strong>{}</strong>{}").format(
        finding.rule, f" · {finding.subject}" if finding.subject else ""
    )
    return (
        panels.badge(desk.RULING_WORDS[finding.ruling], desk.RULING_TONE[finding.ruling]),
        rule,
        None if finding.value is None else figure(finding.value),
        finding.limit,
        finding.reason,
    )


# ---------------------------------------------------------------------------------------------- pictures


def pictures(view: ReleaseView) -> None:
    """The exhibits of one probe at a time."""
    evidence = view.evidence
    if evidence is None:
        st.markdown("Nothing has been measured yet.")
        return
    probes = list(dict.fromkeys(exhibit.probe for exhibit in evidence.exhibits))
    probes.sort(
        key=lambda probe: evidence.probes.index(probe) if probe in evidence.probes else len(evidence.probes)
    )
    if not probes:
        st.markdown("No probe left a picture.")
        return
    st.markdown("Inside only: no picture leaves with the bundle.")
    chosen = st.selectbox("Pictures of", probes, format_func=lambda name: name.replace("_", " "))
    for exhibit in evidence.exhibits:
        if exhibit.probe == chosen:
            _exhibit(exhibit)


def _exhibit(exhibit: Exhibit) -> None:
    chart, sheet = plots.chart_of(exhibit), table_of(exhibit)
    cut = f"; {sheet.left_out:,} more rows are not shown" if sheet.left_out else ""
    table = panels.table(sheet.columns, sheet.rows, caption=f"{exhibit.title}{cut}")
    with st.container(border=True):
        st.html(
            panels.Markup(
                '<div class="sg"><h3 style="font-size:1.1rem;padding:0">{}</h3><p>{}</p></div>'
            ).format(exhibit.title, exhibit.takeaway)
        )
        if chart is None:
            st.html(table)
            return
        st.altair_chart(chart)
        with st.expander("The same as a table"):
            st.html(table)


# ---------------------------------------------------------------------------------------------- figures


def figures(view: ReleaseView) -> None:
    """The controls, then every figure that fits the filter."""
    evidence = view.evidence
    if evidence is None:
        st.markdown("Nothing has been measured yet.")
        return
    missed = [control for control in evidence.controls if not control.passed]
    st.html(
        panels.table(
            ("result", "probe", "control", "what it shows", "p", "share planted"),
            [_control_row(control) for control in (*missed, *(c for c in evidence.controls if c.passed))],
            caption=f"{len(evidence.controls)} controls, {len(missed)} missed: known leaks planted into this very table, "
            "and copies without any. A probe that misses one says nothing.",
        )
    )
    chosen = st.text_input("Filter the figures by probe, metric, subject or note", key="figures").lower()
    unmeasured = st.toggle("Only what could not be measured", key="unmeasured")
    found = [
        item
        for item in evidence.evidence
        if (not unmeasured or isinstance(item.outcome, NotMeasured))
        and chosen in f"{item.probe} {item.metric} {item.subject} {item.note}".lower()
    ]
    st.html(
        panels.table(
            ("probe", "metric", "subject", "figure (one-sided 95 % ends)", "note"),
            [_figure_row(item) for item in found[:_FIGURES]],
            caption=_how_many(len(found), _FIGURES, "figures"),
            widths=(12, 20, 16, 20),
        )
    )


def _control_row(control: Control) -> tuple[panels.Cell, ...]:
    return (
        panels.badge("✓ held", Tone.GOOD) if control.passed else panels.badge("✗ missed", Tone.BAD),
        control.probe,
        control.name,
        "must be caught" if control.kind is ControlKind.PLANTED_LEAK else "must be left alone",
        control.p_value,
        control.share if control.kind is ControlKind.PLANTED_LEAK else None,
    )


def _figure_row(item: Evidence) -> tuple[panels.Cell, ...]:
    return (item.probe, item.metric, item.subject or "release", figure(item.outcome), item.note)


# ---------------------------------------------------------------------------------------------- rows and history


def rows(view: ReleaseView) -> None:
    """The first synthetic rows. Real ones are never read here."""
    if view.candidate is None:
        st.markdown("There is no candidate yet.")
        return
    table = synthetic_of(desk.workspace(), view)
    shown = table.take(np.arange(min(_ROWS, len(table)))).to_frame()
    columns = [str(name) for name in shown.columns]
    left_out = f"; {len(columns) - _COLUMNS} more columns are not shown" if len(columns) > _COLUMNS else ""
    st.markdown("None of these rows is a real person's record.")
    st.html(
        panels.table(
            columns[:_COLUMNS],
            [_cells(row) for row in shown.iloc[:, :_COLUMNS].itertuples(index=False, name=None)],
            caption=f"The first {len(shown)} of {len(table):,} synthetic rows{left_out}",
            wide=True,
        )
    )


def _cells(row: Iterable[object]) -> tuple[panels.Cell, ...]:
    """A missing value is an empty cell, whichever way pandas spells it."""
    import pandas as pd

    return tuple(
        "" if value is None or value is pd.NA or value is pd.NaT or value != value else str(value)  # noqa: PLR0124
        for value in row
    )


def request(view: ReleaseView) -> None:
    """What was asked for, and what the requester answered; the partner's card repeats the answers."""
    from release.quality.questions import QUESTIONS

    asked = view.request
    task = (
        f"{asked.task.target} from {', '.join(asked.task.features) or 'all other columns'}"
        if asked.task
        else "none"
    )
    options = ", ".join(f"{name} = {value}" for name, value in asked.options.items())
    st.html(
        panels.facts(
            [
                ("Dataset", f"{view.dataset.title or view.dataset.id} ({view.dataset.kind.value})"),
                ("Generator", asked.generator),
                ("Options", options or "as they come"),
                ("Task", task),
                ("Sweeps on file", str(len(view.sweeps))),
            ]
        )
    )
    st.html(
        panels.table(
            ("question", "answer"),
            [(question.text, asked.answers.get(question.key) or "– not answered") for question in QUESTIONS],
            caption="What the requester answered",
            widths=(40,),
        )
    )


def history(view: ReleaseView) -> None:
    """The audit log's lines about this release, newest first."""
    lines = desk.workspace().registry.audit_log(view.release)
    st.html(
        panels.table(
            ("at (UTC)", "by", "what", "moved", "charged"),
            [
                (
                    line.at.strftime("%Y-%m-%d %H:%M:%S"),
                    line.by,
                    line.action.replace("_", " "),
                    ", ".join(f"{source or 'new'} → {target}" for _, source, target in line.moves),
                    ", ".join(line.charges),
                )
                for line in reversed(lines)
            ],
            caption=f"{len(lines)} lines of the audit log",
        )
    )


def _how_many(found: int, most: int, what: str) -> str:
    return f"{found:,} {what}" + (f", the first {most} shown: filter to see others" if found > most else "")


TABS: tuple[tuple[str, Callable[[ReleaseView], None]], ...] = (
    ("Every rule", rules),
    ("Pictures", pictures),
    ("Figures and controls", figures),
    ("Synthetic rows", rows),
    ("Request", request),
    ("History", history),
)
"""Title and drawing of each tab."""
