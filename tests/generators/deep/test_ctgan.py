"""`dp_ctgan`: the contract of a generator, and what is private in its training and what is not."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from generators import get
from generators.deep import adversary, stepper
from generators.deep.adversary import GanOptions, Refiner, calibrate, discriminator, train
from generators.deep.clipping import HEADROOM, ClippedSum
from generators.deep.ctgan_model import CtganModel
from generators.deep.device import Device
from generators.deep.recipe import SgdRecipe
from generators.deep.stepper import PrivateStepper
from generators.deep.units import UnitRows
from generators.dp_ctgan import Ctgan
from release.canonical import digest, to_json
from release.data.constraints import violations
from release.errors import IntegrityError, PlanError
from release.privacy import accounting
from release.protocols import Generator, Model, Plan
from release.records import Budget, Mechanism, Task, Within
from tests.builders import make_schema, make_table, random_table
from tests.seeded_noise import SeededNoise, SeededRandomness

BUDGET = Budget(epsilon=3.0, delta=1e-7)
SAMPLED = {"steps": 6, "hidden": 16, "critic_hidden": 8, "batch": 64, "memory_mib": 8}
QUICK = {**SAMPLED, "sampling_rate": 1.0}
"""Every unit in every step: its noise is solved for in no time."""

CTGAN = Ctgan()

SCHEMA = make_schema(
    colour=["red", "green", "blue"],
    age={"kind": "integer", "domain": {"min": 0, "max": 90}, "missing": [{"code": ""}]},
    low={"kind": "integer", "domain": {"min": 0, "max": 9}},
    high={"kind": "integer", "domain": {"min": 0, "max": 9}},
    flag=["no", "yes"],
    constraints=[
        {"type": "less-equal", "left": "low", "right": "high"},
        {"type": "impossible", "where": {"colour": ["red"], "flag": ["yes"]}},
    ],
)


@pytest.fixture(autouse=True, scope="module")
def quiet():
    """Reports at the first and last step only: each computes an ε."""
    before, stepper.SECONDS_BETWEEN_REPORTS = stepper.SECONDS_BETWEEN_REPORTS, 1e9
    yield
    stepper.SECONDS_BETWEEN_REPORTS = before


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(1)
    n = 1_500
    colour = rng.choice(["red", "green", "blue"], n)
    low = rng.integers(0, 9, n)
    age = rng.integers(20, 80, n).astype(object)
    age[:100] = None
    return make_table(
        SCHEMA,
        {
            "colour": colour.tolist(),
            "age": age.tolist(),
            "low": low.tolist(),
            "high": np.minimum(9, low + rng.integers(0, 3, n)).tolist(),
            "flag": np.where((colour != "red") & (rng.random(n) < 0.6), "yes", "no").tolist(),
        },
    )


@pytest.fixture(scope="module")
def fitted(table):
    steps = []
    model = CTGAN.plan(SCHEMA, BUDGET, Task(target="flag"), QUICK).run(
        table, SeededNoise(3), lambda done, what: steps.append((done, what))
    )
    return model, steps


def same(a, b):
    return all(np.array_equal(a[c].values, b[c].values) for c in a.columns)


# ---------------------------------------------------------------------------------------------- the contract


def test_registered_private_and_experimental():
    generator: Generator = get("dp_ctgan")
    assert generator.private
    assert "experimental" in generator.summary


def test_plan_costs_what_its_events_cost_and_no_more_than_asked():
    plan = CTGAN.plan(SCHEMA, BUDGET, options=SAMPLED)
    assert isinstance(plan, Plan)
    assert 0.98 * BUDGET.epsilon < plan.cost.epsilon <= BUDGET.epsilon
    again = accounting.cost(plan.cost.events, BUDGET.delta, unit="row", max_rows=1)
    assert again.epsilon == pytest.approx(plan.cost.epsilon, rel=1e-9)
    (training,) = [e for e in plan.cost.events if e.mechanism is Mechanism.POISSON_GAUSSIAN]
    assert (training.count, training.sampling_rate) == (QUICK["steps"], 0.1)
    described = plan.describe()
    assert json.loads(json.dumps(described)) == described
    assert digest(described) == digest(CTGAN.plan(SCHEMA, BUDGET, options=SAMPLED).describe())
    assert described["training"]["noise_multiplier"] == training.parameter


def test_rows_progress_and_rules(fitted, table):
    model, steps = fitted
    assert isinstance(model, Model)
    done = [share for share, _ in steps]
    assert done == sorted(done)
    assert done[-1] == 1.0
    assert any("ε" in what and "left" in what for _, what in steps)
    rows = model.sample(800, np.random.default_rng(0))
    assert rows.schema == SCHEMA
    assert len(rows) == 800
    assert [v.violations for v in violations(rows)] == [0, 0]
    assert 0 < np.mean(~rows["age"].present) < 0.3
    assert set().union(*model.published) <= set(SCHEMA.names)
    assert len(model.sample(0, np.random.default_rng(0))) == 0
    with pytest.raises(PlanError):
        model.sample(-1, np.random.default_rng(0))


def test_save_and_load(fitted, tmp_path):
    model, _ = fitted
    model.save(tmp_path / "model")
    names = sorted(
        path.relative_to(tmp_path / "model").as_posix() for path in (tmp_path / "model").rglob("*.*")
    )
    assert names == ["base/arrays.npz", "base/model.json", "generator.safetensors", "model.json"]
    loaded = CTGAN.load(tmp_path / "model")
    assert same(loaded.sample(200, np.random.default_rng(0)), model.sample(200, np.random.default_rng(0)))
    assert to_json(loaded.cost) == to_json(model.cost)


@pytest.mark.parametrize("spread", [0.0, 1.0, -1.0, float("nan")])
def test_a_spread_that_no_plan_has_is_not_loaded(fitted, tmp_path, spread):
    fitted[0].save(tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "spread": spread}))
    with pytest.raises(IntegrityError, match="spread"):
        CTGAN.load(tmp_path / "model")


def test_conditions_hold_on_every_row(fitted):
    model, _ = fitted
    where = {
        "colour": ("green", "blue"),
        "flag": ("yes",),
        "age": Within(low=33, high=57),
        "low": Within(high=4),
    }
    rows = model.sample(400, np.random.default_rng(0), where)
    assert len(rows) == 400
    assert set(rows["colour"].values.tolist()) <= {1, 2}
    assert set(rows["flag"].values.tolist()) == {1}
    assert rows["age"].present.all()
    assert 33 <= rows["age"].values.min() <= rows["age"].values.max() <= 57
    assert rows["low"].values.max() <= 4
    assert [v.violations for v in violations(rows)] == [0, 0]


@pytest.mark.parametrize(
    "where", [{"colour": ("mauve",)}, {"colour": ("red",), "flag": ("yes",)}, {"sex": ("f",)}]
)
def test_impossible_conditions_are_refused(fitted, where):
    with pytest.raises(PlanError):
        fitted[0].sample(5, np.random.default_rng(0), where)


WRONG = {
    "unknown": {"speed": 9},
    "no steps": {"steps": 0},
    "true": {"steps": True},
    "rate above one": {"sampling_rate": 1.5},
    "text": {"clip": "wide"},
    "share of everything": {"base_share": 1.0},
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_options_are_refused_before_anything(case):
    with pytest.raises(PlanError):
        CTGAN.plan(SCHEMA, BUDGET, options=WRONG[case])


def test_wrong_delta_and_target_are_refused():
    with pytest.raises(PlanError):
        CTGAN.plan(SCHEMA, Budget(epsilon=1.0, delta=1e-3))
    with pytest.raises(PlanError, match="nothing"):
        CTGAN.plan(SCHEMA, BUDGET, Task(target="nothing"))


def test_interrupting_leaves_nothing(table):
    def stop(done, _what):
        if done > 0.2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        CTGAN.plan(SCHEMA, BUDGET, options=QUICK).run(table, SeededNoise(6), stop)


ODD = {
    "one column": (make_schema(a=["x", "y"]), 100),
    "one row": (make_schema(a=["x", "y"], b=(0, 9)), 1),
    "no rows": (make_schema(a=["x", "y"], b=(0, 9)), 0),
    "one level": (make_schema(a=["only"], b=["x", "y"]), 50),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_tables(case):
    schema, n = ODD[case]
    rows = random_table(schema, max(n, 1), np.random.default_rng(0)).take(np.arange(n))
    model = CTGAN.plan(schema, BUDGET, options={**QUICK, "steps": 3}).run(rows, SeededNoise(1))
    assert len(model.sample(30, np.random.default_rng(0))) == 30
    assert all(torch.isfinite(parameter).all() for parameter in model.refiner.module.parameters())


def test_several_rows_a_unit():
    schema = make_schema(unit="who", max_rows=4, a=["x", "y", "z"], b=["n", "y"])
    model = CTGAN.plan(schema, BUDGET, options={**QUICK, "steps": 3}).run(
        random_table(schema, 400, np.random.default_rng(2)), SeededNoise(1)
    )
    assert model.cost.max_rows_per_unit == 4
    assert len(model.sample(20, np.random.default_rng(0))) == 20


# ---------------------------------------------------------------------------------------------- the generator


SMALL = make_schema(a=["0", "1"], b=["0", "1", "2"])


@pytest.fixture(scope="module")
def base():
    """Two attributes that the base takes for independent: b = a, or 2 in every other row."""
    rng = np.random.default_rng(0)
    a = rng.integers(0, 2, 2_000)
    b = np.where(rng.random(2_000) < 0.5, a, 2)
    rows = make_table(SMALL, {"a": a.astype(str).tolist(), "b": b.astype(str).tolist()})
    model = get("independent").plan(SMALL, Budget(epsilon=8.0, delta=1e-7)).run(rows, SeededNoise(1))
    return model, np.stack([a, b], axis=1).astype(np.int64)


OPTIONS = GanOptions(
    hidden=32,
    spread=0.05,
    critic_hidden=16,
    generator_rate=3e-3,
    critic_rate=5e-3,
    penalty=10.0,
    critic_steps=1,
    generator_steps=1,
    batch=256,
    device=Device.CPU,
)


def recipe(steps, multiplier=1.0, rate=0.2):
    return SgdRecipe(rate=rate, steps=steps, clip=1.0, multiplier=multiplier)


def test_training_begins_at_the_base_row(base):
    model, _ = base
    refiner = Refiner.of(model, 8, 0.05, np.random.default_rng(0))
    generator = torch.Generator().manual_seed(0)
    rows = torch.from_numpy(adversary._base_rows(model, 5_000, np.random.default_rng(0)))
    drawn = refiner.draw(refiner.logits(rows, generator), generator)
    # κ = .05 of the levels are drawn anew, some of them to the level that they had.
    changed = (drawn != rows).double().mean().item()
    assert 0.015 < changed < 0.05


def test_relaxed_rows_are_one_hot_and_pass_gradients(base):
    refiner = Refiner.of(base[0], 8, 0.05, np.random.default_rng(0))
    logits = torch.zeros(400, sum(refiner.sizes), requires_grad=True)
    rows = refiner.relaxed(logits, torch.Generator().manual_seed(0))
    for attribute in (0, 1):
        assert torch.allclose(rows[:, refiner.span(attribute)].sum(dim=1), torch.ones(400))
    assert set(rows.detach().round(decimals=4).unique().tolist()) <= {0.0, 1.0}
    rows[:, 0].sum().backward()
    assert logits.grad[:, refiner.span(0)].abs().sum() > 0


def test_calibrated_rows_have_the_measured_marginals(base):
    model, _ = base
    refiner = Refiner.of(model, 8, 0.05, np.random.default_rng(0))
    with torch.no_grad():
        bias = refiner.module["out"].bias
        bias.copy_(torch.linspace(6.0, -6.0, len(bias)))
    made = CtganModel(generator="dp_ctgan", version="0", base=model, refiner=refiner)

    def distance():
        rows = made.sample(20_000, np.random.default_rng(1))
        return max(
            np.abs(np.bincount(rows[name].values, minlength=len(p))[: len(p)] / 20_000 - p).sum() / 2
            for name, p in zip("ab", model.fitted.one_way(), strict=True)
        )

    assert distance() > 0.05
    calibrate(refiner, model, np.random.default_rng(2))
    assert distance() < 0.015


def test_it_learns_what_the_base_does_not_know(base):
    """b is never the other value of a; independent columns have it so in a quarter of the rows."""
    model, rows = base
    refiner = train(
        model,
        rows,
        UnitRows(np.arange(len(rows)), 1),
        OPTIONS,
        recipe(300),
        np.random.default_rng(0),
        lambda *_: None,
        SeededRandomness(1),
    )
    made = CtganModel(generator="dp_ctgan", version="0", base=model, refiner=refiner)
    drawn = made.sample(4_000, np.random.default_rng(0))
    a, b = drawn["a"].values, drawn["b"].values
    assert np.mean(b == 1 - a) < 0.15
    assert 0.4 < a.mean() < 0.6


# ---------------------------------------------------------------------------------------------- privacy


def critic_and_rows(seed=0, n=12):
    rng = np.random.default_rng(seed)
    critic = discriminator(5, 6, 2, rng)
    with torch.no_grad():
        last = list(critic.parameters())[-2]
        last.copy_(torch.from_numpy(rng.standard_normal(last.shape)))
    codes = np.stack([rng.integers(0, 2, n), 2 + rng.integers(0, 3, n)], axis=1)
    x = torch.zeros(n, 1, 5).scatter_(2, torch.from_numpy(codes)[:, None], 1.0)
    return critic, x


def losses_of(critic, x):
    return torch.nn.functional.softplus(-critic(x).squeeze(-1)).sum(dim=1)


@pytest.mark.parametrize("clip", [0.05, 1.0, 50.0])
def test_the_discriminators_clipped_sum_is_that_of_one_pass_a_unit(clip):
    critic, x = critic_and_rows()
    fast = ClippedSum(critic, clip)
    fast.add(lambda: losses_of(critic, x))
    slow = [torch.zeros_like(p) for p in critic.parameters()]
    for row in x:
        gradients = torch.autograd.grad(losses_of(critic, row[None]).sum(), list(critic.parameters()))
        norm = torch.sqrt(sum(g.square().sum() for g in gradients))
        for total, gradient in zip(slow, gradients, strict=True):
            total.add_(gradient * min(1.0, clip / norm.item()))
    for parameter, total in zip(critic.parameters(), slow, strict=True):
        assert torch.allclose(fast.sums[parameter].float(), total, atol=1e-5)


def test_no_unit_moves_the_sum_by_more_than_the_bound():
    critic, x = critic_and_rows(n=40)
    for row in range(40):
        alone = ClippedSum(critic, 0.3)
        alone.add(lambda row=row: losses_of(critic, x[row : row + 1]))
        norm = torch.sqrt(sum(total.square().sum() for total in alone.sums.values())).item()
        assert norm <= 0.3 * HEADROOM


def test_layers_that_mix_units_are_refused_before_any_row_is_used(base, monkeypatch):
    model, rows = base

    def mixing(width, hidden, _attributes, _rng):
        return torch.nn.Sequential(
            torch.nn.Linear(width, hidden), torch.nn.BatchNorm1d(hidden), torch.nn.Linear(hidden, 1)
        )

    monkeypatch.setattr(adversary, "discriminator", mixing)
    seen = []
    with pytest.raises(PlanError, match="BatchNorm"):
        train(
            model,
            rows,
            UnitRows(np.arange(len(rows)), 1),
            OPTIONS,
            recipe(2),
            np.random.default_rng(0),
            lambda *_: seen.append(1),
        )
    assert seen == []


WATCHED = replace(OPTIONS, batch=16, critic_steps=10_000)
"""Where only what is private is looked at: few generated rows, and a generator that stands still."""


def steps_of(monkeypatch, base, rows, *, steps=1, scale=1.0, multiplier=2.0, rate=0.2, seed=0):
    """The discriminator's gradients as its optimiser gets them, less what the generated rows bring."""
    model, _ = base
    found = []

    class Watching(PrivateStepper):
        def step(self, loss):
            taking = self._optimizer.step

            def take():
                parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
                found.append(np.concatenate([p.grad.numpy().ravel() for p in parameters]) * self._expected)

            self._optimizer.step = take
            try:
                super().step(loss)
            finally:
                self._optimizer.step = taking

    monkeypatch.setattr(adversary, "PrivateStepper", Watching)
    train(
        model,
        rows,
        UnitRows(np.arange(len(rows)), 1),
        WATCHED,
        recipe(steps, multiplier, rate),
        np.random.default_rng(0),
        lambda *_: None,
        SeededRandomness(seed, scale),
    )
    return np.stack(found)


