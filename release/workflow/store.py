"""What the registry keeps: records as canonical JSON under keyed digests, where each release stands, the audit log.

Rules: a record is written once and never changed; everything that one step writes (records, the release's state, its
line in the audit log) is one transaction; the audit line lists each record's digest, so that neither can be changed,
added or removed without the other; a record's digest is recomputed whenever it is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from release.canonical import KeyedDigest, canonical_bytes, from_json, keyed_digest, to_json
from release.database import METADATA, Database, Entry, Transaction, append, entries, log_table
from release.errors import InputError, IntegrityError, TransitionError
from release.records import Person, ReleaseId
from release.workflow.people import Member
from release.workflow.transitions import State

AUDIT = log_table("audit")

RECORDS = sa.Table(
    "records",
    METADATA,
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("name", sa.String(256), primary_key=True),
    sa.Column("release", sa.String(128), nullable=False),
    sa.Column("audit", sa.Integer, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Index("records_by_release", "release", "kind"),
)

RELEASES = sa.Table(
    "releases",
    METADATA,
    sa.Column("release", sa.String(128), primary_key=True),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("turn", sa.Integer, nullable=False),
    sa.Column("review", sa.Integer, nullable=False),
)

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored(Generic[R]):
    """A record as it lies in the registry.

    Attributes:
        name: unique within its kind.
        record: the record.
        digest: keyed digest over kind, name, release and record.
        audit: number of the audit line that wrote it.
    """

    name: str
    record: R
    digest: KeyedDigest
    audit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a release stands.

    Attributes:
        release: which.
        state: see `State`.
        turn: the present try; 0 before the first.
        review: number of the audit line that opened the present review; 0 where none is open. Votes cast before
            it do not count.
    """

    release: ReleaseId
    state: State
    turn: int
    review: int


class Reader:
    """Reads inside one transaction; every digest is checked."""

    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction
        self.now = transaction.now

    def get(self, cls: type[R], kind: str, name: str) -> Stored[R] | None:
        """The record of that kind and name, or None."""
        query = sa.select(RECORDS).where(RECORDS.c.kind == kind, RECORDS.c.name == name)
        row = self.transaction.connection.execute(query).one_or_none()
        return None if row is None else _stored(row, cls, self.transaction.key)

    def all(self, cls: type[R], kind: str, release: ReleaseId | None = None) -> tuple[Stored[R], ...]:
        """All records of a kind (of one release), in the order of writing."""
        query = sa.select(RECORDS).where(RECORDS.c.kind == kind).order_by(RECORDS.c.audit, RECORDS.c.name)
        if release is not None:
            query = query.where(RECORDS.c.release == release)
        rows = self.transaction.connection.execute(query)
        return tuple(_stored(row, cls, self.transaction.key) for row in rows)

    def last(self, cls: type[R], kind: str, stem: str) -> Stored[R] | None:
        """The latest of the numbered records stem/1, stem/2, …, or None."""
        count = self.count(kind, stem)
        return self.get(cls, kind, f"{stem}/{count}") if count else None

    def count(self, kind: str, stem: str) -> int:
        """How many numbered records stem/1, stem/2, … there are."""
        query = sa.select(RECORDS.c.name).where(
            RECORDS.c.kind == kind, RECORDS.c.name.startswith(f"{stem}/", autoescape=True)
        )
        names = set(self.transaction.connection.execute(query).scalars())
        count = 0
        while f"{stem}/{count + 1}" in names:
            count += 1
        return count

    def member(self, person: Person) -> Member | None:
        """The person as last recorded, or None."""
        found = self.last(Member, "member", person)
        return None if found is None else found.record

    def place(self, release: ReleaseId) -> Place:
        """Where the release stands. InputError where there is none of that id."""
        query = sa.select(RELEASES).where(RELEASES.c.release == release)
        row = self.transaction.connection.execute(query).one_or_none()
        if row is None:
            raise InputError(f'there is no release "{release}"', mend="`sluice release show` lists them")
        return _place(row)

    def places(self) -> tuple[Place, ...]:
        """Where every release stands, in order of id."""
        query = sa.select(RELEASES).order_by(RELEASES.c.release)
        return tuple(_place(row) for row in self.transaction.connection.execute(query))

    def audit(self) -> tuple[Entry, ...]:
        """The whole audit log, its chain checked."""
        return entries(self.transaction, AUDIT)


@dataclass(slots=True)
class _Draft:
    records: list[dict[str, str]] = field(default_factory=list)
    moves: list[dict[str, Any]] = field(default_factory=list)
    detail: dict[str, Any] = field(default_factory=dict)
    charges: list[str] = field(default_factory=list)


