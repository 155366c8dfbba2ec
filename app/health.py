"""What `sluice doctor` looks at: the installation, then the workspace. Each check says a fact and, where it is bad, a mend.

Reads only; changes nothing. A check that cannot be carried out is a bad one.
"""

from __future__ import annotations

import importlib
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from app import installation
from release.errors import ReleaseError

if TYPE_CHECKING:
    from app.workspace import Workspace

LEAST_FREE_BYTES = 500 * 2**20
"""A release of the demo's size leaves about 10 MB; models of wide tables leave hundreds."""

FRAME = ("pandas", "sdv", "sdmetrics", "anonymeter", "torch", "opacus", "streamlit")
"""The packages that must import side by side."""


class State(StrEnum):
    """How a check went."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check's outcome: a fact, and what to do about it where it is not good."""

    name: str
    state: State
    fact: str
    mend: str = ""


def check_installation(*, imports: bool = False) -> Iterator[Check]:
    """Python, packages, versions. With `imports`, also import the heavy packages side by side (slow)."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    yield Check(
        name="python",
        state=State.GOOD if installation.python_supported() else State.BAD,
        fact=f"Python {version}",
        mend="" if installation.python_supported() else "use Python 3.11 or 3.12",
    )
    yield _attempt("packages", _one_place)
    yield _attempt("versions", _versions)
    if imports:
        yield _attempt("imports", _imports)


def check_workspace(workspace: Workspace) -> Iterator[Check]:
    """Permissions, disk, clock, stored objects, ledger, audit chain."""
    yield _attempt("permissions", lambda: _permissions(workspace))
    yield _attempt("disk", lambda: _disk(workspace))
    yield _attempt("clock", lambda: _clock(workspace))
    yield _attempt("keys", lambda: _keys(workspace))
    yield _attempt("objects", lambda: _objects(workspace))
    yield _attempt("records", lambda: _records(workspace))
    yield _attempt("references", lambda: _references(workspace))
    yield _attempt("unfinished", lambda: _unfinished(workspace))


def _attempt(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except ReleaseError as error:
        return Check(name=name, state=State.BAD, fact=error.fact, mend=error.mend)
    except Exception as error:  # noqa: BLE001 - a check that cannot be carried out is a bad one
        return Check(
            name=name,
            state=State.BAD,
            fact=f"could not be checked ({type(error).__name__})",
            mend="see the cause",
        )


def _one_place() -> Check:
    installation.require_one_place()
    return Check(
        name="packages", state=State.GOOD, fact=f"{', '.join(installation.PACKAGES)} lie in one directory"
    )


def _versions() -> Check:
    differences = installation.differences()
    if not differences:
        return Check(name="versions", state=State.GOOD, fact="every locked package has its locked version")
    listed = ", ".join(f"{d.package} {d.installed or 'missing'} (lock: {d.locked})" for d in differences[:5])
    more = f" and {len(differences) - 5} more" if len(differences) > 5 else ""
    return Check(
        name="versions",
        state=State.BAD if any(d.installed is None for d in differences) else State.WARNING,
        fact=f"{listed}{more}",
        mend="make setup",
    )


def _imports() -> Check:
    for name in FRAME:
        importlib.import_module(name)
    return Check(name="imports", state=State.GOOD, fact=f"{', '.join(FRAME)} import together")


def _permissions(workspace: Workspace) -> Check:
    open_to_others = [
        path.relative_to(workspace.root).as_posix()
        for path in (workspace.root, *sorted(workspace.root.rglob("*")))
        if not path.is_symlink() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    ]
    if open_to_others:
        return Check(
            name="permissions",
            state=State.BAD,
            fact=f"{len(open_to_others)} files or folders are open to other users, such as {open_to_others[0]}",
            mend=f"chmod -R go-rwx {workspace.root}",
        )
    return Check(name="permissions", state=State.GOOD, fact="only the owner can read the workspace")


def _disk(workspace: Workspace) -> Check:
    free = shutil.disk_usage(workspace.root).free
    return Check(
        name="disk",
        state=State.GOOD if free >= LEAST_FREE_BYTES else State.WARNING,
        fact=f"{free / 2**30:.1f} GiB free",
        mend="" if free >= LEAST_FREE_BYTES else f"free at least {LEAST_FREE_BYTES / 2**20:.0f} MiB",
    )


def _clock(workspace: Workspace) -> Check:
    now = datetime.now(UTC)
    newest = max(
        (path.stat().st_mtime for path in workspace.root.rglob("*") if path.is_file()), default=time.time()
    )
    ahead = newest - now.timestamp()
    if ahead > 120:
        return Check(
            name="clock",
            state=State.BAD,
            fact=f"the clock stands {ahead:,.0f} seconds before the newest file of the workspace",
            mend="set the clock; approvals and audit rows depend on it",
        )
    return Check(name="clock", state=State.GOOD, fact=f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _keys(workspace: Workspace) -> Check:
    _ = workspace.keys.digest_key
    key = workspace.keys.signer.public_key
    return Check(name="keys", state=State.GOOD, fact=f"digest key present; signing key {key.keyid[:12]}")


def _objects(workspace: Workspace) -> Check:
    names = workspace.objects.names()
    damaged = workspace.objects.damaged()
    if damaged:
        return Check(
            name="objects",
            state=State.BAD,
            fact=f"{len(damaged)} of {len(names)} stored objects are damaged, such as {damaged[0][:12]}…",
            mend="restore them from the backup",
        )
    return Check(name="objects", state=State.GOOD, fact=f"{len(names)} stored objects match their digests")


def _records(workspace: Workspace) -> Check:
    report = workspace.registry.verify_audit()
    return Check(
        name="records",
        state=State.GOOD,
        fact=f"{report.lines} audit lines, {report.records} records and {report.ledger_entries} ledger entries hold; "
        f"head {report.head[:12]}",
    )


def _references(workspace: Workspace) -> Check:
    """Every object that a record names is there. (That its bytes are right is the check before.)"""
    registry, stored = workspace.registry, set(workspace.objects.names())
    named = {str(dataset.table): f"the table of {dataset.id}" for dataset in registry.datasets.all()}
    for view in registry.all():
        if view.candidate is not None:
            for name in (view.candidate.table, view.candidate.model, view.candidate.split):
                named[str(name)] = f"a part of {view.release}"
    gone = [what for name, what in named.items() if name not in stored]
    if gone:
        return Check(
            name="references",
            state=State.BAD,
            fact=f"{len(gone)} stored objects are missing, such as {gone[0]}",
            mend="restore them from the backup",
        )
    return Check(
        name="references", state=State.GOOD, fact=f"{len(named)} objects that records name are there"
    )


def _unfinished(workspace: Workspace) -> Check:
    """Releases that a process left in the middle of a step, and half-written files."""
    from release.workflow.transitions import State as Stand

    going_on = {Stand.GENERATING, Stand.EVALUATING, Stand.EXPORTING}
    left = [
        view.release
        for view in workspace.registry.all()
        if view.state in going_on and not workspace.busy(view.release)
    ]
    aside = len(list((workspace.objects.root / "aside").iterdir()))
    if left or aside:
        verb = f"{', '.join(left)} stopped in the middle" if left else "no release stopped in the middle"
        return Check(
            name="unfinished",
            state=State.WARNING,
            fact=f"{verb}; {aside} half-written files",
            mend="run or export the release again; half-written files may be removed from objects/aside"
            if left
            else "they may be removed from objects/aside while nothing runs",
        )
    return Check(name="unfinished", state=State.GOOD, fact="no step was left in the middle")


__all__ = ["FRAME", "Check", "State", "check_installation", "check_workspace"]
