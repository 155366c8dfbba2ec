"""The lifetime ledger: what fits, what is refused, what stays charged, and what is found out."""

from __future__ import annotations

import functools
import json
import math
import sqlite3
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from release.database import Database
from release.errors import BudgetExceededError, FaultError, InputError, IntegrityError, RefusedError
from release.privacy import ledger as ledger_module
from release.privacy.accounting import ORDERS, cost, epsilon_of_curve, rdp_curve, rdp_room, rho_for
from release.privacy.ledger import Ledger, balance_in, charge_in, set_cap_in
from release.records import DpEvent, Mechanism, Person, Population, PrivacyCost, ReleaseId

PATIENTS = Population("patients")
OTTO = Person("otto")
NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


@functools.cache
def fresh() -> bytes:
    """A new database's bytes: migrating once serves every test."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fresh.sqlite"
        Database(f"sqlite:///{path}", key=b"k" * 32, clock=lambda: NOON).upgrade()
        return path.read_bytes()


class Bench:
    """A fresh ledger, and shorter ways to write into it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.sqlite"
        self.path.write_bytes(fresh())
        self.now = NOON
        self.database = Database(f"sqlite:///{self.path}", key=b"k" * 32, clock=lambda: self.now)
        self.ledger = Ledger(self.database)

    def cap(self, epsilon: float = 10.0, delta: float = 1e-6, unit: str = "patient", **more):
        with self.database.write() as transaction:
            return set_cap_in(
                transaction, PATIENTS, unit=unit, epsilon=epsilon, delta=delta, by=OTTO, **more
            )[0]

    def charge(self, plan: PrivacyCost, turn: int = 1, population: Population = PATIENTS):
        with self.database.write() as transaction:
            return charge_in(transaction, population, plan, release=ReleaseId("clinic-1"), turn=turn, by=OTTO)

    def tamper(self, *statements: str) -> None:
        """As somebody with the file but without the key would, past the append-only triggers."""
        connection = sqlite3.connect(self.path)
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def plan(*events: DpEvent, delta: float = 1e-7, unit: str = "patient", rows: int = 1) -> PrivacyCost:
    return cost(events, delta, unit=unit, max_rows=rows)


def gaussian(epsilon: float = 1.0, delta: float = 1e-7) -> DpEvent:
    sigma = (2.0 * rho_for(epsilon, delta)) ** -0.5
    return DpEvent(label="measure", mechanism=Mechanism.DISCRETE_GAUSSIAN, parameter=sigma)


def threshold(delta: float, count: int = 1) -> DpEvent:
    return DpEvent(label="keys", mechanism=Mechanism.THRESHOLD, parameter=delta, count=count)


def test_one_plan_of_the_whole_cap_fits_once(bench: Bench) -> None:
    bench.cap(epsilon=3.0, delta=2e-6, threshold_delta=1e-6)
    whole = plan(gaussian(3.0, 1e-6), delta=1e-6)
    charge = bench.charge(whole)
    assert (charge.id, charge.population, charge.release, charge.turn) == (
        "ledger:2",
        PATIENTS,
        "clinic-1",
        1,
    )
    assert (charge.cost, charge.by, charge.at) == (whole, OTTO, NOON)
    balance = bench.ledger.balance(PATIENTS)
    assert 0.999 < balance.share <= 1.0
    assert balance.left < 0.001
    assert balance.epsilon_so_far == pytest.approx(3.0, rel=1e-4)
    with pytest.raises(BudgetExceededError, match="nothing was charged"):
        bench.charge(plan(gaussian(0.05)))
    assert bench.ledger.balance(PATIENTS) == balance


def test_a_refused_charge_leaves_no_entry_and_a_smaller_one_still_fits(bench: Bench) -> None:
    bench.cap(epsilon=2.0)
    bench.charge(plan(gaussian(1.5)))
    with pytest.raises(BudgetExceededError, match=r"% is left"):
        bench.charge(plan(gaussian(1.5)))
    bench.charge(plan(gaussian(0.3)), turn=2)
    assert [charge.turn for charge in bench.ledger.balance(PATIENTS).charges] == [1, 2]
    assert bench.ledger.verify() == 3


