"""The autoregressive network: nothing sees what it must not, the untrained one is its base, conditions, files, what it learns."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from generators import get
from generators.deep import calibration, stepper
from generators.deep.autoregressive import ArOptions, unit_losses
from generators.deep.backbone import Backbone
from generators.deep.calibration import calibrate
from generators.deep.clipping import ClippedSum, masked_linear
from generators.deep.device import Device
from generators.deep.network import Network
from generators.deep.sampling import Evidence, draw
from generators.deep.units import UnitBatch
from generators.dp_autoregressive import base_share
from release.errors import IntegrityError, PlanError
from release.records import Budget, Mechanism, Task
from tests.builders import make_schema, make_table, random_table
from tests.generators.test_robust import TABLES
from tests.seeded_noise import SeededNoise

QUICK = {"steps": 12, "hidden": 12, "sampling_rate": 1.0}
"""Every unit in every step: its noise is solved for in no time. Sampled steps are `test_white_box`'s and the contract suite's."""

BUDGET = Budget(epsilon=5.0, delta=1e-7)
OPTIONS = ArOptions(
    hidden=12,
    steps=1,
    sampling_rate=1.0,
    clip=1.0,
    learning_rate=1e-3,
    target_weight=1.0,
    device=Device.CPU,
)


@pytest.fixture(autouse=True, scope="module")
def quick():
    """Fewer rows in calibrations; reports at the first and last step only: each computes an ε."""
    before = calibration.ROWS, stepper.SECONDS_BETWEEN_REPORTS
    calibration.ROWS, stepper.SECONDS_BETWEEN_REPORTS = 8_000, 1e9
    yield
    calibration.ROWS, stepper.SECONDS_BETWEEN_REPORTS = before


@pytest.fixture(scope="module")
def schema():
    return make_schema(a=["x", "y", "z"], b=["u", "v"], c=(0, 5), d=["n", "y"])


@pytest.fixture(scope="module")
def table(schema):
    """b follows a, d follows b and c: pairs and a triple."""
    rng = np.random.default_rng(0)
    n = 3_000
    a, c = rng.integers(0, 3, n), rng.integers(0, 6, n)
    b = np.where(rng.random(n) < 0.8, a > 0, a == 0).astype(int)
    d = np.where(rng.random(n) < 0.85, b ^ (c > 2), b).astype(int)
    return make_table(
        schema,
        {
            "a": ["xyz"[k] for k in a],
            "b": ["uv"[k] for k in b],
            "c": c.tolist(),
            "d": ["ny"[k] for k in d],
        },
    )


@pytest.fixture(scope="module")
def model(schema, table):
    plan = get("dp_autoregressive").plan(schema, BUDGET, Task(target="d"), QUICK)
    return plan.run(table, SeededNoise(1))


@pytest.fixture
def network(model):
    """Random weights everywhere, so that every path shows; its own copy."""
    made = Network(model.network.backbone, 12, model.network.target)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in made.module.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * 0.3)
    return made


# ---------------------------------------------------------------------------------------------- what sees what


def test_no_output_sees_its_own_attribute_or_a_later_one(network):
    x = torch.rand(
        64, network.width, generator=torch.Generator().manual_seed(4)
    ).requires_grad_()  # 64: no unit is dead at all
    for place, attribute in enumerate(network.order):
        (gradient,) = torch.autograd.grad(network.residual(x)[:, network.span(attribute)].sum(), x)
        for other in network.order[place:]:
            assert float(gradient[:, network.span(other)].abs().max()) == 0.0
        if place == len(network.order) - 1:  # the last one does see the others
            assert all(float(gradient[:, network.span(a)].abs().max()) > 0.0 for a in network.order[:place])


def test_the_target_s_head_sees_all_but_the_target(network):
    x = torch.rand(64, network.width, generator=torch.Generator().manual_seed(5)).requires_grad_()
    (gradient,) = torch.autograd.grad(network.head(x).sum(), x)
    seen = [float(gradient[:, network.span(a)].abs().max()) > 0.0 for a in range(len(network.sizes))]
    assert [a for a, s in enumerate(seen) if not s] == [network.target]


def test_rows_are_drawn_from_the_distribution_that_is_trained(network):
    """The log-likelihood by attributes drawn one at a time is the one of the single pass."""
    from generators.deep.sampling import Drawing, normalised

    codes = np.random.default_rng(0).integers(0, np.array(network.sizes), (50, len(network.sizes)))
    drawing = Drawing(network, 50)
    slow = np.zeros(50)
    with torch.no_grad():
        for attribute in network.order:
            logits = network.backbone.given(attribute, codes) + drawing.logits(attribute)
            slow += normalised(logits)[np.arange(50), codes[:, attribute]]
            drawing.put(attribute, codes[:, attribute])
        batch = UnitBatch(np.arange(50)[:, None], np.ones((50, 1), dtype=bool))
        one = Network(network.backbone, 12, None)
        one.module.load_state_dict(network.module.state_dict(), strict=False)
        fast = -unit_losses(one, codes, batch, OPTIONS).numpy() * len(network.sizes) ** 0.5
    assert fast == pytest.approx(slow, rel=1e-3, abs=1e-3)


# ---------------------------------------------------------------------------------------------- gradients


def test_masked_layers_are_clipped_like_one_backward_pass_a_unit(network):
    codes = np.random.default_rng(0).integers(0, np.array(network.sizes), (20, len(network.sizes)))
    batch = UnitBatch(np.arange(20)[:, None], np.ones((20, 1), dtype=bool))
    parameters = list(network.module.parameters())
    slow, norms = [torch.zeros_like(p) for p in parameters], []
    for k in range(20):
        alone = UnitBatch(np.array([[k]]), np.ones((1, 1), dtype=bool))
        gradients = torch.autograd.grad(unit_losses(network, codes, alone, OPTIONS).sum(), parameters)
        norms.append(float(torch.sqrt(sum((g**2).sum() for g in gradients))))
        for total, g in zip(slow, gradients, strict=True):
            total.add_(g, alpha=min(1.0, 1.0 / norms[-1]))
    clipped = ClippedSum(network.module, 1.0)
    found = clipped.add(lambda: unit_losses(network, codes, batch, OPTIONS))
    assert found.tolist() == pytest.approx(norms, rel=1e-3)
    for p, total in zip(parameters, slow, strict=True):
        assert torch.allclose(clipped.sums[p].float(), total, atol=1e-4)


def test_several_rows_of_a_unit_are_clipped_together_never_above_the_bound(network):
    """Masked layers bound a unit's norm by the sum of its rows': the clipped gradient is at most the bound, and not far below."""
    codes = np.random.default_rng(0).integers(0, np.array(network.sizes), (6, len(network.sizes)))
    parameters = list(network.module.parameters())
    present = np.array([[True, True, True], [True, True, False]])
    batch = UnitBatch(np.array([[0, 1, 2], [3, 4, 0]]), present)
    for clip in (0.1, 100.0):
        whole = ClippedSum(network.module, clip)
        norms = whole.add(lambda: unit_losses(network, codes, batch, OPTIONS))
        for k in range(2):
            alone = UnitBatch(batch.rows[k : k + 1], batch.present[k : k + 1])
            exact = torch.autograd.grad(unit_losses(network, codes, alone, OPTIONS).sum(), parameters)
            norm = float(torch.sqrt(sum((g**2).sum() for g in exact)))
            assert norm <= float(norms[k]) * 1.0001 < 2.0 * norm
        size = float(torch.sqrt(sum((s**2).sum() for s in whole.sums.values())))
        assert size <= 2 * clip * 1.001


def test_weights_that_do_not_exist_get_no_gradient():
    mask = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    layer = masked_linear()(mask)
    clipped = ClippedSum(layer, 1e9)
    clipped.add(lambda: layer(torch.ones(4, 2)).sum(dim=1))
    assert torch.equal(clipped.sums[layer.weight], 4 * mask)


# ---------------------------------------------------------------------------------------------- the base


def test_the_chain_is_the_base(model):
    """Product of the chain's conditionals = the junction tree's distribution, for every cell."""
    backbone, fitted = model.network.backbone, model.base.fitted
    cells = np.indices(backbone.sizes).reshape(len(backbone.sizes), -1).T
    logs = sum(
        backbone.given(a, cells)[np.arange(len(cells)), cells[:, a]] for a in range(len(backbone.sizes))
    )
    p = np.exp(logs)
    assert p.sum() == pytest.approx(1.0, abs=1e-4)
    for clique in [(0,), (1,), (0, 1)]:
        expected = fitted.marginal(clique)
        if expected is not None:
            found = np.bincount(
                np.ravel_multi_index(tuple(cells[:, a] for a in clique), expected.shape),
                weights=p,
                minlength=expected.size,
            )
            assert found == pytest.approx(expected.ravel(), abs=1e-4)


def test_the_target_given_all_others_is_bayes_rule_on_the_chain(model):
    backbone = model.network.backbone
    target = model.network.target
    codes = np.random.default_rng(0).integers(0, np.array(backbone.sizes), (30, len(backbone.sizes)))
    again = backbone.again(target, codes)
    first = None
    for level in range(backbone.sizes[target]):
        with_level = codes.copy()
        with_level[:, target] = level
        joint = sum(
            backbone.given(a, with_level)[np.arange(30), with_level[:, a]] for a in range(len(backbone.sizes))
        )
        first = joint if first is None else first
        assert again[:, level] - again[:, 0] == pytest.approx(joint - first, abs=1e-3)


def test_calibrated_rows_have_the_base_s_pairs(network, model):
    from generators.core.sampling import sample

    rng = np.random.default_rng(0)
    base = np.stack(sample(model.base.fitted.tree, model.base.fitted.theta, 100_000, rng), axis=1)

    def distance():
        drawn, worst = draw(network, 40_000, rng), 0.0
        for a, partner in enumerate(network.partners):
            if partner >= 0 and a != network.target:
                shape = network.sizes[partner], network.sizes[a]
                shares = [
                    np.bincount(
                        np.ravel_multi_index((r[:, partner], r[:, a]), shape), minlength=np.prod(shape)
                    )
                    / len(r)
                    for r in (base.astype(np.int64), drawn)
                ]
                worst = max(worst, np.abs(shares[0] - shares[1]).sum() / 2)
        return worst

    before = distance()
    calibrate(network, model.base.fitted, rng)
    assert distance() < 0.03 < before


# ---------------------------------------------------------------------------------------------- conditions


def joint_of(network, keep):
    """Every cell's probability under the network (without the head), by enumeration, where `keep(cells)`."""
    from generators.deep.sampling import Drawing, normalised

    cells = np.indices(network.sizes).reshape(len(network.sizes), -1).T
    drawing, logs = Drawing(network, len(cells)), np.zeros(len(cells))
    with torch.no_grad():
        for a in network.order:
            logits = network.backbone.given(a, cells) + drawing.logits(a)
            logs += normalised(logits)[np.arange(len(cells)), cells[:, a]]
            drawing.put(a, cells[:, a])
    p = np.exp(logs) * keep(cells)
    return cells, p / p.sum()


