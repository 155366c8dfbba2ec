"""DP-SGD's parts: clipping against slow oracles, Poisson sampling, realised noise, accounting, refusals.

Statistical tests: fixed test generators; thresholds stand with each test.
"""

from __future__ import annotations

import math

import dp_accounting
import numpy as np
import pytest
import torch
from dp_accounting.rdp import RdpAccountant

from generators.deep.clipping import HEADROOM, ClippedSum, require_private
from generators.deep.randomness import SystemRandomness
from generators.deep.recipe import SgdRecipe
from generators.deep.stepper import PrivateStepper, Reporter
from generators.deep.units import UnitRows
from release.errors import FaultError, PlanError
from release.privacy import accounting
from release.records import Budget, DpEvent, Mechanism
from tests.seeded_noise import SeededRandomness

DELTA = 1e-7
HISTOGRAMS = DpEvent(label="measure 1-way", mechanism=Mechanism.DISCRETE_GAUSSIAN, parameter=60.0, count=5)


def network(bias=True):
    generator = torch.Generator().manual_seed(1)
    net = torch.nn.Sequential(
        torch.nn.Linear(5, 7, bias=bias), torch.nn.Tanh(), torch.nn.Linear(7, 4), torch.nn.Linear(4, 3)
    )
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=generator))
    return net


def slow_clipped_sum(net, x, loss_of, clip):
    """One backward pass a unit."""
    total = {p: torch.zeros_like(p) for p in net.parameters()}
    norms = []
    for row in x:
        net.zero_grad()
        loss_of(net(row[None])).sum().backward()
        norm = math.sqrt(sum(float((p.grad.double() ** 2).sum()) for p in net.parameters()))
        norms.append(norm)
        for p in total:
            total[p] += p.grad * min(1.0, clip / norm)
    net.zero_grad()
    return total, norms


def cubes(z):
    return (z**3).flatten(1).sum(dim=1)


# ---------------------------------------------------------------------------------------------- clipping


@pytest.mark.parametrize("tokens", [None, 1, 4])
@pytest.mark.parametrize("bias", [True, False])
def test_clipped_sums_are_those_of_one_backward_pass_a_unit(tokens, bias):
    net = network(bias)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(20, 5) if tokens is None else (20, tokens, 5)))
    x = x.float()
    x[:5] *= 1e-2  # some are inside the bound
    clip = 1250.0 if tokens == 4 else 300.0
    clipped = ClippedSum(net, clip)
    norms = torch.cat([clipped.add(lambda part=part: cubes(net(part))) for part in (x[:13], x[13:])])
    expected, slow_norms = slow_clipped_sum(net, x, cubes, clip)
    assert min(slow_norms) < clip < max(slow_norms)
    assert norms.tolist() == pytest.approx(slow_norms, rel=1e-4)
    for p, total in expected.items():
        assert torch.allclose(clipped.sums[p].float(), total, rtol=1e-4, atol=1e-4)


def test_norms_are_those_of_opacus():
    from opacus.grad_sample import GradSampleModule

    net = network()
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(9, 3, 5))).float()
    ours = ClippedSum(net, 1.0).add(lambda: cubes(net(x)))
    wrapped = GradSampleModule(net, loss_reduction="sum")
    cubes(wrapped(x.requires_grad_())).sum().backward()
    theirs = torch.stack([p.grad_sample.flatten(1).norm(dim=1) for p in net.parameters()], 1).norm(dim=1)
    assert torch.allclose(ours.float(), theirs, rtol=1e-4)


def test_no_unit_moves_the_sum_by_more_than_the_bound():
    net = network()
    x = torch.from_numpy(np.random.default_rng(2).normal(size=(50, 3, 5)) * 30).float()
    sums = []
    for rows in (x, x[1:]):
        clipped = ClippedSum(net, 0.5)
        clipped.add(lambda rows=rows: cubes(net(rows)))
        sums.append(torch.cat([s.flatten().double() for s in clipped.sums.values()]))
    moved = float((sums[0] - sums[1]).norm())
    assert 0.49 < moved < 0.5 * HEADROOM


def test_no_unit_moves_a_large_sum_by_more_than_the_bound():
    """50,000 units whose gradients all point one way, in parts: leaving one out moves every part's boundary, and so its rounding."""
    x = torch.rand(50_000, 30, generator=torch.Generator().manual_seed(1))
    sums = []
    for rows in (x, x[1:]):
        net = torch.nn.Linear(30, 8)
        with torch.no_grad():
            net.weight.fill_(0.1)
        clipped = ClippedSum(net, 1.0)
        for part in rows.split(512):
            clipped.add(lambda net=net, part=part: 7.3 * net(part).sum(dim=1))
        sums.append(torch.cat([s.flatten() for s in clipped.sums.values()]))
    assert 1.0 / HEADROOM < float((sums[0] - sums[1]).norm()) < HEADROOM


