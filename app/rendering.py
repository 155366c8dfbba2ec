"""Records as people read them: a verdict, a cost, a figure with its interval. Text only; nothing is judged here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from app.console import legible, lines_of, table_of
from release.records import (
    Control,
    Evidence,
    EvidenceSet,
    Finding,
    GateMode,
    Measured,
    NotMeasured,
    PrivacyCost,
    Ruling,
    Verdict,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_STYLE = {
    Ruling.MET: "green",
    Ruling.BROKEN: "bold red",
    Ruling.UNPROVEN: "yellow",
    Ruling.INVALID: "bold magenta",
}

EXIT_CODE = {Ruling.MET: 0, Ruling.BROKEN: 1, Ruling.UNPROVEN: 3, Ruling.INVALID: 3}
"""What a command that judges returns."""

MODE_WORDS = {
    GateMode.COVERED: "scores and selection ran inside the accounted mechanism",
    GateMode.COVERED_EXCEPT_ATTACKS: "inside ε, except that attack rules judged exact data",
    GateMode.UNCOVERED: "the gate looked at real data and is outside ε",
}


def ruling_text(ruling: Ruling) -> Text:
    """The ruling in its colour; the word alone carries the meaning."""
    from rich.text import Text

    return Text(ruling.value, style=_STYLE[ruling])


def figure(outcome: Measured | NotMeasured | None) -> str:
    """A figure as `0.012 (0.004 … 0.021), n = 2,140`, or why there is none."""
    if outcome is None:
        return "no figure"
    if isinstance(outcome, NotMeasured):
        needed = f" (needs {outcome.needed:,} units)" if outcome.needed is not None else ""
        return f"not measured: {outcome.reason}{needed}"
    if outcome.low == outcome.high == outcome.estimate:
        return f"{outcome.estimate:,.4g}"
    return f"{outcome.estimate:.4g} ({outcome.low:.4g} … {outcome.high:.4g}), n = {outcome.trials:,}"


def cost_lines(cost: PrivacyCost | None) -> list[tuple[str, object]]:
    """What a plan costs, with unit, neighbours and accountant."""
    if cost is None:
        return [("cost", "no privacy guarantee (ε = ∞): can never be exported")]
    return [
        ("cost", f"ε = {cost.epsilon:.4g} at δ = {cost.delta:.3g}"),
        ("unit", f"one {cost.unit} (at most {cost.max_rows_per_unit} rows), {cost.adjacency.value}"),
        ("accountant", f"{cost.accountant.value}, {len(cost.events)} kinds of event"),
    ]


def events_table(cost: PrivacyCost) -> RenderableType:
    """The plan's events: what the budget is spent on."""
    rows = [
        (
            event.label,
            event.mechanism.value,
            f"{event.parameter:.4g}",
            f"{event.count:,}",
            f"{event.sampling_rate:.4g}",
        )
        for event in cost.events
    ]
    return table_of(("event", "mechanism", "parameter", "times", "sampling"), rows)


def findings_table(verdict: Verdict, notes: Mapping[tuple[str, str], str]) -> RenderableType:
    """Each rule's finding, the worst first; below, why those that are not met are not, one reason for each rule.

    Args:
        verdict: whose findings.
        notes: what the probes say of the figures, by rule and subject (`app.notes`).
    """
    from rich.console import Group
    from rich.text import Text

    order = [Ruling.BROKEN, Ruling.INVALID, Ruling.UNPROVEN, Ruling.MET]
    ranked = sorted(verdict.findings, key=lambda finding: order.index(finding.ruling))
    rows = [
        (
            ruling_text(finding.ruling),
            finding.rule,
            finding.subject or "release",
            "" if finding.value is None else f"{finding.value.estimate:.4g}",
            _interval(finding.value),
            "" if finding.value is None else f"{finding.value.trials:,}",
            ""
            if finding.value is None and finding.ruling is Ruling.MET
            else finding.limit.rpartition(": ")[2],
        )
        for finding in ranked
    ]
    table = table_of(("ruling", "rule", "subject", "figure", "95 % ends", "n", "limit"), rows)
    reasons: dict[tuple[Ruling, str], list[Finding]] = {}
    for finding in ranked:
        if finding.ruling is not Ruling.MET:
            reasons.setdefault((finding.ruling, finding.rule), []).append(finding)
    lines = [
        Text.assemble(
            ruling_text(ruling),
            legible(
                f" {rule} ({found[0].subject or 'release'}{f' and {len(found) - 1} more' if found[1:] else ''}): "
                f"{found[0].limit}; {found[0].reason}"
            ),
            legible(f" [{note}]") if (note := notes.get((rule, found[0].subject))) else "",
        )
        for (ruling, rule), found in reasons.items()
    ]
    return Group(table, *lines)


def _interval(value: Measured | None) -> str:
    if value is None or value.low == value.high:
        return ""
    return f"{value.low:.3g} … {value.high:.3g}"


def verdict_summary(verdict: Verdict) -> RenderableType:
    """The verdict in three lines."""
    from rich.text import Text

    counts = {
        ruling: sum(finding.ruling is ruling for finding in verdict.findings)
        for ruling in (Ruling.MET, Ruling.BROKEN, Ruling.UNPROVEN, Ruling.INVALID)
    }
    text = ", ".join(f"{count} {ruling.value}" for ruling, count in counts.items() if count)
    return lines_of(
        [
            (
                "verdict",
                Text.assemble(
                    ruling_text(verdict.ruling), f" ({text})" if text else " (the policy has no rule)"
                ),
            ),
            ("gate mode", f"{verdict.mode.value}: {MODE_WORDS[verdict.mode]}"),
        ]
    )


def evidence_table(evidence: Iterable[Evidence]) -> RenderableType:
    """Every figure."""
    rows = [
        (item.probe, item.metric, item.subject or "release", figure(item.outcome), item.note)
        for item in evidence
    ]
    return table_of(("probe", "metric", "subject", "figure (one-sided 95 % ends)", "note"), rows)


def controls_table(controls: Sequence[Control]) -> RenderableType:
    """What each probe made of the planted leaks and nulls."""
    rows = [
        (
            control.probe,
            control.name,
            control.kind.value,
            "passed" if control.passed else "MISSED",
            f"{control.p_value:.3g}",
            f"{control.share:.3g}",
        )
        for control in controls
    ]
    return table_of(("probe", "control", "kind", "result", "p", "share of units planted"), rows)


def evidence_summary(evidence: EvidenceSet) -> RenderableType:
    """Which probes ran, and how the controls went."""
    missed = [control for control in evidence.controls if not control.passed]
    return lines_of(
        [
            ("suite", f"{evidence.suite}: {', '.join(evidence.probes)}"),
            (
                "controls",
                f"{len(evidence.controls)} run, {len(missed)} missed"
                + (": " + ", ".join(f"{c.probe}/{c.name}" for c in missed) if missed else ""),
            ),
        ]
    )
