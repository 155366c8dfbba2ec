"""The policies in force, side by side, and each in full."""

from __future__ import annotations

import streamlit as st

from app import desk, panels


def page() -> None:
    """Terms side by side, what waits for a second owner, then the documents."""
    st.title("Policies")
    policies = desk.workspace().registry.policies
    published, waiting = policies.all(), policies.waiting()
    if not published:
        st.info("No policy is in force. `sluice init` installs the built-in tiers.", icon=":material/policy:")
        return
    for policy in waiting:
        st.warning(
            f"{desk.plain(policy.terms.name)} {desk.plain(policy.terms.version)}, proposed by {desk.plain(policy.proposed_by)}, "
            "waits for a second policy owner. Confirming it sends open releases back to be judged again.",
            icon=":material/hourglass:",
        )
    st.html(
        panels.table(
            (
                "policy",
                "claimed ε at most",
                "approvals by others",
                "approval lasts",
                "suite",
                "smallest cell",
                "digest",
            ),
            [
                (
                    panels.Markup("<strong>{} {}</strong>").format(policy.terms.name, policy.terms.version),
                    policy.terms.max_epsilon,
                    f"{policy.terms.approvals}{' and the policy owner' if policy.terms.owner_approval else ''}",
                    f"{policy.terms.approval_days} days",
                    policy.terms.suite,
                    policy.terms.smallest_cell,
                    policy.terms.digest[:12],
                )
                for policy in published
            ],
            caption="In force",
        )
    )
    for policy in (*waiting, *published):
        note = "" if policy.confirmed_by else ", not in force"
        with st.expander(
            f"{desk.plain(policy.terms.name)} {desk.plain(policy.terms.version)} to the letter{note}"
        ):
            st.code(policy.document, language="yaml", wrap_lines=True)


page()
