"""A one-run audit of the deep generators' trainings, white box, through their public plans: many canaries, each in or out by a secret coin.

Steinke, Nasr, Jagielski (2305.08846), algorithm 1 and theorem 5.2, by `attacks.one_run`. One training; each canary is a unit of one row and was
put into the table by a fair coin. Adversary. Goal: tell which coins fell "in". Knowledge: all canaries' rows, the recipe, the weights before each
step and the noised gradient that the optimiser gets; not the coins, nor who was drawn for a step. A canary's score is the sum over steps of the
noised gradient, less what all canaries bring on average and less what is left of it along their mean, projected on its own clipped gradient at
those weights. The canaries of largest scores are guessed in, as many of smallest scores out, the others are passed over; how many is fixed before.

What is claimed: training *alone*, ε of its event at `DELTA` by the product's own accountant, without encoding and base. These are blinded
(`Blind`): the same answers whatever the rows, so that they and all that follows from them tell nothing of the coins, as the theorem needs.

What it does not see. The theorem asks for more than a Gaussian's tails give at these sizes: an honest training of ε = 1.5 comes out at a third
of that, and wrong ones are refuted only where they are wrong by a factor of three to ten (docs/generators-deep.md has which). Other canaries'
unknown coins are noise to a score, however little of it training adds; the discriminator's gradients are the more alike. A few parameters
without noise are not seen. `white_box` sees these, by many runs. Neither sees an accountant that is wrong: its ε is what they measure against.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from attacks.one_run import epsilon_lower_bound
from generators import get
from generators.deep import adversary, autoregressive, calibration, stepper
from generators.deep.clipping import ClippedSum
from generators.deep.randomness import Randomness
from generators.deep.recipe import SgdRecipe
from generators.deep.units import UnitBatch
from release.data.schema import Schema
from release.data.table import Table
from release.privacy import accounting
from release.protocols import Plan
from release.records import Budget
from tests.builders import make_schema, make_table
from tests.seeded_noise import SeededNoise

F64 = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

DELTA = 1e-5
TOLD = 100_000
"""Rows that the base is told there are, the same number in every cell: enough that it merges no levels."""

GENERATED = 500
"""Base rows that `dp_ctgan` draws: public, and not looked at."""

REAL_LOSSES = autoregressive.unit_losses


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is trained on whom.

    Attributes:
        generator: its name. epsilon: of the whole plan. options: of the plan.
        canaries: how many. attributes, levels: of their rows, drawn uniformly. guesses: half "in", half "out".
    """

    generator: str
    epsilon: float
    options: dict[str, Any]
    canaries: int
    attributes: int
    levels: int
    guesses: int

    @property
    def schema(self) -> Schema:
        levels = [str(level) for level in range(self.levels)]
        return make_schema(**{f"a{k}": levels for k in range(self.attributes)})

    def plan(self) -> Plan:
        return get(self.generator).plan(
            self.schema, Budget(epsilon=self.epsilon, delta=1e-7), None, self.options
        )

    def codes(self) -> IntArray:
        """The canaries' rows: public, always the same."""
        return np.random.default_rng(0).integers(0, self.levels, (self.canaries, self.attributes))

    def table(self, codes: IntArray) -> Table:
        return make_table(
            self.schema, {f"a{k}": [str(level) for level in codes[:, k]] for k in range(self.attributes)}
        )


EVERY_STEP = Setting(
    generator="dp_autoregressive",
    epsilon=2.6,
    options={"base_share": 0.5, "clip": 0.4, "steps": 5, "sampling_rate": 1.0},
    canaries=2_000,
    attributes=6,
    levels=200,
    guesses=200,
)
SAMPLED = replace(EVERY_STEP, options={"base_share": 0.5, "clip": 0.4, "steps": 15, "sampling_rate": 0.2})
GAN = Setting(
    generator="dp_ctgan",
    epsilon=1.5,
    options={
        "base_share": 0.5,
        "clip": 0.1,
        "steps": 3,
        "sampling_rate": 1.0,
        "critic_hidden": 1_024,
        "critic_steps": 1_000,
        "hidden": 8,
        "batch": 16,
    },
    canaries=1_000,
    attributes=6,
    levels=100,
    guesses=200,
)
"""Its discriminator alone: the generator does not step. Wide, so that canaries' gradients differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the guesses prove.

    Attributes:
        claimed: ε of the training by its accountant, at `DELTA`.
        bound: 95 % lower bound on ε. most: what all guesses right would have proven.
        right, guesses, canaries: how many.
        distance: of the scores in and out, means over standard deviation.
        expected: the same if training does as it says and canaries' gradients are orthogonal.
    """

    claimed: float
    bound: float
    most: float
    right: int
    guesses: int
    canaries: int
    distance: float
    expected: float

    @property
    def refuted(self) -> bool:
        return self.bound > self.claimed

    def __str__(self) -> str:
        return (
            f"claimed ε = {self.claimed:.2f}, at least {self.bound:.2f} ({self.most:.2f} at most by {self.guesses} guesses, of which {self.right} right;"
            f" {self.canaries:,} canaries), distance of scores {self.distance:.2f} ({self.expected:.2f} accounted)"
        )


