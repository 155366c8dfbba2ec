"""The review app: what a data steward sees and signs. `sluice app` starts it.

Rules: nothing is decided here: every button calls the registry, which checks who, from which state and on which records,
and what it refuses is shown in its own words. No real row is ever read; the only rows shown are synthetic.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app import desk, panels

# File, title, icon and address of each page, in the menu's order. (No string under it: Streamlit would print that.)
PAGES = (
    ("view_releases.py", "Releases", ":material/inbox:", ""),
    ("view_release.py", "One release", ":material/fact_check:", "release"),
    ("view_budget.py", "Privacy budget", ":material/savings:", "budget"),
    ("view_policies.py", "Policies", ":material/policy:", "policies"),
    ("view_audit.py", "Audit log", ":material/history:", "audit"),
)


def main() -> None:
    """Draw the page that was asked for."""
    # A file of our own: for a named icon, the browser would ask a font server outside.
    icon = str(Path(__file__).with_name("review.svg"))
    st.set_page_config(page_title="Sluicegate review", page_icon=icon, layout="wide")
    page = st.navigation(
        [
            st.Page(file, title=title, icon=icon, url_path=path, default=place == 0)
            for place, (file, title, icon, path) in enumerate(PAGES)
        ]
    )
    st.html(panels.STYLE)
    if st.context.theme.type == "dark":
        st.html(panels.ON_DARK)
    with desk.errors_in_words():
        desk.sign_in()
        desk.say_what_was_done()
        page.run()


main()