def test_realised_noise_is_the_accounted_one_on_both_sides(base, monkeypatch):
    """No rows: what arrives is noise alone, σ = multiplier · clip. 40 steps × some 400 parameters: ±2 % are more than 3 standard errors."""
    arrived = steps_of(monkeypatch, base, np.zeros((0, 2), dtype=np.int64), steps=40)
    sigma = 2.0 * HEADROOM
    assert 0.98 * sigma < arrived.std() < 1.02 * sigma
    assert abs(arrived.mean()) < 4 * sigma / np.sqrt(arrived.size)
    # The other arm: half the noise would be seen.
    half = steps_of(monkeypatch, base, np.zeros((0, 2), dtype=np.int64), steps=40, scale=0.5)
    assert half.std() < 0.98 * sigma


def test_white_box_audit(base, monkeypatch):
    """An observer of every noised gradient guesses whether a canary took part, with it in every step (rate 1).

    The canary's gradient is clipped to 1, the noise is 4: μ = 1/4 a step, so at δ = 1e-2 the claim is ε ≈ .5; 1,000 guesses. With a
    twentieth of the noise the same observer must break the claim.
    """
    canary = np.array([[0, 1]], dtype=np.int64)
    claim = accounting.epsilon_of_curve(accounting.rdp_curve([recipe(1, 4.0, 1.0).event]), 1e-2)

    def bound(scale):
        trials = 500
        with_it = steps_of(
            monkeypatch, base, canary, steps=trials, scale=scale, multiplier=4.0, rate=1.0, seed=1
        )
        without = steps_of(
            monkeypatch, base, canary[:0], steps=trials, scale=scale, multiplier=4.0, rate=1.0, seed=2
        )
        # Steps are not taken, so every gradient is the one at the beginning: its direction is public.
        direction = steps_of(monkeypatch, base, canary, steps=1, scale=0.0, multiplier=4.0, rate=1.0)[0]
        inside, outside = with_it @ direction, without @ direction
        return lower_bound(inside, outside, 1e-2)

    assert bound(1.0) <= claim
    assert bound(0.05) > claim


def lower_bound(inside, outside, delta):
    """95 % lower bound on ε from one threshold, chosen on one half of the guesses and judged on the other."""
    from scipy.stats import beta

    half = len(inside) // 2
    scores = np.sort(np.concatenate([inside[:half], outside[:half]]))

    def epsilon(hits, alarms, n, low, high):
        tpr = low(hits, n)
        fpr = high(alarms, n)
        return np.log(max(tpr - delta, 1e-12) / fpr)

    def least(k, n):
        return beta.ppf(0.025, k, n - k + 1) if k else 0.0

    def most(k, n):
        return beta.ppf(0.975, k + 1, n - k) if k < n else 1.0

    best = max(
        scores,
        key=lambda t: epsilon((inside[:half] > t).sum(), (outside[:half] > t).sum(), half, least, most),
    )
    rest = len(inside) - half
    return epsilon((inside[half:] > best).sum(), (outside[half:] > best).sum(), rest, least, most)
