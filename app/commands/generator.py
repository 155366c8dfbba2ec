"""`sluice generator list`."""

from __future__ import annotations

import typer

from app.console import JsonOption, examples, show, table_of

app = typer.Typer(
    help="The generators, and what each is good for.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)


@app.callback()
def generator() -> None:
    """The generators, and what each is good for."""


@app.command(name="list", epilog=examples("sluice generator list", "sluice generator list --json"))
def list_command(as_json: JsonOption = False) -> None:
    """Every registered generator; one without a privacy guarantee is for comparison only and can never be exported."""
    from app import wiring

    rows = [
        {"name": name, "private": part.private, "summary": part.summary}
        for name, part in sorted(wiring.generators().items(), key=lambda item: (not item[1].private, item[0]))
    ]
    show(
        rows,
        lambda: table_of(
            ("generator", "privacy", "good for"),
            [
                (
                    row["name"],
                    "differential privacy" if row["private"] else "none: baseline only",
                    row["summary"],
                )
                for row in rows
            ],
        ),
        as_json=as_json,
    )
