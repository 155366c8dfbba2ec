"""Every release: what waits for me first, then the rest."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import desk
from release.records import Person
from release.workflow.dossier import ReleaseView
from release.workflow.people import Role
from release.workflow.transitions import State


def waits_for(view: ReleaseView, person: Person, roles: tuple[Role, ...]) -> bool:
    """Whether this person could move the release on now. For sorting only: the registry decides."""
    mine = view.request.requested_by == person
    if view.state in desk.UNDER_REVIEW:
        voted = view.standing is not None and person in view.standing.approvers
        return not mine and not voted and bool({Role.REVIEWER, Role.POLICY_OWNER} & set(roles))
    if view.state is State.APPROVED:
        return Role.RELEASER in roles
    return mine and view.state in {State.DRAFT, State.SUBMITTED, State.RETURNED, State.FAILED}


def row_of(view: ReleaseView) -> dict[str, object]:
    """One line of the list."""
    request = view.request
    return {
        "release": view.release,
        "state": desk.STATE_WORDS[view.state],
        "verdict": desk.RULING_WORDS[view.verdict.ruling] if view.verdict else "– not judged",
        "ε": request.budget.epsilon,
        "policy": request.policy,
        "partner": request.partner,
        "asked for by": request.requested_by,
        "generator": request.generator,
    }


@st.fragment(run_every="5s")
def listing() -> None:
    """The list; reads the registry anew every five seconds."""
    with desk.errors_in_words():
        registry = desk.workspace().registry
        views = registry.all()
        if not views:
            st.info(
                "No release was asked for yet. Register a table with `sluice dataset add`, then `sluice release propose`.",
                icon=":material/inbox:",
            )
            return
        who, roles = desk.me(), desk.roles()
        chosen = st.text_input("Filter by name, partner, policy or state", key="filter").lower()
        waiting = [view for view in views if waits_for(view, who, roles)]
        others = [view for view in views if view not in waiting]
        _block(f"Waits for you ({len(waiting)})", waiting, chosen, "Nothing waits for you.")
        _block(f"All others ({len(others)})", others, chosen, "There are no others.")


def _block(title: str, views: list[ReleaseView], chosen: str, nothing: str) -> None:
    st.subheader(title)
    rows = [row_of(view) for view in reversed(views)]
    rows = [row for row in rows if chosen in " ".join(map(str, row.values())).lower()]
    if not rows:
        st.caption(nothing if not chosen else "None that fits the filter.")
        return
    for row in rows[:50]:
        with st.container(border=True):
            left, right = st.columns([5, 1], vertical_alignment="center")
            left.markdown(
                f"**{desk.plain(row['release'])}** · {desk.plain(row['state'])} · {desk.plain(row['verdict'])}"
            )
            left.caption(
                f"ε = {row['ε']:g}, {desk.plain(row['policy'])}, for {desk.plain(row['partner'])}, "
                f"asked for by {desk.plain(row['asked for by'])}"
            )
            if right.button("Open", key=f"open {row['release']}", help=f"Open {row['release']}"):
                st.session_state["release"] = row["release"]
                st.switch_page("view_release.py")
    with st.expander("As a table"):
        st.dataframe(pd.DataFrame(rows), hide_index=True)


st.title("Releases")
listing()