@pytest.mark.parametrize("where", [{"a": ("x", "y")}, {"d": ("y",)}, {"a": ("x",), "c": (3, 5), "d": ("n",)}])
def test_conditioned_rows_follow_the_network_given_the_condition(network, model, where):
    """20,000 rows against enumeration: total variation distance over all cells, whose sampling error is below .03."""
    plain = Network(network.backbone, 12, None)
    plain.module.load_state_dict(network.module.state_dict(), strict=False)
    given = model.base.given(where)
    single = {a: model.base.compression.likelihood(a, share) for a, share in given.single.items()}
    evidence = Evidence(backbone=Backbone.of(given.fitted), single=single, joint=given.joint)
    rows = draw(plain, 20_000, np.random.default_rng(0), evidence)

    def keep(cells):
        found = np.ones(len(cells))
        for a, likelihood in single.items():
            found = found * likelihood[cells[:, a]]
        return found

    cells, p = joint_of(plain, keep)
    found = np.bincount(np.ravel_multi_index(tuple(rows.T), network.sizes), minlength=len(cells)) / len(rows)
    expected = np.zeros(len(cells))
    expected[np.ravel_multi_index(tuple(cells.T), network.sizes)] = p
    assert np.abs(found - expected).sum() / 2 < 0.06
    assert found[expected == 0.0].sum() == 0.0


