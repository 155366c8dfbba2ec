"""Binds a workspace to the one exporter, and writes the partner's trust file. What may leave is decided there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from app import wiring
from release.errors import FaultError, InputError
from release.protocols import Progress, no_progress
from release.records import Person, ReleaseId

if TYPE_CHECKING:
    from app.workspace import Workspace
    from release.bundle.export import Exported
    from release.bundle.signing import Trust


def export_release(
    workspace: Workspace,
    release: ReleaseId,
    *,
    to: Path,
    by: Person,
    csv: bool = False,
    packed: bool = False,
    recipients: tuple[str, ...] = (),
    progress: Progress = no_progress,
) -> Exported:
    """Export an approved release into `to`. Raises what `release.bundle.export.export` raises."""
    from release.bundle.data_file import DataFormat
    from release.bundle.export import Exporter, Wanted, export

    if to.resolve().is_relative_to(workspace.root):
        raise InputError(
            "the folder to export to lies inside the workspace, which is private", mend="choose one outside"
        )
    exporter = Exporter(
        registry=workspace.registry,
        objects=workspace.objects,
        judge=wiring.judge(),
        digest_key=workspace.keys.digest_key,
        signers=(workspace.keys.signer,),
        issuer=_issuer(workspace),
    )
    wanted = Wanted(
        to=to,
        data_format=DataFormat.CSV if csv else DataFormat.PARQUET,
        packed=packed,
        recipients=recipients,
    )
    made = not to.exists()
    try:
        to.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FaultError(f"could not make {to}: {error.strerror}", mend="choose another folder") from error
    try:
        with workspace.lock(release):
            return export(exporter, release, wanted, by=by, progress=progress)
    except BaseException:
        if made and not any(to.iterdir()):
            to.rmdir()
        raise


def write_trust(workspace: Workspace, partner: str, to: Path) -> Trust:
    """Write the trust file for a partner. Raises InputError where the file exists."""
    from release.bundle.signing import trust_bytes, trust_document
    from release.data.atomic import write_bytes

    if to.exists():
        raise InputError(f"{to.name} exists already", mend="choose another name, or move it away")
    if not to.resolve().parent.is_dir():
        raise InputError(f"there is no folder for {to.name}", mend="make it first")
    signer = workspace.keys.signer
    trust = trust_document(
        [("release desk", signer)], issuer=_issuer(workspace), partner=partner, threshold=1
    )
    write_bytes(to, trust_bytes(trust))
    return trust


def _issuer(workspace: Workspace) -> str:
    """The issuer as partners read it. A demo workspace believes any name, and says so wherever it signs."""
    name = workspace.settings.issuer
    return f"{name} (demo: nobody's identity was checked)" if workspace.settings.demo else name
