"""What every page of the review app shares: the workspace, who is signed in, words, and errors in plain words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import streamlit as st

from app.workspace import Workspace, require
from release.errors import ReleaseError
from release.records import Person, Ruling
from release.workflow.people import Role
from release.workflow.transitions import State

RULING_WORDS = {
    Ruling.MET: "✓ met",
    Ruling.BROKEN: "✗ broken",
    Ruling.UNPROVEN: "? unproven",
    Ruling.INVALID: "! invalid",
}
"""A symbol and a word: the colour alone never carries the meaning."""

RULING_COLOUR = {
    Ruling.MET: "green",
    Ruling.BROKEN: "red",
    Ruling.UNPROVEN: "orange",
    Ruling.INVALID: "violet",
}

STATE_WORDS = {
    State.DRAFT: "draft: its requester has not run it",
    State.SUBMITTED: "submitted: waits to be run",
    State.GENERATING: "being generated",
    State.EVALUATING: "being attacked and measured",
    State.BLOCKED: "blocked: not every rule is met",
    State.IN_REVIEW: "waits for reviewers",
    State.PARTIALLY_REVIEWED: "waits for further reviewers",
    State.REVIEWED: "waits for the policy owner",
    State.APPROVED: "approved: waits to be exported",
    State.RETURNED: "sent back to its requester",
    State.REJECTED: "rejected",
    State.EXPORTING: "being exported",
    State.RELEASED: "released",
    State.EXPIRED: "expired",
    State.REVOKED: "revoked",
    State.SUPERSEDED: "superseded by a later release",
    State.WITHDRAWN: "withdrawn by its requester",
    State.FAILED: "failed: what was charged stays charged",
    State.RE_REVIEW_REQUIRED: "must be judged again",
}

UNDER_REVIEW = frozenset({State.IN_REVIEW, State.PARTIALLY_REVIEWED, State.REVIEWED})
RUNNING = frozenset({State.GENERATING, State.EVALUATING, State.EXPORTING})

_MARKDOWN = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_{}[]()<>#+-.!|~$:"})


def plain(text: object) -> str:
    """The text with every sign that Markdown or HTML would take for its own escaped; line ends become blanks."""
    return " ".join(str(text).split()).translate(_MARKDOWN)


def workspace() -> Workspace:
    """The workspace that `sluice app` was started on. Raises InputError."""
    named = os.environ.get("SLUICE_WORKSPACE")
    return Workspace.open(require(Path(named) if named else None))


def me() -> Person:
    """Who is signed in."""
    return Person(str(st.session_state["person"]))


def roles() -> tuple[Role, ...]:
    """Roles of whoever is signed in; empty for people that the registry does not know."""
    member = workspace().registry.people.get(me())
    return member.roles if member else ()


def sign_in() -> None:
    """Find out who this is: single sign-on where it is set up, in a demo whoever one likes, else the system's user."""
    place = workspace()
    with st.sidebar:
        if place.settings.demo:
            names = [member.person for member in place.registry.people.all() if member.roles]
            st.selectbox(
                "Act as (demo only)",
                names,
                key="person",
                help="A demo workspace believes this. In real use you are who you signed in as.",
            )
        elif _single_sign_on():
            if not st.user.is_logged_in:
                st.button("Sign in", on_click=st.login, type="primary")
                st.stop()
            st.session_state["person"] = str(st.user.email or st.user.sub)
            st.button("Sign out", on_click=st.logout)
        else:
            st.session_state["person"] = place.person(None)
        known = ", ".join(role.value.replace("-", " ") for role in roles())
        st.caption(f"{plain(me())}: {known or 'no role here, may look but not act'}")
        st.caption(f"Issuer: {plain(place.settings.issuer)}")


def _single_sign_on() -> bool:
    try:
        return "auth" in st.secrets
    except FileNotFoundError:
        return False


@contextmanager
def errors_in_words() -> Iterator[None]:
    """An error of ours becomes a message with its mend; what it means for the data is said, too."""
    try:
        yield
    except ReleaseError as error:
        st.error(f"**Not done:** {plain(error.fact)}", icon=":material/block:")
        if error.mend:
            st.info(f"What to do: {plain(error.mend)}", icon=":material/build:")
