"""A workspace: one folder with settings, keys, stored objects, the registry, private logs.

    .sluice/
        workspace.yaml    format, demo or not, where the registry is
        keys/             digest key and signing key
        objects/          every stored file, named by its digest
        registry.sqlite   datasets, releases, votes, ledger, audit log (or a Postgres URL in workspace.yaml)
        locks/            one lock file for each release that a process works on
        logs/             private: what faults said

Rules: found by --workspace, else SLUICE_WORKSPACE, else ./.sluice; everything in it is its owner's alone; made whole or not at
all. Who acts is the operating system's user; only a demo workspace believes `--as NAME`.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.keys import Keys
from app.objects import PRIVATE_FOLDER, ObjectStore
from release.data.atomic import write_bytes
from release.errors import FaultError, InputError, IntegrityError, NotAuthorisedError, RefusedError
from release.records import Person

if TYPE_CHECKING:
    from release.database import Database
    from release.workflow.registry import Registry

SETTINGS = "workspace.yaml"
DEFAULT = Path(".sluice")
ENVIRONMENT = "SLUICE_WORKSPACE"
FOLDERS = ("keys", "objects", "locks", "logs")
_MEND = "name one with --workspace, or make one: sluice init"


class Settings(BaseModel):
    """What `workspace.yaml` says.

    Attributes:
        format: the format's version.
        demo: whether `--as NAME` is believed. Never in real use.
        registry: SQLAlchemy URL; the path of a SQLite file is relative to the workspace.
        issuer: who releases, for people: the organisation's name on cards and in trust files.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    format: Literal["sluicegate/workspace@1"] = "sluicegate/workspace@1"
    demo: bool = False
    registry: str = "sqlite:///registry.sqlite"
    issuer: Annotated[str, Field(min_length=1, max_length=200)] = "unnamed issuer"


def now() -> datetime:
    """The clock of a workspace: aware UTC."""
    return datetime.now(UTC)


def find(chosen: Path | None) -> Path | None:
    """The folder of --workspace, else SLUICE_WORKSPACE, else ./.sluice if it is there; None where there is none.

    Raises InputError where a folder was named that is no workspace.
    """
    named = chosen if chosen is not None else os.environ.get(ENVIRONMENT)
    place = Path(named) if named else DEFAULT
    if (place / SETTINGS).is_file():
        return place.resolve()
    if named:
        raise InputError(f"{place} is not a workspace: it has no {SETTINGS}", mend=_MEND)
    return None


def require(chosen: Path | None) -> Path:
    """As `find`, but a workspace there must be. Raises InputError."""
    place = find(chosen)
    if place is None:
        raise InputError("there is no workspace here (./.sluice)", mend=_MEND)
    return place


class Workspace:
    """An open workspace. Its parts are opened when first used."""

    def __init__(self, root: Path, settings: Settings) -> None:
        self.root = root
        self.settings = settings

    @classmethod
    def open(cls, root: Path) -> Workspace:
        """Raises InputError where `root` is no workspace, IntegrityError where its settings cannot be read."""
        try:
            data = yaml.safe_load((root / SETTINGS).read_text(encoding="utf-8"))
            settings = Settings.model_validate(data)
        except OSError as error:
            raise InputError(f"{root} is not a workspace", mend=_MEND) from error
        except (yaml.YAMLError, ValidationError, UnicodeDecodeError) as error:
            raise IntegrityError(
                f"{SETTINGS} of the workspace cannot be read", mend="restore it from the backup"
            ) from error
        return cls(root, settings)

    @classmethod
    def create(cls, root: Path, settings: Settings) -> Workspace:
        """Make the folders, the keys, the object store and the empty registry; nothing is left where that fails.

        Raises InputError where something stands there already, FaultError for the disk or the database.
        """
        root = root.resolve()
        if root.exists() and any(root.iterdir()):
            raise InputError(
                f"{root.name} exists already and is not empty", mend="choose another folder for the workspace"
            )
        existed = root.exists()
        try:
            root.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
            root.chmod(PRIVATE_FOLDER)
            for name in FOLDERS:
                (root / name).mkdir(mode=PRIVATE_FOLDER)
            workspace = cls(root, settings)
            workspace.keys.create()
            workspace.objects.create()
            with private_umask():
                workspace.database.upgrade()
            # Last: only a folder with this file is a workspace, so one that is half made is none.
            write_bytes(root / SETTINGS, yaml.safe_dump(settings.model_dump(), sort_keys=False).encode())
        except BaseException as error:
            for name in (*FOLDERS, SETTINGS):
                shutil.rmtree(root / name, ignore_errors=True)
            for left in root.glob("registry.sqlite*"):
                left.unlink(missing_ok=True)
            if not existed:
                shutil.rmtree(root, ignore_errors=True)
            if isinstance(error, OSError):
                raise FaultError(
                    f"could not make the workspace: {error.strerror}", mend="check the disk and permissions"
                ) from error
            raise
        return workspace

    @cached_property
    def keys(self) -> Keys:
        """Digest key and signing key."""
        return Keys(folder=self.root / "keys")

    @cached_property
    def objects(self) -> ObjectStore:
        """Stored files."""
        return ObjectStore(root=self.root / "objects", key=self.keys.digest_key)

    @cached_property
    def database(self) -> Database:
        """The workspace's database."""
        import sqlalchemy as sa

        from release.database import Database

        url = sa.make_url(self.settings.registry)
        if url.get_backend_name() == "sqlite":
            url = url.set(database=str(self.root / (url.database or "registry.sqlite")))
        return Database(url, key=self.keys.digest_key, clock=now)

    @cached_property
    def registry(self) -> Registry:
        """Datasets, people, policies, releases, votes, the ledger, the audit log."""
        from release.workflow.registry import Registry

        return Registry(self.database)

    def person(self, named: str | None) -> Person:
        """Who acts: the operating system's user, or in a demo workspace whom `--as` names.

        Raises NotAuthorisedError for `--as` elsewhere.
        """
        if named is not None and not self.settings.demo:
            raise NotAuthorisedError(
                f"--as {named} is believed only in a demo workspace",
                mend="run it as that user of the machine",
            )
        return Person(named if named is not None else user())

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the lock file of one release; the system frees it when the process ends, however it ends.

        Raises RefusedError where another process holds it.
        """
        try:
            handle = os.open(self.root / "locks" / f"{name}.lock", os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise FaultError(
                f"could not lock {name}: {error.strerror}", mend="check the disk and permissions"
            ) from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RefusedError(
                    f"another process works on {name}", mend="wait until it is done"
                ) from error
            yield
        finally:
            os.close(handle)

    def busy(self, name: str) -> bool:
        """Whether a process holds the lock of this release now."""
        try:
            with self.lock(name):
                return False
        except RefusedError:
            return True


def open_workspace(chosen: Path | None) -> Workspace:
    """The workspace that a command works on. Raises InputError."""
    return Workspace.open(require(chosen))


def user() -> Person:
    """The operating system's user of this process."""
    return Person(pwd.getpwuid(os.getuid()).pw_name)


@contextmanager
def private_umask() -> Iterator[None]:
    """Files that libraries create inside are their owner's alone (SQLite gives its journals the modes of its file)."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
