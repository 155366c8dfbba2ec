"""A bundle as one file: a deterministic tar, encrypted to the partner with age.

Rules: the same files give the same tar (sorted names, no owners, one date, plain modes). Reading trusts nothing: nothing
is extracted; members that are not plain files under safe names are refused; what a header says a size is, is read
and no more. Decrypted bytes go to an unnamed temporary file, so that nothing is left behind.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, Protocol

from release.bundle.layout import MOST_BYTES, MOST_FILES, require_names
from release.errors import FaultError, InputError, VerificationError

AGE_HEADER: Final = b"age-encryption.org/v1"
ARMOUR_HEADER: Final = b"-----BEGIN AGE ENCRYPTED FILE-----"
_MEND: Final = "do not use the bundle; ask the sender for it again"
_EPOCH: Final = 946_684_800
"""2000-01-01: one date for all members, so that the archive says nothing of when."""


class Source(Protocol):
    """The files of a bundle, wherever they lie."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Size in bytes of every file, by name."""
        ...

    def open(self, name: str) -> IO[bytes]:
        """The file's bytes from the beginning."""
        ...


def write_tar(folder: Path, target: Path) -> None:
    """All files under `folder` as one tar at `target`. Raises OSError."""
    with (
        target.open("xb") as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            member = tarfile.TarInfo(path.relative_to(folder).as_posix())
            member.size = path.stat().st_size
            member.mtime = _EPOCH
            member.mode = 0o644
            with path.open("rb") as content:
                tar.addfile(member, content)


def encrypt_file(source: Path, target: Path, recipients: tuple[str, ...]) -> None:
    """Encrypt to age recipients ("age1…" or "ssh-ed25519 …"). Raises InputError, FaultError."""
    import pyrage

    try:
        keys = [_recipient(text) for text in recipients]
        if not keys:
            raise InputError("there is nobody to encrypt to", mend="give the partner's age recipient")
        with source.open("rb") as plain, target.open("xb") as sealed:
            pyrage.encrypt_io(plain, sealed, keys)
    except pyrage.EncryptError as error:
        raise FaultError(f"the bundle could not be encrypted ({error})", mend="try again") from error


def require_recipient(text: str) -> None:
    """Raise InputError where this is not an age recipient."""
    _recipient(text)


def _recipient(text: str) -> Any:
    import pyrage

    try:
        if text.startswith("ssh-"):
            return pyrage.ssh.Recipient.from_str(text)
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        raise InputError(
            f"{text[:12]!r}… is not an age recipient ({error})",
            mend='give the partner\'s public key, which begins with "age1" or "ssh-ed25519"',
        ) from error


@contextmanager
def open_source(path: Path, identity: Path | None = None) -> Iterator[Source]:
    """The files of the bundle at `path`: a folder, a tar, or either's age file. Raises VerificationError, InputError."""
    try:
        if path.is_symlink() or not path.exists():
            raise VerificationError(f"{path.name} is not there, or is a link", mend="give the bundle itself")
        if path.is_dir():
            yield Folder(path)
        elif not path.is_file():
            raise VerificationError(
                f"{path.name} is neither a folder nor a file", mend="give the bundle itself"
            )
        else:
            with path.open("rb") as stream:
                start = stream.read(len(ARMOUR_HEADER))
                stream.seek(0)
                if start.startswith((AGE_HEADER, ARMOUR_HEADER)):
                    with tempfile.TemporaryFile() as plain:
                        _decrypt(stream, plain, identity)
                        yield Tar(plain)
                else:
                    yield Tar(stream)
    except OSError as error:
        raise VerificationError(f"{path.name} cannot be read ({error.strerror})", mend=_MEND) from error


def _decrypt(sealed: IO[bytes], plain: IO[bytes], identity: Path | None) -> None:
    import pyrage

    if identity is None:
        raise InputError("the bundle is encrypted", mend="give your age identity file with --identity")
    keys = [_identity(line) for line in _identity_lines(identity)]
    try:
        pyrage.decrypt_io(sealed, plain, keys)
    except pyrage.DecryptError as error:
        raise VerificationError(
            f"the bundle cannot be decrypted with this identity ({error})",
            mend="it is for another recipient, or was damaged on the way; ask the sender",
        ) from error
    plain.seek(0)


def _identity_lines(identity: Path) -> list[str]:
    try:
        text = identity.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the identity file {identity.name} cannot be read", mend="check it") from error
    if text.startswith("-----BEGIN"):
        return [text]
    lines = [line.strip() for line in text.splitlines()]
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise InputError(f"the identity file {identity.name} holds no identity", mend="check it")
    return found


def _identity(text: str) -> Any:
    import pyrage

    try:
        if text.startswith("-----BEGIN"):
            return pyrage.ssh.Identity.from_buffer(text.encode())
        return pyrage.x25519.Identity.from_str(text)
    except pyrage.IdentityError as error:
        raise InputError("the identity file holds no age identity", mend="check it") from error


class Folder:
    """A bundle that lies unpacked. Links and special files are refused."""

    def __init__(self, root: Path) -> None:
        self._root = root
        sizes: dict[str, int] = {}
        for path in root.rglob("*"):
            name = path.relative_to(root).as_posix()
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise VerificationError(f"{name[:60]!r} is a link or a special file", mend=_MEND)
            if path.is_file():
                sizes[name] = path.stat().st_size
            elif not any(path.iterdir()):
                raise VerificationError(f"{name[:60]!r} is an empty folder that nobody signed", mend=_MEND)
            if len(sizes) > MOST_FILES:
                raise VerificationError(f"there are more than {MOST_FILES:,} files", mend=_MEND)
        require_names(sizes)
        self.sizes: Mapping[str, int] = sizes

    def open(self, name: str) -> IO[bytes]:
        return (self._root / name).open("rb")


class Tar:
    """A bundle in a tar. Everything but plain files is refused; nothing is extracted."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._members: dict[str, tarfile.TarInfo] = {}
        names: list[str] = []
        try:
            with tarfile.open(fileobj=stream, mode="r:") as tar:
                for member in tar:
                    if not member.isreg() or member.issparse():
                        raise VerificationError(f"{member.name[:60]!r} is not a plain file", mend=_MEND)
                    if not 0 <= member.size <= MOST_BYTES:
                        raise VerificationError(f"{member.name[:60]!r} has no possible size", mend=_MEND)
                    names.append(member.name)
                    self._members[member.name] = member
                    if len(names) > MOST_FILES:
                        raise VerificationError(f"there are more than {MOST_FILES:,} files", mend=_MEND)
        except (tarfile.TarError, ValueError, EOFError) as error:
            raise VerificationError("this is neither a bundle's folder nor its tar", mend=_MEND) from error
        require_names(names)  # which also refuses a name that stands twice
        self.sizes: Mapping[str, int] = {name: member.size for name, member in self._members.items()}
        _require_exact(stream, self._members.values())

    def open(self, name: str) -> IO[bytes]:
        member = self._members[name]
        return io.BufferedReader(_Window(self._stream, member.offset_data, member.size))


def _require_exact(stream: IO[bytes], members: Any) -> None:
    """Refuse bytes that belong to no member: a signature over the files would not cover them."""
    stream.seek(0, io.SEEK_END)
    end = stream.tell()
    last = max((member.offset_data + -(-member.size // 512) * 512 for member in members), default=0)
    stream.seek(last)
    left = stream.read(min(end - last, tarfile.RECORDSIZE + 1024))
    if end - last > tarfile.RECORDSIZE + 1024 or left.strip(b"\0"):
        raise VerificationError("there are bytes behind the last file of the tar", mend=_MEND)


class _Window(io.RawIOBase):
    """A part of a stream, read as if it were a file of its own."""

    def __init__(self, stream: IO[bytes], start: int, size: int) -> None:
        super().__init__()
        self._stream, self._place, self._end = stream, start, start + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._end - self._place)
        self._stream.seek(self._place)
        data = self._stream.read(wanted)
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)
