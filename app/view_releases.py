"""Every release: what waits for me first, then the rest."""

from __future__ import annotations

import streamlit as st

from app import concerns, desk, panels
from release.records import Person
from release.workflow.dossier import ReleaseView
from release.workflow.people import Role
from release.workflow.transitions import State

_MOST = 50


def waits_for(view: ReleaseView, person: Person, roles: tuple[Role, ...]) -> bool:
    """Whether this person could move the release on now. For sorting only: the registry decides."""
    mine = view.request.requested_by == person
    if view.state in desk.UNDER_REVIEW:
        voted = view.standing is not None and person in view.standing.approvers
        return not mine and not voted and bool({Role.REVIEWER, Role.POLICY_OWNER} & set(roles))
    if view.state is State.APPROVED:
        return Role.RELEASER in roles
    return mine and view.state in {State.DRAFT, State.SUBMITTED, State.RETURNED, State.FAILED, State.BLOCKED}


def searched(view: ReleaseView) -> str:
    """The words that the filter looks in."""
    request = view.request
    words = [
        view.release,
        desk.STATE_WORDS[view.state],
        request.policy,
        request.partner,
        request.requested_by,
    ]
    if view.verdict:
        words.append(desk.RULING_WORDS[view.verdict.ruling])
    return " ".join(words).lower()


@st.fragment(run_every="10s")
def listing() -> None:
    """The list; reads the registry anew every ten seconds."""
    with desk.errors_in_words():
        views = desk.workspace().registry.all()
        if not views:
            st.info(
                "No release was asked for yet. Register a table with `sluice dataset add`, then `sluice release propose`.",
                icon=":material/inbox:",
            )
            return
        who, roles = desk.me(), desk.roles()
        chosen = st.text_input("Filter by name, partner, policy, person or state", key="filter").lower()
        waiting = [view for view in views if waits_for(view, who, roles)]
        others = [view for view in views if view not in waiting]
        _block(f"Waits for you ({len(waiting)})", waiting, chosen, "Nothing waits for you.")
        _block(f"All others ({len(others)})", others, chosen, "There are no others.")


def _block(title: str, views: list[ReleaseView], chosen: str, nothing: str) -> None:
    st.header(title)
    found = [view for view in reversed(views) if chosen in searched(view)]
    if not found:
        st.markdown(nothing if not chosen else "None that fits the filter.")
    for view in found[:_MOST]:
        with st.container(border=True):
            st.html(_card(view))
            if st.button(f"Open {desk.plain(view.release)}", key=f"open {view.release}"):
                st.session_state["release"] = view.release
                st.switch_page("view_release.py", query_params={"id": view.release})
    if len(found) > _MOST:
        st.markdown(f"and {len(found) - _MOST} more: filter to see them.")


def _card(view: ReleaseView) -> panels.Markup:
    """Name and badges; what is wrong and what to do; what it is."""
    request, verdict = view.request, view.verdict
    badges = [panels.badge(*desk.STATE_BADGE[view.state])]
    if verdict is not None:
        badges.insert(0, panels.badge(desk.RULING_WORDS[verdict.ruling], desk.RULING_TONE[verdict.ruling]))
    lines = [
        panels.paragraph(
            panels.Markup("<strong>{}</strong> &nbsp;{}").format(view.release, panels.joined(badges))
        ),
        panels.paragraph(
            f"ε = {request.budget.epsilon:g} under {request.policy}, {request.rows:,} rows for {request.partner}, "
            f"asked for by {request.requested_by}",
            kind="sg-minor",
        ),
    ]
    if verdict is not None:
        lines.append(panels.paragraph(concerns.in_one_line(verdict)))
    to_do = panels.with_code(desk.WHAT_TO_DO[view.state].format(release=view.release))
    lines.append(panels.paragraph(panels.Markup("<strong>What to do:</strong> {}").format(to_do)))
    return panels.Markup('<div class="sg">{}</div>').format(panels.joined(lines))


st.title("Releases")
listing()
