"""`sluice release approve | reject | return | withdraw`: what people decide about a candidate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands.release_common import ReleaseArgument, act, present
from app.console import AsOption, JsonOption, WorkspaceOption, examples, note
from release.records import Decision

if TYPE_CHECKING:
    from release.workflow.dossier import ReleaseView
    from release.workflow.registry import Registry

app = typer.Typer()
PANEL = "Review"

SeenOption = Annotated[
    str,
    typer.Option(
        "--seen", metavar="DIGEST", help="What `show` says you looked at; refused if that has changed."
    ),
]
CommentOption = Annotated[str, typer.Option("--comment", "-m", help="Why; stays in the workspace.")]


@app.command(
    rich_help_panel=PANEL,
    epilog=examples(
        "sluice release approve claims-1",
        'sluice release approve claims-1 --seen 3fa9c1d27b04 -m "all met" --json',
    ),
)
def approve(
    release: ReleaseArgument,
    comment: CommentOption = "",
    seen: SeenOption = "",
    workspace: WorkspaceOption = None,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Approve what is up for review. Binds to this very candidate, evidence and policy; never one's own request."""
    _vote(release, Decision.APPROVE, comment, seen, workspace, as_name, as_json=as_json)


@app.command(
    rich_help_panel=PANEL, epilog=examples('sluice release reject claims-1 -m "too many outliers" --json')
)
def reject(
    release: ReleaseArgument,
    comment: CommentOption = "",
    seen: SeenOption = "",
    workspace: WorkspaceOption = None,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reject what is up for review, for good."""
    _vote(release, Decision.REJECT, comment, seen, workspace, as_name, as_json=as_json)


@app.command(
    name="return",
    rich_help_panel=PANEL,
    epilog=examples(
        'sluice release return claims-1 -m "fewer columns"',
        'sluice release return claims-1 --seen 3fa9c1d27b04 -m "fewer columns" --json',
    ),
)
def return_command(
    release: ReleaseArgument,
    comment: CommentOption = "",
    seen: SeenOption = "",
    workspace: WorkspaceOption = None,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a release back to its requester, who reads the comment and may run a further turn or withdraw it."""
    from app.workspace import open_workspace

    place = open_workspace(workspace)
    shown = _looked_at(place.registry, release, seen)
    place.registry.send_back(shown.release, comment=comment, by=place.person(as_name), seen=shown.binding)
    present(place.registry.show(shown.release), as_json=as_json)


@app.command(rich_help_panel=PANEL, epilog=examples("sluice release withdraw claims-1 --json"))
def withdraw(
    release: ReleaseArgument,
    workspace: WorkspaceOption = None,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take one's own request back. What was charged stays charged."""
    act(
        lambda registry, it, me: registry.withdraw(it, by=me),
        release,
        workspace,
        as_name,
        as_json=as_json,
    )


def _vote(
    release: str,
    decision: Decision,
    comment: str,
    seen: str,
    workspace: Path | None,
    as_name: str | None,
    *,
    as_json: bool,
) -> None:
    from app.workspace import open_workspace

    place = open_workspace(workspace)
    place.registry.expire_due()
    shown = _looked_at(place.registry, release, seen)
    state = place.registry.vote(
        shown.release, decision, comment=comment, by=place.person(as_name), seen=shown.binding
    )
    view = place.registry.show(shown.release)
    if not as_json:
        standing = view.standing
        if standing is not None and (standing.missing or standing.owner_missing):
            owner = " and the policy owner's" if standing.owner_missing else ""
            note(f"{state.value}: {standing.missing} more approvals are needed{owner}")
    present(view, as_json=as_json)


def _looked_at(registry: Registry, release: str, seen: str) -> ReleaseView:
    """The release as it stands, if that is what `--seen` stands for. TransitionError where it is not."""
    from app.views import seen_digest
    from release.errors import TransitionError
    from release.records import ReleaseId

    shown = registry.show(ReleaseId(release))
    now = seen_digest(shown)
    if seen and seen != now:
        raise TransitionError(
            f"{release} is no longer what {seen} stands for: "
            + (f"it is now {now}, turn {shown.turn}" if now else "it has no verdict now"),
            mend=f"look at it again with `sluice release show {release}`, then decide",
        )
    return shown