def test_conditions_and_constraints_hold_on_every_row():
    schema = make_schema(
        low=(0, 9),
        high=(0, 9),
        kind=["p", "q"],
        code=["p1", "p2", "q1"],
        constraints=[{"type": "less-equal", "left": "low", "right": "high"}],
    )
    rng = np.random.default_rng(1)
    pairs = np.sort(rng.integers(0, 10, (800, 2)), axis=1)
    codes = rng.integers(0, 3, 800)
    table = make_table(
        schema,
        {
            "low": pairs[:, 0].tolist(),
            "high": pairs[:, 1].tolist(),
            "kind": [["p", "p", "q"][k] for k in codes],
            "code": [["p1", "p2", "q1"][k] for k in codes],
        },
    )
    model = get("dp_autoregressive").plan(schema, BUDGET, options=QUICK).run(table, SeededNoise(2))
    rows = model.sample(3_000, np.random.default_rng(0))
    assert (rows["low"].values <= rows["high"].values).all()
    rows = model.sample(500, np.random.default_rng(0), {"low": (4.0, 6.0), "kind": ("q",)})
    assert (rows["low"].values <= rows["high"].values).all()
    assert set(rows["low"].values.tolist()) <= {4, 5, 6}
    assert set(rows["kind"].values.tolist()) == {1}


