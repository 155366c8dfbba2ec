"""A generator and a discriminator on coded rows: the discriminator alone meets private rows, under DP-SGD.

The generator refines rows. CTGAN's conditional vector names one column's level, chosen by exact frequencies (1907.00503); here the whole
row is the condition, and it is drawn from measured marginals (`base`), so nothing but noised counts says which rows are asked for:

    log((1 - κ) · onehot(base row) + κ · measured one-way marginal) + shift + out · h(base row, z),   z standard normal

one softmax for each attribute. With `out` at zero, where training begins, nearly every base row comes back unchanged. The discriminator's
gradient moves levels to where real rows have them, given the rest of the row; the generator follows it and never meets a real row (post-processing).

What is left out of CTGAN, and why: the gradient penalty (it needs gradients of gradients of each unit), packing (it mixes units), BatchNorm in
the discriminator (it mixes units; LayerNorm without parameters stands there, which also makes units' gradients nearly equally long, so
that clipping scales them alike), conditional row selection (it reads exact frequencies; units enter by Poisson coins as accounted). Generated
rows are public: their part of the discriminator's gradient is clipped in the same way, and gets no noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from generators.core.sampling import sample
from generators.core.thinning import draw
from generators.deep.clipping import ClippedSum
from generators.deep.device import Device
from generators.deep.randomness import Randomness, SystemRandomness
from generators.deep.recipe import SgdRecipe
from generators.deep.room import rows_at_once
from generators.deep.stepper import PrivateStepper, Reporter
from generators.deep.units import UnitBatch, UnitRows
from generators.model import MarginalModel
from release.errors import FaultError
from release.protocols import Progress

if TYPE_CHECKING:
    import torch

FloatTable = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

LATENT = 16
"""Normal numbers that the generator gets beside the base row."""

_POOL = 50_000
"""Base rows drawn once for training."""

_SLOPE = 0.2
"""Of the discriminator's leaky rectifiers."""

_BETAS = (0.5, 0.99)
_AVERAGE = 0.98
"""Decay of the generator's averaged weights, which are the ones kept."""

_WARM = 20
"""Steps over which the learning rates rise; from there they fall along a cosine."""

_FLOOR = 0.05
_MOST_ROWS = 2_048
"""Of units' rows, in one pass."""

_ROUNDS = 100
_CLOSE = 5e-4
"""Calibration stops at this total variation distance, or after so many rounds."""

