"""Files and directories that are there whole or not at all.

Rules: written beside their final place under a temporary name, flushed to the disk, renamed, and the directory flushed;
whatever ends the block early (an error, a full disk, Ctrl-C) removes what was begun. Files are readable by their owner
alone, because most of what is written this way is private; who publishes a file widens that itself.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from release.errors import FaultError

_MARK = ".partial"


@contextlib.contextmanager
def write_atomically(path: Path, *, directory: bool = False) -> Iterator[Path]:
    """Yields a temporary path to write to; on leaving the block it becomes `path`.

    Args:
        path: the final place; its parent must exist. A file that is there is replaced; a directory is not.
        directory: the temporary path is a new, empty directory; else it is a name at which nothing stands yet.

    Raises:
        FaultError: the disk is full, the place is not writable, the directory exists already.
    """
    if directory and path.exists():
        raise FaultError(f"{path.name} exists already", mend="choose another name, or remove it")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}{_MARK}")
    try:
        if directory:
            temporary.mkdir(mode=0o700)
        yield temporary
        flush(temporary)
        temporary.replace(path)
        _flush_one(path.parent)
    except OSError as error:
        _remove(temporary)
        raise _fault(path, error) from error
    except BaseException:
        _remove(temporary)
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """`data` as the whole content of `path`, atomically. Raises FaultError."""
    with write_atomically(path) as temporary:
        temporary.write_bytes(data)


def flush(path: Path) -> None:
    """Force a file, or a directory with all that is in it, to the disk, readable by the owner alone."""
    if path.is_dir():
        for part in sorted(path.rglob("*")):
            part.chmod(0o700 if part.is_dir() else 0o600)
            _flush_one(part)
    else:
        path.chmod(0o600)
    _flush_one(path)


def leftovers(directory: Path) -> tuple[Path, ...]:
    """What a killed process left behind under `directory` (nothing else makes such names)."""
    return tuple(sorted(path for path in directory.rglob(f".*{_MARK}")))


def remove_leftovers(directory: Path) -> int:
    """Remove them; how many. Only while no other process writes there."""
    found = leftovers(directory)
    for path in found:
        _remove(path)
    return len(found)


def _flush_one(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _fault(path: Path, error: OSError) -> FaultError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return FaultError(
            f"the disk is full; {path.name} was not written", mend="free some space and run the step again"
        )
    return FaultError(
        f"{path.name} could not be written ({error.strerror})",
        mend="check the directory and its permissions, and run the step again",
    )
