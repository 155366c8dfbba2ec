"""The policies in force, side by side, and each in full."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import desk


def page() -> None:
    """Terms side by side, then the documents."""
    st.title("Policies")
    published = desk.workspace().registry.policies.all()
    if not published:
        st.info("No policy is in force. `sluice init` installs the built-in tiers.", icon=":material/policy:")
        return
    columns = {
        f"{policy.terms.name} {policy.terms.version}": {
            "claimed ε at most": f"{policy.terms.max_epsilon:g}",
            "approvals by others": str(policy.terms.approvals)
            + (" and the policy owner" if policy.terms.owner_approval else ""),
            "approval lasts": f"{policy.terms.approval_days} days",
            "suite of attacks": policy.terms.suite,
            "smallest cell shown": str(policy.terms.smallest_cell),
            "digest": policy.terms.digest[:12],
        }
        for policy in published
    }
    st.dataframe(pd.DataFrame(columns))
    for policy in published:
        with st.expander(f"{policy.terms.name} {policy.terms.version}, to the letter"):
            st.code(policy.document, language="yaml")


page()
