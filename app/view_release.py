"""One release: what is wrong and what to do, what could go wrong, the decision, then everything behind it."""

from __future__ import annotations

import streamlit as st

from app import concerns, desk, evidence_tabs, panels
from app.voting import decision_panel
from release.data.mix import shares_in_words
from release.records import ReleaseId, Ruling
from release.workflow.dossier import ReleaseView

_HEADLINE = {
    Ruling.MET: "Every rule is met. What is left is your judgement.",
    Ruling.BROKEN: "This table must not leave: a limit is passed.",
    Ruling.UNPROVEN: "This table stays: not everything could be shown to be inside its limit.",
    Ruling.INVALID: "This table stays: a control failed, so the measurements say nothing.",
}


def page() -> None:
    """Choose a release, then show it."""
    names: list[str] = [view.release for view in desk.workspace().registry.all()]
    if not names:
        st.title("No release yet")
        st.info("Ask for one with `sluice release propose`.", icon=":material/inbox:")
        return
    names.reverse()
    wanted = st.query_params.get("id") or st.session_state.get("release")
    if wanted and wanted not in names:
        st.warning(f"There is no release {desk.plain(wanted)}.", icon=":material/search_off:")
    place = names.index(str(wanted)) if wanted in names else 0
    name = st.selectbox("Release", names, index=place, label_visibility="collapsed")
    st.session_state["release"] = name
    st.query_params["id"] = name
    view = desk.workspace().registry.show(ReleaseId(name))
    _follow(view)
    _head(view)
    left, right = st.columns([3, 2], gap="medium")
    with left, desk.errors_in_words():
        concerns.what_could_go_wrong(view)
    with right, desk.errors_in_words():
        decision_panel(view)
    with right, desk.errors_in_words():
        concerns.budget(view)
    tabs = st.tabs([title for title, _ in evidence_tabs.TABS])
    for tab, (_, draw) in zip(tabs, evidence_tabs.TABS, strict=True):
        with tab, desk.errors_in_words():
            draw(view)


def _head(view: ReleaseView) -> None:
    request, verdict = view.request, view.verdict
    words, tone = desk.STATE_BADGE[view.state]
    st.title(desk.plain(view.release))
    badges = panels.badge(words, tone)
    lines: list[panels.Markup] = []
    if verdict is not None:
        badges = panels.badge(desk.RULING_WORDS[verdict.ruling], desk.RULING_TONE[verdict.ruling]) + badges
        lines.append(panels.paragraph(_HEADLINE[verdict.ruling], kind="sg-lead"))
        lines.append(panels.paragraph(concerns.in_one_line(verdict)))
        tone = desk.RULING_TONE[verdict.ruling]
    else:
        lines.append(panels.paragraph(_first_letter(desk.STATE_WORDS[view.state]) + ".", kind="sg-lead"))
    to_do = panels.with_code(desk.WHAT_TO_DO[view.state].format(release=view.release))
    lines.append(panels.paragraph(panels.Markup("<strong>What to do:</strong> {}").format(to_do)))
    st.html(panels.box(panels.paragraph(badges) + panels.joined(lines), tone, hero=True))
    claim = view.candidate.claim if view.candidate else (view.opened.cost if view.opened else None)
    asked = f"{request.budget.epsilon:g} asked for" if view.opened is None else "none: ε = ∞"
    st.html(
        panels.facts(
            [
                ("For", request.partner),
                ("Purpose", request.purpose.value),
                (
                    "Claimed ε",
                    f"{claim.epsilon:.4g} of at most {view.terms.max_epsilon:g}" if claim else asked,
                ),
                ("δ", f"{claim.delta:.2g}" if claim else f"{request.budget.delta:.2g} asked for"),
                (
                    "Protects",
                    f"one {view.dataset.unit}, at most {view.dataset.max_rows} row{'s' * (view.dataset.max_rows > 1)}",
                ),
                ("Policy", f"{view.terms.name} {view.terms.version}"),
                ("Rows", f"{request.rows:,} by {request.generator}"),
                *([("Mix asked for", shares_in_words(request.weights))] if request.weights else []),
                ("Asked for by", f"{request.requested_by}, {request.requested_at:%Y-%m-%d}"),
                ("Turn", str(view.turn) if view.turn else "none yet"),
            ]
        )
    )


def _first_letter(text: str) -> str:
    return text[:1].upper() + text[1:]


# ---------------------------------------------------------------------------------------------- following


def _follow(view: ReleaseView) -> None:
    """Look every few seconds whether somebody else has moved it on."""
    every = "3s" if view.verdict is None or view.state in desk.RUNNING else "6s"
    st.fragment(_watch, run_every=every)(view)


def _watch(shown: ReleaseView) -> None:
    """While it runs, the page follows by itself; while it is being read, nothing changes under the reader's eyes."""
    with desk.errors_in_words():
        now = desk.workspace().registry.show(shown.release)
        if (now.state, now.turn, now.votes, now.verdict) == (
            shown.state,
            shown.turn,
            shown.votes,
            shown.verdict,
        ):
            return
        if shown.state in desk.RUNNING or shown.verdict is None:
            st.rerun()
        st.warning(
            f"This release has changed since this page was drawn: {desk.plain(desk.STATE_WORDS[now.state])}, turn {now.turn}.",
            icon=":material/sync_problem:",
        )
        if st.button("Show what it is now", key="show anew"):
            st.rerun()


page()
