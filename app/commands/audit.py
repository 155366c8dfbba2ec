"""`sluice audit log|verify`: what happened, and whether the log still holds."""

from __future__ import annotations

from typing import Annotated

import typer

from app.console import JsonOption, WorkspaceOption, examples, lines_of, progress, show, table_of

app = typer.Typer(
    help="The audit log: read it, verify its chain.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)


@app.command(epilog=examples("sluice audit log", "sluice audit log --release claims-1 --json"))
def log(
    release: Annotated[
        str | None, typer.Option("--release", help="Only what happened to this release.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Who did what, when, oldest first. No cell values, no comments stand in it."""
    from app.workspace import open_workspace
    from release.canonical import to_json
    from release.records import ReleaseId

    place = open_workspace(workspace)
    lines = place.registry.audit_log(ReleaseId(release) if release is not None else None)

    def moved(line: object) -> str:
        moves = getattr(line, "moves", ())
        return "; ".join(f"{source or 'new'} → {target}" for _, source, target in moves)

    show(
        [to_json(line) for line in lines],
        lambda: table_of(
            ("line", "at", "by", "did", "release", "state", "charged"),
            [
                (
                    line.number,
                    f"{line.at:%Y-%m-%d %H:%M:%S}",
                    line.by,
                    line.action,
                    line.release,
                    moved(line),
                    ", ".join(line.charges),
                )
                for line in lines
            ],
        ),
        as_json=as_json,
    )


@app.command(epilog=examples("sluice audit verify", "sluice audit verify --json"))
def verify(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Recompute the chain and every record's digest. Exit code 4 where something was changed.

    Note the head outside the workspace (paper will do): a whole older copy put back cannot be told otherwise.
    """
    from app.workspace import open_workspace
    from release.canonical import to_json

    with progress("audit verify") as bar:
        place = open_workspace(workspace)
        bar(0.1, "re-reading every entry")
        report = place.registry.verify_audit()
    show(
        to_json(report),
        lambda: lines_of(
            [
                ("audit log", f"{report.lines:,} lines hold"),
                ("records", f"{report.records:,} match their digests"),
                ("releases", f"{report.releases:,}"),
                ("ledger", f"{report.ledger_entries:,} entries hold"),
                ("head", report.head),
            ]
        ),
        as_json=as_json,
    )