def test_every_attempt_is_charged_again(bench: Bench) -> None:
    bench.cap()
    one = bench.charge(plan(gaussian())).rdp
    bench.charge(plan(gaussian()), turn=2)
    assert bench.ledger.balance(PATIENTS).spent_rdp == pytest.approx(2 * one, rel=1e-12)


def test_thresholds_are_summed_against_their_own_part_of_delta(bench: Bench) -> None:
    bench.cap(delta=1e-6)
    bench.charge(plan(gaussian(), threshold(4e-8, 10), delta=5e-7))
    assert bench.ledger.balance(PATIENTS).spent_threshold_delta == pytest.approx(4e-7)
    with pytest.raises(BudgetExceededError, match="thresholds take"):
        bench.charge(plan(gaussian(), threshold(2e-7), delta=5e-7))
    bench.charge(plan(gaussian(), threshold(9e-8), delta=5e-7))
    assert bench.ledger.balance(PATIENTS).spent_threshold_delta <= 5e-7


def test_the_order_is_fixed_with_the_first_cap(bench: Bench) -> None:
    first = bench.cap(epsilon=1.0)
    rho = rho_for(1.0, 5e-7)
    assert first.order == pytest.approx(1 + math.sqrt(math.log(1 / 5e-7) / rho), rel=0.1)
    bench.charge(plan(gaussian(0.5)))
    second = bench.cap(epsilon=4.0)
    assert second.order == first.order
    assert second.rdp == pytest.approx(first.rdp + 3.0)
    assert bench.ledger.balance(PATIENTS).cap == second


def test_a_filter_at_one_order_bounds_what_any_order_would_say(bench: Bench) -> None:
    """Charges of different shapes up to the brim: composed as if planned at once they stay under the cap's epsilon."""
    bench.cap(epsilon=5.0, delta=1e-6)
    shapes = [
        plan(gaussian(0.8)),
        plan(DpEvent(label="choose", mechanism=Mechanism.EXPONENTIAL, parameter=0.9)),
        plan(DpEvent(label="laplace", mechanism=Mechanism.PURE, parameter=0.3)),
        plan(
            DpEvent(
                label="sgd", mechanism=Mechanism.POISSON_GAUSSIAN, parameter=1.2, count=50, sampling_rate=0.02
            )
        ),
    ]
    refused = turn = 0
    while refused < len(shapes):
        turn += 1
        try:
            bench.charge(shapes[turn % len(shapes)], turn=turn)
            refused = 0
        except BudgetExceededError:
            refused += 1
    balance = bench.ledger.balance(PATIENTS)
    assert len(balance.charges) > 8
    assert 0.9 < balance.share <= 1.0
    assert balance.epsilon_so_far <= 5.0
    events = [event for charge in balance.charges for event in charge.cost.events]
    assert epsilon_of_curve(rdp_curve(events), 5e-7) == balance.epsilon_so_far


