"""`sluice person list|add`: who may do what."""

from __future__ import annotations

from typing import Annotated

import typer

from app.console import AsOption, JsonOption, WorkspaceOption, examples, show, table_of

app = typer.Typer(
    help="People and their roles: list, add.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)


@app.command(name="list", epilog=examples("sluice person list", "sluice person list --json"))
def list_command(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Everybody as they are now."""
    from app.workspace import open_workspace

    members = open_workspace(workspace).registry.people.all()
    rows = [
        {
            "person": m.person,
            "roles": [role.value for role in m.roles],
            "added_by": m.added_by,
            "added_at": m.added_at.isoformat(),
        }
        for m in members
    ]
    show(
        rows,
        lambda: table_of(
            ("person", "roles", "by", "since"),
            [(m.person, ", ".join(m.roles) or "none", m.added_by, f"{m.added_at:%Y-%m-%d}") for m in members],
        ),
        as_json=as_json,
    )


@app.command(
    epilog=examples(
        "sluice person add maria --role reviewer",
        "sluice person add jo --role requester --role releaser --json",
        "sluice person add former-colleague",
    )
)
def add(
    name: Annotated[str, typer.Argument(help="The operating system's user name.")],
    role: Annotated[
        list[str] | None,
        typer.Option(
            "--role", help="requester, reviewer, releaser, policy-owner or budget-owner; repeatable."
        ),
    ] = None,
    workspace: WorkspaceOption = None,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a person these roles instead of earlier ones; none takes all away. Only a policy owner may."""
    from app.workspace import open_workspace
    from release.canonical import to_json
    from release.errors import InputError
    from release.records import Person
    from release.workflow.people import Role

    known = {item.value: item for item in Role}
    unknown = [word for word in role or [] if word not in known]
    if unknown:
        raise InputError(f"there is no role {unknown[0]!r}", mend=f"choose from {', '.join(known)}")
    place = open_workspace(workspace)
    member = place.registry.people.add(
        Person(name), tuple(known[word] for word in role or []), by=place.person(as_name)
    )
    show(
        to_json(member),
        lambda: f"{member.person}: {', '.join(member.roles) or 'no role'}",
        as_json=as_json,
    )