# ---------------------------------------------------------------------------------------------- plan, files, learning


def test_the_plan_charges_encoding_base_and_training(schema):
    plan = get("dp_autoregressive").plan(schema, BUDGET, None, QUICK)
    kinds = [event.mechanism for event in plan.cost.events]
    assert kinds[-1] is Mechanism.POISSON_GAUSSIAN
    assert Mechanism.DISCRETE_GAUSSIAN in kinds
    assert plan.cost.events[-1] == plan.recipe.event
    assert 0.999 * BUDGET.epsilon < plan.cost.epsilon <= BUDGET.epsilon
    assert plan.describe()["training"]["noise_multiplier"] == plan.recipe.multiplier


def test_small_budgets_go_to_the_base():
    shares = [base_share(epsilon) for epsilon in (0.01, 0.1, 1.0, 3.0, 10.0, 100.0)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == 0.8
    assert shares[2] == pytest.approx(0.7)
    assert shares[-1] == 0.5


REFUSED = {
    "no steps": {"steps": 0},
    "rate above 1": {"sampling_rate": 1.5},
    "all for the base": {"base_share": 1.0},
    "a clip of 0": {"clip": 0.0},
}


@pytest.mark.parametrize("case", REFUSED)
def test_options_that_make_no_sense_are_refused(schema, case):
    with pytest.raises(PlanError):
        get("dp_autoregressive").plan(schema, BUDGET, None, REFUSED[case])


def test_a_model_of_another_base_is_not_loaded(model, tmp_path):
    model.save(tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    document = json.loads(path.read_text())
    for change in ({"order": document["order"][::-1]}, {"target": 99}):
        path.write_text(json.dumps({**document, **change}))
        with pytest.raises(IntegrityError):
            get("dp_autoregressive").load(tmp_path / "model")


def test_training_says_how_far_it_is_and_ctrl_c_ends_it(schema, table):
    said = []

    def stop(_done, what):
        said.append(what)
        if what.startswith("epoch"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get("dp_autoregressive").plan(schema, BUDGET, None, QUICK).run(table, SeededNoise(1), stop)
    assert said[-1].startswith("epoch 1 of 12, step 1 of 12, ε ")


def test_several_rows_a_unit_and_no_rows(schema):
    several = make_schema(unit="who", max_rows=3, a=["x", "y"], b=["u", "v", "w"])
    model = (
        get("dp_autoregressive")
        .plan(several, BUDGET, None, QUICK)
        .run(random_table(several, 300, np.random.default_rng(0)), SeededNoise(1))
    )
    assert model.cost.max_rows_per_unit == 3
    assert len(model.sample(7, np.random.default_rng(0))) == 7
    empty = random_table(schema, 5, np.random.default_rng(0)).take(np.zeros(0, dtype=np.int64))
    model = get("dp_autoregressive").plan(schema, BUDGET, None, QUICK).run(empty, SeededNoise(1))
    assert len(model.sample(3, np.random.default_rng(0))) == 3
    assert len(model.sample(0, np.random.default_rng(0))) == 0


def test_training_learns_what_the_base_cannot_hold(schema, table):
    """d is b xor (c > 2). With a base of one-way marginals (memory for nothing else), only the network can know."""
    options = {"memory_mib": 1, "base_share": 0.1, "hidden": 32, "steps": 60, "sampling_rate": 1.0}
    plan = get("dp_autoregressive").plan(
        schema, Budget(epsilon=20.0, delta=1e-7), Task(target="d"), {**options, "learning_rate": 2e-2}
    )
    rows = plan.run(table, SeededNoise(5)).sample(4_000, np.random.default_rng(0))

    def agreement(t):
        b, c, d = (t[name].values for name in "bcd")
        return float(((b == 1) ^ (c > 2)).astype(int).__eq__(d == 1).mean())

    assert agreement(table) > 0.85
    assert agreement(rows) > 0.75


@pytest.mark.parametrize("case", TABLES)
def test_odd_tables_work(case):
    make, rows = TABLES[case]
    schema = make()
    table = random_table(schema, max(rows, 1), np.random.default_rng(3))
    if rows == 0:
        table = table.take(np.zeros(0, dtype=np.int64))
    task = Task(target=schema.names[-1])
    model = get("dp_autoregressive").plan(schema, BUDGET, task, QUICK).run(table, SeededNoise(1))
    assert len(model.sample(50, np.random.default_rng(0))) == 50
    first = next(iter(schema.released))
    if first.kind.coded:
        where = {first.name: (first.levels[0],)}
        assert set(model.sample(20, np.random.default_rng(0), where)[first.name].values.tolist()) == {0}
