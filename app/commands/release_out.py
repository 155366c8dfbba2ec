"""`sluice release export | trust | revoke | supersede`: the signed bundle, and what is said of it afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.commands.release_common import ReleaseArgument, act
from app.console import AsOption, JsonOption, WorkspaceOption, examples, lines_of, progress, show

app = typer.Typer()
PANEL = "The way out"


@app.command(
    rich_help_panel=PANEL,
    epilog=examples(
        "sluice release export claims-1 --to out/",
        "sluice release export claims-1 --to out/ --csv --tar",
        "sluice release export claims-1 --to out/ --recipient age1… --json",
    ),
)
def export(
    release: ReleaseArgument,
    to: Annotated[
        Path, typer.Option("--to", help="The folder to put the bundle into; made if it is not there.")
    ],
    csv: Annotated[
        bool, typer.Option("--csv", help="Write the table as formula-safe CSV, not Parquet.")
    ] = False,
    tar: Annotated[bool, typer.Option("--tar", help="One tar instead of a folder.")] = False,
    recipient: Annotated[
        list[str] | None,
        typer.Option(
            "--recipient", help="The partner's age public key; the bundle is encrypted. Repeatable."
        ),
    ] = None,
    workspace: WorkspaceOption = None,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check everything anew, judge again, count the votes again, then write the signed bundle.

    Only the synthetic table and its papers leave. The partner checks it with sluice verify and your trust file.
    """
    from app.releasing import export_release
    from app.workspace import open_workspace
    from release.records import ReleaseId

    place = open_workspace(workspace)
    place.registry.expire_due()
    with progress(f"export {release}") as bar:
        done = export_release(
            place,
            ReleaseId(release),
            to=to,
            csv=csv,
            packed=tar,
            recipients=tuple(recipient or ()),
            by=place.person(as_name),
            progress=bar,
        )
    show(
        {"release": release, "bundle": str(done.path), "manifest": done.manifest},
        lambda: lines_of(
            [
                ("bundle", done.path),
                ("manifest", done.manifest),
                ("next", f"sluice verify {done.path} --trust TRUST_FILE (sluice release trust writes one)"),
            ]
        ),
        as_json=as_json,
    )


@app.command(
    rich_help_panel=PANEL,
    epilog=examples(
        "sluice release trust clinic-b --to hospital-west.trust.json",
        "sluice release trust clinic-b --to t.json --json",
    ),
)
def trust(
    partner: Annotated[str, typer.Argument(help="For bundles to this partner.")],
    to: Annotated[Path, typer.Option("--to", help="The file to write; must not exist.")],
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the trust file that the partner needs once: your name and public key. Hand it over by another way."""
    from app.releasing import write_trust
    from app.workspace import open_workspace

    document = write_trust(open_workspace(workspace), partner, to)
    show(
        {"trust_file": str(to), "issuer": document.issuer, "keys": [key.public for key in document.keys]},
        lambda: lines_of(
            [
                ("trust file", to),
                ("issuer", document.issuer),
                ("for", partner),
                ("key", ", ".join(key.public for key in document.keys)),
            ]
        ),
        as_json=as_json,
    )


@app.command(
    rich_help_panel=PANEL,
    epilog=examples('sluice release revoke claims-1 -m "a column was wrongly declared public" --json'),
)
def revoke(
    release: ReleaseArgument,
    comment: Annotated[str, typer.Option("--comment", "-m", help="Why; for the audit log.")],
    workspace: WorkspaceOption = None,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a released bundle back, for the record. The partner must be told: a bundle that left cannot be reached."""
    act(
        lambda registry, it, me: registry.revoke(it, reason=comment, by=me),
        release,
        workspace,
        as_name,
        as_json=as_json,
    )


@app.command(rich_help_panel=PANEL, epilog=examples("sluice release supersede claims-1 --by claims-2 --json"))
def supersede(
    release: ReleaseArgument,
    successor: Annotated[str, typer.Option("--by", help="The released one that takes its place.")],
    workspace: WorkspaceOption = None,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that a later release takes this one's place."""
    from release.records import ReleaseId

    act(
        lambda registry, it, me: registry.supersede(it, successor=ReleaseId(successor), by=me),
        release,
        workspace,
        as_name,
        as_json=as_json,
    )
