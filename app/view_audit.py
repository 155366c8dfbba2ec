"""The audit log, checked against everything that is stored."""

from __future__ import annotations

import streamlit as st

from app import desk, panels
from release.workflow.audit import AuditLine

_MOST = 100


def page() -> None:
    """Whether everything holds, on request; then the log's lines, newest first."""
    st.title("Audit log")
    registry = desk.workspace().registry
    lines = registry.audit_log()
    st.markdown(
        f"The chain of {len(lines):,} lines holds. Records and ledger are checked against it on request:"
    )
    if st.button("Check everything", type="primary"):
        with st.spinner("Recomputing every digest …"):
            report = registry.verify_audit()
        st.success(
            f"Verified just now: {report.lines:,} lines, {report.records:,} records and {report.ledger_entries:,} ledger "
            "entries agree with each other.",
            icon=":material/verified:",
        )
    chosen = st.text_input("Filter by release, person or action").lower()
    found = [row for line in reversed(lines) if chosen in " ".join(map(str, row := _row(line))).lower()]
    st.html(
        panels.table(
            ("line", "at (UTC)", "by", "what", "release", "moved", "charged", "digest"),
            found[:_MOST],
            caption=f"{len(found):,} lines"
            + (f", the newest {_MOST} shown: filter to see others" if len(found) > _MOST else ""),
        )
    )


def _row(line: AuditLine) -> tuple[panels.Cell, ...]:
    return (
        line.number,
        line.at.strftime("%Y-%m-%d %H:%M:%S"),
        line.by,
        line.action.replace("_", " "),
        line.release,
        ", ".join(f"{source or 'new'} → {target}" for _, source, target in line.moves),
        ", ".join(line.charges),
        line.digest[:12],
    )


page()
