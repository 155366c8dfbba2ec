"""Costs against dp-accounting itself, against hand-worked values, and against nonsense."""

from __future__ import annotations

import math

import dp_accounting
import numpy as np
import pytest
from dp_accounting.rdp import RdpAccountant
from hypothesis import given
from hypothesis import strategies as st

from release.errors import FaultError, PlanError
from release.privacy.accounting import (
    LARGEST_SAMPLED_ORDER,
    ORDERS,
    SMALLEST_SAMPLED_ORDER,
    cost,
    epsilon_of_curve,
    epsilon_of_rho,
    rdp_curve,
    rho_for,
    rho_of,
    threshold_delta,
)
from release.records import Accountant, DpEvent, Mechanism

TO_1E_9 = 1e-9


def event(mechanism: Mechanism, parameter: float, count: int = 1, rate: float = 1.0) -> DpEvent:
    return DpEvent(label="part", mechanism=mechanism, parameter=parameter, count=count, sampling_rate=rate)


def epsilon(events, delta=1e-6, accountant=None) -> float:
    return cost(events, delta, unit="patient", max_rows=1, accountant=accountant).epsilon


REFERENCES = {
    "discrete gaussian": (
        [event(Mechanism.DISCRETE_GAUSSIAN, 5.0, 3)],
        dp_accounting.SelfComposedDpEvent(dp_accounting.ZCDpEvent(0.02), 3),
    ),
    "gaussian": (
        [event(Mechanism.GAUSSIAN, 5.0, 3)],
        dp_accounting.SelfComposedDpEvent(dp_accounting.GaussianDpEvent(5.0), 3),
    ),
    "exponential": (
        [event(Mechanism.EXPONENTIAL, 0.4, 2)],
        dp_accounting.SelfComposedDpEvent(dp_accounting.ZCDpEvent(0.02), 2),
    ),
    "a plan like AIM": (
        [event(Mechanism.DISCRETE_GAUSSIAN, 9.0, 20), event(Mechanism.EXPONENTIAL, 0.1, 20)],
        dp_accounting.ComposedDpEvent(
            [
                dp_accounting.SelfComposedDpEvent(dp_accounting.ZCDpEvent(1.0 / 162.0), 20),
                dp_accounting.SelfComposedDpEvent(dp_accounting.ZCDpEvent(0.01 / 8.0), 20),
            ]
        ),
    ),
    "dp-sgd without subsampling": (
        [event(Mechanism.POISSON_GAUSSIAN, 4.0, 10)],
        dp_accounting.SelfComposedDpEvent(dp_accounting.GaussianDpEvent(4.0), 10),
    ),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_the_same_as_dp_accounting_itself(name: str) -> None:
    events, reference = REFERENCES[name]
    accountant = RdpAccountant(ORDERS).compose(reference)
    for delta in (1e-9, 1e-6, 1e-3):
        assert epsilon(events, delta) == pytest.approx(accountant.get_epsilon(delta), abs=TO_1E_9)
        assert epsilon(events, delta) >= accountant.get_epsilon(delta)
    assert rdp_curve(events) == pytest.approx(accountant.rdp, rel=TO_1E_9)


def test_a_sampled_gaussian_is_the_same_within_its_orders_and_infinite_outside() -> None:
    events = [event(Mechanism.POISSON_GAUSSIAN, 1.1, 500, 0.02)]
    known = ORDERS[ORDERS <= LARGEST_SAMPLED_ORDER]
    reference = dp_accounting.SelfComposedDpEvent(
        dp_accounting.PoissonSampledDpEvent(0.02, dp_accounting.GaussianDpEvent(1.1)), 500
    )
    accountant = RdpAccountant(known).compose(reference)
    inside = known >= SMALLEST_SAMPLED_ORDER
    curve = rdp_curve(events)
    assert curve[: len(known)][inside] == pytest.approx(accountant.rdp[inside], rel=TO_1E_9)
    assert np.isinf(curve[: len(known)][~inside]).all()
    assert np.isinf(curve[len(known) :]).all()
    assert epsilon(events) == pytest.approx(accountant.get_epsilon(1e-6), abs=TO_1E_9)


def test_hand_worked_values() -> None:
    # sigma/Delta = 2: rho = 1/8; four of them 1/2. epsilon-bounded range 0.8: rho = 0.08. Pure 0.5: at most 1/8.
    assert rho_of([event(Mechanism.DISCRETE_GAUSSIAN, 2.0, 4)]) == 0.5
    assert rho_of([event(Mechanism.EXPONENTIAL, 0.8)]) == pytest.approx(0.08, rel=1e-15)
    assert rho_of([event(Mechanism.PURE, 0.5), event(Mechanism.THRESHOLD, 1e-9)]) == 0.125
    # rho-zCDP at order 2 by hand: eps = 2 rho + ln(1/2) - ln(2 delta); the best order can only be below it.
    assert epsilon_of_rho(0.5, 1e-6) < 1.0 + math.log(0.5) - math.log(2e-6)
    # The closed form over all real orders (2004.00010, Prop. 12) lies at most 0.03 % below the grid's.
    for rho, delta in ((1e-6, 1e-9), (0.02, 1e-6), (1.0, 1e-9), (30.0, 1e-6)):
        orders = 1.0 + np.geomspace(1e-3, 1e6, 300_001)
        best = np.min(orders * rho + np.log1p(-1.0 / orders) - np.log(delta * orders) / (orders - 1.0))
        assert best <= epsilon_of_rho(rho, delta) <= best * 1.0003


def test_no_events_cost_nothing_and_thresholds_only_their_delta() -> None:
    assert epsilon([]) == 0.0
    assert epsilon([event(Mechanism.THRESHOLD, 1e-8, 3)]) == 0.0
    assert 3e-8 <= threshold_delta([event(Mechanism.THRESHOLD, 1e-8, 3)]) <= 3e-8 * (1 + 1e-12)
    assert threshold_delta([event(Mechanism.PURE, 1.0)]) == 0.0


def test_the_thresholds_delta_is_taken_out_before_the_rest_is_converted() -> None:
    noise = event(Mechanism.DISCRETE_GAUSSIAN, 5.0)
    with_threshold = epsilon([noise, event(Mechanism.THRESHOLD, 4e-7, 2)], 1e-6)
    assert with_threshold == pytest.approx(epsilon([noise], 2e-7), abs=1e-9)
    assert with_threshold > epsilon([noise], 1e-6)
    with pytest.raises(PlanError, match="leaves nothing"):
        epsilon([noise, event(Mechanism.THRESHOLD, 5e-7, 2)], 1e-6)


def test_the_label_of_the_accountant_says_how_it_was_composed() -> None:
    plan = [event(Mechanism.DISCRETE_GAUSSIAN, 5.0), event(Mechanism.EXPONENTIAL, 0.1)]
    found = cost(plan, 1e-6, unit="patient", max_rows=4)
    assert (found.accountant, found.unit, found.max_rows_per_unit) == (Accountant.ZCDP, "patient", 4)
    assert found.events == tuple(plan)
    mixed = cost([*plan, event(Mechanism.PURE, 0.1)], 1e-6, unit="patient", max_rows=4)
    assert mixed.accountant is Accountant.RDP
    with pytest.raises(PlanError, match="no curve of the form"):
        epsilon([event(Mechanism.PURE, 0.1)], accountant=Accountant.ZCDP)
    assert epsilon(plan, accountant=Accountant.RDP) == epsilon(plan)


def test_pld_serves_continuous_noise_only_and_is_tighter_there() -> None:
    steps = [event(Mechanism.POISSON_GAUSSIAN, 1.0, 200, 0.01), event(Mechanism.GAUSSIAN, 10.0)]
    tight = cost(steps, 1e-6, unit="patient", max_rows=1, accountant=Accountant.PLD)
    assert 0.5 * epsilon(steps) < tight.epsilon < epsilon(steps)
    for odd in (
        [event(Mechanism.DISCRETE_GAUSSIAN, 5.0)],
        [*steps, event(Mechanism.EXPONENTIAL, 0.1)],
        [event(Mechanism.PURE, 0.1)],
        [event(Mechanism.THRESHOLD, 1e-9)],
        [],
    ):
        with pytest.raises(PlanError, match="continuous noise only"):
            epsilon(odd, accountant=Accountant.PLD)


@pytest.mark.parametrize("size", [1e-7, 1e-3, 0.1, 1.0, 5.0, 29.0, 31.0, 800.0])
def test_a_pure_events_curve_covers_randomised_response_and_the_laplace_mechanism(size: float) -> None:
    curve = rdp_curve([event(Mechanism.PURE, size)])
    # Two answers with odds exp(eps), worked out in logarithms so that large eps and orders are exact enough.
    log_p, log_q = -np.log1p(np.exp(-size)), -size - np.log1p(np.exp(-size))
    terms = np.logaddexp(ORDERS * log_p + (1 - ORDERS) * log_q, ORDERS * log_q + (1 - ORDERS) * log_p)
    response = terms / (ORDERS - 1.0)
    laplace = RdpAccountant(ORDERS).compose(dp_accounting.LaplaceDpEvent(1.0 / size)).rdp
    noise = 1e-13 * (1 + ORDERS * (1 + size)) / (ORDERS - 1)  # of these two lines' own rounding
    assert (curve >= response - noise).all()
    assert (curve >= laplace - noise).all()
    assert (curve <= ORDERS * size**2 / 2 * (1 + 1e-12)).all()
    assert (curve <= size * (1 + 1e-12)).all()


@given(
    st.floats(0.3, 300.0),
    st.floats(0.3, 300.0),
    st.integers(1, 50),
    st.floats(1e-12, 1e-3),
    st.sampled_from([Mechanism.DISCRETE_GAUSSIAN, Mechanism.GAUSSIAN]),
)
def test_more_noise_fewer_events_and_a_larger_delta_never_cost_more(a, b, count, delta, mechanism) -> None:
    less, more = sorted((a, b))
    assert epsilon([event(mechanism, more, count)], delta) <= epsilon([event(mechanism, less, count)], delta)
    assert epsilon([event(mechanism, a, count)], delta) <= epsilon([event(mechanism, a, count + 1)], delta)
    assert epsilon([event(mechanism, a, count)], delta * 2) <= epsilon([event(mechanism, a, count)], delta)


@given(st.floats(1e-4, 200.0), st.floats(1e-12, 1e-3), st.integers(1, 40))
def test_rho_for_is_the_largest_that_fits_also_in_parts(target: float, delta: float, parts: int) -> None:
    rho = rho_for(target, delta)
    assert epsilon_of_rho(rho, delta) <= target
    assert epsilon_of_rho(rho * (1 + 1e-6) + 1e-15, delta) >= target * (1 - 1e-6)
    sigma = math.sqrt(parts / (2.0 * rho))
    events = [event(Mechanism.DISCRETE_GAUSSIAN, sigma) for _ in range(parts)]
    assert epsilon(events, delta) <= target


NONSENSE = {
    "no noise": event(Mechanism.DISCRETE_GAUSSIAN, 0.0),
    "negative noise": event(Mechanism.GAUSSIAN, -1.0),
    "nan": event(Mechanism.PURE, math.nan),
    "infinite": event(Mechanism.EXPONENTIAL, math.inf),
    "count nought": event(Mechanism.PURE, 1.0, 0),
    "count negative": event(Mechanism.PURE, 1.0, -3),
    "count a float": event(Mechanism.PURE, 1.0, 1.5),  # type: ignore[arg-type]
    "count a truth": event(Mechanism.PURE, 1.0, True),
    "rate nought": event(Mechanism.POISSON_GAUSSIAN, 1.0, 1, 0.0),
    "rate above one": event(Mechanism.POISSON_GAUSSIAN, 1.0, 1, 1.01),
    "rate nan": event(Mechanism.POISSON_GAUSSIAN, 1.0, 1, math.nan),
    "rate of something not sampled": event(Mechanism.DISCRETE_GAUSSIAN, 1.0, 1, 0.5),
    "delta of one": event(Mechanism.THRESHOLD, 1.0),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused_everywhere(name: str) -> None:
    for ask in (epsilon, rdp_curve, rho_of):
        with pytest.raises(PlanError, match="part"):
            ask([NONSENSE[name]])


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-6, 2.0, math.nan])
def test_a_delta_outside_0_1_is_refused(delta: float) -> None:
    with pytest.raises(PlanError, match="not in"):
        epsilon([event(Mechanism.PURE, 1.0)], delta)
    with pytest.raises(PlanError, match="not in"):
        rho_for(1.0, delta)
    with pytest.raises(PlanError, match="not in"):
        epsilon_of_rho(0.1, delta)


