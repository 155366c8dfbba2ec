"""The audit log, checked against everything that is stored."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import desk


def page() -> None:
    """Whether the log holds, then its lines, newest first."""
    st.title("Audit log")
    registry = desk.workspace().registry
    report = registry.verify_audit()
    st.success(
        f"Verified just now: {report.lines:,} lines, {report.records:,} records and {report.ledger_entries:,} ledger entries "
        "agree with each other.",
        icon=":material/verified:",
    )
    chosen = st.text_input("Filter by release, person or action").lower()
    rows = [
        {
            "line": line.number,
            "at (UTC)": line.at.strftime("%Y-%m-%d %H:%M:%S"),
            "by": line.by,
            "action": line.action,
            "release": line.release,
            "moved": ", ".join(f"{source or 'new'} → {target}" for _, source, target in line.moves),
            "charged": ", ".join(line.charges),
            "digest": line.digest[:12],
        }
        for line in reversed(registry.audit_log())
    ]
    rows = [row for row in rows if chosen in " ".join(map(str, row.values())).lower()]
    st.caption(f"{len(rows):,} lines")
    st.dataframe(pd.DataFrame(rows), hide_index=True, height=600)


page()
