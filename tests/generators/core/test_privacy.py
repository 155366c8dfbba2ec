"""Sensitivity, σ and ρ by hand; realised noise on both sides; the filter; nothing reaches the model but measured values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from generators import get
from generators.core.counting import Rows
from generators.core.domain import Domain
from generators.core.measurer import (
    GRID,
    Measurer,
    RhoFilter,
    exponential_epsilon,
    gaussian_rho,
    gaussian_sigma,
)
from generators.core.views import View, Views, full_view
from release.data.table import Table
from release.errors import FaultError
from release.privacy import accounting
from release.privacy.noise import SystemNoise
from release.records import Budget, Mechanism
from tests.builders import make_schema, random_table
from tests.seeded_noise import SeededNoise

MARGINAL = ["independent", "mst", "aim", "auto", "wide"]
BUDGET = Budget(epsilon=1.0, delta=1e-7)


class Recorder(SeededNoise):
    """Notes what mechanisms were run with, so that ρ can be added up by hand from what really happened."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.gaussians: list[tuple[float, np.ndarray]] = []
        self.exponentials: list[tuple[float, float]] = []

    def discrete_gaussian(self, counts, sigma):
        self.gaussians.append((sigma, counts.copy()))
        return super().discrete_gaussian(counts, sigma)

    def exponential(self, scores, epsilon, sensitivity):
        self.exponentials.append((epsilon, sensitivity))
        return super().exponential(scores, epsilon, sensitivity)


class TestByHand:
    def test_rho_of_a_gaussian_marginal(self):
        # One unit has 3 rows, all may fall in one cell: Δ₂ = 3; ρ = 3² / (2 · 6²) = 0.125.
        assert gaussian_rho(6.0, 3) == pytest.approx(0.125)
        assert gaussian_sigma(0.125, 3) == pytest.approx(6.0)

    def test_epsilon_of_a_choice(self):
        # ρ = ε²/8: ε = 0.4 costs 0.02.
        assert exponential_epsilon(0.02) == pytest.approx(0.4)

    def test_filter_refuses_overspending_before_the_mechanism_runs(self):
        domain = Domain(names=("a",), sizes=(2,))
        noise = Recorder(0)
        measurer = Measurer(
            Rows.of(domain, [np.array([0, 1], dtype=np.uint8)]), noise, budget=RhoFilter(0.125), max_rows=3
        )
        measurer.measure(full_view((0,)), 6.0, "all of it")
        with pytest.raises(FaultError, match="would pass"):
            measurer.measure(full_view((0,)), 100.0, "more")
        assert len(noise.gaussians) == 1

    def test_nan_and_zero_are_refused(self):
        for rho in (0.0, -1.0, math.nan):
            with pytest.raises(FaultError):
                RhoFilter(1.0).spend(rho)


@pytest.mark.parametrize("rows_per_unit", [1, 4])
def test_sensitivity_of_counts_and_scores(rows_per_unit):
    """Neighbours: one unit of k equal rows more. No marginal moves by more than k in L2, no score by more than k."""
    rng = np.random.default_rng(0)
    domain = Domain(names=("a", "b", "c"), sizes=(3, 4, 2), ordered=(True, True, False))
    views = Views.of(domain, [np.ones(3), np.ones(4), np.ones(2)])
    columns = [rng.integers(0, s, 50) for s in domain.sizes]
    more = [
        np.append(c, [rng.integers(0, s)] * rows_per_unit) for c, s in zip(columns, domain.sizes, strict=True)
    ]
    candidates = [v for clique in ((0, 1), (0, 1, 2), (1, 2)) for v in views.resolutions(clique)]
    estimates = {clique: rng.random(domain.shape(clique)) * 9 for clique in ((0, 1), (0, 1, 2), (1, 2))}
    weights = rng.random(len(candidates)) + 0.5
    found = []
    for data in (columns, more):
        noise = Recorder(1)
        measurer = Measurer(
            Rows.of(domain, data), noise, budget=RhoFilter(9e9), max_rows=rows_per_unit, views=views
        )
        for view in candidates:
            measurer.measure(view, 1.0, "")
        contest = measurer.contest(candidates, estimates, weights=weights)
        found.append((noise.gaussians, contest._scores, contest._sensitivity))
    for (_, a), (_, b) in zip(found[0][0], found[1][0], strict=True):
        assert np.linalg.norm((a - b).reshape(-1)) <= rows_per_unit
    assert np.abs(found[0][1] - found[1][1]).max() <= found[0][2]
    assert found[0][2] == pytest.approx(rows_per_unit * weights.max(), abs=rows_per_unit * GRID)


