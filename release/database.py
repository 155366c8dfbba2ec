"""The workspace's database: connections, serialised writes, and hash-chained logs.

Rules: every write happens inside `Database.write()`, which holds the one write lock (BEGIN IMMEDIATE on SQLite, row
locks on the heads on Postgres), so that what was read inside it is still so when it commits; an exception inside
leaves nothing behind. The clock is read after the lock is held, and may not go backwards. A log is a table of
canonical JSON bodies, each entry holding the keyed digest of the one before, with its head under a digest of its own:
an entry that is changed, added, removed or moved by anyone without the workspace's key is found when the log is read.

What it does not do: know what the logs say (`release.privacy.ledger`, `release.workflow`). A whole database put back
from an older copy of itself is consistent and cannot be told from the real thing in here: compare its head with one
noted outside (`Database.head`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from release.canonical import KeyedDigest, canonical_bytes, keyed_digest
from release.errors import FaultError, IntegrityError

Clock = Callable[[], datetime]
"""Tells the time, aware and in UTC."""

SKEW = timedelta(seconds=5)
"""How far two machines' clocks may differ: a time at most this much before the last entry's counts as that time."""

SQLITE_SETTINGS = ("busy_timeout=60000", "journal_mode=WAL", "synchronous=FULL")
"""Wait a minute for the lock; readers do not block; a commit is on the disk before it is reported."""

METADATA = sa.MetaData()

HEADS = sa.Table(
    "heads",
    METADATA,
    sa.Column("log", sa.String(32), primary_key=True),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("at", sa.String(32), nullable=False),
    sa.Column("seal", sa.String(64), nullable=False),
)


def log_table(name: str) -> sa.Table:
    """A hash-chained log of that name in the workspace's schema."""
    return sa.Table(
        name,
        METADATA,
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of a log, as read and checked.

    Attributes:
        sequence: 1, 2, … without gaps.
        at: aware UTC time of the transaction that wrote it.
        body: plain JSON values.
        digest: keyed digest over sequence, time, body and the digest of the entry before.
    """

    sequence: int
    at: datetime
    body: dict[str, Any]
    digest: KeyedDigest


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """One write in progress: what it runs on, and when it is."""

    connection: sa.Connection
    now: datetime
    key: bytes


class Database:
    """One workspace's database.

    Args:
        url: SQLAlchemy URL: sqlite:///… or postgresql+psycopg://….
        key: the workspace's key, which keys every digest here and never leaves it.
        clock: tells the time; see `Clock`.
    """

    def __init__(self, url: str | sa.URL, *, key: bytes, clock: Clock) -> None:
        if len(key) < 16:
            raise FaultError(f"the workspace's key has {len(key)} bytes, not at least 16", mend="restore it")
        self._engine = _engine(url)
        self._sqlite = self._engine.dialect.name == "sqlite"
        self._key = key
        self._clock = clock

    def __repr__(self) -> str:
        return f"Database({self._engine.url.render_as_string(hide_password=True)!r})"

    def upgrade(self) -> None:
        """Create the tables, or bring those of an older version up to date. FaultError where that fails."""
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option(
            "script_location", str(Path(__file__).parent / "migrations").replace("%", "%%")
        )
        with _faults(), self._engine.connect() as plain:
            connection = plain.execution_options(sluice_write=True)
            with connection.begin():
                before = _logs(connection)
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                # A new log's head gets its seal here, where the key is.
                for log in _logs(connection) - before:
                    seal = _seal(log, 0, "", "", self._key)
                    connection.execute(HEADS.update().where(HEADS.c.log == log).values(seal=seal))

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A serialised transaction: all of it happens, or nothing. FaultError for the disk, the lock or the clock."""
        with _faults(), self._engine.connect() as plain:
            connection = plain.execution_options(sluice_write=True)
            with connection.begin():
                heads = connection.execute(sa.select(HEADS).order_by(HEADS.c.log).with_for_update()).all()
                if not heads:
                    raise _tampered("whole", "its heads are gone")
                last = max((_moment(head.at) for head in heads if head.at), default=None)
                yield Transaction(connection=connection, now=self._now(last), key=self._key)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A consistent look without the write lock; `now` is checked against the last entry's time all the same."""
        with _faults(), self._engine.connect() as plain:
            snapshot = {} if self._sqlite else {"isolation_level": "REPEATABLE READ"}
            connection = plain.execution_options(**snapshot)
            with connection.begin():
                heads = connection.execute(sa.select(HEADS)).all()
                last = max((_moment(head.at) for head in heads if head.at), default=None)
                yield Transaction(connection=connection, now=self._now(last), key=self._key)

    def head(self, log: str) -> tuple[int, KeyedDigest]:
        """Length and last digest of a log: note it outside (a signed bundle, paper) to find a database put back."""
        with self.read() as transaction:
            head = _head(transaction, log)
            return head.sequence, KeyedDigest(head.digest)

    def _now(self, last: datetime | None) -> datetime:
        now = self._clock()
        if now.tzinfo is None:
            raise FaultError("the clock gave a time without a time zone", mend="pass an aware UTC clock")
        now = now.astimezone(UTC)
        if last is None or now >= last:
            return now
        if last - now <= SKEW:
            return last
        raise FaultError(
            f"the clock went backwards: it is {now.isoformat()}, but the last entry was written at {last.isoformat()}",
            mend="set the machine's clock right; nothing was changed",
        )


# ---------------------------------------------------------------------------------------------- logs


def append(transaction: Transaction, table: sa.Table, body: dict[str, Any]) -> Entry:
    """Write the next entry of a log. The body is plain JSON values."""
    head = _head(transaction, table.name)
    sequence, at = head.sequence + 1, transaction.now.isoformat()
    text = canonical_bytes({"sequence": sequence, "at": at, "body": body}).decode()
    digest = _chained(text, head.digest, transaction.key)
    transaction.connection.execute(
        table.insert().values(sequence=sequence, body=text, previous=head.digest, digest=digest)
    )
    transaction.connection.execute(
        HEADS.update()
        .where(HEADS.c.log == table.name)
        .values(
            sequence=sequence,
            digest=digest,
            at=at,
            seal=_seal(table.name, sequence, digest, at, transaction.key),
        )
    )
    return Entry(sequence=sequence, at=transaction.now, body=body, digest=digest)


def entries(transaction: Transaction, table: sa.Table) -> tuple[Entry, ...]:
    """All entries of a log in order, every digest recomputed. IntegrityError names the first that does not hold."""
    head = _head(transaction, table.name)
    found: list[Entry] = []
    previous, before = "", None
    for row in transaction.connection.execute(sa.select(table).order_by(table.c.sequence)):
        content = _parsed(row.body, table.name, row.sequence)
        number = len(found) + 1
        honest = (
            row.sequence == number
            and content.get("sequence") == number
            and row.previous == previous
            and row.digest == _chained(row.body, previous, transaction.key)
        )
        if not honest:
            raise _tampered(table.name, f"entry {number} was changed, removed, added or moved")
        at = _moment(content["at"])
        if before is not None and at < before:
            raise _tampered(table.name, f"entry {number} is older than the one before it")
        found.append(Entry(sequence=number, at=at, body=content["body"], digest=KeyedDigest(row.digest)))
        previous, before = row.digest, at
    if (head.sequence, head.digest) != (len(found), previous):
        raise _tampered(table.name, f"it has {len(found)} entries, but its head speaks of {head.sequence}")
    return tuple(found)


def plant_head(connection: sa.Connection, log: str) -> None:
    """Give a new, empty log its head (in migrations; `Database.upgrade` seals it)."""
    connection.execute(HEADS.insert().values(log=log, sequence=0, digest="", at="", seal=""))


def _logs(connection: sa.Connection) -> set[str]:
    if not sa.inspect(connection).has_table(HEADS.name):
        return set()
    return set(connection.execute(sa.select(HEADS.c.log)).scalars())


def _head(transaction: Transaction, log: str) -> Any:
    head = transaction.connection.execute(sa.select(HEADS).where(HEADS.c.log == log)).one_or_none()
    if head is None:
        raise _tampered(log, "its head is gone")
    if head.seal != _seal(log, head.sequence, head.digest, head.at, transaction.key):
        raise _tampered(log, "its head was changed, or the workspace's key is another one")
    return head


def _chained(text: str, previous: str, key: bytes) -> KeyedDigest:
    return keyed_digest({"entry": text, "previous": previous}, key)


def _seal(log: str, sequence: int, digest: str, at: str, key: bytes) -> KeyedDigest:
    return keyed_digest({"log": log, "sequence": sequence, "digest": digest, "at": at}, key)


def _parsed(text: str, log: str, sequence: int) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("body"), dict) or "at" not in content:
        raise _tampered(log, f"entry {sequence} cannot be read")
    return content


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise IntegrityError(
            f"{text!r} is not a time", mend="restore the workspace from its backup"
        ) from error


def _tampered(log: str, what: str) -> IntegrityError:
    return IntegrityError(
        f"the {log} log does not hold: {what}",
        mend="stop, keep the database as it is for the auditor, and restore the workspace from its backup",
    )


# ---------------------------------------------------------------------------------------------- connections


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        raise FaultError(
            f"the database failed: {str(cause).splitlines()[0]}",
            mend="see that its disk has room, that it can be reached, and run `sluice init` if it is new; "
            "what was not finished left nothing behind",
        ) from error


def _engine(url: str | sa.URL) -> sa.Engine:
    with _faults():
        engine = sa.create_engine(url, poolclass=sa.NullPool)  # nothing is held open: safe across forks
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """Take transactions into our own hands."""
    connection.isolation_level = None
    cursor = connection.cursor()
    for setting in SQLITE_SETTINGS:
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("sluice_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
