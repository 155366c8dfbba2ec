"""Lifetime privacy budgets: what each population has spent, and on what."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import desk
from release.records import Population


def page() -> None:
    """One block for each population."""
    st.title("Privacy budget")
    st.caption(
        "A budget belongs to a population of people and to all its releases together, whoever receives them. "
        "What was charged is never refunded."
    )
    ledger = desk.workspace().registry.ledger
    populations = ledger.populations()
    if not populations:
        st.info(
            "No population has a lifetime cap yet. Set one: `sluice budget set`.", icon=":material/savings:"
        )
    for population in populations:
        _population(population)


def _population(population: Population) -> None:
    balance = desk.workspace().registry.ledger.balance(population)
    st.subheader(desk.plain(population))
    cap = balance.cap
    st.progress(
        min(1.0, balance.share), text=f"{balance.share:.1%} of the cap is spent, {balance.left:.1%} is left"
    )
    left, middle, right = st.columns(3)
    left.metric("Lifetime cap", f"ε = {cap.epsilon:g}", f"δ = {cap.delta:.2g}", delta_color="off")
    middle.metric("Spent so far", f"ε = {balance.epsilon_so_far:.3g}")
    right.metric("Charges", f"{len(balance.charges)}")
    if balance.charges:
        frame = pd.DataFrame(
            [
                {
                    "entry": charge.id,
                    "release": charge.release,
                    "turn": charge.turn,
                    "ε": charge.cost.epsilon,
                    "δ": charge.cost.delta,
                    "share of cap": charge.rdp / cap.rdp,
                    "by": charge.by,
                    "at (UTC)": charge.at.strftime("%Y-%m-%d %H:%M"),
                }
                for charge in balance.charges
            ]
        )
        st.dataframe(
            frame,
            hide_index=True,
            column_config={"share of cap": st.column_config.NumberColumn(format="percent")},
        )


page()