def test_scores_of_many_rows_move_by_no_more_than_the_sensitivity_to_the_last_bit():
    """In plain float64 the sum over 40,000 cells of a million rows is off by its roundings, some of them upwards."""
    rng = np.random.default_rng(1)
    domain = Domain(names=("a", "b"), sizes=(200, 200), ordered=(False, False))
    views = Views.full(domain)
    estimates = {(0, 1): rng.random((200, 200)) * 50}
    columns = [rng.integers(0, 200, 1_000_000) for _ in domain.names]

    def contest(data):
        measurer = Measurer(
            Rows.of(domain, data), Recorder(1), budget=RhoFilter(1.0), max_rows=1, views=views
        )
        return measurer.contest(
            [full_view((0, 1))], estimates, weights=np.array([1.8]), penalties=np.array([0.1])
        )

    one = contest(columns)
    for _ in range(5):
        other = contest([np.append(column, rng.integers(0, 200)) for column in columns])
        moved = abs(one._scores[0] - other._scores[0])
        assert 0.0 < moved <= one._sensitivity


@pytest.mark.parametrize("name", MARGINAL)
@pytest.mark.parametrize("rows_per_unit", [1, 3])
@pytest.mark.parametrize("epsilon", [1.0, 0.02], ids=["quiet", "one-way marginals measured twice"])
def test_what_ran_costs_what_was_planned(name, rows_per_unit, epsilon):
    unit = {"unit": "who", "max_rows": rows_per_unit} if rows_per_unit > 1 else {}
    schema = make_schema(
        colour=["r", "g", "b"], size=["s", "m", "l", "xl"], age=(0, 20), flag=["n", "y"], **unit
    )
    table = random_table(schema, 1_500, np.random.default_rng(2))
    plan = get(name).plan(schema, Budget(epsilon=epsilon, delta=1e-7))
    noise = Recorder(3)
    plan.run(table, noise)
    rho = sum(rows_per_unit**2 / (2 * sigma**2) for sigma, _ in noise.gaussians)
    rho += sum(epsilon**2 / 8 for epsilon, _ in noise.exponentials)
    planned = sum(
        event.count
        * (
            1 / (2 * event.parameter**2)
            if event.mechanism is Mechanism.DISCRETE_GAUSSIAN
            else event.parameter**2 / 8
        )
        for event in plan.cost.events
    )
    assert rho <= planned * (1 + 1e-9)
    # So loud that aim can afford no pair, it leaves the rest unspent.
    assert rho > 0.9 * planned or (name, epsilon) == ("aim", 0.02)
    assert planned == pytest.approx(accounting.rho_of(plan.cost.events), rel=1e-9)
    assert all(sensitivity >= rows_per_unit for _, sensitivity in noise.exponentials)


@pytest.mark.parametrize("name", MARGINAL)
def test_events_recomposed_by_dp_accounting_equal_the_plan_s_cost(name):
    """An independent route to ε: dp-accounting's own RDP accountant over the same events' zCDP curves."""
    import dp_accounting
    from dp_accounting.rdp import RdpAccountant

    schema = make_schema(a=["x", "y"], b=["p", "q", "r"], c=(0, 9))
    plan = get(name).plan(schema, BUDGET)
    accountant = RdpAccountant(orders=accounting.ORDERS)
    for event in plan.cost.events:
        rho = (
            1 / (2 * event.parameter**2)
            if event.mechanism is Mechanism.DISCRETE_GAUSSIAN
            else event.parameter**2 / 8
        )
        accountant.compose(dp_accounting.ZCDpEvent(rho), event.count)
    assert accountant.get_epsilon(BUDGET.delta) == pytest.approx(plan.cost.epsilon, abs=1e-9)