@pytest.mark.parametrize("target", [0.0, -1.0, math.nan, math.inf, 1e-12])
def test_rho_for_refuses_an_epsilon_that_no_noise_serves(target: float) -> None:
    with pytest.raises(PlanError):
        rho_for(target, 1e-6)


def test_other_refusals() -> None:
    with pytest.raises(PlanError, match="no useful"):
        rho_of([event(Mechanism.POISSON_GAUSSIAN, 1.0, 1, 0.1)])
    with pytest.raises(PlanError, match="not a finite"):
        epsilon_of_rho(-0.1, 1e-6)
    with pytest.raises(PlanError, match="name"):
        cost([], 1e-6, unit="", max_rows=1)
    with pytest.raises(PlanError, match="one row"):
        cost([], 1e-6, unit="patient", max_rows=0)
    with pytest.raises(PlanError, match="no finite"):
        epsilon_of_curve(np.full_like(ORDERS, math.inf), 1e-6)


def test_a_very_large_delta_costs_nothing_to_the_accountant_and_rho_for_still_ends() -> None:
    assert epsilon_of_rho(rho_for(0.5, 0.9), 0.9) <= 0.5


def test_a_disagreement_with_dp_accounting_is_a_fault(monkeypatch) -> None:
    monkeypatch.setattr("release.privacy.accounting.epsilon_of_rho", lambda rho, delta: 1.1)
    with pytest.raises(FaultError, match="disagrees"):
        rho_for(1.0, 1e-6)
