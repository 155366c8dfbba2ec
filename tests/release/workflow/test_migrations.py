"""The migrations make just the tables that the code speaks of, once, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from release.database import METADATA, Database
from release.workflow.registry import Registry
from tests.release.workflow.flow import KEY, FakeClock, world


def upgraded(url: str) -> Database:
    database = Database(url, key=KEY, clock=FakeClock())
    database.upgrade()
    database.upgrade()
    return database


def differences(url: str) -> list[object]:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), METADATA))


def test_on_sqlite(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'registry.sqlite'}"
    assert Registry(upgraded(url)).verify_audit().lines == 0
    assert differences(url) == []


@pytest.mark.postgres
def test_on_postgres(postgres: Callable[[str], str]) -> None:
    url = postgres("migrations")
    assert Registry(upgraded(url)).verify_audit().lines == 0
    assert differences(url) == []
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO audit VALUES (1, '', '', '')"))
    with pytest.raises(sa.exc.DatabaseError, match="only appended"), engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM audit"))


def test_upgrading_a_workspace_in_use_changes_nothing(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.approved()
    before = made.registry.verify_audit()
    made.registry.database.upgrade()
    assert made.registry.verify_audit() == before


def test_a_head_put_back_by_hand_is_not_sealed_by_an_upgrade(tmp_path: Path) -> None:
    import sqlite3

    from release.errors import IntegrityError

    made = world(tmp_path)
    connection = sqlite3.connect(tmp_path / "registry.sqlite")
    connection.execute("DROP TRIGGER ledger_no_delete")
    connection.execute("DELETE FROM ledger")
    connection.execute("UPDATE heads SET sequence = 0, digest = '', at = '', seal = '' WHERE log = 'ledger'")
    connection.commit()
    connection.close()
    made.registry.database.upgrade()
    with pytest.raises(IntegrityError, match="ledger"):
        made.registry.verify_audit()
