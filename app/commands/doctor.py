"""`sluice doctor`: is the installation sound, is the workspace."""

from __future__ import annotations

from typing import Annotated

import typer

from app.console import JsonOption, WorkspaceOption, examples, progress, show, table_of

app = typer.Typer(
    help="Check installation and workspace, with mends.", rich_markup_mode="rich", add_completion=False
)


@app.command(
    epilog=examples(
        "sluice doctor", "sluice doctor --imports --json", "sluice doctor --workspace .demo/workspace"
    )
)
def doctor(
    imports: Annotated[
        bool, typer.Option("--imports", help="Also import the heavy packages side by side (half a minute).")
    ] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Python, packages against the lock, permissions, disk, clock, keys, stored objects, ledger, audit chain.

    Exit code 4 where a check is bad. Without a workspace only the installation is checked.
    """
    from app.health import State, check_installation, check_workspace
    from app.workspace import Workspace, find

    with progress("doctor") as report:
        checks = []
        for check in check_installation(imports=imports):
            report(0.3, check.name)
            checks.append(check)
        place = find(workspace)
        if place is not None:
            for check in check_workspace(Workspace.open(place)):
                report(0.8, check.name)
                checks.append(check)
    rows = [{"check": c.name, "state": c.state.value, "fact": c.fact, "mend": c.mend} for c in checks]
    show(
        {"workspace": str(place) if place else None, "checks": rows},
        lambda: table_of(
            ("check", "state", "fact", "mend"), [(r["check"], r["state"], r["fact"], r["mend"]) for r in rows]
        ),
        as_json=as_json,
    )
    if any(check.state is State.BAD for check in checks):
        raise typer.Exit(4)
