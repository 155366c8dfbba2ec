"""What could go wrong with a release, the worst first, in words, and what it costs its population. For screens only."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import desk, panels, plots
from app.margins import Margin, margins
from app.notes import Notes, notes
from app.panels import Markup, Tone
from app.rendering import MODE_WORDS, figure
from release.errors import RefusedError
from release.records import Evidence, Finding, GateMode, Measured, PrivacyCost, Ruling, Verdict
from release.workflow.dossier import ReleaseView

_CARDS = 8
_CLOSEST = 5
_CHART = 24
_ALARMS = 0.01
"""Where the membership attacks of the tiers are read off: one control in a hundred falsely accused."""


def in_one_line(verdict: Verdict) -> str:
    """How many rules say what, and which come first."""
    if not verdict.findings:
        return "The policy has no rule, and an empty policy denies."
    worrying = _worrying(verdict)
    if not worrying:
        return f"{len(verdict.findings)} findings, all inside their limits with the whole interval."
    names = list(dict.fromkeys(finding.rule for finding in worrying))
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return (
        f"{len(worrying)} of {len(verdict.findings)} findings stand in the way: {', '.join(names[:4])}{more}."
    )


def what_could_go_wrong(view: ReleaseView) -> None:
    """What stands in the way; then what comes closest; then what the numbers do not cover."""
    st.header("What could go wrong")
    verdict = view.verdict
    if verdict is None:
        st.markdown("Not judged yet, so nothing is known. Until it is, this table stays.")
        return
    said = notes(verdict, view.evidence, view.document)
    cards = [_card(found, said) for found in _by_rule(_worrying(verdict))]
    if cards:
        st.html(panels.joined(cards[:_CARDS]))
        if len(cards) > _CARDS:
            with st.expander(f"{len(cards) - _CARDS} more"):
                st.html(panels.joined(cards[_CARDS:]))
    policy = desk.workspace().registry.policies.by_digest(verdict.policy)
    found = margins(verdict.findings, policy.document)
    _closest([margin for margin in found if margin.finding.ruling is Ruling.MET], worrying=bool(cards))
    if found:
        with st.expander("Every figure against its limit"):
            chart = plots.margin_chart(found[:_CHART])
            if chart is not None:
                st.altair_chart(chart)
            st.html(
                panels.paragraph(
                    f"The {min(_CHART, len(found))} of {len(found)} that come closest. The dashed line is the limit; "
                    f"what is beyond {plots.FARTHEST:.0%} of it is drawn there. A rule is met where the whole line lies left of it.",
                    kind="sg sg-minor",
                )
            )
    _not_covered(view, verdict)


def _card(found: Sequence[Finding], said: Notes) -> Markup:
    """One rule that is not met, with the subjects that it is not met for."""
    first = found[0]
    subjects = [finding.subject for finding in found if finding.subject]
    names = ", ".join(subjects[:6]) + (f" and {len(subjects) - 6} more" if len(subjects) > 6 else "")
    title = Markup("{}<strong>{}</strong>{}").format(
        panels.badge(desk.RULING_WORDS[first.ruling], desk.RULING_TONE[first.ruling]),
        first.rule,
        f" · {names}" if names else "",
    )
    lines = [panels.paragraph(title), panels.paragraph(first.reason)]
    measured = f" · measured {figure(first.value)}" if first.value is not None else ""
    lines.append(panels.paragraph(f"{first.limit}{measured}", kind="sg-minor"))
    if note := said.get((first.rule, first.subject)):
        lines.append(panels.paragraph(note, kind="sg-minor"))
    return panels.box(panels.joined(lines), desk.RULING_TONE[first.ruling])


def _closest(found: Sequence[Margin], *, worrying: bool) -> None:
    if not found:
        return
    lines = []
    for margin in found[: 3 if worrying else _CLOSEST]:
        finding = margin.finding
        subject = f" · {finding.subject}" if finding.subject else ""
        tone = Tone.CARE if margin.decisive > 0.8 else Tone.GOOD
        lines.append(
            Markup(
                "<p><strong>{}</strong>{}: {:.0%} of its limit<br><span class='sg-minor'>{}, {}</span></p>{}"
            ).format(
                finding.rule,
                subject,
                margin.decisive,
                figure(finding.value),
                finding.limit.rpartition(": ")[2],
                panels.meter(margin.decisive, tone),
            )
        )
    st.html(
        Markup('<div class="sg"><p>{}</p>{}</div>').format(
            "Met, and closest to their limit, by the worse end of the interval:", panels.joined(lines)
        )
    )


def _not_covered(view: ReleaseView, verdict: Verdict) -> None:
    """What all of these numbers do not say."""
    lines: list[str] = []
    claim = view.candidate.claim if view.candidate else None
    if claim is None:
        lines.append("No privacy guarantee is claimed. Such a table can never be exported.")
    else:
        lines.append(_allowed(claim, view.evidence.evidence if view.evidence else ()))
    if verdict.mode is not GateMode.COVERED:
        words = MODE_WORDS[verdict.mode]
        lines.append(f"{words[:1].upper()}{words[1:]} (gate mode {verdict.mode.value}).")
    if view.verdict is not None and view.verdict.policy != view.terms.digest:
        lines.append("The policy has changed since this verdict: it must be judged again.")
    lines.append("Attacks show what was found, not what a better attack would find.")
    st.html(
        Markup('<div class="sg"><p><strong>{}</strong></p><ul>{}</ul></div>').format(
            "What the rules do not cover", panels.joined(Markup("<li>{}</li>").format(line) for line in lines)
        )
    )


def _allowed(claim: PrivacyCost, evidence: Sequence[Evidence]) -> str:
    """What the claim allows the best attack there could be, beside the best one that was tried."""
    from attacks.membership import dp_ceiling

    ceiling = dp_ceiling(claim, [_ALARMS])
    if ceiling is None:
        return "The claimed ε is not finite, so it allows any attack."
    tried = next(
        (
            item.outcome
            for item in evidence
            if item.key == ("membership", "max_tpr_at_fpr_1pct", "") and isinstance(item.outcome, Measured)
        ),
        None,
    )
    best = f"; the best one tried found {tried.estimate:.1%} (at most {tried.high:.1%})" if tried else ""
    return (
        f"ε = {claim.epsilon:.3g} by itself allows an attack that finds {ceiling[0]:.0%} of the members while accusing "
        f"{_ALARMS:.0%} of the others{best}. Guessing finds {_ALARMS:.0%}."
    )


# ---------------------------------------------------------------------------------------------- budget


def budget(view: ReleaseView) -> None:
    """What this turn took of its population's lifetime budget, and what is left."""
    population = view.dataset.population
    st.header("Privacy budget")
    try:
        balance = desk.workspace().registry.ledger.balance(population)
    except RefusedError as error:
        st.markdown(desk.plain(error.fact))
        return
    turn = sum(c.rdp for c in balance.charges if c.release == view.release and c.turn == view.turn)
    release = sum(c.rdp for c in balance.charges if c.release == view.release)
    tone = Tone.BAD if balance.left < 0.1 else Tone.CARE if balance.left < 0.4 else Tone.GOOD
    lines = [
        Markup(
            "<p><strong>{}</strong>: {:.0%} of its lifetime budget is spent, {:.0%} is left.</p>{}"
        ).format(population, balance.share, balance.left, panels.meter(balance.share, tone)),
        panels.paragraph(
            f"This turn took {turn / balance.cap.rdp:.0%}, this release {release / balance.cap.rdp:.0%}. "
            f"The cap is ε = {balance.cap.epsilon:g} for all releases to all partners together; nothing is refunded.",
            kind="sg-minor",
        ),
    ]
    st.html(Markup('<div class="sg">{}</div>').format(panels.joined(lines)))


def _worrying(verdict: Verdict) -> list[Finding]:
    return [f for ruling in desk.WORST_FIRST[:3] for f in verdict.findings if f.ruling is ruling]


def _by_rule(findings: Sequence[Finding]) -> list[list[Finding]]:
    found: dict[tuple[Ruling, str], list[Finding]] = {}
    for finding in findings:
        found.setdefault((finding.ruling, finding.rule), []).append(finding)
    return list(found.values())
