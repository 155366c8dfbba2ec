"""Training of the autoregressive network on top of a base: DP-SGD on the negative log-likelihood of members' rows.

A base model of the marginal family is fitted with a share of the budget. The untrained network is that base; training learns from the private
rows what it does not know. What is kept is the average of the last steps' weights, calibrated to the base's marginals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from generators.deep.backbone import Backbone, IntArray
from generators.deep.calibration import calibrate
from generators.deep.device import Device
from generators.deep.network import Network
from generators.deep.randomness import SystemRandomness
from generators.deep.recipe import SgdRecipe
from generators.deep.room import rows_at_once
from generators.deep.stepper import PrivateStepper, Reporter
from generators.deep.units import UnitBatch, UnitRows
from generators.model import MarginalModel
from release.protocols import Progress

if TYPE_CHECKING:
    import torch

ROWS_AT_ONCE = 8192
"""Of units' rows, the most in one pass."""

WARM_UP = 10
"""Steps in which the learning rate rises."""

AVERAGED = 0.9
"""Momentum of the running average of weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArOptions:
    """Public settings of the network and its training; `docs/generators-deep.md` has what others gave.

    Attributes:
        hidden: width of the hidden layers.
        steps, sampling_rate, clip: see `SgdRecipe`.
        learning_rate: of Adam, at its height.
        target_weight: of the target's head in the loss, beside the mean over attributes.
        device: where it is trained.
    """

    hidden: int
    steps: int
    sampling_rate: float
    clip: float
    learning_rate: float
    target_weight: float
    device: Device


def train(
    base: MarginalModel,
    rows: IntArray,
    units: UnitRows,
    options: ArOptions,
    recipe: SgdRecipe,
    targets: Sequence[int],
    rng: np.random.Generator,
    progress: Progress,
) -> Network:
    """Train a network.

    Args:
        base: fitted within the budget.
        rows: private codes of the base's (merged) domain, shape (rows, d).
        units: their index by unit.
        options: see `ArOptions`.
        recipe: accounted.
        targets: attributes of the task's target, at most one of which is used.
        rng: for what is public or synthetic: initial weights, rows of the base and of the network.
        progress: from 0 to 1.
    """
    import torch

    network = Network(Backbone.of(base.fitted), options.hidden, targets[0] if targets else None)
    network.draw_weights(rng)
    network.module.to(options.device)
    optimizer = torch.optim.Adam(network.module.parameters(), lr=options.learning_rate)
    stepper = PrivateStepper(
        network.module,
        optimizer,
        recipe,
        units,
        # Rows, not units: no noisy count of units exists. Adam does not mind a constant factor.
        expected_units=base.fitted.total,
        randomness=SystemRandomness(),
        most_rows=rows_at_once(network.width, ROWS_AT_ONCE),
    )
    others = [event for event in base.cost.events if event != recipe.event]
    report = Reporter(progress, recipe, others, base.cost.delta, (0.0, 0.97))
    average = [p.detach().clone() for p in network.module.parameters()]
    for step in range(recipe.steps):
        falling = 0.5 * (1.0 + math.cos(math.pi * step / recipe.steps)) + 0.02
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate * min(1.0, (step + 1) / WARM_UP) * falling
        stepper.step(lambda batch: unit_losses(network, rows, batch, options))
        momentum = min(AVERAGED, (1 + step) / (10 + step))
        for mean, parameter in zip(average, network.module.parameters(), strict=True):
            mean.mul_(momentum).add_(parameter.detach(), alpha=1.0 - momentum)
        report(step + 1)
    with torch.no_grad():
        for mean, parameter in zip(average, network.module.parameters(), strict=True):
            parameter.copy_(mean)
    network.module.eval().to("cpu")
    progress(0.98, "calibration to the measured marginals")
    calibrate(network, base.fitted, rng)
    progress(1.0, "network trained")
    return network


def unit_losses(network: Network, rows: IntArray, batch: UnitBatch, options: ArOptions) -> torch.Tensor:
    """Negative log-likelihood of each unit's rows, shape (units,): the sum over its rows of the mean over attributes, times √d."""
    import torch

    units, width = batch.rows.shape
    d = len(network.sizes)
    codes = rows[batch.rows.reshape(-1)]
    known = np.concatenate([network.backbone.given(a, codes) for a in range(d)], axis=1)
    device = network.device
    levels = torch.from_numpy(codes).to(device)
    x = network.one_hot(levels)
    stacked = x.view(units, width, -1)  # first axis units, second their rows: see `ClippedSum.add`
    residual = network.residual(stacked).view(len(codes), -1)
    head = network.head(stacked).view(len(codes), -1) if network.target is not None else None
    logits = residual + torch.from_numpy(known.astype(np.float32)).to(device)
    losses = torch.zeros(len(codes), device=device)
    for attribute in range(d):
        losses = losses + torch.nn.functional.cross_entropy(
            logits[:, network.span(attribute)], levels[:, attribute], reduction="none"
        )
    losses = losses * d**-0.5
    if head is not None and network.target is not None:
        again = network.backbone.again(network.target, codes).astype(np.float32)
        losses = losses + options.target_weight * torch.nn.functional.cross_entropy(
            head + torch.from_numpy(again).to(device), levels[:, network.target], reduction="none"
        )
    present = torch.from_numpy(batch.present).to(device)
    found: torch.Tensor = (losses.view(units, width) * present).sum(dim=1)
    return found
