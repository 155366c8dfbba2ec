"""What a plan's events cost: Rényi curves, ρ and (ε, δ), composed through dp-accounting.

Rules: every figure is an upper bound and is rounded up; δ of thresholds is taken out of the plan's δ before the rest
is converted; neighbours differ by adding or removing one privacy unit; one fixed grid of orders (`ORDERS`) serves
plans and the lifetime ledger alike, so that their figures add up.

How each mechanism is accounted (and why not otherwise):

    discrete Gaussian   ρ = 1/(2·parameter²) zCDP (2004.00010, Theorem 4); never as the continuous one
    Gaussian            the same curve, α/(2·parameter²); also by PLD where a plan has only continuous noise
    pure                the Rényi curve of binary randomised response, which dominates every ε-DP mechanism
                        (2004.00010, Proposition 5: never above α·ε²/2). The Laplace curve is smaller: it is not a bound
    exponential         ρ = ε²/8 (2004.07223, bounded range)
    Poisson Gaussian    the sampled Gaussian's curve (1908.10530)
    threshold           its δ, nothing else

What it does not do: decide whether a plan may run (`release.privacy.ledger`).
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from release.errors import FaultError, PlanError
from release.records import Accountant, Adjacency, DpEvent, Mechanism, PrivacyCost

if TYPE_CHECKING:
    import dp_accounting

Curve = npt.NDArray[np.float64]
"""Rényi divergence bound at each of `ORDERS`; infinite where there is no finite bound."""

_LINEAR = {Mechanism.DISCRETE_GAUSSIAN, Mechanism.GAUSSIAN, Mechanism.EXPONENTIAL}
"""Mechanisms whose Rényi curve is ρ·α exactly as accounted here."""

_CONTINUOUS = {Mechanism.GAUSSIAN, Mechanism.POISSON_GAUSSIAN}

SMALLEST_SAMPLED_ORDER, LARGEST_SAMPLED_ORDER = 1.5, 512.0
"""The sampled Gaussian's curve is evaluated between these orders and is infinite, which is sound, outside: below, its series
converge slowly, and only an ε above 100 has its optimum there; above, its cost grows with the order."""

_SMALLEST_ORDER = 1.01
"""dp-accounting converts orders above this one only."""

_PLACES = 1e10
"""ε is rounded up to this many parts of one."""


def _grid() -> Curve:
    """1.01 … 100,000: α - 1 grows by 4 % a step, and α is whole from 32 on.

    The conversion's optimum lies near 1 + √(ln(1/δ)/ρ); ε from 0.001 to 100 at δ from 1e-12 to 1e-3 stays inside.
    At an optimum a step of 4 % costs less than 0.02 % of ε.
    """
    fine = 1.0 + np.geomspace(0.01, 31.0, 206)[:-1]
    whole = np.unique(np.rint(np.geomspace(32.0, 100_000.0, 206)))
    return np.concatenate([fine, whole])


ORDERS: Curve = _grid()
ORDERS.flags.writeable = False


def cost(
    events: Sequence[DpEvent],
    delta: float,
    *,
    unit: str,
    max_rows: int,
    accountant: Accountant | None = None,
) -> PrivacyCost:
    """What running all these events costs at δ. Known before any row is read.

    Args:
        events: what is to be run, in order; parameters already count a unit's `max_rows` rows in their sensitivity.
        delta: δ of the whole, thresholds included.
        unit: name of the privacy unit.
        max_rows: the most rows a unit may have.
        accountant: `PLD` for the tighter figure of a plan with continuous noise only; otherwise chosen here:
            `ZCDP` where every curve is ρ·α, else `RDP`.

    Raises:
        PlanError: an event makes no sense, δ is not in (0, 1), the thresholds use δ up, or PLD was asked for noise
            that it does not cover.
    """
    rest = _remaining_delta(events, delta)
    if max_rows < 1 or not unit:
        raise PlanError(f"a privacy unit needs a name and at least one row, not {unit!r} and {max_rows}")
    mechanisms = {event.mechanism for event in events} - {Mechanism.THRESHOLD}
    if accountant is Accountant.PLD:
        epsilon = _round_up(_pld_epsilon(events, rest))
    else:
        linear = mechanisms <= _LINEAR
        if accountant is Accountant.ZCDP and not linear:
            raise PlanError(
                f"{sorted(mechanisms - _LINEAR)} has no curve of the form ρ·α", mend="account it by RDP"
            )
        accountant = accountant or (Accountant.ZCDP if linear else Accountant.RDP)
        epsilon = epsilon_of_curve(rdp_curve(events), rest)
    return PrivacyCost(
        epsilon=epsilon,
        delta=delta,
        unit=unit,
        max_rows_per_unit=max_rows,
        adjacency=Adjacency.ADD_REMOVE_UNIT,
        accountant=accountant,
        events=tuple(events),
    )


def rdp_curve(events: Sequence[DpEvent]) -> Curve:
    """Rényi divergence bound of all events together at each of `ORDERS`, shape (len(ORDERS),). Thresholds add nothing.

    Raises PlanError for an event that makes no sense.
    """
    total = np.zeros_like(ORDERS)
    for event in events:
        require_event(event)
        if event.mechanism is not Mechanism.THRESHOLD:
            total = total + event.count * _one(event.mechanism, event.parameter, event.sampling_rate)
    return total


def rho_of(events: Sequence[DpEvent]) -> float:
    """ρ (zCDP) of all events together. PlanError for a sampled Gaussian, which has no useful ρ."""
    total = 0.0
    for event in events:
        require_event(event)
        match event.mechanism:
            case Mechanism.DISCRETE_GAUSSIAN | Mechanism.GAUSSIAN:
                total += event.count / (2.0 * event.parameter**2)
            case Mechanism.PURE:
                total += event.count * event.parameter**2 / 2.0
            case Mechanism.EXPONENTIAL:
                total += event.count * event.parameter**2 / 8.0
            case Mechanism.THRESHOLD:
                pass
            case Mechanism.POISSON_GAUSSIAN:
                raise PlanError(
                    f'"{event.label}" is a sampled Gaussian, which has no useful ρ',
                    mend="compose it by its Rényi curve",
                )
    return total


def threshold_delta(events: Sequence[DpEvent]) -> float:
    """Sum of the thresholds' failure probabilities, rounded up to the next float."""
    deltas = [
        math.nextafter(event.parameter * event.count, math.inf)
        for event in events
        if event.mechanism is Mechanism.THRESHOLD
    ]
    return math.nextafter(math.fsum(deltas), math.inf) if deltas else 0.0


