"""The lifetime ledger: what may still be learnt about a population, charged before data is read.

Rules: every attempt is charged and nothing is refunded; costs round up; a charge that would pass the cap is refused
and leaves no entry; entries are only appended, in a hash-chained log, and every charge re-reads and checks the whole
log under the database's write lock, so that many processes asking at once cannot pass the cap together. The ledger
is keyed by population: partners are assumed to collude, so who receives a release makes no difference.

The cap is a Rényi *filter at one order* (Feldman and Zrnic 2008.11193, Theorem 3.1 with worst-case losses; Lécuyer 2103.01379;
for interleaved mechanisms Haney et al. 2309.05901, Rényi filters of fixed order): costs and even the generators are
chosen after earlier releases were seen, and then the sum of the divergences at an order fixed beforehand is what
still bounds the whole. The order is fixed when the cap is set, as the one at which most discrete Gaussian noise fits
under the cap; allowing "whichever order still fits" after the fact has no such proof. A cap (ε, δ) is
split: `threshold_delta` is for the failure probabilities of thresholds (summed), the rest converts Rényi to ε.

Units: all costs of a population are per unit of one name. A plan whose unit has another name is refused, because a
sum over different units means nothing; different contribution bounds add up, as each cost already counts its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from release.canonical import from_json, to_json
from release.database import Database, Entry, Transaction, append, entries, log_table
from release.errors import BudgetExceededError, InputError, IntegrityError, RefusedError
from release.privacy.accounting import ORDERS, epsilon_of_curve, rdp_curve, rdp_room, threshold_delta
from release.records import DpEvent, Person, Population, PrivacyCost, ReleaseId

LEDGER = log_table("ledger")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """What may ever be learnt about one population.

    Attributes:
        population: whose.
        unit: name of the privacy unit that all costs are per.
        epsilon: ε of everything together.
        delta: δ of everything together.
        threshold_delta: the part of δ that thresholds may use.
        order: the Rényi order of the filter.
        rdp: the divergence at that order up to which charges fit.
    """

    population: Population
    unit: str
    epsilon: float
    delta: float
    threshold_delta: float
    order: float
    rdp: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One attempt, charged.

    Attributes:
        id: the ledger entry's id ("ledger:7").
        population: who pays.
        release: for which release.
        turn: for which try of it.
        cost: what the plan said it costs.
        rdp: its divergence at the cap's order.
        threshold_delta: what its thresholds use of δ.
        by: who started it.
        at: when.
    """

    id: str
    population: Population
    release: ReleaseId
    turn: int
    cost: PrivacyCost
    rdp: float
    threshold_delta: float
    by: Person
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """How a population stands.

    Attributes:
        cap: see `Cap`.
        charges: in order.
        spent_rdp: sum of the charges' divergences at the cap's order.
        spent_threshold_delta: sum of what thresholds used.
        epsilon_so_far: ε of all charges together, as if they had been planned at once: for people. The filter goes by `share`.
    """

    cap: Cap
    charges: tuple[Charge, ...]
    spent_rdp: float
    spent_threshold_delta: float
    epsilon_so_far: float

    @property
    def share(self) -> float:
        """Spent share of the cap, 0…1."""
        return self.spent_rdp / self.cap.rdp

    @property
    def left(self) -> float:
        """Unspent share of the cap, 0…1."""
        return max(0.0, 1.0 - self.share)