CHUNK = 1 << 13
"""Rows in one pass of sampling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GanOptions:
    """Settings that cost nothing.

    Attributes:
        hidden: width of the generator's layers.
        spread: κ: share of the one-way marginal in what the generator begins with, so that it can move a level.
        critic_hidden: width of the discriminator's: every parameter is noised, so narrow.
        generator_rate, critic_rate: Adam's.
        penalty: weight of the discriminator's squared slope at generated rows (R2 of 1801.04406).
        critic_steps: accounted steps of the discriminator between steps of the generator.
        generator_steps: the generator's steps then.
        batch: generated rows in a step.
        device: where both are trained.
    """

    hidden: int
    spread: float
    critic_hidden: int
    generator_rate: float
    critic_rate: float
    penalty: float
    critic_steps: int
    generator_steps: int
    batch: int
    device: Device


class Refiner:
    """The generator.

    Args:
        sizes: levels of each attribute.
        hidden: width of its layers.
        spread: κ.

    Attributes:
        module: its layers; one-way marginals and shifts as buffers, so that one file holds all.
    """

    def __init__(self, sizes: Sequence[int], hidden: int, spread: float) -> None:
        import torch

        self.sizes = tuple(sizes)
        self.hidden = hidden
        self.spread = spread
        self.offsets = np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.int64)
        width = int(self.offsets[-1])
        self.module = torch.nn.ModuleDict(
            {
                "first": torch.nn.Linear(width + LATENT, hidden),
                "second": torch.nn.Linear(hidden, hidden),
                "out": torch.nn.Linear(hidden, width),
            }
        )
        self.module.register_buffer("one_way", torch.full((width,), 1.0))
        self.module.register_buffer("shift", torch.zeros(width))

    @classmethod
    def of(cls, base: MarginalModel, hidden: int, spread: float, rng: np.random.Generator) -> Refiner:
        """One that gives base rows back."""
        import torch

        refiner = cls(base.compression.merged.sizes, hidden, spread)
        initialise(refiner.module["first"], rng, fan_in=len(refiner.sizes) + LATENT)
        initialise(refiner.module["second"], rng, fan_in=hidden)
        with torch.no_grad():
            for parameter in refiner.module["out"].parameters():
                parameter.zero_()
            refiner.buffer("one_way").copy_(torch.from_numpy(np.concatenate(_one_way(base))))
        return refiner

    def buffer(self, name: str) -> torch.Tensor:
        """A buffer of the module."""
        return self.module.get_buffer(name)

    def span(self, attribute: int) -> slice:
        """Where an attribute's levels stand."""
        return slice(int(self.offsets[attribute]), int(self.offsets[attribute + 1]))

    def onehot(self, rows: torch.Tensor) -> torch.Tensor:
        """Codes, shape (…, d) → shape (…, S), S the sum of sizes."""
        import torch

        places = rows + torch.from_numpy(self.offsets[:-1]).to(rows.device)
        zeros = torch.zeros(*rows.shape[:-1], int(self.offsets[-1]), device=rows.device)
        return zeros.scatter_(-1, places, 1.0)

    def logits(self, base_rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Of the refined rows given base rows (codes, shape (n, d)); shape (n, S)."""
        import torch

        layers: Any = self.module
        x = self.onehot(base_rows)
        z = torch.randn(len(x), LATENT, generator=generator, device=x.device)
        h = torch.relu(layers["first"](torch.cat([x, z], dim=1)))
        h = h + torch.relu(layers["second"](h))
        moved = layers["out"](h)
        begin = torch.log((1.0 - self.spread) * x + self.spread * self.buffer("one_way"))
        found: torch.Tensor = begin + self.buffer("shift") + moved
        return found

    def draw(
        self, logits: torch.Tensor, generator: torch.Generator, likelihoods: Sequence[FloatTable | None] = ()
    ) -> torch.Tensor:
        """Codes drawn from the logits, shape (n, d); each attribute's likelihood (where given) multiplies its softmax."""
        import torch

        drawn = []
        for attribute in range(len(self.sizes)):
            part = logits[:, self.span(attribute)].double()
            likelihood = likelihoods[attribute] if likelihoods else None
            if likelihood is not None:
                part = part + torch.log(torch.from_numpy(likelihood).to(part.device))
            p = torch.softmax(part, dim=1).cumsum(dim=1)
            u = torch.rand(len(p), 1, generator=generator, dtype=torch.float64, device=p.device) * p[:, -1:]
            drawn.append((u >= p).sum(dim=1).clamp_(max=p.shape[1] - 1))
        return torch.stack(drawn, dim=1)

    def relaxed(self, logits: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """One-hot rows drawn from the logits, shape (n, S), through which gradients pass as if they were softmaxes (1611.01144)."""
        import torch

        u = torch.rand(logits.shape, generator=generator, device=logits.device).clamp_(1e-9, 1.0 - 1e-7)
        noisy = logits - torch.log(-torch.log(u))
        parts = []
        for attribute in range(len(self.sizes)):
            soft = torch.softmax(noisy[:, self.span(attribute)], dim=1)
            hard = torch.zeros_like(soft).scatter_(1, soft.argmax(dim=1, keepdim=True), 1.0)
            parts.append(hard + soft - soft.detach())
        return torch.cat(parts, dim=1)


def discriminator(width: int, hidden: int, attributes: int, rng: np.random.Generator) -> torch.nn.Module:
    """One-hot rows → how real they look. Its last layer begins at zero."""
    import torch

    first, second, last = (
        torch.nn.Linear(width, hidden),
        torch.nn.Linear(hidden, hidden),
        torch.nn.Linear(hidden, 1),
    )
    initialise(first, rng, fan_in=attributes)
    initialise(second, rng, fan_in=hidden)
    for parameter in last.parameters():
        torch.nn.init.zeros_(parameter)

    def norm() -> torch.nn.Module:
        return torch.nn.LayerNorm(hidden, elementwise_affine=False)

    def rectifier() -> torch.nn.Module:
        return torch.nn.LeakyReLU(_SLOPE)

    return torch.nn.Sequential(first, norm(), rectifier(), second, norm(), rectifier(), last)


def train(
    base: MarginalModel,
    rows: IntArray,
    units: UnitRows,
    options: GanOptions,
    recipe: SgdRecipe,
    rng: np.random.Generator,
    progress: Progress,
    randomness: Randomness | None = None,
) -> Refiner:
    """Train both networks; the recipe's steps are the discriminator's.

    Args:
        base: the measured model that rows are refined from.
        rows: private codes over the base's merged domain, shape (rows, d).
        units: the rows of each privacy unit.
        options: settings that cost nothing.
        recipe: the accounted training.
        rng: for everything that is not private.
        progress: from 0 to 1.
        randomness: noise and coins; only tests give it.
    """
    import torch

    device = torch.device(options.device)
    refiner = Refiner.of(base, options.hidden, options.spread, rng)
    refiner.module.to(device)
    width = int(refiner.offsets[-1])
    pool = torch.from_numpy(_base_rows(base, _POOL, rng)).to(device)
    critic = discriminator(width, options.critic_hidden, len(refiner.sizes), rng).to(device)
    generator = torch.Generator(device).manual_seed(int(rng.integers(2**63)))
    private = torch.from_numpy(rows).to(device)
    most = base.cost.max_rows_per_unit
    optimizer = torch.optim.Adam(critic.parameters(), lr=options.critic_rate, betas=_BETAS)
    follower = torch.optim.Adam(refiner.module.parameters(), lr=options.generator_rate, betas=_BETAS)
    stepper = PrivateStepper(
        critic,
        optimizer,
        recipe,
        units,
        # Each row's loss counts 1/most, so that this many units make the mean over rows.
        expected_units=base.fitted.total / most,
        randomness=randomness if randomness is not None else SystemRandomness(),
        most_rows=rows_at_once(width, _MOST_ROWS),
    )
    public = ClippedSum(critic, recipe.clip)

    def looks(x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = critic(x).squeeze(-1)
        return found

    def losses(batch: UnitBatch) -> torch.Tensor:
        x = refiner.onehot(private[torch.from_numpy(batch.rows).to(device)])
        each = torch.nn.functional.softplus(-looks(x)) * torch.from_numpy(batch.present).to(device)
        return each.sum(dim=1) / most

    def fakes(n: int) -> torch.Tensor:
        return pool[torch.randint(len(pool), (n,), generator=generator, device=device)]

    def add_generated(*_: Any) -> None:
        """Before the optimiser steps: the generated rows' clipped gradient joins the private rows' noised one."""
        with torch.no_grad():
            drawn = refiner.draw(refiner.logits(fakes(options.batch), generator), generator)
        public.clear()
        public.add(lambda: torch.nn.functional.softplus(looks(refiner.onehot(drawn))))
        parameters = list(public.sums)
        x = refiner.onehot(drawn).requires_grad_()
        (slope,) = torch.autograd.grad(looks(x).sum(), x, create_graph=True)
        steepness = 0.5 * options.penalty * slope.square().sum(dim=1).mean()
        penalties = torch.autograd.grad(steepness, parameters, allow_unused=True)
        for parameter, penalty in zip(parameters, penalties, strict=True):
            noised = parameter.grad
            if noised is None:
                raise FaultError("a gradient came without its noised part", mend="report this")
            own = (public.sums[parameter] / options.batch).to(noised.dtype)
            parameter.grad = noised + own + (0.0 if penalty is None else penalty)

    optimizer.register_step_pre_hook(add_generated)
    average = [parameter.detach().clone() for parameter in refiner.module.parameters()]
    report = Reporter(progress, recipe, base.cost.events[:-1], base.cost.delta, (0.0, 0.95))
    for step in range(recipe.steps):
        pace = _pace(step, recipe.steps)
        _set_rate(optimizer, pace * options.critic_rate)
        _set_rate(follower, pace * options.generator_rate)
        stepper.step(losses)
        for _ in range(options.generator_steps if (step + 1) % options.critic_steps == 0 else 0):
            x = refiner.relaxed(refiner.logits(fakes(options.batch), generator), generator)
            loss = torch.nn.functional.softplus(-looks(x)).mean()
            parameters = list(refiner.module.parameters())
            for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                parameter.grad = gradient
            follower.step()
            for kept, parameter in zip(average, parameters, strict=True):
                kept.mul_(_AVERAGE).add_(parameter.detach(), alpha=1.0 - _AVERAGE)
        report(step + 1)
    with torch.no_grad():
        for kept, parameter in zip(average, refiner.module.parameters(), strict=True):
            parameter.copy_(kept)
    refiner.module.to("cpu")
    calibrate(refiner, base, rng)
    progress(1.0, "refined rows have the measured one-way marginals")
    return refiner


def calibrate(refiner: Refiner, base: MarginalModel, rng: np.random.Generator) -> None:
    """Move `shift` so that refined rows have the base's one-way marginals, in place.

    Attributes are independent of each other given base row and z, so that each one's shift is found by itself, by iterative proportional
    fitting of its mean softmax. Post-processing.
    """
    import torch

    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    rows = torch.from_numpy(np.stack(draw(base.fitted, _POOL // 2, rng), axis=1).astype(np.int64))
    with torch.no_grad():
        logits = torch.cat(
            [refiner.logits(rows[start : start + CHUNK], generator) for start in range(0, len(rows), CHUNK)]
        )
        for attribute, wanted in enumerate(_one_way(base)):
            part = logits[:, refiner.span(attribute)].double()
            moved = torch.zeros(part.shape[1], dtype=torch.float64)
            for _ in range(_ROUNDS):
                now = torch.softmax(part + moved, dim=1).mean(dim=0)
                if 0.5 * float((now - torch.from_numpy(wanted)).abs().sum()) < _CLOSE:
                    break
                moved += torch.log(torch.from_numpy(wanted) / now.clamp(min=1e-9))
            refiner.buffer("shift")[refiner.span(attribute)] += moved.float()


def initialise(layer: Any, rng: np.random.Generator, *, fan_in: int) -> None:
    """Normal weights of variance 1 / fan_in, no bias."""
    import torch

    with torch.no_grad():
        drawn = rng.standard_normal(tuple(layer.weight.shape)) / np.sqrt(fan_in)
        layer.weight.copy_(torch.from_numpy(drawn))
        layer.bias.zero_()


def _one_way(base: MarginalModel) -> list[FloatTable]:
    """The base's one-way marginals over the merged domain, all positive."""
    raised = [np.maximum(marginal, 1e-6) for marginal in base.fitted.one_way()]
    return [marginal / marginal.sum() for marginal in raised]


def _base_rows(base: MarginalModel, n: int, rng: np.random.Generator) -> IntArray:
    return np.stack(sample(base.fitted.tree, base.fitted.theta, n, rng), axis=1).astype(np.int64)


def _pace(step: int, steps: int) -> float:
    rise = min(1.0, (step + 1) / _WARM)
    return rise * (0.5 * (1.0 + math.cos(math.pi * step / steps)) + _FLOOR)


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
