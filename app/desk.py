"""What every page of the review app shares: the workspace, who is signed in, words, and errors in plain words."""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import streamlit as st

from app.panels import Tone
from app.workspace import SETTINGS, Workspace, require
from release.errors import NotAuthorisedError, ReleaseError
from release.records import Person, Ruling
from release.workflow.people import Member, Role
from release.workflow.transitions import State

RULING_WORDS = {
    Ruling.MET: "✓ met",
    Ruling.BROKEN: "✗ broken",
    Ruling.UNPROVEN: "? unproven",
    Ruling.INVALID: "! invalid",
}
"""A symbol and a word: the colour alone never carries the meaning."""

RULING_TONE = {
    Ruling.MET: Tone.GOOD,
    Ruling.BROKEN: Tone.BAD,
    Ruling.UNPROVEN: Tone.CARE,
    Ruling.INVALID: Tone.ODD,
}

WORST_FIRST = (Ruling.BROKEN, Ruling.INVALID, Ruling.UNPROVEN, Ruling.MET)

STATE_WORDS = {
    State.DRAFT: "draft: not submitted yet",
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

STATE_BADGE = {
    State.DRAFT: ("○ draft", Tone.QUIET),
    State.SUBMITTED: ("○ submitted", Tone.QUIET),
    State.GENERATING: ("… running", Tone.QUIET),
    State.EVALUATING: ("… running", Tone.QUIET),
    State.BLOCKED: ("■ blocked", Tone.BAD),
    State.IN_REVIEW: ("◔ in review", Tone.CARE),
    State.PARTIALLY_REVIEWED: ("◑ in review", Tone.CARE),
    State.REVIEWED: ("◕ in review", Tone.CARE),
    State.APPROVED: ("● approved", Tone.GOOD),
    State.RETURNED: ("↩ sent back", Tone.CARE),
    State.REJECTED: ("■ rejected", Tone.BAD),
    State.EXPORTING: ("… exporting", Tone.QUIET),
    State.RELEASED: ("► released", Tone.GOOD),
    State.EXPIRED: ("– expired", Tone.QUIET),
    State.REVOKED: ("■ revoked", Tone.BAD),
    State.SUPERSEDED: ("– superseded", Tone.QUIET),
    State.WITHDRAWN: ("– withdrawn", Tone.QUIET),
    State.FAILED: ("■ failed", Tone.BAD),
    State.RE_REVIEW_REQUIRED: ("↻ judge again", Tone.CARE),
}

WHAT_TO_DO = {
    State.DRAFT: "Its requester submits and runs it: `sluice release run {release}`.",
    State.SUBMITTED: "Its requester runs it: `sluice release run {release}`.",
    State.GENERATING: "Wait. The page follows by itself.",
    State.EVALUATING: "Wait. The page follows by itself.",
    State.BLOCKED: "Nothing to approve. Its requester may make a new turn, which is charged again "
    "(`sluice release run {release} --new-turn`), ask for something else, or withdraw it.",
    State.IN_REVIEW: "Reviewers look at what could go wrong, then vote.",
    State.PARTIALLY_REVIEWED: "A further reviewer looks at what could go wrong, then votes.",
    State.REVIEWED: "The policy owner looks at what could go wrong, then votes.",
    State.APPROVED: "A releaser exports it: `sluice release export {release} --to DIR`.",
    State.RETURNED: "Its requester reads the comment and makes a new turn: `sluice release run {release} --new-turn`.",
    State.REJECTED: "Nothing: this is final. Another release may be asked for.",
    State.EXPORTING: "Wait. The page follows by itself.",
    State.RELEASED: "Nothing. Should something come to light: `sluice release revoke {release}`.",
    State.EXPIRED: "Nothing: the partner's time is over. Another release may be asked for.",
    State.REVOKED: "See that the partner deletes it; the program cannot.",
    State.SUPERSEDED: "Nothing: a later release took its place.",
    State.WITHDRAWN: "Nothing: its requester took it back.",
    State.FAILED: "Its requester makes a new turn, which is charged again: `sluice release run {release} --new-turn`.",
    State.RE_REVIEW_REQUIRED: "Its requester or a reviewer has it judged again: `sluice release run {release}`.",
}
"""For whoever wonders whose turn it is."""

UNDER_REVIEW = frozenset({State.IN_REVIEW, State.PARTIALLY_REVIEWED, State.REVIEWED})
RUNNING = frozenset({State.GENERATING, State.EVALUATING, State.EXPORTING})

_MARKDOWN = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_{}[]()<>#+-.!|~$:&@"})
_SAID = "said"

TOKEN = "SLUICE_APP_TOKEN"  # noqa: S105 - the name of an environment variable
"""Holds the secret of the link that `sluice app` prints."""


def plain(text: object) -> str:
    """The text with every sign that Markdown or HTML would take for its own escaped; line ends become blanks."""
    return " ".join(str(text).split()).translate(_MARKDOWN)


# ---------------------------------------------------------------------------------------------- where and who


def workspace() -> Workspace:
    """The workspace that `sluice app` was started on. Raises InputError."""
    named = os.environ.get("SLUICE_WORKSPACE")
    root = require(Path(named) if named else None)
    found = (root / SETTINGS).stat()
    return _opened(str(root), found.st_ino, found.st_mtime_ns)


@st.cache_resource(max_entries=4, show_spinner=False)
def _opened(root: str, inode: int, changed: int) -> Workspace:
    """One connection pool for all sessions; a workspace that was made anew in the same place is another one."""
    del inode, changed
    return Workspace.open(Path(root))


def me() -> Person:
    """Who is signed in, asked anew each time. Raises NotAuthorisedError."""
    place = workspace()
    if place.settings.demo:
        return Person(str(st.session_state["person"]))
    return _signed_in() if _single_sign_on() else place.person(None)


def roles() -> tuple[Role, ...]:
    """Roles of whoever is signed in; empty for people that the registry does not know."""
    member = member_of(me())
    return member.roles if member else ()


def member_of(person: Person) -> Member | None:
    """The registry's record of a person."""
    return workspace().registry.people.get(person)


def sign_in() -> None:
    """Find out who this is: single sign-on where it is set up, in a demo whoever one likes, else the system's user.

    Raises NotAuthorisedError for who came without the link, and for who has no role: the pages speak of real people.
    """
    place = workspace()
    if not (place.settings.demo or _single_sign_on()):
        _require_link()
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
            st.button("Sign out", on_click=st.logout)
        known = ", ".join(role.value.replace("-", " ") for role in roles())
        st.markdown(f"{plain(me())}: {known or 'no role here'}")
        st.markdown(f"Issuer: {plain(place.settings.issuer)}")
    if not known:
        raise NotAuthorisedError(
            f"{me()} has no role in this workspace", mend="ask a policy owner for one (sluice person add)"
        )


def _require_link() -> None:
    """Without single sign-on whoever has the link is the account that started the app: a port is open to all local users."""
    expected = os.environ.get(TOKEN, "")
    given = str(st.query_params.get("token") or st.session_state.get(TOKEN) or "")
    if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
        raise NotAuthorisedError(
            "this page was not opened by the link of its `sluice app`",
            mend="open the link that `sluice app` printed, or set up single sign-on",
        )
    st.session_state[TOKEN] = given


def _single_sign_on() -> bool:
    try:
        return "auth" in st.secrets
    except FileNotFoundError:
        return False


def _signed_in() -> Person:
    """The identity provider's name for them; an address it has not verified is nobody's."""
    if not st.user.is_logged_in:
        raise NotAuthorisedError("nobody is signed in", mend="sign in")
    email, subject = st.user.get("email"), st.user.get("sub")
    if email and st.user.get("email_verified") is False:
        raise NotAuthorisedError(
            f"the identity provider has not verified the address {email}",
            mend="verify it there, then sign in again",
        )
    if not (email or subject):
        raise NotAuthorisedError(
            "the identity provider gave neither an e-mail address nor a subject",
            mend="have its claims set up",
        )
    return Person(str(email or subject))


# ---------------------------------------------------------------------------------------------- saying


def done(message: str) -> None:
    """To be said at the top of the page when it is drawn anew."""
    st.session_state.setdefault(_SAID, []).append(("done", message, ""))


def not_done(error: ReleaseError) -> None:
    """The same for what was refused, with its mend."""
    st.session_state.setdefault(_SAID, []).append(("not done", error.fact, error.mend or ""))


def say_what_was_done() -> None:
    """Show what the buttons of the last page led to."""
    for kind, fact, mend in st.session_state.pop(_SAID, []):
        if kind == "done":
            st.success(plain(fact), icon=":material/check:")
        else:
            _refused(fact, mend)


@contextmanager
def errors_in_words() -> Iterator[None]:
    """An error of ours becomes a message with its mend."""
    try:
        yield
    except ReleaseError as error:
        _refused(error.fact, error.mend or "")


def _refused(fact: str, mend: str) -> None:
    to_do = f"  \nWhat to do: {plain(mend)}" if mend else ""
    st.error(f"**Not done:** {plain(fact)}{to_do}", icon=":material/block:")
