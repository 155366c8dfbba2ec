"""What the commands about one release take and print."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.console import show

if TYPE_CHECKING:
    from release.records import Person, ReleaseId
    from release.workflow.registry import Registry

ReleaseArgument = Annotated[str, typer.Argument(metavar="ID", help="The release, such as claims-1.")]


def act(
    what: Callable[[Registry, ReleaseId, Person], object],
    release: str,
    workspace: Path | None,
    as_name: str | None,
    *,
    as_json: bool,
) -> None:
    """Do one thing to a release as the person at the keyboard, then print the release as it now stands."""
    from app.workspace import open_workspace
    from release.records import ReleaseId

    place = open_workspace(workspace)
    what(place.registry, ReleaseId(release), place.person(as_name))
    present(place.registry.show(ReleaseId(release)), as_json=as_json)


def present(view: Any, *, as_json: bool, detail: int = 0) -> None:
    """Print a release; `detail` as `app.views.Detail` counts it."""
    from app.views import Detail, release_json, release_text

    show(release_json(view), lambda: release_text(view, Detail(detail)), as_json=as_json)
