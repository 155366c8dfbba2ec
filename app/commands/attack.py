"""`sluice attack list`."""

from __future__ import annotations

import typer

from app.console import JsonOption, examples, show, table_of

app = typer.Typer(
    help="The attacks, their adversaries and the suites.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)


@app.callback()
def attack() -> None:
    """The attacks, their adversaries and the suites."""


@app.command(name="list", epilog=examples("sluice attack list", "sluice attack list --json"))
def list_command(as_json: JsonOption = False) -> None:
    """Every attack and quality probe: what it does, what a bad result means, and the suites that run it."""
    from app import wiring

    suites = wiring.suites()
    rows = [
        {
            "name": name,
            "kind": kind,
            "suites": [
                suite
                for suite, names in suites.items()
                if name in (names if kind == "attack" else wiring.quality_probes(suite))
            ],
            "summary": probe.summary,
        }
        for kind, probes in (("attack", wiring.attacks()), ("quality", wiring.qualities()))
        for name, probe in probes.items()
    ]
    show(
        rows,
        lambda: table_of(
            ("probe", "kind", "suites", "what it does"),
            [(row["name"], row["kind"], ", ".join(row["suites"]), row["summary"]) for row in rows],
        ),
        as_json=as_json,
    )