class Blind(SeededNoise):
    """What encoding and base are told: the same whatever the rows are."""

    def discrete_gaussian(self, counts: IntArray, sigma: float) -> IntArray:
        del sigma
        return np.full(np.shape(counts), TOLD // max(1, np.size(counts)), dtype=np.int64)

    def discrete_laplace(self, counts: IntArray, scale: float) -> IntArray:
        return self.discrete_gaussian(counts, scale)

    def exponential(self, scores: F64, epsilon: float, sensitivity: float) -> int:
        del scores, epsilon, sensitivity
        return 0


class NotClipped(ClippedSum):
    """A fault for audits to find."""

    def __init__(self, module: torch.nn.Module, _clip: float) -> None:
        super().__init__(module, 1e9)


def accounted(recipe: SgdRecipe) -> float:
    """ε of the training alone at `DELTA`."""
    return accounting.epsilon_of_curve(accounting.rdp_curve([recipe.event]), DELTA)


def expected_distance(recipe: SgdRecipe) -> float:
    """Of a canary's scores in and out: each step adds 1 where it is drawn, and noise."""
    variance = recipe.multiplier**2 + recipe.rate * (1.0 - recipe.rate) / 2
    return recipe.rate * math.sqrt(recipe.steps / variance)


def audit(
    patch: pytest.MonkeyPatch, setting: Setting, coins: BoolArray, randomness: Callable[[], Randomness]
) -> Found:
    """Run the plan once on the canaries whose coins fell "in", and guess the coins.

    Args:
        patch: puts the adversary's eyes in.
        setting: see `Setting`.
        coins: shape (canaries,).
        randomness: of the training.
    """
    plan: Any = setting.plan()
    codes = setting.codes()
    watched = _Watched(plan.recipe, codes)
    with patch.context() as during:
        for module in (autoregressive, adversary):
            during.setattr(module, "PrivateStepper", watched.stepper)
            during.setattr(module, "SystemRandomness", randomness)
        during.setattr(autoregressive, "unit_losses", watched.losses)
        during.setattr(adversary, "_POOL", GENERATED)
        during.setattr(calibration, "ROWS", GENERATED)  # what follows training is not looked at
        plan.run(setting.table(codes[coins]), Blind(0))
    return judge(watched.scores, coins, setting.guesses, plan.recipe)


def judge(scores: F64, coins: BoolArray, guesses: int, recipe: SgdRecipe) -> Found:
    """Guess "in" for the `guesses` / 2 largest scores and "out" for as many smallest."""
    m, half = len(scores), guesses // 2
    order = np.argsort(-scores)
    right = int(coins[order[:half]].sum() + (~coins[order[m - half :]]).sum())
    inside, outside = scores[coins], scores[~coins]
    return Found(
        claimed=accounted(recipe),
        bound=epsilon_lower_bound(m, 2 * half, right, DELTA),
        most=epsilon_lower_bound(m, 2 * half, 2 * half, DELTA),
        right=right,
        guesses=2 * half,
        canaries=m,
        distance=float((inside.mean() - outside.mean()) / math.sqrt((inside.var() + outside.var()) / 2)),
        expected=expected_distance(recipe),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Gradients:
    """Clipped gradients of some units of one row each, as what they are products of.

    Attributes:
        parts: of each layer it, its inputs a, shape (units, in), and its outputs' gradients times the clipping factor, shape (units, out).
    """

    parts: list[tuple[torch.nn.Linear, torch.Tensor, torch.Tensor]]

    @classmethod
    def of(
        cls, module: torch.nn.Module, losses: Callable[[], torch.Tensor], clip: float
    ) -> tuple[Gradients, torch.Tensor]:
        """And their lengths before clipping. By hooks of its own: the product's clipping is what is audited."""
        seen: list[tuple[torch.nn.Linear, torch.Tensor, torch.Tensor]] = []

        def remember(layer: Any, inputs: Any, output: torch.Tensor) -> None:
            seen.append((layer, inputs[0].detach(), output))

        handles = [
            layer.register_forward_hook(remember)
            for layer in module.modules()
            if isinstance(layer, torch.nn.Linear)
        ]
        total = losses().sum()
        for handle in handles:
            handle.remove()
        gradients = torch.autograd.grad(total, [output for _, _, output in seen])
        parts = [
            (layer, a.flatten(1).double(), g.flatten(1).double())
            for (layer, a, _), g in zip(seen, gradients, strict=True)
        ]
        squared = sum(((g**2 @ _mask(layer)) * a**2).sum(1) + (g**2).sum(1) for layer, a, g in parts)
        norms = torch.as_tensor(squared).sqrt()
        factors = (clip / norms.clamp(min=clip))[:, None]
        return cls([(layer, a, g * factors) for layer, a, g in parts]), norms

    def sums(self) -> dict[torch.Tensor, torch.Tensor]:
        """Over the units, by parameter."""
        found: dict[torch.Tensor, torch.Tensor] = {}
        for layer, a, g in self.parts:
            found[layer.weight] = (g.T @ a) * _mask(layer)
            found[layer.bias] = g.sum(0)
        return found

    def along(self, direction: dict[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Inner product of each unit's gradient with this one, shape (units,)."""
        products = [
            ((g @ (direction[layer.weight] * _mask(layer))) * a).sum(1) + g @ direction[layer.bias]
            for layer, a, g in self.parts
        ]
        return torch.stack(products).sum(0)


def _mask(layer: torch.nn.Linear) -> torch.Tensor:
    """Which of its weights exist, shape (out, in)."""
    mask = getattr(layer, "mask", None)
    return torch.ones_like(layer.weight).double() if mask is None else mask.double()


def _critic_losses(critic: torch.nn.Module, codes: IntArray) -> torch.Tensor:
    """Of `dp_ctgan`'s discriminator on real rows: -ln σ(score), shape (units,). All attributes have as many levels."""
    width = next(critic.parameters()).shape[1]
    places = codes + np.arange(codes.shape[1]) * (width // codes.shape[1])
    rows = torch.zeros(len(codes), width).scatter_(1, torch.from_numpy(places), 1.0)
    return torch.nn.functional.softplus(-critic(rows).squeeze(-1))


class _Watched:
    """What the adversary sees of the run: the real stepper, looked at before each step of its optimiser."""

    def __init__(self, recipe: SgdRecipe, codes: IntArray) -> None:
        self.scores: F64 = np.zeros(len(codes))
        self._recipe = recipe
        self._codes = codes
        self._losses: Callable[[torch.nn.Module, IntArray], torch.Tensor] = _critic_losses

    def losses(self, network: Any, rows: IntArray, batch: UnitBatch, options: Any) -> torch.Tensor:
        """In place of `unit_losses`: the same, its network and settings noted."""
        assert set(map(tuple, rows)) <= set(map(tuple, self._codes))  # the base merged no levels

        def of(_module: torch.nn.Module, codes: IntArray) -> torch.Tensor:
            alone = np.arange(len(codes))[:, None]
            return REAL_LOSSES(network, codes, UnitBatch(alone, np.ones_like(alone, dtype=np.bool_)), options)

        self._losses = of
        return REAL_LOSSES(network, rows, batch, options)

    def stepper(
        self, module: torch.nn.Module, optimizer: torch.optim.Optimizer, *rest: Any, **named: Any
    ) -> Any:
        """In place of `PrivateStepper`: the same. Its optimiser's first hook sees private rows only."""
        made = stepper.PrivateStepper(module, optimizer, *rest, **named)
        optimizer.register_step_pre_hook(lambda *_: self._look(module, made._expected))
        return made

    def _look(self, module: torch.nn.Module, expected: float) -> None:
        recipe = self._recipe
        clipped, norms = Gradients.of(module, lambda: self._losses(module, self._codes), recipe.clip)
        assert float(norms.min()) >= recipe.clip
        total = clipped.sums()
        left = {
            p: p.grad.double() * expected - 0.5 * recipe.rate * total[p] for p in total if p.grad is not None
        }
        assert left.keys() == total.keys()
        shared = sum(float((left[p] * total[p]).sum()) for p in total) / sum(
            float((t**2).sum()) for t in total.values()
        )
        apart = {p: left[p] - shared * total[p] for p in total}
        self.scores += clipped.along(apart).numpy() / recipe.clip**2
