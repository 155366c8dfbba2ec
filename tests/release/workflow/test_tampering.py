"""Whoever changes the database without the workspace's key is found out: by verify, and at export at the latest."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from release.canonical import Sha256
from release.errors import IntegrityError
from release.records import Decision
from release.workflow import store
from release.workflow.dossier import Remark
from release.workflow.registry import Registry
from release.workflow.transitions import State
from tests.release.workflow.flow import ANNA, BEN, CORA, DORA, OTTO, PIA, World, world


def edit(folder: Path, *statements: str) -> None:
    """As somebody with the file but without the key would, past the append-only triggers."""
    connection = sqlite3.connect(folder / "registry.sqlite")
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        assert connection.execute(statement).rowcount != 0, statement
    connection.commit()
    connection.close()


def rows(folder: Path) -> list[tuple[str, str]]:
    """(table, condition) of every row that the registry and the ledger hold."""
    connection = sqlite3.connect(folder / "registry.sqlite")
    found = [
        (table, f"sequence = {number}")
        for table in ("audit", "ledger")
        for (number,) in connection.execute(f"SELECT sequence FROM {table}")
    ]
    found += [
        ("records", f"kind = '{kind}' AND name = '{name}'")
        for kind, name in connection.execute("SELECT kind, name FROM records")
    ]
    found += [
        ("releases", f"release = '{name}'") for (name,) in connection.execute("SELECT release FROM releases")
    ]
    found += [("heads", f"log = '{log}'") for (log,) in connection.execute("SELECT log FROM heads")]
    connection.close()
    return found


@pytest.fixture
def made(tmp_path: Path) -> World:
    return world(tmp_path)


def test_any_changed_or_removed_row_is_found_by_verify_and_at_export(made: World, tmp_path: Path) -> None:
    """Every row in turn: each of its columns changed, and the row removed."""
    release = made.approved()
    made.registry.record_sweep(release, mix=Sha256("7" * 64), result={}, by=ANNA)
    whole = (tmp_path / "registry.sqlite").read_bytes()
    connection = sqlite3.connect(tmp_path / "registry.sqlite")
    columns = {
        table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        for table in ("audit", "ledger", "records", "releases", "heads")
    }
    connection.close()
    attacks = 0
    for table, where in rows(tmp_path):
        changes = [f"DELETE FROM {table} WHERE {where}"]
        for column in columns[table]:
            new = (
                f"{column} + 100" if column in {"sequence", "turn", "review", "audit"} else f"{column} || ' '"
            )
            changes.append(f"UPDATE {table} SET {column} = {new} WHERE {where}")
        for change in changes:
            (tmp_path / "registry.sqlite").write_bytes(whole)
            edit(tmp_path, change)
            attacks += 1
            with pytest.raises(IntegrityError):
                made.registry.verify_audit()
            if attacks % 5 == 0:  # the export checks the very same; a fifth of them shows that it does
                with pytest.raises((IntegrityError, LookupError)):
                    _export(made, release)
    assert attacks > 200
    (tmp_path / "registry.sqlite").write_bytes(whole)
    made.export(release)


def _export(made: World, release) -> None:
    """Export, whatever way the missing record makes itself known before the audit is read."""
    made.registry.begin_export(release, judge=made.judge, by=DORA)


COPIED_VOTE = """INSERT INTO records
    SELECT kind, 'clinic-1/1/2', release, audit, replace(body, 'ben', 'cora'), 'f' FROM records WHERE kind = 'vote'"""

CLEVER = {
    "a state set by hand": ("UPDATE releases SET state = 'approved'",),
    "a state nobody knows": ("UPDATE releases SET state = 'published'",),
    "a release added": ("INSERT INTO releases VALUES ('clinic-9', 'approved', 1, 1)",),
    "a release removed": ("DELETE FROM releases",),
    "a vote copied to another person": (COPIED_VOTE,),
    "evidence made better": (
        "UPDATE records SET body = replace(body, '0.05', '0.01') WHERE kind = 'evidence'",
    ),
    "a verdict turned": ("UPDATE records SET body = replace(body, 'met', 'broken') WHERE kind = 'verdict'",),
    "the document of a policy": (
        "UPDATE records SET body = replace(body, '1 2 - 30', '1 1 - 30') WHERE kind = 'policy'",
    ),
    "a role": ("UPDATE records SET body = replace(body, 'reviewer', 'releaser') WHERE name = 'ben/1'",),
    "a record moved to another release": (
        "UPDATE records SET release = 'clinic-2' WHERE kind = 'candidate'",
    ),
    "a body that is not json": ("UPDATE records SET body = '{' WHERE kind = 'request'",),
    "the cap's charge and the audit's word for it": (
        "DELETE FROM ledger WHERE sequence = 2",
        "UPDATE audit SET body = replace(body, '\"ledger:2\"', '')",
    ),
    "a line of the log": ("UPDATE audit SET body = replace(body, 'ben', 'cora')",),
}


@pytest.mark.parametrize("name", CLEVER)
def test_what_somebody_might_try(made: World, tmp_path: Path, name: str) -> None:
    release = made.propose().release
    made.make(release)
    made.approve(release, BEN)
    edit(tmp_path, *CLEVER[name])
    with pytest.raises(IntegrityError):
        made.registry.verify_audit()


def test_reading_a_changed_record_already_stops(made: World, tmp_path: Path) -> None:
    release = made.approved()
    edit(tmp_path, "UPDATE records SET body = replace(body, 'fine', 'good') WHERE name = 'clinic-1/1/1'")
    for act in (
        lambda: made.registry.show(release),
        lambda: made.registry.current_approval(release),
        lambda: made.registry.send_back(release, comment="", by=CORA),
    ):
        with pytest.raises(IntegrityError, match="does not match its digest"):
            act()


@pytest.mark.parametrize(
    ("kind", "match"),
    [("request", "request of clinic-1 is gone"), ("dataset", "no dataset"), ("policy", "no policy")],
)
def test_a_missing_record_stops_the_release(made: World, tmp_path: Path, kind: str, match: str) -> None:
    from release.errors import ReleaseError

    release = made.approved()
    edit(tmp_path, f"DELETE FROM records WHERE kind = '{kind}'")
    with pytest.raises(ReleaseError, match=match):
        made.registry.show(release)


def test_a_dataset_put_in_anothers_place_is_found(made: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written by this very program, with the key, as an update that nobody meant to allow."""
    release = made.propose().release
    with made.registry._store.step("faulty", OTTO) as step:
        found = step.get(type(made.registry.datasets.get("clinic")), "dataset", "clinic")
        assert found is not None
        step.transaction.connection.exec_driver_sql("DROP TRIGGER records_no_delete")
        step.transaction.connection.exec_driver_sql("DELETE FROM records WHERE kind = 'dataset'")
        from dataclasses import replace

        step.put("dataset", "clinic", replace(found.record, title="another"))
    with pytest.raises(IntegrityError, match="another state of its dataset"):
        made.registry.show(release)