def epsilon_of_rho(rho: float, delta: float) -> float:
    """ε of ρ-zCDP at δ on the fixed grid of orders, rounded up. PlanError where ρ < 0 or δ is outside (0, 1)."""
    if not (math.isfinite(rho) and rho >= 0.0):
        raise PlanError(f"ρ = {rho} is not a finite number from 0 on")
    return epsilon_of_curve(rho * ORDERS, delta)


def epsilon_of_curve(curve: Curve, delta: float) -> float:
    """ε at δ of a Rényi curve over `ORDERS` (2004.00010, Proposition 12), rounded up."""
    return _round_up(_epsilon(curve, delta))


def rho_for(epsilon: float, delta: float) -> float:
    """The largest ρ whose cost at δ is at most ε, less a hair (1e-9 of ε) so that parts of it add up to no more.

    Raises PlanError where ε is not positive and finite, or δ is outside (0, 1).
    """
    if not (math.isfinite(epsilon) and epsilon > 0.0):
        raise PlanError(f"ε = {epsilon} is not a positive, finite number", mend="ask for an ε above 0")
    _require_delta(delta)
    target = epsilon * (1.0 - 1e-9) - 1.0 / _PLACES
    if target <= 0.0:
        raise PlanError(f"ε = {epsilon:g} is too small to account for", mend="ask for ε of at least 1e-6")
    proper = ORDERS[ORDERS > _SMALLEST_ORDER]
    by_order = float(np.max(rdp_room(proper, target, delta) / proper))
    # Total variation: up to here the divergence of the smallest order alone keeps within δ, and ε is 0.
    by_distance = -math.log1p(-(delta**2)) / float(ORDERS[0])
    rho = max(by_order, by_distance) * (1.0 - 1e-12)
    if epsilon_of_rho(rho, delta) > epsilon:
        raise FaultError(f"dp-accounting disagrees about ρ = {rho!r} at δ = {delta!r}", mend="report this")
    return rho


def rdp_room(orders: Curve, epsilon: float, delta: float) -> Curve:
    """The divergence at each order (> 1.01) that converts to just (ε, δ): 2004.00010, Proposition 12, solved for it.

    Shape of `orders`; negative where even no divergence at all would not do.
    """
    return np.asarray(epsilon - np.log1p(-1.0 / orders) + np.log(delta * orders) / (orders - 1.0))


def require_event(event: DpEvent) -> None:
    """Raise PlanError where an event's numbers make no sense."""
    where = f'event "{event.label}" ({event.mechanism})'
    if not (math.isfinite(event.parameter) and event.parameter > 0.0):
        raise PlanError(f"{where}: parameter {event.parameter} is not a positive, finite number")
    if isinstance(event.count, bool) or not isinstance(event.count, int) or event.count < 1:
        raise PlanError(f"{where}: count {event.count!r} is not a whole number from 1 on")
    if not 0.0 < event.sampling_rate <= 1.0:
        raise PlanError(f"{where}: sampling rate {event.sampling_rate} is not in (0, 1]")
    if event.sampling_rate < 1.0 and event.mechanism is not Mechanism.POISSON_GAUSSIAN:
        raise PlanError(f"{where}: only the Poisson-sampled Gaussian has a sampling rate below 1")
    if event.mechanism is Mechanism.THRESHOLD and event.parameter >= 1.0:
        raise PlanError(f"{where}: δ = {event.parameter} is not below 1")


