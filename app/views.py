"""One release, and the list of releases, as text and as JSON. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from app.console import lines_of, table_of
from app.rendering import (
    controls_table,
    cost_lines,
    evidence_summary,
    evidence_table,
    findings_table,
    ruling_text,
    verdict_summary,
)
from release.canonical import digest, to_json
from release.data.mix import shares_in_words
from release.workflow.transitions import Action, steps_from

if TYPE_CHECKING:
    from rich.console import RenderableType

    from release.workflow.dossier import ReleaseView


def release_json(view: ReleaseView) -> dict[str, Any]:
    """All there is to see; pictures' data and reviewers' comments stay out."""
    verdict = view.verdict
    return {
        "release": view.release,
        "state": view.state.value,
        "turn": view.turn,
        "request": to_json(view.request),
        "policy": to_json(view.terms),
        "charge": view.opened.charge if view.opened else None,
        "cost": to_json(view.opened.cost) if view.opened and view.opened.cost else None,
        "candidate": to_json(view.candidate) if view.candidate else None,
        "evidence": [to_json(item) for item in view.evidence.evidence] if view.evidence else None,
        "controls": [to_json(item) for item in view.evidence.controls] if view.evidence else None,
        "seen": seen_digest(view) or None,
        "verdict": None
        if verdict is None
        else {**to_json(verdict), "ruling": verdict.ruling.value, "releasable": verdict.releasable},
        "votes": [
            {
                "person": vote.person,
                "decision": vote.decision.value,
                "turn": vote.turn,
                "cast_at": vote.cast_at.isoformat(),
            }
            for vote in view.votes
        ],
        "sent_back": [
            {"person": remark.by, "turn": remark.about.turn if remark.about else None}
            for remark in view.remarks
        ],
        "approval": to_json(view.approval) if view.approval else None,
        "bundle": to_json(view.bundle) if view.bundle else None,
        "actions": [action.value for action in view.actions],
    }


class Detail(IntEnum):
    """How much of a release is shown."""

    STATE = 0
    """Where it stands, and the votes."""
    RULES = 1
    """Also what each rule says."""
    FIGURES = 2
    """Also every figure and every control."""


def release_text(view: ReleaseView, detail: Detail) -> RenderableType:
    """State, request, cost, verdict, votes, as much as `detail` asks for."""
    from rich.console import Group

    from app.notes import notes

    request = view.request
    lines: list[tuple[str, object]] = [
        ("release", f"{view.release}, turn {view.turn}"),
        ("state", view.state.value),
        ("from", f"{request.dataset}, {request.rows:,} rows by {request.generator}"),
        ("for", f"{request.partner}, {request.purpose.value}, asked for by {request.requested_by}"),
        ("policy", f"{view.terms.name} {view.terms.version}"),
    ]
    if request.weights:
        lines.append(("mix", shares_in_words(request.weights)))
    if view.opened is not None:
        lines += cost_lines(view.opened.cost)
        if view.opened.charge:
            lines.append(("charged", view.opened.charge))
    parts: list[RenderableType] = [lines_of(lines)]
    if view.evidence is not None and detail >= Detail.RULES:
        parts.append(evidence_summary(view.evidence))
    if view.evidence is not None and detail >= Detail.FIGURES:
        parts += [evidence_table(view.evidence.evidence), controls_table(view.evidence.controls)]
    if view.verdict is not None and detail >= Detail.RULES:
        parts.append(findings_table(view.verdict, notes(view.verdict, view.evidence, view.document)))
    if view.verdict is not None:
        parts.append(verdict_summary(view.verdict))
    parts.append(lines_of(_after(view)))
    return Group(*parts)


def listing(views: Sequence[ReleaseView]) -> RenderableType:
    """One line for each release."""
    rows = [
        (
            view.release,
            view.state.value,
            ruling_text(view.verdict.ruling) if view.verdict else "",
            view.request.generator,
            f"{view.request.budget.epsilon:g}",
            view.request.policy,
            view.request.partner,
            view.request.requested_by,
        )
        for view in views
    ]
    return table_of(("release", "state", "verdict", "generator", "ε", "policy", "partner", "by"), rows)


def listing_json(views: Sequence[ReleaseView]) -> list[dict[str, Any]]:
    """The same as plain JSON values."""
    return [
        {
            "release": view.release,
            "state": view.state.value,
            "turn": view.turn,
            "ruling": view.verdict.ruling.value if view.verdict else None,
            "generator": view.request.generator,
            "epsilon": view.request.budget.epsilon,
            "policy": view.request.policy,
            "partner": view.request.partner,
            "requested_by": view.request.requested_by,
        }
        for view in views
    ]


def seen_digest(view: ReleaseView) -> str:
    """Twelve digits that stand for what a vote would bind to; "" where there is nothing to vote on."""
    return digest(view.binding)[:12] if view.binding is not None else ""


def _after(view: ReleaseView) -> list[tuple[str, object]]:
    lines: list[tuple[str, object]] = []
    if view.binding is not None and {Action.APPROVE, Action.RETURN}.intersection(view.actions):
        lines.append(
            (
                "seen",
                f"{seen_digest(view)} (approve, return and reject with --seen {seen_digest(view)} refuse if this changes)",
            )
        )
    if view.votes:
        text = ", ".join(f"{vote.person} {vote.decision.value}" for vote in view.votes)
        lines.append(("votes", text))
    for remark in view.remarks:
        turn = f", turn {remark.about.turn}" if remark.about else ""
        lines.append(("sent back", f"by {remark.by}{turn}: {remark.comment or 'no comment'}"))
    if view.approval is not None:
        lines.append(("approved", f"until {view.approval.expires_at:%Y-%m-%d %H:%M} UTC"))
    if view.bundle is not None:
        lines.append(("exported", f"by {view.bundle.by} on {view.bundle.at:%Y-%m-%d}"))
    for place, step in enumerate(steps_from(view.state, view.release) or ("nothing",)):
        lines.append(("" if place else "possible now", step.replace("`", "")))
    return lines
