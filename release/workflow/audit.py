"""The audit log, and the check that everything stored is what the log says was written.

Rules: the check reads everything and trusts no column. It finds a record, a ledger entry, an audit line or a
release's state that was changed, added, removed or moved by anyone without the workspace's key. It cannot find a
whole database put back from an older copy (see `release.database`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from release.canonical import KeyedDigest
from release.database import Entry, entries
from release.errors import IntegrityError
from release.privacy.ledger import LEDGER, entry_id, verify_in
from release.records import Person, ReleaseId
from release.workflow.store import RECORDS, Place, Reader, checked_body


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLine:
    """Who did what, when, to which release, and the digests of what that wrote.

    Attributes:
        number: 1, 2, … without gaps.
        at: aware UTC time.
        by: the person, or "system".
        action: what was done.
        release: to which release; "" where to none.
        moves: (release, from, to) of each state that changed.
        records: (kind, name, digest) of each record written.
        charges: ids of ledger entries written.
        detail: further plain values.
        digest: the line's own digest, chained to the line before.
    """

    number: int
    at: datetime
    by: Person
    action: str
    release: ReleaseId
    moves: tuple[tuple[ReleaseId, str, str], ...]
    records: tuple[tuple[str, str, str], ...]
    charges: tuple[str, ...]
    detail: dict[str, Any]
    digest: KeyedDigest


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What a successful check covered."""

    lines: int
    records: int
    releases: int
    ledger_entries: int
    head: KeyedDigest


def lines(reader: Reader, release: ReleaseId | None = None) -> tuple[AuditLine, ...]:
    """The audit log in order, its chain checked; of one release where one is named."""
    found = tuple(_line(entry) for entry in reader.audit())
    if release is None:
        return found
    return tuple(
        line for line in found if line.release == release or any(move[0] == release for move in line.moves)
    )


def verify(reader: Reader) -> AuditReport:
    """Check everything stored against the log. IntegrityError names the first thing that does not hold."""
    log = reader.audit()
    written: dict[tuple[str, str], tuple[str, int]] = {}
    places: dict[str, tuple[str, int, int]] = {}
    charges: list[str] = []
    for entry in log:
        for record in entry.body["records"]:
            written[record["kind"], record["name"]] = (record["digest"], entry.sequence)
        for move in entry.body["moves"]:
            if places.get(move["release"], ("",))[0] != move["from"]:
                raise _mismatch(
                    f"audit line {entry.sequence} moves {move['release']} from where it did not stand"
                )
            places[move["release"]] = (move["to"], move["turn"], move["review"])
        charges.extend(entry.body["charges"])
    _require_records(reader, written)
    _require_places(reader.places(), places)
    ledger_entries = verify_in(reader.transaction)
    names = [entry_id(entry) for entry in entries(reader.transaction, LEDGER)]
    if names != charges:
        raise _mismatch("the ledger's entries are not those that the audit log speaks of")
    head = log[-1].digest if log else KeyedDigest("")
    return AuditReport(
        lines=len(log), records=len(written), releases=len(places), ledger_entries=ledger_entries, head=head
    )


def _require_records(reader: Reader, written: dict[tuple[str, str], tuple[str, int]]) -> None:
    left = dict(written)
    for row in reader.transaction.connection.execute(sa.select(RECORDS)):
        checked_body(row, reader.transaction.key)
        if left.pop((row.kind, row.name), None) != (row.digest, row.audit):
            raise _mismatch(f'the {row.kind} "{row.name}" is not the one that the audit log says was written')
    if left:
        kind, name = next(iter(left))
        raise _mismatch(f'the {kind} "{name}", which the audit log says was written, is gone')


def _require_places(stored: Iterable[Place], places: dict[str, tuple[str, int, int]]) -> None:
    found = {str(place.release): (str(place.state), place.turn, place.review) for place in stored}
    for release in sorted(found.keys() | places.keys()):
        if found.get(release) != places.get(release):
            raise _mismatch(f"{release} does not stand where the audit log left it")


def _line(entry: Entry) -> AuditLine:
    body = entry.body
    return AuditLine(
        number=entry.sequence,
        at=entry.at,
        by=Person(body["by"]),
        action=body["action"],
        release=ReleaseId(body["release"]),
        moves=tuple((ReleaseId(move["release"]), move["from"], move["to"]) for move in body["moves"]),
        records=tuple((record["kind"], record["name"], record["digest"]) for record in body["records"]),
        charges=tuple(body["charges"]),
        detail=body["detail"],
        digest=entry.digest,
    )


def _mismatch(what: str) -> IntegrityError:
    return IntegrityError(
        what,
        mend="stop, keep the database as it is for the auditor, and restore the workspace from its backup",
    )