class Step(Reader):
    """Writes inside one transaction, and lists what it wrote in one audit line."""

    def __init__(self, transaction: Transaction, number: int) -> None:
        super().__init__(transaction)
        self.number = number
        self._draft = _Draft()

    def put(self, kind: str, name: str, record: Any, release: ReleaseId | str = "") -> KeyedDigest:
        """Write a new record. IntegrityError where one of that kind and name exists."""
        if self.get(type(record), kind, name) is not None:
            raise IntegrityError(f'there is already a {kind} "{name}"', mend="records are written once")
        body = canonical_bytes(to_json(record)).decode()
        digest = _digest(kind, name, release, body, self.transaction.key)
        self.transaction.connection.execute(
            RECORDS.insert().values(
                kind=kind,
                name=name,
                release=release,
                audit=self.number,
                body=body,
                digest=digest,
            )
        )
        self._draft.records.append({"kind": kind, "name": name, "digest": digest})
        return digest

    def put_next(self, kind: str, stem: str, record: Any, release: ReleaseId | str = "") -> KeyedDigest:
        """Write the next of the numbered records stem/1, stem/2, …."""
        return self.put(kind, f"{stem}/{self.count(kind, stem) + 1}", record, release)

    def open(self, release: ReleaseId, state: State) -> None:
        """Give a new release its place."""
        self.transaction.connection.execute(
            RELEASES.insert().values(release=release, state=state, turn=0, review=0)
        )
        self._moved(Place(release=release, state=state, turn=0, review=0), "")

    def move(
        self, place: Place, target: State, *, turn: int | None = None, review: int | None = None
    ) -> None:
        """Change where a release stands, if it still stands where `place` says. TransitionError where it does not."""
        new = Place(
            release=place.release,
            state=target,
            turn=place.turn if turn is None else turn,
            review=place.review if review is None else review,
        )
        done = self.transaction.connection.execute(
            RELEASES.update()
            .where(
                RELEASES.c.release == place.release,
                RELEASES.c.state == place.state,
                RELEASES.c.turn == place.turn,
                RELEASES.c.review == place.review,
            )
            .values(state=new.state, turn=new.turn, review=new.review)
        )
        if done.rowcount != 1:
            raise TransitionError(
                f"{place.release} is no longer {place.state}", mend="look at it again; somebody was faster"
            )
        self._moved(new, place.state)

    def note(self, **detail: Any) -> None:
        """Add plain JSON values to the audit line. No cell values, no comments."""
        self._draft.detail.update(detail)

    def charged(self, charge: str) -> None:
        """Name a ledger entry in the audit line."""
        self._draft.charges.append(charge)

    def finish(self, action: str, by: Person, release: ReleaseId | None) -> Entry:
        """Write the audit line. Called once, by `Store.step`."""
        body = {
            "action": action,
            "by": by,
            "release": release or "",
            "moves": self._draft.moves,
            "records": self._draft.records,
            "charges": self._draft.charges,
            "detail": self._draft.detail,
        }
        entry = append(self.transaction, AUDIT, body)
        if entry.sequence != self.number:
            raise IntegrityError("an audit line was written in the middle of a step", mend="report this")
        return entry

    def _moved(self, place: Place, source: str) -> None:
        self._draft.moves.append(
            {
                "release": place.release,
                "from": source,
                "to": place.state,
                "turn": place.turn,
                "review": place.review,
            }
        )


class Store:
    """Opens transactions on one workspace's registry."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @contextmanager
    def step(self, action: str, by: Person, release: ReleaseId | None = None) -> Iterator[Step]:
        """One step: all that is written inside and its audit line, or nothing."""
        with self.database.write() as transaction:
            query = sa.select(sa.func.max(AUDIT.c.sequence))
            number = (transaction.connection.execute(query).scalar() or 0) + 1
            step = Step(transaction, number)
            yield step
            step.finish(action, by, release)

    @contextmanager
    def look(self) -> Iterator[Reader]:
        """A consistent look that changes nothing."""
        with self.database.read() as transaction:
            yield Reader(transaction)


def _digest(kind: str, name: str, release: str, body: str, key: bytes) -> KeyedDigest:
    return keyed_digest({"kind": kind, "name": name, "release": release, "body": body}, key)


def _stored(row: Any, cls: type[R], key: bytes) -> Stored[R]:
    body = checked_body(row, key)
    return Stored(name=row.name, record=from_json(cls, body), digest=KeyedDigest(row.digest), audit=row.audit)


def checked_body(row: Any, key: bytes) -> Any:
    """A record row's plain JSON, its digest recomputed. IntegrityError where it does not hold."""
    honest = row.digest == _digest(row.kind, row.name, row.release, row.body, key)
    if not honest:
        raise IntegrityError(
            f'the stored {row.kind} "{row.name}" does not match its digest',
            mend="stop, keep the database as it is for the auditor, and restore the workspace from its backup",
        )
    return json.loads(row.body)


def _place(row: Any) -> Place:
    if row.state not in set(State):
        raise IntegrityError(
            f'{row.release} stands in no known state ("{row.state}")', mend="restore the backup"
        )
    return Place(release=ReleaseId(row.release), state=State(row.state), turn=row.turn, review=row.review)
