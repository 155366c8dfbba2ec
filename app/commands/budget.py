"""`sluice budget`: lifetime privacy budgets of populations."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from app.console import AsOption, JsonOption, WorkspaceOption, examples, lines_of, show, table_of

app = typer.Typer(help="Lifetime privacy budgets.", rich_markup_mode="rich", add_completion=False)


@app.callback(
    invoke_without_command=True,
    epilog=examples("sluice budget", "sluice budget --json", "sluice budget set hospital-west --epsilon 10"),
)
def budget(context: typer.Context, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """What each population's ledger was charged, and how much of its cap is left."""
    if context.invoked_subcommand is not None:
        return
    from app.workspace import open_workspace

    place = open_workspace(workspace)
    ledger = place.registry.ledger
    balances = [ledger.balance(name) for name in ledger.populations()]
    data = [
        {
            "population": b.cap.population,
            "unit": b.cap.unit,
            "cap": {"epsilon": b.cap.epsilon, "delta": b.cap.delta, "renyi_order": b.cap.order},
            "spent_share": b.share,
            "left_share": b.left,
            "epsilon_so_far": b.epsilon_so_far,
            "charges": [
                {
                    "id": c.id,
                    "release": c.release,
                    "turn": c.turn,
                    "epsilon": c.cost.epsilon,
                    "delta": c.cost.delta,
                    "by": c.by,
                    "at": c.at.isoformat(),
                }
                for c in b.charges
            ],
        }
        for b in balances
    ]

    def render() -> Any:
        from rich.console import Group

        if not balances:
            return "no population has a lifetime cap yet: sluice budget set POPULATION --epsilon …"
        parts = []
        for b in balances:
            parts.append(
                lines_of(
                    [
                        ("population", f"{b.cap.population}, per {b.cap.unit}"),
                        ("lifetime cap", f"ε = {b.cap.epsilon:g} at δ = {b.cap.delta:g}"),
                        (
                            "spent",
                            f"{b.share:.1%} of the cap (together ε = {b.epsilon_so_far:.4g} so far), {b.left:.1%} left",
                        ),
                    ]
                )
            )
            if b.charges:
                parts.append(
                    table_of(
                        ("charge", "release", "turn", "ε", "δ", "by", "at"),
                        [
                            (
                                c.id,
                                c.release,
                                c.turn,
                                f"{c.cost.epsilon:.4g}",
                                f"{c.cost.delta:.3g}",
                                c.by,
                                f"{c.at:%Y-%m-%d %H:%M}",
                            )
                            for c in b.charges
                        ],
                    )
                )
        return Group(*parts)

    show(data, render, as_json=as_json)


@app.command(
    name="set",
    epilog=examples(
        "sluice budget set hospital-west --epsilon 10",
        "sluice budget set bank --epsilon 6 --delta 1e-8 --json",
    ),
)
def set_cap(
    population: Annotated[str, typer.Argument(help="Whose lifetime cap.")],
    epsilon: Annotated[float, typer.Option("--epsilon", help="ε of all releases together.")],
    delta: Annotated[float, typer.Option("--delta", help="δ of all releases together.")] = 1e-6,
    workspace: WorkspaceOption = None,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set or change a population's lifetime cap. Only a budget owner may; never below what is spent."""
    from app.workspace import open_workspace
    from release.canonical import to_json
    from release.records import Population

    place = open_workspace(workspace)
    cap = place.registry.datasets.set_cap(
        Population(population), epsilon=epsilon, delta=delta, by=place.person(as_name)
    )
    show(
        to_json(cap),
        lambda: (
            f"{cap.population}: ε = {cap.epsilon:g} at δ = {cap.delta:g} per {cap.unit}, over all releases"
        ),
        as_json=as_json,
    )