@pytest.mark.parametrize("name", MARGINAL)
def test_realised_noise_is_neither_too_small_nor_too_large(name):
    """The variance of (noisy - exact) / σ over all measured cells of a real run with the system's noise.

    With m cells the mean square lies in 1 ± 6·sqrt(2/m) with probability above 1 - 1e-8.
    """

    class Spy(SystemNoise):
        __slots__ = ("errors",)

        def __init__(self) -> None:
            self.errors: list[np.ndarray] = []

        def discrete_gaussian(self, counts, sigma):
            noisy = super().discrete_gaussian(counts, sigma)
            assert noisy.dtype == np.int64
            self.errors.append((noisy - counts).reshape(-1) / sigma)
            return noisy

    schema = make_schema(
        a=[f"l{k}" for k in range(40)], b=[f"l{k}" for k in range(30)], c=[f"l{k}" for k in range(20)]
    )
    spy = Spy()
    get(name).plan(schema, BUDGET).run(random_table(schema, 3_000, np.random.default_rng(5)), spy)
    errors = np.concatenate(spy.errors)
    assert abs(float((errors**2).mean()) - 1.0) < 6 * math.sqrt(2 / len(errors))
    assert abs(float(errors.mean())) < 6 / math.sqrt(len(errors))


@pytest.mark.parametrize("name", MARGINAL)
def test_no_path_from_data_to_model_beside_measured_values(name):
    """Two very different tables, the same answers from the mechanisms: the same model, to the last bit."""

    class Tape(SeededNoise):
        """Answers of one run, given back in the next whatever it asks about."""

        def __init__(self, seed: int, tape: list | None = None) -> None:
            super().__init__(seed)
            self.tape = [] if tape is None else list(tape)
            self.replay = tape is not None

        def _answer(self, made):
            if self.replay:
                return self.tape.pop(0)
            self.tape.append(made)
            return made

        def discrete_gaussian(self, counts, sigma):
            return self._answer(super().discrete_gaussian(counts, sigma))

        def exponential(self, scores, epsilon, sensitivity):
            return self._answer(super().exponential(scores, epsilon, sensitivity))

        def generator(self):
            return np.random.default_rng(99)

    schema = make_schema(colour=["r", "g", "b"], size=["s", "m", "l", "xl"], flag=["n", "y"], age=(0, 12))
    first = random_table(schema, 2_000, np.random.default_rng(1))
    alike = first.take(np.zeros(7, dtype=np.int64))
    second = Table(schema, alike.columns, np.arange(7))
    plan = get(name).plan(schema, BUDGET)
    tape = Tape(1)
    model = plan.run(first, tape)
    other = plan.run(second, Tape(1, tape.tape))
    assert np.array_equal(model.fitted.theta, other.fitted.theta)
    assert model.fitted.total == other.fitted.total
    one, two = (m.sample(200, np.random.default_rng(0)) for m in (model, other))
    assert all(np.array_equal(one[c].values, two[c].values) for c in schema.names)


@pytest.mark.parametrize("epsilon", [0.05, 1.0, 20.0])
@pytest.mark.parametrize("name", [name for name in MARGINAL if name != "wide"])
def test_what_is_charged_is_spent(name, epsilon):
    """Where noise is loud, too, and nothing but one-way marginals is worth measuring."""

    class Priced(SeededNoise):
        spent = 0.0

        def discrete_gaussian(self, counts, sigma):
            self.spent += 1.0 / (2.0 * sigma**2)
            return super().discrete_gaussian(counts, sigma)

        def exponential(self, scores, epsilon, sensitivity):
            self.spent += epsilon**2 / 8.0
            return super().exponential(scores, epsilon, sensitivity)

    schema = make_schema(
        a=[f"l{k}" for k in range(9)],
        b=[f"l{k}" for k in range(30)],
        c=["n", "y"],
        d=[f"l{k}" for k in range(20)],
    )
    plan = get(name).plan(schema, Budget(epsilon=epsilon, delta=1e-7))
    noise = Priced(1)
    plan.run(random_table(schema, 600, np.random.default_rng(5)), noise)
    charged = accounting.rho_of(plan.cost.events)
    assert 0.97 * charged < noise.spent <= charged * (1.0 + 1e-8)


def test_the_total_is_noised():
    """The exact number of rows is nowhere in a model."""
    schema = make_schema(a=["x", "y"], b=["p", "q"])
    table = random_table(schema, 1_234, np.random.default_rng(1))
    totals = {get("mst").plan(schema, BUDGET).run(table, SeededNoise(s)).fitted.total for s in range(8)}
    assert len(totals) >= 5
    assert np.std(list(totals)) > 1.0


def test_views_cannot_be_measured_finer_than_declared():
    views = Views.full(Domain(names=("a",), sizes=(3,)))
    with pytest.raises(IndexError):
        views.shape(View((0,), (1,)))
