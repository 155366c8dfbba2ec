"""`sluice demo`: the whole way on a packaged table."""

from __future__ import annotations

from typing import Annotated

import typer

from app.console import examples

app = typer.Typer(
    help="The whole way on a packaged real table.", rich_markup_mode="rich", add_completion=False
)


@app.command(epilog=examples("sluice demo", "sluice demo --data lending-club"))
def demo(
    data: Annotated[str, typer.Option("--data", help="meps (health) or lending-club (finance).")] = "meps",
) -> None:
    """From a real table to a verified bundle in ./.demo, and two releases that must not leave. A few minutes."""
    from app.demo import ROOT, TALES, play
    from release.errors import InputError

    if data not in TALES:
        raise InputError(f"there is no demo {data!r}", mend=f"choose one of {', '.join(TALES)}")
    if code := play(TALES[data], ROOT):
        raise typer.Exit(code)
