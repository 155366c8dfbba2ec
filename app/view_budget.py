"""Lifetime privacy budgets: what each population has spent, and on what."""

from __future__ import annotations

import streamlit as st

from app import desk, panels
from app.panels import Tone
from release.records import Population


def page() -> None:
    """One block for each population."""
    st.title("Privacy budget")
    st.markdown(
        "A budget belongs to a population of people and to all its releases together, whoever receives them. "
        "What was charged is never refunded."
    )
    populations = desk.workspace().registry.ledger.populations()
    if not populations:
        st.info(
            "No population has a lifetime cap yet. Set one: `sluice budget set`.", icon=":material/savings:"
        )
    for population in populations:
        _population(population)


def _population(population: Population) -> None:
    balance = desk.workspace().registry.ledger.balance(population)
    cap = balance.cap
    st.header(desk.plain(population))
    tone = Tone.BAD if balance.left < 0.1 else Tone.CARE if balance.left < 0.4 else Tone.GOOD
    st.html(
        panels.Markup('<div class="sg"><p><strong>{:.1%} spent, {:.1%} left</strong></p>{}</div>').format(
            balance.share, balance.left, panels.meter(balance.share, tone)
        )
    )
    st.html(
        panels.facts(
            [
                ("Lifetime cap", f"ε = {cap.epsilon:g}, δ = {cap.delta:.2g}"),
                ("Spent so far", f"ε = {balance.epsilon_so_far:.3g}"),
                ("Per", f"one {cap.unit}"),
                ("Charges", str(len(balance.charges))),
            ]
        )
    )
    if balance.charges:
        st.html(
            panels.table(
                ("release", "turn", "ε", "δ", "share of the cap", "by", "at (UTC)", "entry"),
                [
                    (
                        charge.release,
                        charge.turn,
                        charge.cost.epsilon,
                        charge.cost.delta,
                        f"{charge.rdp / cap.rdp:.1%}",
                        charge.by,
                        charge.at.strftime("%Y-%m-%d %H:%M"),
                        charge.id,
                    )
                    for charge in reversed(balance.charges)
                ],
                caption="Every attempt, failed ones too, newest first",
            )
        )
        st.html(
            panels.paragraph(
                "Shares are of the Rényi divergence that the cap allows, so they add up; the ε of single charges does not.",
                kind="sg sg-minor",
            )
        )


page()