class Ledger:
    """Looks at the ledger of one workspace's database.

    Only the registry writes (`set_cap_in`, `charge_in`), so that each entry is in the audit log too.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def balance(self, population: Population) -> Balance:
        """How the population stands. RefusedError where it has no cap."""
        with self._database.read() as transaction:
            return balance_in(transaction, population)

    def populations(self) -> tuple[Population, ...]:
        """Those with a cap, in order of first mention."""
        with self._database.read() as transaction:
            bodies = [entry.body for entry in entries(transaction, LEDGER)]
        return tuple(dict.fromkeys(Population(body["cap"]["population"]) for body in bodies if "cap" in body))

    def quote(self, population: Population, cost: PrivacyCost) -> float:
        """The share of the cap (0…, above what is left: refused) that this cost would take. Charges nothing."""
        with self._database.read() as transaction:
            cap = balance_in(transaction, population).cap
        _require_unit(cap, cost)
        return _rdp_at(cost.events, cap.order) / cap.rdp

    def verify(self) -> int:
        """Re-read the log and re-account every charge. Number of entries. IntegrityError where something is off."""
        with self._database.read() as transaction:
            return verify_in(transaction)


def set_cap_in(
    transaction: Transaction,
    population: Population,
    *,
    unit: str,
    epsilon: float,
    delta: float,
    by: Person,
    threshold_delta: float | None = None,
) -> tuple[Cap, str]:
    """Set or change a population's cap, inside a transaction.

    The order is chosen when the first cap is set and kept when it changes, so that earlier charges go on counting.

    Args:
        transaction: the write in progress.
        population: whose cap.
        unit: name of the privacy unit; cannot change.
        epsilon: ε of everything together.
        delta: δ of everything together.
        by: the budget owner.
        threshold_delta: the part of δ for thresholds; half of it where not given.

    Returns:
        The cap and the ledger entry's id.

    Raises:
        InputError: numbers that make no sense, a cap below what is spent, or one too small for the order.
    """
    part = delta / 2.0 if threshold_delta is None else threshold_delta
    if not population or not unit:
        raise InputError("a cap needs the names of a population and of its privacy unit")
    if not (math.isfinite(epsilon) and epsilon > 0.0 and 0.0 <= part < delta < 1.0):
        raise InputError(
            f"ε = {epsilon}, δ = {delta}, of it {part} for thresholds is not a cap",
            mend="give ε > 0, 0 < δ < 1 and less than δ for thresholds",
        )
    before = _fold(transaction, population)
    order = before.cap.order if before else _best_order(epsilon, delta - part)
    cap = Cap(
        population=population,
        unit=unit,
        epsilon=epsilon,
        delta=delta,
        threshold_delta=part,
        order=order,
        rdp=_cap_at(order, epsilon, delta - part),
    )
    if cap.rdp <= 0.0:
        raise InputError(
            f"no charge fits under ε = {epsilon:g} at the order {order:g} that this population's filter uses",
            mend="choose a larger ε",
        )
    if before is not None:
        if unit != before.cap.unit:
            raise InputError(
                f'the ledger of "{population}" counts per {before.cap.unit}, not per {unit}',
                mend="keep the unit",
            )
        if cap.rdp < before.spent_rdp or part < before.spent_threshold_delta:
            raise InputError(
                f"ε = {epsilon:g}, δ = {delta:g} is below what was already spent ({before.share:.1%} of the old cap)",
                mend="choose a larger cap; what was spent cannot be taken back",
            )
    entry = append(transaction, LEDGER, {"cap": to_json(cap), "by": by})
    return cap, entry_id(entry)


def charge_in(
    transaction: Transaction,
    population: Population,
    cost: PrivacyCost,
    *,
    release: ReleaseId,
    turn: int,
    by: Person,
) -> Charge:
    """Charge one attempt inside a transaction: it is spent once that commits, whatever happens afterwards.

    Raises:
        BudgetExceededError: it would pass the cap. Nothing was charged.
        RefusedError: the population has no cap, or counts per another unit.
        IntegrityError: the ledger was tampered with.
    """
    balance = balance_in(transaction, population)
    cap = balance.cap
    _require_unit(cap, cost)
    rdp, thresholds = _rdp_at(cost.events, cap.order), threshold_delta(cost.events)
    if not _sum_up([*(charge.rdp for charge in balance.charges), rdp]) <= cap.rdp:
        raise BudgetExceededError(
            f'this plan (ε = {cost.epsilon:g} at δ = {cost.delta:g}) takes {rdp / cap.rdp:.1%} of the lifetime cap of "{population}" '
            f"(ε = {cap.epsilon:g} at δ = {cap.delta:g} per {cap.unit}), of which {balance.left:.1%} is left",
            mend="ask for less ε, or ask the budget owner; nothing was charged",
        )
    before = [charge.threshold_delta for charge in balance.charges]
    if not _sum_up([*before, thresholds]) <= cap.threshold_delta:
        raise BudgetExceededError(
            f"this plan's thresholds take δ = {thresholds:g}; of the {cap.threshold_delta:g} that the lifetime cap of "
            f'"{population}" holds for thresholds, {balance.spent_threshold_delta:g} is spent',
            mend="declare the domains that are now learnt, or ask for a smaller δ; nothing was charged",
        )
    body = {
        "population": population,
        "release": release,
        "turn": turn,
        "cost": to_json(cost),
        "order": cap.order,
        "rdp": rdp,
        "threshold_delta": thresholds,
        "by": by,
    }
    return _charge(append(transaction, LEDGER, {"charge": body}))


def balance_in(transaction: Transaction, population: Population) -> Balance:
    """How the population stands, from the whole log re-read and checked. RefusedError where it has no cap."""
    balance = _fold(transaction, population)
    if balance is None:
        raise RefusedError(
            f'the population "{population}" has no lifetime cap, so nothing may be charged',
            mend="the budget owner sets one with `sluice budget`",
        )
    return balance


def verify_in(transaction: Transaction) -> int:
    """See `Ledger.verify`."""
    log = entries(transaction, LEDGER)
    for entry in log:
        body = entry.body.get("charge")
        if body is None:
            continue
        charge = _charge(entry)
        if charge.rdp < _rdp_at(charge.cost.events, body["order"]) * (1.0 - 1e-9):
            raise IntegrityError(
                f"{charge.id} holds less than its events cost", mend="keep the database for the auditor"
            )
    return len(log)


def entry_id(entry: Entry) -> str:
    """How candidates and the audit log name a ledger entry."""
    return f"ledger:{entry.sequence}"


# ---------------------------------------------------------------------------------------------- inside


def _fold(transaction: Transaction, population: Population) -> Balance | None:
    cap: Cap | None = None
    charges: list[Charge] = []
    for entry in entries(transaction, LEDGER):
        if "cap" in entry.body:
            if entry.body["cap"]["population"] == population:
                cap = from_json(Cap, entry.body["cap"])
        elif entry.body["charge"]["population"] == population:
            charges.append(_charge(entry))
    if cap is None:
        return None
    events = [event for charge in charges for event in charge.cost.events]
    return Balance(
        cap=cap,
        charges=tuple(charges),
        spent_rdp=_sum_up([charge.rdp for charge in charges]),
        spent_threshold_delta=_sum_up([charge.threshold_delta for charge in charges]),
        epsilon_so_far=epsilon_of_curve(rdp_curve(events), cap.delta - cap.threshold_delta),
    )


def _charge(entry: Entry) -> Charge:
    body = entry.body["charge"]
    return Charge(
        id=entry_id(entry),
        population=Population(body["population"]),
        release=ReleaseId(body["release"]),
        turn=body["turn"],
        cost=from_json(PrivacyCost, body["cost"]),
        rdp=body["rdp"],
        threshold_delta=body["threshold_delta"],
        by=Person(body["by"]),
        at=entry.at,
    )


def _require_unit(cap: Cap, cost: PrivacyCost) -> None:
    if cost.unit != cap.unit:
        raise RefusedError(
            f'the ledger of "{cap.population}" counts per {cap.unit}, but this plan costs per {cost.unit}',
            mend="name the same privacy unit in the schema, or another population if these are other people",
        )


def _rdp_at(events: Sequence[DpEvent], order: float) -> float:
    """The events' divergence at one order of the grid, rounded up."""
    place = int(np.searchsorted(ORDERS, order))
    if place == len(ORDERS) or ORDERS[place] != order:
        raise IntegrityError(
            f"order {order} is not on this version's grid", mend="use the version that set the cap"
        )
    return math.nextafter(float(rdp_curve(events)[place]), math.inf)


def _sum_up(values: Sequence[float]) -> float:
    """The sum, rounded up; nothing is nothing."""
    total = math.fsum(values)
    return math.nextafter(total, math.inf) if total else 0.0


def _cap_at(order: float, epsilon: float, delta: float) -> float:
    """The divergence at `order` that converts to just (ε, δ), rounded down."""
    value = float(rdp_room(np.array([order]), epsilon, delta)[0])
    return value - 1e-12 * (1.0 + abs(value))


def _best_order(epsilon: float, delta: float) -> float:
    """The order of the grid under which most ρ fits: where the cap's curve divided by the order is largest."""
    proper = ORDERS[1:]
    return float(proper[int(np.argmax(rdp_room(proper, epsilon, delta) / proper))])
