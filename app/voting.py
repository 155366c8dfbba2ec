"""The panel in which a reviewer decides: how the votes stand, who may not vote and why, and the vote itself.

Rules: every button carries what the page showed when it was drawn (`Binding`), not what is so when it is pressed: Streamlit hands a
callback the arguments of the page that the person saw, and the registry refuses a decision on anything else. Whether somebody may
vote is asked of `release.workflow.votes`; the words here only explain it, and the registry asks again.
"""

from __future__ import annotations

import streamlit as st

from app import desk, panels
from app.panels import Tone
from release.errors import ReleaseError
from release.records import Decision, Person, ReleaseId
from release.workflow.dossier import ReleaseView
from release.workflow.offices import requires_sweep
from release.workflow.people import Member, Role, may_act
from release.workflow.votes import Binding, may_vote


def decision_panel(view: ReleaseView) -> None:
    """Why it was sent back, votes, people and buttons."""
    st.header("Decision")
    _sent_back(view)
    if view.approval is not None:
        st.html(
            panels.box(
                panels.paragraph(
                    f"Approved by {', '.join(view.approval.approvers)}, valid until {view.approval.expires_at:%Y-%m-%d %H:%M} UTC."
                ),
                Tone.GOOD,
            )
        )
    if view.state in desk.UNDER_REVIEW and view.standing is not None:
        _standing(view)
        _ballot(view)
    elif view.approval is None:
        st.markdown(
            f"There is nothing to vote on: this release is {desk.plain(desk.STATE_WORDS[view.state])}."
        )
    _cast_so_far(view)


def _standing(view: ReleaseView) -> None:
    standing = view.standing
    if standing is None:
        return
    given, needed = len(standing.approvers), len(standing.approvers) + standing.missing
    owner = ", and the policy owner's is missing" if standing.owner_missing else ""
    st.markdown(f"**{given} of {needed} approvals** given{owner}.")
    if requires_sweep(view.terms, view.request.purpose) and not view.sweeps:
        st.warning(
            f"The policy wants a ratio sweep on file before anybody approves: `sluice release sweep {view.release}`.",
            icon=":material/rule:",
        )


def _ballot(view: ReleaseView) -> None:
    """The vote of whoever is signed in, or why there is none."""
    members = [m for m in desk.workspace().registry.people.all() if m.roles]
    against = _against(view, desk.member_of(desk.me()), desk.me())
    if against:
        st.warning(f"You may not vote: {against}.", icon=":material/block:")
    else:
        _buttons(view, view.binding)
    others = [m for m in members if m.person != desk.me()]
    rows = [
        (m.person, _word(view, m))
        for m in others
        if may_act(m, Role.REVIEWER) or may_act(m, Role.POLICY_OWNER)
    ]
    if rows:
        with st.expander("Who else may vote"):
            st.html(panels.table(("person", "vote"), rows, caption="Reviewers and policy owners"))


def _word(view: ReleaseView, member: Member) -> panels.Markup:
    against = _against(view, member, member.person)
    if view.standing is not None and member.person in view.standing.approvers:
        return panels.badge("✓ approved", Tone.GOOD)
    if against:
        return panels.badge("✗ may not", Tone.QUIET) + against
    return panels.badge("○ may vote", Tone.QUIET)


def _against(view: ReleaseView, member: Member | None, person: Person) -> str:
    """Why this person's vote would not count or would change nothing; empty where it would."""
    if person == view.request.requested_by:
        return f"{desk.plain(person)} asked for this release, and nobody approves their own"
    if not may_vote(member, person, view.request.requested_by):
        return f"{desk.plain(person)} is neither a reviewer nor a policy owner"
    if view.standing is not None and person in view.standing.approvers:
        return f"{desk.plain(person)} has approved it already"
    return ""


def _buttons(view: ReleaseView, shown: Binding | None) -> None:
    if shown is None:
        st.warning("There is no verdict to vote on.", icon=":material/block:")
        return
    st.text_area("Comment (stays inside)", key=_comment_key(view.release), max_chars=2_000, height=80)
    with st.container(horizontal=True):
        st.button(
            "✓ Approve",
            type="primary",
            key="approve",
            on_click=cast,
            args=(Decision.APPROVE, shown),
        )
        st.button(
            "↩ Send back",
            key="return",
            help="The requester reads your comment and may make another turn.",
            on_click=send_back,
            args=(shown,),
        )
        with st.popover("✗ Reject …"):
            st.markdown("A rejected release never leaves, and cannot be taken up again.")
            st.button("✗ Reject for good", key="reject", on_click=cast, args=(Decision.REJECT, shown))
    st.html(
        panels.paragraph(
            f"What you decide binds to what you see: turn {shown.turn}, candidate {shown.candidate[:8]}, evidence "
            f"{shown.evidence[:8]}, policy {shown.policy[:8]}. If any of them changes, it is void.",
            kind="sg sg-minor",
        )
    )


def cast(decision: Decision, shown: Binding) -> None:
    """A button's callback: vote on what the page showed. What came of it is said on the next page."""
    release = shown.release
    registry = desk.workspace().registry
    try:
        registry.expire_due()
        state = registry.vote(release, decision, comment=_comment(release), by=desk.me(), seen=shown)
    except ReleaseError as error:
        desk.not_done(error)
        return
    st.session_state[_comment_key(release)] = ""
    what = "approved" if decision is Decision.APPROVE else "rejected"
    desk.done(f"You have {what} {release}: now {desk.STATE_WORDS[state]}.")


def send_back(shown: Binding) -> None:
    """A button's callback: what the page showed goes back to the requester, with the comment."""
    release = shown.release
    try:
        desk.workspace().registry.send_back(release, comment=_comment(release), by=desk.me(), seen=shown)
    except ReleaseError as error:
        desk.not_done(error)
        return
    st.session_state[_comment_key(release)] = ""
    desk.done(f"You have sent {release} back to its requester.")


def _sent_back(view: ReleaseView) -> None:
    """For the requester, and for whoever wants to see whether the next turn mends it."""
    if view.remarks:
        rows = [
            (
                remark.by,
                remark.about.turn if remark.about is not None else None,
                remark.comment or "(no comment)",
            )
            for remark in view.remarks
        ]
        st.html(panels.table(("person", "turn", "comment"), rows, caption="Sent back"))


def _comment_key(release: ReleaseId) -> str:
    return f"comment {release}"


def _comment(release: ReleaseId) -> str:
    return str(st.session_state.get(_comment_key(release), ""))


def _cast_so_far(view: ReleaseView) -> None:
    if not view.votes:
        return
    rows = [
        (
            vote.person,
            panels.badge("✓ approve", Tone.GOOD)
            if vote.decision is Decision.APPROVE
            else panels.badge("✗ reject", Tone.BAD),
            vote.comment,
            vote.cast_at.strftime("%Y-%m-%d %H:%M"),
        )
        for vote in view.votes
    ]
    st.html(panels.table(("person", "vote", "comment", "at (UTC)"), rows, caption="Votes of this turn"))