def test_others_activations_round_differently_by_less_than_the_headroom():
    """20,000 units through three layers, in parts of 512: without the first, every part's products are formed for other rows."""
    net = torch.nn.Sequential(torch.nn.Linear(40, 64), torch.nn.Tanh(), torch.nn.Linear(64, 40))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(0.2 * torch.randn(p.shape, generator=generator))
    x = torch.rand(20_000, 40, generator=generator)
    sums = []
    for rows in (x, x[1:]):
        clipped = ClippedSum(net, 0.1)
        for part in rows.split(512):
            clipped.add(lambda part=part: -net(part).log_softmax(dim=1)[:, 0])
        sums.append(torch.cat([s.flatten() for s in clipped.sums.values()]))
    assert 0.1 / HEADROOM < float((sums[0] - sums[1]).norm()) < 0.1 * HEADROOM


def test_rows_that_nearly_cancel_are_not_taken_for_a_small_gradient():
    """Two rows a unit whose gradients are opposite but for one part in 10,000, against a bound that is smaller than float32 can resolve."""
    net = torch.nn.Linear(5, 3)
    x = torch.from_numpy(np.random.default_rng(4).normal(size=(200, 1, 5))).float()
    both = torch.cat([x, x * (1 + 1e-4)], dim=1)
    sign = torch.tensor([1.0, -1.0])
    clip = 1e-6
    for unit in both:
        clipped = ClippedSum(net, clip)
        clipped.add(lambda unit=unit: (net(unit[None]).sum(dim=2) * sign).sum(dim=1))
        moved = math.sqrt(sum(float((s**2).sum()) for s in clipped.sums.values()))
        assert moved <= clip * HEADROOM


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_unit_whose_gradient_is_no_number_adds_nothing(value):
    """Else one such unit would show through any noise."""
    net = network()
    x = torch.from_numpy(np.random.default_rng(5).normal(size=(9, 2, 5))).float()
    without, both = ClippedSum(net, 0.5), ClippedSum(net, 0.5)
    without.add(lambda: cubes(net(x)))
    both.add(lambda: cubes(net(torch.cat([x, torch.full((1, 2, 5), value)]))))
    for p, total in without.sums.items():
        assert torch.allclose(both.sums[p], total, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("value", [1e25, 1e37, 1e-20, 1e-40])
def test_squares_that_float32_cannot_hold_are_clipped_like_any_others(value):
    """1e37 and 1e-40 have squares of infinity and 0 in float32: such a unit would be left out, or let in unclipped."""
    net = torch.nn.Linear(2, 1, bias=False)
    x = torch.tensor([[value, 0.0]])
    for clip in (value * 1e-3, value * 1e3):
        clipped = ClippedSum(net, clip)
        norms = clipped.add(lambda: net(x).sum(dim=1))
        assert norms.item() == pytest.approx(value, rel=1e-3)
        assert float(clipped.sums[net.weight].norm()) == pytest.approx(min(clip, value), rel=1e-3)


def test_clipping_holds_in_lower_precision_too():
    """Whatever gradient comes out of the passes, a unit adds no more than the bound. (How others round is why passes are float32.)"""
    net = network()
    x = torch.from_numpy(np.random.default_rng(2).normal(size=(50, 3, 5)) * 30).float()
    exact, rough = ClippedSum(net, 0.5), ClippedSum(net, 0.5)

    def passed(rows):
        with torch.autocast("cpu", torch.bfloat16):
            return cubes(net(rows).float())

    norms = exact.add(lambda: cubes(net(x)))
    assert rough.add(lambda: passed(x)).tolist() == pytest.approx(norms.tolist(), rel=0.2)
    assert all(total.dtype is torch.float64 for total in rough.sums.values())
    for k in range(50):
        one = ClippedSum(net, 0.5)
        one.add(lambda k=k: passed(x[k : k + 1]))
        assert float(torch.cat([s.flatten() for s in one.sums.values()]).norm()) <= 0.5 * (1 + 1e-9)


def test_parts_without_gradient_and_unused_layers_add_nothing():
    net = network()
    clipped = ClippedSum(net, 1.0)
    clipped.add(lambda: cubes(net[:3](torch.ones(2, 5))))
    assert float(clipped.sums[net[3].weight].abs().sum()) == 0.0
    assert float(clipped.sums[net[2].weight].abs().sum()) > 0.0


NOT_PRIVATE = {
    "batch norm": torch.nn.BatchNorm1d(4),
    "batch norm without parameters": torch.nn.BatchNorm1d(4, affine=False, track_running_stats=False),
    "instance norm with statistics": torch.nn.InstanceNorm1d(4, track_running_stats=True),
    "embedding": torch.nn.Embedding(4, 4),
}


@pytest.mark.parametrize("case", NOT_PRIVATE)
def test_layers_that_cannot_be_trained_privately_are_refused(case):
    with pytest.raises(PlanError):
        require_private(torch.nn.Sequential(torch.nn.Linear(4, 4), NOT_PRIVATE[case], torch.nn.Linear(4, 2)))


def test_a_layer_used_twice_is_refused():
    layer = torch.nn.Linear(4, 4)
    with pytest.raises(PlanError, match="twice"):
        ClippedSum(layer, 1.0).add(lambda: layer(layer(torch.ones(2, 4))).sum(dim=1))


# ---------------------------------------------------------------------------------------------- sampling


def test_a_unit_s_rows_enter_together_up_to_the_bound():
    units = np.array([7, 3, 7, 7, 9, 3])
    (batch,) = UnitRows(units, 2).batches(SystemRandomness(), 1.0, 10)
    members = [set(rows[here].tolist()) for rows, here in zip(batch.rows, batch.present, strict=True)]
    assert members == [{4}, {1, 5}, {0, 2}]
    assert batch.rows[0].tolist() == [4, 4]  # a place that is not filled holds no other unit's row


@pytest.mark.parametrize("most", [1, 3, 8, 1_000])
def test_parts_hold_every_unit_once_and_no_more_places_than_asked(most):
    units = np.random.default_rng(1).integers(0, 40, 150)
    seen = []
    for batch in UnitRows(units, 4).batches(SystemRandomness(), 1.0, most):
        assert batch.rows.size <= most or len(batch) == 1
        for rows, here in zip(batch.rows, batch.present, strict=True):
            (unit,) = set(units[rows].tolist())
            seen.append(unit)
            assert len(set(rows[here].tolist())) == here.sum() == min(4, (units == unit).sum())
    assert sorted(seen) == sorted(set(units.tolist()))


def test_parts_do_not_matter_to_the_sum():
    """Units of 1 to 4 rows: one part, many parts, and one backward pass a unit give the same clipped sum."""
    units = np.random.default_rng(1).integers(0, 40, 90)
    x = torch.from_numpy(np.random.default_rng(2).normal(size=(90, 5))).float()
    rows, net = UnitRows(units, 4), network()

    def loss(batch):
        return ((net(x[torch.from_numpy(batch.rows)]) ** 3).sum(dim=2) * torch.from_numpy(batch.present)).sum(
            dim=1
        )

    sums = []
    for most in (1, 7, 1_000):
        clipped = ClippedSum(net, 300.0)
        for batch in rows.batches(SystemRandomness(), 1.0, most):
            clipped.add(lambda batch=batch: loss(batch))
        sums.append(torch.cat([s.flatten() for s in clipped.sums.values()]))
    assert torch.allclose(sums[0], sums[2], rtol=1e-4, atol=1e-3)
    assert torch.allclose(sums[1], sums[2], rtol=1e-4, atol=1e-3)


def test_a_bound_far_above_what_units_have_takes_no_room():
    """A declared bound of a million rows; units have two. An index by bound would hold 10⁹ places."""
    (batch,) = UnitRows(np.repeat(np.arange(1_000), 2), 1_000_000).batches(SystemRandomness(), 1.0, 10_000)
    assert batch.rows.shape == (1_000, 2)


def test_units_enter_at_the_accounted_rate_and_independently():
    """400 units × 2,000 draws at q = .05: the mean rate's standard error is .00024, a pair's joint rate is q² ± .0011."""
    rate, draws = 0.05, 2_000
    rows = UnitRows(np.arange(400), 1)
    randomness = SystemRandomness()
    entered = np.zeros((draws, 400), dtype=bool)
    for k in range(draws):
        for batch in rows.batches(randomness, rate, 7):
            entered[k, batch.rows[:, 0]] = True
    assert abs(entered.mean() - rate) < 5 * math.sqrt(rate * (1 - rate) / entered.size)
    sizes = entered.sum(axis=1)
    assert abs(sizes.var() / (400 * rate * (1 - rate)) - 1) < 5 * math.sqrt(2 / draws)  # as independent coins
    assert abs((entered[:, :200] & entered[:, 200:]).mean() - rate**2) < 5 * rate / math.sqrt(draws * 200)
    assert abs((entered[:-1] & entered[1:]).mean() - rate**2) < 5 * rate / math.sqrt(draws * 400)


def test_nobody_and_no_rows_give_no_batches():
    assert list(UnitRows(np.zeros(0, dtype=np.int64), 3).batches(SystemRandomness(), 1.0, 5)) == []
    assert list(UnitRows(np.arange(9), 1).batches(SystemRandomness(), 1e-18, 5)) == []


# ---------------------------------------------------------------------------------------------- noise


def test_gaussians_have_the_normal_s_moments_and_tails():
    """n = 400,000: 5 standard errors of each figure, both ways."""
    n = 400_000
    x = SystemRandomness().gaussian(n)
    assert abs(x.mean()) < 5 / math.sqrt(n)
    assert abs(x.var() - 1) < 5 * math.sqrt(2 / n)
    assert abs((x**4).mean() - 3) < 5 * math.sqrt(96 / n)
    for bound in (1.0, 2.0, 3.0):
        p = math.erfc(bound / math.sqrt(2))
        assert abs((np.abs(x) > bound).mean() - p) < 5 * math.sqrt(p / n)
    assert abs((x[:-1] * x[1:]).mean()) < 5 / math.sqrt(n)


def test_gaussians_are_new_each_time_and_of_any_number():
    one = SystemRandomness()
    assert not np.array_equal(one.gaussian(10), one.gaussian(10))
    assert not np.array_equal(SystemRandomness().gaussian(10), SystemRandomness().gaussian(10))
    assert [len(one.gaussian(n)) for n in (0, 1, 65_537)] == [0, 1, 65_537]


def test_a_fork_does_not_repeat_its_parent(monkeypatch):
    randomness = SystemRandomness()
    monkeypatch.setattr("os.getpid", lambda: 1)
    with pytest.raises(FaultError, match="forked"):
        randomness.gaussian(1)


def stepper(net, recipe, units=200, randomness=None, rate=1.0):
    return PrivateStepper(
        net,
        torch.optim.SGD(net.parameters(), lr=1.0),
        recipe,
        UnitRows(np.arange(units), 1),
        expected_units=units,
        randomness=randomness or SystemRandomness(),
    )


@pytest.mark.parametrize("multiplier", [0.7, 3.0])
def test_realised_noise_on_the_gradient_is_the_accounted_one_and_not_more(multiplier):
    """No unit is drawn, so that the gradient is noise alone: 100 steps × 77 parameters, 5 standard errors both ways."""
    net, clip, steps = network(), 0.4, 100
    recipe = SgdRecipe(rate=1e-18, steps=steps, clip=clip, multiplier=multiplier)
    trained = stepper(net, recipe)
    seen = []
    for _ in range(steps):
        trained.step(lambda _batch: pytest.fail("nobody was drawn"))
        seen.append(torch.cat([p.grad.flatten() for p in net.parameters()]).numpy())
    ratio = np.concatenate(seen).std() / (multiplier * clip)  # the expected number of units is at least 1
    assert abs(ratio - HEADROOM) < 5 / math.sqrt(2 * steps * seen[0].size)


def test_a_step_is_the_clipped_mean_where_noise_is_left_out():
    net = network()
    x = torch.from_numpy(np.random.default_rng(3).normal(size=(200, 5))).float()
    expected, _ = slow_clipped_sum(net, x, cubes, 1.0)
    before = {p: p.detach().clone() for p in net.parameters()}
    recipe = SgdRecipe(rate=1.0, steps=1, clip=1.0, multiplier=1.0)
    stepper(net, recipe, randomness=SeededRandomness(scale=0.0)).step(
        lambda batch: cubes(net(x[torch.from_numpy(batch.rows[:, 0])]))
    )
    for p, total in expected.items():
        assert torch.allclose(before[p] - p.detach(), total / 200, atol=1e-5)


def test_no_more_steps_than_were_accounted():
    net = network()
    trained = stepper(net, SgdRecipe(rate=1e-18, steps=2, clip=1.0, multiplier=1.0))
    trained.step(lambda _b: torch.zeros(0))
    trained.step(lambda _b: torch.zeros(0))
    with pytest.raises(FaultError, match="accounted for 2"):
        trained.step(lambda _b: torch.zeros(0))


def test_parameters_that_would_escape_the_noise_are_refused():
    net = network()
    optimizer = torch.optim.SGD(net[0].parameters(), lr=1.0)
    with pytest.raises(FaultError, match="clipped and noised"):
        PrivateStepper(
            net,
            optimizer,
            SgdRecipe(rate=0.1, steps=1, clip=1.0, multiplier=1.0),
            UnitRows(np.arange(3), 1),
            expected_units=3,
            randomness=SystemRandomness(),
        )


def test_a_canary_is_no_easier_to_see_than_accounted():
    """White box: the canary's gradient points one way at the full bound; each step's noised sum is projected onto it.

    With T steps at rate 1, the sum of projections over σ√T is N(0, 1) without the canary and N(√T/σ, 1) with it. 300 runs of each:
    the distance has a standard error of √(2/300 + μ²/1200), .1 at μ = 2; judged at 4, both ways.
    """
    sigma, steps, runs = 1.5, 9, 300
    mu = math.sqrt(steps) / (sigma * HEADROOM)
    scores = {False: [], True: []}
    recipe = SgdRecipe(rate=1.0, steps=steps, clip=1.0, multiplier=sigma)
    for present, found in scores.items():
        for run in range(runs):
            net = torch.nn.Linear(6, 1, bias=False)
            torch.nn.init.zeros_(net.weight)
            # others have no gradient; the canary's is (1000, 0, …) before it is clipped
            x = torch.zeros(4 + present, 6)
            x[4:, 0] = 1000.0
            trained = stepper(net, recipe, units=len(x), randomness=SeededRandomness(run + 1000 * present))
            total = 0.0
            for _ in range(steps):
                trained.step(
                    lambda batch, x=x, net=net: net(x[torch.from_numpy(batch.rows[:, 0])]).sum(dim=1)
                )
                total += float(net.weight.grad[0, 0]) * len(x)
            found.append(total / (sigma * math.sqrt(steps)))
    distance = np.mean(scores[True]) - np.mean(scores[False])
    spread = math.sqrt((np.var(scores[True]) + np.var(scores[False])) / 2)
    error = math.sqrt(2 / runs + mu**2 / (4 * runs))
    assert abs(distance / spread - mu) < 4 * error


# ---------------------------------------------------------------------------------------------- accounting


@pytest.mark.parametrize("epsilon", [0.5, 3.0])
def test_the_noise_solved_for_fits_the_budget_closely(epsilon):
    budget = Budget(epsilon=epsilon, delta=DELTA)
    recipe = SgdRecipe.solve(budget, [HISTOGRAMS], rate=0.05, steps=300, clip=1.0)
    spent = recipe.epsilon_after(300, [HISTOGRAMS], DELTA)
    assert 0.9995 * epsilon < spent <= epsilon
    assert recipe.epsilon_after(10, [HISTOGRAMS], DELTA) < spent


def test_accounting_is_dp_accounting_s():
    recipe = SgdRecipe(rate=0.05, steps=300, clip=1.0, multiplier=1.7)
    mine = accounting.cost([HISTOGRAMS, recipe.event], DELTA, unit="row", max_rows=1).epsilon
    orders = accounting.ORDERS[accounting.ORDERS <= accounting.LARGEST_SAMPLED_ORDER]
    accountant = RdpAccountant(orders, dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE)
    accountant.compose(dp_accounting.PoissonSampledDpEvent(0.05, dp_accounting.GaussianDpEvent(1.7)), 300)
    accountant.compose(dp_accounting.ZCDpEvent(5 / (2 * 60.0**2)))
    assert mine == pytest.approx(accountant.get_epsilon(DELTA), abs=1e-9)
    assert recipe.epsilon_after(300, [HISTOGRAMS], DELTA) == mine


def test_a_budget_that_the_rest_has_used_up_is_refused():
    with pytest.raises(PlanError, match="above the budget"):
        SgdRecipe.solve(
            Budget(epsilon=0.1, delta=DELTA),
            [DpEvent(label="x", mechanism=Mechanism.DISCRETE_GAUSSIAN, parameter=1.0)],
            rate=0.05,
            steps=10,
            clip=1.0,
        )


def test_progress_says_epoch_step_spent_and_left():
    said = []
    recipe = SgdRecipe(rate=0.1, steps=20, clip=1.0, multiplier=4.0)
    clock = iter([0.0, 1.0, 1.2, 20.0])
    report = Reporter(
        lambda done, what: said.append((done, what)),
        recipe,
        [HISTOGRAMS],
        DELTA,
        (0.2, 0.9),
        clock=lambda: next(clock),
    )
    report(1)
    report(2)  # within half a second: not said
    report(20)
    assert [done for done, _ in said] == pytest.approx([0.235, 0.9])
    assert said[0][1].endswith("spent, 19 s left")
    assert said[1][1].startswith("epoch 2 of 2, step 20 of 20, ε ")
    assert said[1][1].endswith("spent, 0 s left")
