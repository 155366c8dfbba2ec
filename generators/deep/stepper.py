"""One accounted step of DP-SGD after another.

A step: every unit enters by a coin, its gradient is clipped, the clipped gradients are summed, Gaussian noise of σ = multiplier · clip is added
to the sum, the sum is divided by the *expected* number of units, and an ordinary optimiser takes it. A step that drew nobody still adds its
noise and steps. The noise is added in float64 and rounded once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from generators.deep.clipping import HEADROOM, ClippedSum
from generators.deep.randomness import Randomness
from generators.deep.recipe import SgdRecipe
from generators.deep.units import UnitBatch, UnitRows
from release.errors import FaultError
from release.protocols import Progress
from release.records import DpEvent

if TYPE_CHECKING:
    import torch

UnitLoss = Callable[[UnitBatch], "torch.Tensor"]
"""Runs the network once on a part of a batch and returns each unit's loss, shape (units,). It may mix no units."""

SECONDS_BETWEEN_REPORTS = 0.5


class PrivateStepper:
    """Takes the steps of a recipe, and refuses any beyond.

    Args:
        module: the network; PlanError where it cannot be trained privately.
        optimizer: an ordinary torch optimiser of its parameters.
        recipe: what was accounted.
        units: the private rows, by unit.
        expected_units: a public or noised estimate of the number of units.
        randomness: noise and coins.
        most_rows: in one pass.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        recipe: SgdRecipe,
        units: UnitRows,
        *,
        expected_units: float,
        randomness: Randomness,
        most_rows: int = 2048,
    ) -> None:
        self._clipped = ClippedSum(module, recipe.clip)
        self._optimizer = optimizer
        self._recipe = recipe
        self._units = units
        self._expected = max(1.0, recipe.rate * expected_units)
        self._randomness = randomness
        self._most_rows = most_rows
        self.taken = 0
        optimised = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if optimised != {id(p) for p in self._clipped.sums}:
            raise FaultError(
                "the optimiser's parameters are not the ones that are clipped and noised",
                mend="give it the trainable parameters of this network",
            )

    def step(self, loss: UnitLoss) -> None:
        """Draw a batch, clip, sum, add noise, step. FaultError beyond the accounted number of steps."""
        import torch

        if self.taken >= self._recipe.steps:
            raise FaultError(
                f"step {self.taken + 1} of a training that was accounted for {self._recipe.steps}",
                mend="report this: the plan promised less than the run asks for",
            )
        self.taken += 1
        self._clipped.clear()
        for batch in self._units.batches(self._randomness, self._recipe.rate, self._most_rows):
            self._clipped.add(lambda batch=batch: loss(batch))  # type: ignore[misc]
        sigma = self._recipe.multiplier * self._recipe.clip * HEADROOM
        for parameter, total in self._clipped.sums.items():
            noise = torch.from_numpy(self._randomness.gaussian(parameter.numel()) * sigma)
            noisy = total.double() + noise.view_as(total).to(total.device)
            parameter.grad = (noisy / self._expected).to(parameter.dtype)
        self._optimizer.step()


class Reporter:
    """Says how far a training is: epoch, step, ε spent so far, time left.

    Args:
        progress: where to.
        recipe: of the training.
        others: what was run before.
        delta: of the plan.
        span: the part of `progress` that training takes, within 0 … 1.
        clock: seconds; for tests.
    """

    def __init__(
        self,
        progress: Progress,
        recipe: SgdRecipe,
        others: Sequence[DpEvent],
        delta: float,
        span: tuple[float, float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress = progress
        self._recipe = recipe
        self._others = tuple(others)
        self._delta = delta
        self._span = span
        self._clock = clock
        self._begin = self._last = clock()

    def __call__(self, taken: int) -> None:
        """After `taken` steps. Says something twice a second at most, and after the last step."""
        now = self._clock()
        recipe = self._recipe
        if now - self._last < SECONDS_BETWEEN_REPORTS and taken not in (1, recipe.steps):
            return
        self._last = now
        left = (now - self._begin) / taken * (recipe.steps - taken)
        epochs = max(1, int(np.ceil(recipe.steps * recipe.rate)))
        epoch = min(epochs, 1 + int((taken - 1) * recipe.rate))
        epsilon = recipe.epsilon_after(taken, self._others, self._delta)
        low, high = self._span
        self._progress(
            low + (high - low) * taken / recipe.steps,
            f"epoch {epoch} of {epochs}, step {taken} of {recipe.steps}, ε {epsilon:.2f} spent, {_duration(left)} left",
        )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
