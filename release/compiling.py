"""How loops are compiled (numba): once per machine, into the user's cache folder, without the interpreter lock.

Where that folder cannot be written (a read-only container, an account without a home) they are compiled anew in every
process, and a warning says so. Importing this imports numba: do so where a kernel is used, not at start-up.
"""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def _cache_folder() -> Path:
    """Where compiled kernels go: $NUMBA_CACHE_DIR, else the user's cache folder."""
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(chosen)
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "sluicegate" / "kernels"


def _can_cache(folder: Path) -> bool:
    """Whether compiled kernels can be kept there; the folder is made for its user alone, as code is loaded from it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        found = folder.stat()
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise PermissionError(0, "others can write there, and code is loaded from it")
    except OSError as error:
        warnings.warn(
            f"compiled kernels cannot be kept in {folder} ({error.strerror}): every process compiles its own, which takes"
            " 5 to 15 s; set NUMBA_CACHE_DIR to a folder that you, and nobody else, can write",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True


# The default (a __pycache__ beside the source) fails where the installation is read-only.
_FOLDER = _cache_folder()
_CACHED = _can_cache(_FOLDER)


@functools.cache
def _sources(folder: Path) -> str:
    """A name for the sources of one folder as they are now. numba looks at a kernel's own file alone, and would go on using code compiled with
    the old parts of another file.
    """
    stamps = sorted((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in folder.glob("*.py"))
    return hashlib.sha256(repr(stamps).encode()).hexdigest()[:16]


def compiled(function: F, fastmath: frozenset[str] = frozenset()) -> F:
    """Compile at the first call and cache. `fastmath` names what LLVM may do to floating-point numbers: nothing, unless given."""
    if _CACHED:
        sources = _sources(Path(function.__code__.co_filename).parent)
        numba.config.CACHE_DIR = str(_FOLDER / sources)  # type: ignore[attr-defined]
    return cast(
        F,
        numba.njit(cache=_CACHED, nogil=True, error_model="numpy", fastmath=set(fastmath))(function),
    )


def part(function: F) -> F:
    """A part of kernels, which LLVM inlines into them. It belongs into their folder: the cache sees no change elsewhere (`_sources`)."""
    return cast(F, numba.njit(forceinline=True, nogil=True, error_model="numpy")(function))