@given(st.lists(st.floats(0.05, 1.5), min_size=1, max_size=12), st.floats(0.5, 6.0))
@settings(max_examples=12, deadline=None)
def test_no_order_of_charges_passes_the_cap(sizes: list[float], cap: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        bench.cap(epsilon=cap)
        spent = 0.0
        for turn, size in enumerate(sizes, start=1):
            asked = plan(gaussian(size))
            takes = bench.ledger.quote(PATIENTS, asked)
            try:
                bench.charge(asked, turn=turn)
                spent += takes
            except BudgetExceededError:
                assert spent + takes > 1.0 - 1e-9
        balance = bench.ledger.balance(PATIENTS)
        assert balance.share <= 1.0
        assert balance.share == pytest.approx(spent, abs=1e-9)
        assert balance.epsilon_so_far <= cap


def test_a_quote_charges_nothing(bench: Bench) -> None:
    bench.cap()
    share = bench.ledger.quote(PATIENTS, plan(gaussian()))
    assert bench.ledger.balance(PATIENTS).charges == ()
    bench.charge(plan(gaussian()))
    assert bench.ledger.balance(PATIENTS).share == pytest.approx(share)


def test_populations_and_who_has_no_cap(bench: Bench) -> None:
    assert bench.ledger.populations() == ()
    for ask in (
        lambda: bench.ledger.balance(PATIENTS),
        lambda: bench.charge(plan(gaussian())),
        lambda: bench.ledger.quote(PATIENTS, plan(gaussian())),
    ):
        with pytest.raises(RefusedError, match="no lifetime cap"):
            ask()
    bench.cap()
    with bench.database.write() as transaction:
        set_cap_in(transaction, Population("clients"), unit="client", epsilon=1.0, delta=1e-6, by=OTTO)
    assert bench.ledger.populations() == (PATIENTS, "clients")
    bench.charge(plan(gaussian(0.5), unit="client"), population=Population("clients"))
    assert bench.ledger.balance(PATIENTS).spent_rdp == 0.0


def test_another_unit_is_refused_but_another_contribution_bound_adds_up(bench: Bench) -> None:
    bench.cap()
    with pytest.raises(RefusedError, match="counts per patient, but this plan costs per row"):
        bench.charge(plan(gaussian(), unit="row"))
    with pytest.raises(RefusedError, match="counts per patient"):
        bench.ledger.quote(PATIENTS, plan(gaussian(), unit="row"))
    bench.charge(plan(gaussian(), rows=5))
    bench.charge(plan(gaussian(), rows=1))
    with pytest.raises(InputError, match="keep the unit"):
        bench.cap(unit="row")


NO_CAPS = {
    "no epsilon": {"epsilon": 0.0},
    "negative": {"epsilon": -1.0},
    "nan": {"epsilon": math.nan},
    "infinite": {"epsilon": math.inf},
    "no delta": {"delta": 0.0},
    "delta one": {"delta": 1.0},
    "nan delta": {"delta": math.nan},
    "all delta for thresholds": {"threshold_delta": 1e-6},
    "negative part": {"threshold_delta": -1e-9},
    "no unit": {"unit": ""},
}


@pytest.mark.parametrize("name", NO_CAPS)
def test_what_is_no_cap_is_refused(bench: Bench, name: str) -> None:
    with pytest.raises(InputError, match=r"is not a cap|needs the names"):
        bench.cap(**NO_CAPS[name])
    assert bench.ledger.populations() == ()


def test_a_cap_may_leave_nothing_for_thresholds(bench: Bench) -> None:
    bench.cap(threshold_delta=0.0)
    bench.charge(plan(gaussian()))
    with pytest.raises(BudgetExceededError, match="thresholds"):
        bench.charge(plan(gaussian(), threshold(1e-12)))


def test_a_cap_needs_a_population(bench: Bench) -> None:
    with bench.database.write() as transaction, pytest.raises(InputError, match="names"):
        set_cap_in(transaction, Population(""), unit="row", epsilon=1.0, delta=1e-6, by=OTTO)


def test_a_cap_may_grow_but_not_below_what_is_spent_nor_below_its_orders_reach(bench: Bench) -> None:
    bench.cap(epsilon=4.0)
    bench.charge(plan(gaussian(3.0), threshold(1e-8)))
    with pytest.raises(InputError, match="already spent"):
        bench.cap(epsilon=2.9)
    with pytest.raises(InputError, match="already spent"):
        bench.cap(epsilon=4.0, threshold_delta=5e-9)
    with pytest.raises(InputError, match="no charge fits"):
        bench.cap(epsilon=0.5)
    assert bench.cap(epsilon=8.0).epsilon == 8.0
    bench.charge(plan(gaussian(3.0)), turn=2)


def test_costs_round_up_to_the_last_bit(bench: Bench) -> None:
    """Spending exactly the room fits; one float more does not."""
    cap = bench.cap(epsilon=1.0, delta=1e-6)
    sigma = math.sqrt(cap.order / (2.0 * cap.rdp))
    event = DpEvent(label="brim", mechanism=Mechanism.DISCRETE_GAUSSIAN, parameter=sigma * (1 - 1e-12))
    with pytest.raises(BudgetExceededError):
        bench.charge(plan(event, delta=5e-7))
    bench.charge(plan(replace(event, parameter=sigma * (1 + 1e-12)), delta=5e-7))


def test_the_brim_itself_fits_to_the_last_bit(bench: Bench, monkeypatch) -> None:
    cap = bench.cap(threshold_delta=5e-7)
    two = math.nextafter(cap.rdp / 2.0, 0.0)  # twice this, rounded up, is just the cap
    assert math.nextafter(2.0 * two, math.inf) == cap.rdp
    monkeypatch.setattr(ledger_module, "_rdp_at", lambda events, order: two)
    bench.charge(plan(gaussian()))
    bench.charge(plan(gaussian()))
    assert bench.ledger.balance(PATIENTS).share == 1.0
    assert bench.ledger.balance(PATIENTS).left == 0.0
    with pytest.raises(BudgetExceededError):
        bench.charge(plan(gaussian()))


def test_the_brim_of_thresholds_fits_too(bench: Bench, monkeypatch) -> None:
    bench.cap(threshold_delta=math.nextafter(4e-7, 1.0))
    monkeypatch.setattr(ledger_module, "threshold_delta", lambda events: 4e-7)
    bench.charge(plan(gaussian()))
    with pytest.raises(BudgetExceededError, match="thresholds"):
        bench.charge(plan(gaussian()))


def test_sums_and_curves_are_rounded_up(bench: Bench) -> None:
    events = (gaussian(), threshold(1e-9))
    exact = float(rdp_curve(events)[100])
    assert ledger_module._rdp_at(events, float(ORDERS[100])) == math.nextafter(exact, math.inf)
    assert ledger_module._sum_up([0.1, 0.2]) > math.fsum([0.1, 0.2])
    assert ledger_module._sum_up([]) == 0.0
    assert ledger_module._rdp_at(events, float(ORDERS[-1])) > 0.0
    assert ledger_module._cap_at(3.0, 1.0, 1e-6) < float(rdp_room(np.array([3.0]), 1.0, 1e-6)[0])


def test_a_cap_without_any_room_is_refused(bench: Bench, monkeypatch) -> None:
    monkeypatch.setattr(ledger_module, "_cap_at", lambda order, epsilon, delta: 0.0)
    with pytest.raises(InputError, match="no charge fits"):
        bench.cap()


def test_a_cap_may_be_lowered_to_just_what_is_spent(bench: Bench, monkeypatch) -> None:
    bench.cap()
    spent = bench.charge(plan(gaussian(), threshold(1e-8))).rdp
    total = math.nextafter(spent, math.inf)
    part = bench.ledger.balance(PATIENTS).spent_threshold_delta
    monkeypatch.setattr(ledger_module, "_cap_at", lambda order, epsilon, delta: total)
    assert bench.cap(threshold_delta=part).rdp == total


def test_a_curve_without_a_finite_value_at_the_order_is_refused(bench: Bench) -> None:
    bench.cap(epsilon=0.01, delta=1e-6)  # a small cap sets a high order
    assert bench.ledger.balance(PATIENTS).cap.order > 512
    sampled = DpEvent(
        label="sgd", mechanism=Mechanism.POISSON_GAUSSIAN, parameter=500.0, count=1, sampling_rate=0.01
    )
    with pytest.raises(BudgetExceededError):
        bench.charge(plan(sampled))


# ---------------------------------------------------------------------------------------------- interruptions


def test_what_breaks_off_leaves_nothing(bench: Bench) -> None:
    bench.cap()
    for error in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(error), bench.database.write() as transaction:
            charge_in(transaction, PATIENTS, plan(gaussian()), release=ReleaseId("r"), turn=1, by=OTTO)
            raise error
    assert bench.ledger.balance(PATIENTS).charges == ()
    assert bench.ledger.verify() == 1


def test_a_clock_that_went_backwards_blocks(bench: Bench) -> None:
    bench.cap()
    bench.now -= timedelta(seconds=3)  # two machines' clocks
    assert bench.charge(plan(gaussian(0.1))).at == NOON
    bench.now -= timedelta(seconds=3)
    with pytest.raises(FaultError, match="went backwards"):
        bench.charge(plan(gaussian(0.1)))
    with pytest.raises(FaultError, match="went backwards"):
        bench.ledger.balance(PATIENTS)
    bench.now = NOON + timedelta(days=1)
    assert len(bench.ledger.balance(PATIENTS).charges) == 1


def test_a_clock_without_a_zone_is_refused(bench: Bench) -> None:
    bench.now = datetime(2026, 1, 5, 12, 0)
    with pytest.raises(FaultError, match="time zone"):
        bench.cap()


# ---------------------------------------------------------------------------------------------- tampering


def _edited(sql: str) -> str:
    return f"UPDATE ledger SET body = replace(body, {sql}) WHERE sequence = 2"


TAMPERING = {
    "a cost made smaller": (_edited("'\"rdp\":', '\"rdp\":0.0e-'"),),
    "another person": (_edited("'otto', 'anna'"),),
    "another time": (_edited("'2026', '2025'"),),
    "not json": ("UPDATE ledger SET body = 'x' WHERE sequence = 2",),
    "not an object": ("UPDATE ledger SET body = '[]' WHERE sequence = 2",),
    "no body": ('UPDATE ledger SET body = \'{"at":"2026"}\' WHERE sequence = 2',),
    "the middle removed": ("DELETE FROM ledger WHERE sequence = 2",),
    "the end removed": ("DELETE FROM ledger WHERE sequence = 3",),
    "the end removed, head and all": (
        "DELETE FROM ledger WHERE sequence = 3",
        "UPDATE heads SET sequence = 2, digest = (SELECT digest FROM ledger WHERE sequence = 2) WHERE log = 'ledger'",
    ),
    "emptied, head and all": (
        "DELETE FROM ledger",
        "UPDATE heads SET sequence = 0, digest = '', at = '', seal = '' WHERE log = 'ledger'",
    ),
    "two swapped": (
        "UPDATE ledger SET sequence = 9 WHERE sequence = 2",
        "UPDATE ledger SET sequence = 2 WHERE sequence = 3",
        "UPDATE ledger SET sequence = 3 WHERE sequence = 9",
    ),
    "one added": ("INSERT INTO ledger SELECT 4, body, digest, 'f' FROM ledger WHERE sequence = 3",),
    "a link changed": ("UPDATE ledger SET previous = 'f' WHERE sequence = 2",),
    "a digest changed": ("UPDATE ledger SET digest = 'f' WHERE sequence = 3",),
    "the head's time": ("UPDATE heads SET at = '2020-01-01T00:00:00+00:00' WHERE log = 'ledger'",),
    "the head's time unreadable": ("UPDATE heads SET at = 'yesterday' WHERE log = 'ledger'",),
    "all heads gone": ("DELETE FROM heads",),
    "the head gone": ("DELETE FROM heads WHERE log = 'ledger'",),
}


@pytest.mark.parametrize("name", TAMPERING)
def test_tampering_is_found_by_verify_and_stops_the_next_charge(bench: Bench, name: str) -> None:
    bench.cap()
    bench.charge(plan(gaussian()))
    bench.charge(plan(gaussian()), turn=2)
    bench.tamper(*TAMPERING[name])
    with pytest.raises(IntegrityError):
        bench.ledger.verify()
    with pytest.raises(IntegrityError):
        bench.charge(plan(gaussian()), turn=3)


def test_another_key_does_not_open_the_ledger(bench: Bench) -> None:
    bench.cap()
    other = Database(f"sqlite:///{bench.path}", key=b"x" * 32, clock=lambda: NOON)
    with pytest.raises(IntegrityError, match="key is another"):
        Ledger(other).verify()
    with pytest.raises(FaultError, match="16"):
        Database("sqlite://", key=b"short", clock=lambda: NOON)


def test_an_entry_older_than_the_one_before_is_found(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even somebody with the key cannot put a date back: written here past the clock's check."""
    bench.cap()
    monkeypatch.setattr(Database, "_now", lambda self, last: NOON - timedelta(days=1))
    bench.charge(plan(gaussian()))
    with pytest.raises(IntegrityError, match="older than"):
        bench.ledger.verify()


def test_a_charge_that_holds_less_than_its_events_cost_is_found(bench: Bench, monkeypatch) -> None:
    """By a faulty version of this program, say: the log itself is sound."""
    bench.cap()
    with monkeypatch.context() as patch:
        patch.setattr(ledger_module, "_rdp_at", lambda events, order: 1e-6)
        bench.charge(plan(gaussian()))
    with pytest.raises(IntegrityError, match="less than its events cost"):
        bench.ledger.verify()


def test_a_charge_may_differ_by_rounding_between_machines(bench: Bench, monkeypatch) -> None:
    bench.cap()
    monkeypatch.setattr(ledger_module, "_rdp_at", lambda events, order: 0.1 * (1.0 - 1e-9))
    bench.charge(plan(gaussian()))
    monkeypatch.setattr(ledger_module, "_rdp_at", lambda events, order: 0.1)
    assert bench.ledger.verify() == 2


@pytest.mark.parametrize("order", [4.0123456, 1e9])
def test_a_cap_at_an_order_that_this_version_does_not_know_is_refused(
    bench: Bench, monkeypatch, order
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ledger_module, "_best_order", lambda epsilon, delta: order)
        bench.cap()
    with pytest.raises(IntegrityError, match="grid"):
        bench.charge(plan(gaussian()))


def test_the_database_itself_refuses_changes(bench: Bench) -> None:
    bench.cap()
    connection = sqlite3.connect(bench.path)
    for statement in ("UPDATE ledger SET body = ''", "DELETE FROM ledger", "DELETE FROM audit"):
        if "audit" in statement:
            connection.execute("INSERT INTO audit VALUES (1, '', '', '')")
        with pytest.raises(sqlite3.IntegrityError, match="only appended"):
            connection.execute(statement)
    connection.close()


def test_a_head_noted_outside_tells_a_database_put_back(bench: Bench) -> None:
    bench.cap()
    copy = bench.path.read_bytes()
    bench.charge(plan(gaussian()))
    noted = bench.database.head("ledger")
    bench.path.write_bytes(copy)
    assert bench.ledger.verify() == 1  # sound in itself
    assert bench.database.head("ledger") != noted


def test_faults_of_the_disk_are_ours(tmp_path: Path) -> None:
    missing = Database(f"sqlite:///{tmp_path / 'no' / 'folder.sqlite'}", key=b"k" * 32, clock=lambda: NOON)
    with pytest.raises(FaultError, match="database failed"):
        missing.upgrade()
    garbage = tmp_path / "garbage.sqlite"
    garbage.write_bytes(b"not a database" * 100)
    with pytest.raises(FaultError, match="database failed"):
        Ledger(Database(f"sqlite:///{garbage}", key=b"k" * 32, clock=lambda: NOON)).verify()
    empty = Database(f"sqlite:///{tmp_path / 'empty.sqlite'}", key=b"k" * 32, clock=lambda: NOON)
    with pytest.raises(FaultError, match="sluice init"):
        Ledger(empty).verify()
    with pytest.raises(FaultError), empty.write():
        pass
    with pytest.raises(FaultError):
        Database("nonsense://", key=b"k" * 32, clock=lambda: NOON)


def test_the_url_in_messages_has_no_password() -> None:
    url = "postgresql+psycopg://ann:secret@host/db"
    assert "secret" not in repr(Database(url, key=b"k" * 32, clock=lambda: NOON))


def test_entries_are_canonical_json_that_names_what_was_charged(bench: Bench) -> None:
    bench.cap()
    bench.charge(plan(gaussian()))
    connection = sqlite3.connect(bench.path)
    body = json.loads(connection.execute("SELECT body FROM ledger WHERE sequence = 2").fetchone()[0])
    connection.close()
    charge = body["body"]["charge"]
    assert charge["cost"]["accountant"] == "zcdp"
    assert charge["cost"]["events"][0]["mechanism"] == "discrete-gaussian"
    assert charge["order"] in ORDERS
    assert np.isfinite(charge["rdp"])


def test_balance_within_a_transaction_sees_its_own_charges(bench: Bench) -> None:
    bench.cap()
    with bench.database.write() as transaction:
        charge_in(transaction, PATIENTS, plan(gaussian()), release=ReleaseId("r"), turn=1, by=OTTO)
        assert len(balance_in(transaction, PATIENTS).charges) == 1