def _remaining_delta(events: Sequence[DpEvent], delta: float) -> float:
    _require_delta(delta)
    for event in events:
        require_event(event)
    used = threshold_delta(events)
    if used >= delta:
        raise PlanError(
            f"thresholds use δ = {used:g} of {delta:g}, which leaves nothing for the rest",
            mend="raise the thresholds or ask for a larger δ",
        )
    return delta - used


def _require_delta(delta: float) -> None:
    if not 0.0 < delta < 1.0:
        raise PlanError(f"δ = {delta} is not in (0, 1)", mend="ask for a δ such as 1e-9")


def _round_up(epsilon: float) -> float:
    if not math.isfinite(epsilon):
        raise PlanError("the events have no finite ε", mend="use more noise or fewer events")
    return math.ceil(epsilon * _PLACES) / _PLACES


def _epsilon(curve: Curve, delta: float) -> float:
    from dp_accounting.rdp import compute_epsilon

    _require_delta(delta)
    if not np.any(curve):
        return 0.0
    finite = np.isfinite(curve)
    if not finite.any():
        return math.inf
    return float(compute_epsilon(ORDERS[finite], curve[finite], delta)[0])


@functools.lru_cache(maxsize=4096)
def _one(mechanism: Mechanism, parameter: float, rate: float) -> Curve:
    """One event's curve, once."""
    import dp_accounting
    from dp_accounting.rdp import RdpAccountant

    def compose(orders: Curve, event: Any, relation: Any) -> Curve:
        accountant = RdpAccountant(orders, relation)
        accountant.compose(event)
        return np.asarray(accountant.rdp, dtype=np.float64)

    units = dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE
    match mechanism:
        case Mechanism.DISCRETE_GAUSSIAN:
            curve = compose(ORDERS, dp_accounting.ZCDpEvent(1.0 / (2.0 * parameter**2)), units)
        case Mechanism.EXPONENTIAL:
            curve = compose(ORDERS, dp_accounting.ZCDpEvent(parameter**2 / 8.0), units)
        case Mechanism.PURE:
            curve = _pure(parameter, compose)
        case Mechanism.GAUSSIAN:
            curve = compose(ORDERS, dp_accounting.GaussianDpEvent(parameter), units)
        case Mechanism.POISSON_GAUSSIAN:
            event = dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(parameter))
            low, high = (SMALLEST_SAMPLED_ORDER, LARGEST_SAMPLED_ORDER) if rate < 1.0 else (0.0, math.inf)
            known = (low <= ORDERS) & (high >= ORDERS)
            curve = np.full_like(ORDERS, math.inf)
            with _without_asides():
                curve[known] = compose(ORDERS[known], event, units)
        case Mechanism.THRESHOLD:
            raise PlanError("a threshold costs δ and has no Rényi curve")
    curve.flags.writeable = False
    return curve


@contextlib.contextmanager
def _without_asides() -> Iterator[None]:
    """dp-accounting says of each order whose series is slow that it leaves it infinite, which is sound: not for people."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _pure(epsilon: float, compose: Any) -> Curve:
    """min(α·ε²/2, ε, the curve of binary randomised response), the last with room for rounding.

    Randomised response on two answers with odds exp(ε) is any ε-DP mechanism's worst case, whatever the neighbours
    are; dp-accounting offers its curve under the replace-one relation, where its two outputs have just these odds.
    """
    import dp_accounting

    bound = np.minimum(ORDERS * epsilon**2 / 2.0, epsilon)
    if epsilon > 30.0:  # exp(ε) is beyond double precision's reach, and the curve is ε for all it matters
        return bound
    response = dp_accounting.RandomizedResponseDpEvent(2.0 / (1.0 + math.exp(epsilon)), 2)
    curve = compose(ORDERS, response, dp_accounting.NeighboringRelation.REPLACE_ONE)
    slack = 1e-14 * (1.0 + ORDERS * epsilon) / (ORDERS - 1.0)
    return np.minimum(bound, np.maximum(curve, 0.0) + slack)


def _pld_epsilon(events: Sequence[DpEvent], delta: float) -> float:
    """ε by privacy loss distributions (pessimistic estimates), for plans fixed beforehand with continuous noise."""
    import dp_accounting
    from dp_accounting.pld import PLDAccountant

    noisy = [event for event in events if event.mechanism is not Mechanism.THRESHOLD]
    odd = sorted({event.mechanism for event in noisy} - _CONTINUOUS)
    if odd or not noisy:
        raise PlanError(
            f"PLD covers plans with continuous noise only, not {odd or 'an empty plan'}",
            mend="account by RDP",
        )
    accountant = PLDAccountant(dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE)
    for event in noisy:
        accountant.compose(_continuous(event), event.count)
    return float(accountant.get_epsilon(delta))


def _continuous(event: DpEvent) -> dp_accounting.DpEvent:
    import dp_accounting

    gaussian = dp_accounting.GaussianDpEvent(event.parameter)
    if event.mechanism is Mechanism.GAUSSIAN:
        return gaussian
    return dp_accounting.PoissonSampledDpEvent(event.sampling_rate, gaussian)