def test_records_are_written_once_and_steps_do_not_mix(made: World) -> None:
    with (
        pytest.raises(IntegrityError, match="already a remark"),
        made.registry._store.step("twice", ANNA) as step,
    ):
        step.put("remark", "x", Remark(by=ANNA, comment=""))
        step.put("remark", "x", Remark(by=ANNA, comment=""))
    with (
        pytest.raises(IntegrityError, match="in the middle of a step"),
        made.registry._store.step("outer", ANNA) as step,
    ):
        store.append(step.transaction, store.AUDIT, {})


def test_a_state_that_changed_meanwhile_is_not_overwritten(made: World) -> None:
    from release.errors import TransitionError

    release = made.propose().release
    with (
        pytest.raises(TransitionError, match="somebody was faster"),
        made.registry._store.step("late", ANNA, release) as step,
    ):
        place = step.place(release)
        step.move(place, State.GENERATING)
        step.move(place, State.FAILED)


def test_a_log_that_moves_a_release_from_where_it_did_not_stand_is_found(made: World) -> None:
    """Written with the key, by a faulty program."""
    release = made.propose().release
    with made.registry._store.step("faulty", ANNA, release) as step:
        place = step.place(release)
        step._moved(place, "approved")
    with pytest.raises(IntegrityError, match="from where it did not stand"):
        made.registry.verify_audit()


def test_a_charge_that_no_line_speaks_of_is_found(made: World) -> None:
    from release.privacy.ledger import charge_in
    from tests.release.workflow.flow import plan_cost

    with made.registry.database.write() as transaction:
        charge_in(transaction, "patients", plan_cost(), release="x", turn=1, by=ANNA)
    with pytest.raises(IntegrityError, match="not those that the audit log speaks of"):
        made.registry.verify_audit()


def test_votes_that_were_cast_before_the_policy_changed_do_not_come_back(made: World) -> None:
    release = made.propose().release
    made.make(release)
    made.approve(release, BEN)
    first = made.registry.policies.current("partner").document
    for document, version in (("partner 2 2 - 30 0.2", 2), (first, 3)):
        terms = made.registry.policies.propose(document, made.judge, by=OTTO)
        made.registry.policies.confirm("partner", terms.digest, by=PIA)
        assert made.registry.show(release).state is State.RE_REVIEW_REQUIRED, version
        made.registry.record_verdict(release, made.verdict(release), by=BEN)
    # The wording is the first again, and so the first vote binds to it; but it was cast before this review.
    assert made.registry.show(release).standing.approvers == ()
    assert made.registry.vote(release, Decision.APPROVE, by=CORA) is State.PARTIALLY_REVIEWED


def test_an_empty_registry_holds(tmp_path: Path) -> None:
    from release.database import Database
    from tests.release.workflow.flow import KEY, FakeClock

    database = Database(f"sqlite:///{tmp_path / 'new.sqlite'}", key=KEY, clock=FakeClock())
    database.upgrade()
    report = Registry(database).verify_audit()
    assert (report.lines, report.records, report.head) == (0, 0, "")
