"""What is installed: our five packages from one place, and third-party versions as the lock file has them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from release.errors import FaultError

PACKAGES = ("release", "generators", "attacks", "policies", "app")
LOCK = Path(__file__).parent.parent / "requirements.lock"


def parents() -> dict[str, Path | None]:
    """Each package's parent directory, found without importing it; None where it is not found."""
    places: dict[str, Path | None] = {}
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        places[name] = Path(spec.origin).resolve().parent.parent if spec and spec.origin else None
    return places


def require_one_place() -> None:
    """Raise FaultError where a foreign package or page stands in for one of the five."""
    places = parents()
    home = Path(__file__).resolve().parent.parent
    strangers = [name for name, place in places.items() if place != home]
    if strangers:
        raise FaultError(
            f"the packages {strangers} are not the ones that belong to this installation",
            mend="run sluice from its own environment, and remove files or packages of these names from the path",
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """A package whose installed version is not the locked one; `installed` is None where it is missing."""

    package: str
    locked: str
    installed: str | None


def differences() -> tuple[Difference, ...]:
    """Locked packages that are installed in another version or not at all. Raises FaultError without a lock file."""
    if not LOCK.is_file():
        raise FaultError("requirements.lock is missing", mend="run sluice from its checkout")
    found = []
    for line in LOCK.read_text(encoding="utf-8").splitlines():
        match = re.match(r"^([A-Za-z0-9_.\-]+)==([^\s;]+)", line)
        if match is None:
            continue
        name, locked = match.groups()
        try:
            installed: str | None = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            installed = None
        if installed is None or installed.split("+")[0] != locked.split("+")[0]:
            found.append(Difference(name, locked, installed))
    return tuple(found)


def python_supported() -> bool:
    """Whether this Python is one that the project is tested with."""
    return (3, 11) <= sys.version_info[:2] < (3, 13)
