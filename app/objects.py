"""The object store: every file that a workspace keeps, named by the digest of its bytes.

Rules: an object appears whole or not at all (written aside, synced, renamed); it is readable by its owner alone; it
is never changed; its digest is recomputed whenever it is read. Objects that hold real rows or evidence are named by
a keyed digest, so that a name tells nobody anything. A directory (a model) is an object too: its name is the digest of
its manifest of files. Nothing is deleted here.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from release.canonical import canonical_bytes, file_digest, keyed_file_digest
from release.data.atomic import flush
from release.errors import FaultError, IntegrityError

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectStore:
    """A folder of content-addressed files.

    Attributes:
        root: the folder; made by `create`.
        key: the workspace's digest key, for objects that hold real data or evidence.
    """

    root: Path
    key: bytes

    def create(self) -> None:
        """Make the folders. Raises FaultError."""
        with _disk("make the object store"):
            for folder in (self.root, self.root / "aside"):
                folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
                folder.chmod(PRIVATE_FOLDER)

    def put(self, write: Callable[[Path], None], *, keyed: bool) -> str:
        """Store the file that `write` makes at the path it is given. Returns its digest. Raises FaultError."""
        aside = self._aside()
        try:
            with _disk("store an object"):
                os.close(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE))
                write(aside)
                flush(aside)
                name = str(keyed_file_digest(aside, self.key) if keyed else file_digest(aside))
                self._settle(aside, name)
        finally:
            aside.unlink(missing_ok=True)
        return name

    def put_bytes(self, data: bytes, *, keyed: bool) -> str:
        """Store bytes. Returns their digest. Raises FaultError."""

        def write(path: Path) -> None:
            path.write_bytes(data)

        return self.put(write, keyed=keyed)

    def put_folder(self, write: Callable[[Path], None]) -> str:
        """Store the folder that `write` makes (the path it is given does not exist yet). Returns its digest."""
        aside = self._aside()
        try:
            with _disk("store a folder"):
                write(aside)
                files = {
                    path.relative_to(aside).as_posix(): str(file_digest(path))
                    for path in sorted(aside.rglob("*"))
                    if path.is_file()
                }
                manifest = canonical_bytes({"files": files})
                (aside / MANIFEST).write_bytes(manifest)
                flush(aside)
                name = hashlib.sha256(manifest).hexdigest()
                if not self._place(name).exists():
                    self._settle(aside, name)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return name

    def path(self, name: str, *, keyed: bool) -> Path:
        """Where the object lies, after its digest was checked. Raises IntegrityError."""
        place = self._found(name)
        actual = str(keyed_file_digest(place, self.key) if keyed else file_digest(place))
        if not hmac.compare_digest(actual, name):
            raise _not_whole(name, "is not what was stored")
        return place

    def read(self, name: str, *, keyed: bool) -> bytes:
        """The object's bytes, checked. Raises IntegrityError."""
        data = self._found(name).read_bytes()
        actual = hmac.new(self.key, data, hashlib.sha256) if keyed else hashlib.sha256(data)
        if not hmac.compare_digest(actual.hexdigest(), name):
            raise _not_whole(name, "is not what was stored")
        return data

    def folder(self, name: str) -> Path:
        """Where a stored folder lies, after every file in it was checked. Raises IntegrityError."""
        place = self._found(name)
        manifest = place / MANIFEST
        if not manifest.is_file() or str(file_digest(manifest)) != name:
            raise _not_whole(name, "has lost its manifest")
        files = json.loads(manifest.read_bytes())["files"]
        found = {
            path.relative_to(place).as_posix(): str(file_digest(path))
            for path in place.rglob("*")
            if path.is_file() and path != manifest
        }
        if found != files:
            raise _not_whole(name, "is not what was stored")
        return place

    def names(self) -> tuple[str, ...]:
        """Digests of all stored objects, sorted."""
        return tuple(
            sorted(
                path.name for folder in self.root.glob("??") if folder.is_dir() for path in folder.iterdir()
            )
        )

    def damaged(self) -> tuple[str, ...]:
        """Names of objects whose bytes fit neither their plain nor their keyed digest."""
        return tuple(name for name in self.names() if not self._intact(name))

    def sweep_aside(self) -> int:
        """Remove what killed writers left aside. Returns how many. Only while no other process writes."""
        left = list((self.root / "aside").iterdir())
        for path in left:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        return len(left)

    def _intact(self, name: str) -> bool:
        place = self._place(name)
        if place.is_dir():
            try:
                self.folder(name)
            except IntegrityError:
                return False
            return True
        return name in {str(file_digest(place)), str(keyed_file_digest(place, self.key))}

    def _place(self, name: str) -> Path:
        return self.root / name[:2] / name

    def _found(self, name: str) -> Path:
        if not (len(name) == 64 and set(name) <= set("0123456789abcdef")):
            raise IntegrityError(f"{name[:20]!r} is not an object's name", mend="run sluice doctor")
        place = self._place(name)
        if not place.exists():
            raise _not_whole(name, "is missing")
        return place

    def _aside(self) -> Path:
        return self.root / "aside" / secrets.token_hex(16)

    def _settle(self, aside: Path, name: str) -> None:
        place = self._place(name)
        place.parent.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        aside.replace(place)
        flush(place.parent)


@contextmanager
def _disk(doing: str) -> Iterator[None]:
    """The operating system's refusal to write as a fault with its reason and a mend."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        raise FaultError(
            f"could not {doing}: {reason}", mend="free disk space or fix the permissions, then run it again"
        ) from error


def _not_whole(name: str, what: str) -> IntegrityError:
    """The full place inside the workspace, as a restore from the backup needs it; a name is no secret in there."""
    return IntegrityError(
        f"the workspace's objects/{name[:2]}/{name} {what}",
        mend="keep what is there for the auditor, then restore it from the backup; `sluice doctor` checks all of them",
    )
