"""The one exporter: the only code that writes outside of the workspace.

Rules, in this order:

1. the registry opens the export (`begin_export`: audit log, state, verdict judged again, votes counted again);
2. everything is asked anew here (`release.bundle.clearing`), from the objects' bytes;
3. the bundle is written under a temporary name beside its target, signed, packed and encrypted where asked, and forced to
   the disk;
4. the registry records it (`record_export`, which checks everything once more);
5. it gets its name.

Where anything fails before 4, nothing is left and the registry says that the export failed. After 4 the bundle is given its name
whatever happens in between (Ctrl-C included). Only where the process is killed between 4 and 5 does the finished bundle
keep its temporary name; `sluice verify` says whether it is whole, and it may be renamed.

What it does not do: send anything anywhere.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from release.bundle.archive import encrypt_file, require_recipient, write_tar
from release.bundle.clearing import Case, Objects, clear
from release.bundle.contents import write_contents
from release.bundle.data_file import DataFormat
from release.canonical import Sha256
from release.data.atomic import flush
from release.errors import FaultError, InputError, ReleaseError
from release.protocols import Judge, Progress, no_progress
from release.records import Person, ReleaseId
from release.workflow.transitions import State

if TYPE_CHECKING:
    from securesystemslib.signer import Signer  # type: ignore[attr-defined]

    from release.workflow.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporter:
    """What an export works with; bound once by the app.

    Attributes:
        registry: the workspace's.
        objects: its stored files.
        judge: the pure judge.
        digest_key: the workspace's digest key.
        signers: whose signatures go on the bundle: at least one.
        issuer: who releases, for people; goes on the card.
    """

    registry: Registry
    objects: Objects
    judge: Judge
    digest_key: bytes
    signers: Sequence[Signer]
    issuer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How the bundle is wanted.

    Attributes:
        to: the folder to put it into; must exist.
        data_format: how the table is written.
        packed: as one tar instead of a folder.
        recipients: age public keys of the partner; the bundle is then one encrypted tar.
    """

    to: Path
    data_format: DataFormat = DataFormat.PARQUET
    packed: bool = False
    recipients: tuple[str, ...] = ()

    def target(self, release: ReleaseId) -> Path:
        """Where the bundle of that release will lie."""
        if self.recipients:
            return self.to / f"{release}.tar.age"
        return self.to / (f"{release}.tar" if self.packed else release)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A bundle that left.

    Attributes:
        path: where it lies.
        manifest: SHA-256 of its manifest, as the registry recorded it.
    """

    path: Path
    manifest: Sha256


def export(
    exporter: Exporter,
    release: ReleaseId,
    wanted: Wanted,
    *,
    by: Person,
    progress: Progress = no_progress,
) -> Exported:
    """Export an approved release. The caller holds the release's lock, so that no other process works on it.

    Raises:
        InputError: the target exists, its folder does not, or a recipient is none.
        GateError: something that must be so for a bundle to leave is not; it says what.
        IntegrityError: something stored is not what was stored.
        TransitionError, NotAuthorisedError: not from this state, or not by this person.
        FaultError: disk or database.
    """
    target = wanted.target(release)
    _require_target(wanted, target)
    registry = exporter.registry
    if registry.show(release).state is State.EXPORTING:
        # The lock is ours, so whoever began it is gone: it came to no end, and nothing of it was recorded.
        registry.fail_export(release, reason="an earlier export did not come to its end", by=by)
    progress(0.0, "checking the registry and judging again")
    clearance = registry.begin_export(release, judge=exporter.judge, by=by)
    manifest = Sha256("")
    staging = wanted.to / f".{target.name}.{secrets.token_hex(6)}.partial"
    try:
        progress(0.2, "recomputing every digest")
        case = Case(
            clearance=clearance,
            charges=registry.ledger.balance(clearance.dataset.population).charges,
            objects=exporter.objects,
            judge=exporter.judge,
            digest_key=exporter.digest_key,
        )
        public, table = clear(case, issuer=exporter.issuer, sweeps=registry.show(release).sweeps)
        with _disk(target):
            progress(0.4, f"writing {len(table):,} rows and their papers")
            folder = staging / "bundle"
            folder.mkdir(mode=0o700, parents=True)
            manifest = write_contents(folder, public, table, wanted.data_format, exporter.signers)
            finished = _packed(folder, wanted, progress)
            flush(staging)
        _require_target(wanted, target)
        progress(0.9, "recording the export")
        registry.record_export(release, manifest=manifest, judge=exporter.judge, by=by)
        with _disk(target):
            _publish(finished, target)
    except BaseException as error:
        if manifest and _recorded(registry, release, manifest):
            _publish_late(staging, wanted, target, error)
        else:
            shutil.rmtree(staging, ignore_errors=True)
            _give_up(registry, release, error, by)
        raise
    shutil.rmtree(staging, ignore_errors=True)
    progress(1.0, "released")
    return Exported(path=target, manifest=manifest)


def _require_target(wanted: Wanted, target: Path) -> None:
    if not wanted.to.is_dir():
        raise InputError(f"there is no folder {wanted.to.name!r} to export to", mend="make it first")
    if os.path.lexists(target):
        raise InputError(
            f"{target.name} is already there", mend="choose another folder; nothing is overwritten"
        )
    for recipient in wanted.recipients:
        require_recipient(recipient)


def _packed(folder: Path, wanted: Wanted, progress: Progress) -> Path:
    """The folder itself, or its tar, or the encrypted tar."""
    if not (wanted.packed or wanted.recipients):
        return folder
    tar = _tar_of(folder)
    progress(0.7, "packing")
    write_tar(folder, tar)
    if not wanted.recipients:
        return tar
    progress(0.8, "encrypting to the partner")
    sealed = _sealed_of(folder)
    encrypt_file(tar, sealed, wanted.recipients)
    return sealed


def _tar_of(folder: Path) -> Path:
    return folder.with_name("bundle.tar")


def _sealed_of(folder: Path) -> Path:
    return folder.with_name("bundle.tar.age")


def _publish(finished: Path, target: Path) -> None:
    """Give it its name, never over something that is there. Raises OSError."""
    if finished.is_dir():
        finished.rename(target)
    else:
        os.link(finished, target)
    _flush_folder(target.parent)


def _publish_late(staging: Path, wanted: Wanted, target: Path, error: BaseException) -> None:
    """The registry has it as released: the bundle must be there, whatever came in between."""
    folder = staging / "bundle"
    finished = _sealed_of(folder) if wanted.recipients else _tar_of(folder) if wanted.packed else folder
    try:
        if not os.path.lexists(target):
            _publish(finished, target)
        shutil.rmtree(staging, ignore_errors=True)
        error.add_note(f"the release was recorded, and its bundle is complete at {target.name}")
    except OSError:
        error.add_note(f"the release was recorded; its complete bundle is in {staging.name}: rename it")


def _recorded(registry: Registry, release: ReleaseId, manifest: Sha256) -> bool:
    """Whether the registry has this very bundle as released."""
    try:
        bundle = registry.show(release).bundle
    except ReleaseError:
        return False
    return bundle is not None and bundle.manifest == manifest


def _give_up(registry: Registry, release: ReleaseId, error: BaseException, by: Person) -> None:
    """Record that the export failed; where even that cannot be written, the next export finds it and does."""
    try:
        registry.fail_export(release, reason=type(error).__name__, by=by)
    except ReleaseError as second:
        error.add_note(f"the failed export could not be recorded: {second}")


@contextmanager
def _disk(target: Path) -> Iterator[None]:
    """The operating system's refusal as a fault with its reason and a mend."""
    try:
        yield
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        raise FaultError(
            f"{target.name} could not be written ({'the disk is full' if full else error.strerror or type(error).__name__})",
            mend="free some space and export again" if full else "check the folder and export again",
        ) from error


def _flush_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
