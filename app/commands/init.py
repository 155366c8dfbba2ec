"""`sluice init`: make a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.console import JsonOption, examples, lines_of, progress, show

app = typer.Typer(help="Make a workspace.", rich_markup_mode="rich", add_completion=False)


@app.command(
    epilog=examples(
        "sluice init --issuer 'Hospital West'",
        "sluice init /srv/releases --registry postgresql+psycopg://sluice@db/releases",
        "sluice init .demo/workspace --demo",
    )
)
def init(
    folder: Annotated[Path, typer.Argument(help="Where to make it; must not exist or be empty.")] = Path(
        ".sluice"
    ),
    demo: Annotated[
        bool,
        typer.Option("--demo", help="A demo workspace: --as NAME is believed, and six people are in it."),
    ] = False,
    registry: Annotated[
        str, typer.Option("--registry", help="SQLAlchemy URL of the registry: SQLite (default) or Postgres.")
    ] = "sqlite:///registry.sqlite",
    issuer: Annotated[
        str, typer.Option("--issuer", help="Your organisation's name, as partners will read it.")
    ] = "unnamed issuer",
    as_json: JsonOption = False,
) -> None:
    """A workspace: registry, object store, keys, and the built-in policies in force.

    Whoever runs this becomes its first person, with every role; more people: sluice person add.
    """
    from app.people import found
    from app.workspace import Settings, Workspace

    with progress("init") as report:
        report(0.2, "keys, object store, registry")
        workspace = Workspace.create(folder, Settings(demo=demo, registry=registry, issuer=issuer))
        report(0.7, "people and policies")
        people, policies = found(workspace)
    data = {
        "workspace": str(workspace.root),
        "demo": demo,
        "people": {member.person: list(member.roles) for member in people},
        "policies": [terms.name for terms in policies],
        "signing_key": workspace.keys.signer.public_key.keyid,
    }
    show(
        data,
        lambda: lines_of(
            [
                ("workspace", workspace.root),
                ("people", "; ".join(f"{m.person} ({', '.join(m.roles)})" for m in people)),
                ("policies", ", ".join(terms.name for terms in policies)),
                ("signing key", workspace.keys.signer.public_key.keyid),
                ("next", "sluice schema draft FILE --out schema.yaml"),
            ]
        ),
        as_json=as_json,
    )
