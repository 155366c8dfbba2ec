"""A white-box audit of `dp_autoregressive` through its public plan: does training hide one unit as well as it was accounted?

Adversary. Goal: tell whether one unit, the canary, was in the table. Knowledge: all other rows, the recipe, the weights before each step, the
noised gradient that the optimiser gets, and which other units were drawn: whatever add/remove neighbours leave open to a worst case.
From each step's noised sum it takes the others' clipped gradients and projects the rest on the canary's own clipped gradient at those
weights: s = (present · coin + σ · normal) / σ. What a step says is the log-likelihood ratio of s with and without the canary,
ln(1 - q + q · exp(s/σ - 1/(2σ²))), at the accounted q and σ. Steps are independent of each other given the weights, so each is a trial.

Its distance (difference of means over the standard deviation, of T steps: √T times one step's) is computed from q, σ and T alone, the claim,
and estimated from runs of the plan on both tables. Claim ≥ the lower 95 % end, and estimate ≥ .85 of the claim, or the audit saw too little.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from generators import get
from generators.deep import autoregressive, calibration, stepper
from generators.deep.autoregressive import ArOptions
from generators.deep.backbone import IntArray
from generators.deep.clipping import ClippedSum
from generators.deep.network import Network
from generators.deep.randomness import Randomness
from generators.deep.units import UnitBatch
from generators.dp_autoregressive import AutoregressivePlan
from release.data.table import Table
from release.records import Budget
from tests.builders import make_schema, make_table
from tests.seeded_noise import SeededNoise

F64 = npt.NDArray[np.float64]

POWER = 0.85
RESAMPLES = 2_000
LEVELS = (("x", "y", "z"), ("u", "v"), ("k", "l", "m"))
SCHEMA = make_schema(**{name: list(levels) for name, levels in zip("abc", LEVELS, strict=True)})
CODES = np.random.default_rng(0).integers(0, [len(levels) for levels in LEVELS], (31, 3))
"""All rows, of one unit each; the last is the canary."""

REAL_LOSSES = autoregressive.unit_losses


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Attributes: the accounted distance of a whole training, the measured one, its lower end (one-sided 95 %), steps of each table."""

    claimed: float
    estimate: float
    low: float
    steps: int

    @property
    def refuted(self) -> bool:
        return self.low > self.claimed

    def __str__(self) -> str:
        return f"claimed {self.claimed:.3f}, measured {self.estimate:.3f}, at least {self.low:.3f} ({self.steps} steps each)"


def plan_of(epsilon: float, steps: int, rate: float) -> AutoregressivePlan:
    """A small plan in which all units' gradients are longer than the bound."""
    options = {"steps": steps, "sampling_rate": rate, "clip": 0.02, "hidden": 3, "base_share": 0.1}
    return get("dp_autoregressive").plan(SCHEMA, Budget(epsilon=epsilon, delta=1e-7), None, options)


def tables() -> tuple[Table, Table]:
    """With the canary as the last row, and without."""
    rows = [tuple(levels[code] for levels, code in zip(LEVELS, row, strict=True)) for row in CODES]

    def made(chosen: list[tuple[str, ...]]) -> Table:
        return make_table(SCHEMA, {name: [row[k] for row in chosen] for k, name in enumerate("abc")})

    return made(rows), made(rows[:-1])


def audit(
    patch: pytest.MonkeyPatch,
    plan: AutoregressivePlan,
    runs: int,
    randomness: Callable[[int], Randomness] | None = None,
) -> Found:
    """Run the plan `runs` times on each table and look at every step.

    Args:
        patch: puts the adversary's eyes in, for each run.
        plan: of `plan_of`.
        runs: of each table.
        randomness: the run's number → noise and coins; None: the product's own.
    """
    found: dict[bool, list[float]] = {True: [], False: []}
    for run in range(2 * runs):
        present = run < runs
        watched = _Watched(plan, len(CODES) - 1 if present else None)
        with patch.context() as during:
            if randomness is not None:
                during.setattr(autoregressive, "SystemRandomness", lambda run=run: randomness(run))
            during.setattr(autoregressive, "PrivateStepper", watched.stepper)
            during.setattr(autoregressive, "unit_losses", watched.losses)
            during.setattr(calibration, "ROWS", 100)  # what follows training is not looked at
            plan.run(tables()[0 if present else 1], SeededNoise(run))
        found[present].extend(watched.scores)
    steps = plan.recipe.steps
    q, sigma = plan.recipe.rate, plan.recipe.multiplier
    inside, outside = (ratio(np.array(found[present]), q, sigma) for present in (True, False))
    rng = np.random.default_rng(0)
    drawn = [
        distance(rng.choice(inside, len(inside)), rng.choice(outside, len(outside))) for _ in range(RESAMPLES)
    ]
    root = math.sqrt(steps)
    return Found(
        claimed=root * accounted(q, sigma),
        estimate=root * distance(inside, outside),
        low=root * float(np.quantile(drawn, 0.05)),
        steps=len(inside),
    )


def ratio(s: F64, q: float, sigma: float) -> F64:
    """Log-likelihood ratio of a step's score: N(1/σ, 1) with probability q and N(0, 1) else, over N(0, 1)."""
    here = s / sigma - 0.5 / sigma**2
    return np.asarray(here if q >= 1.0 else np.logaddexp(math.log1p(-q), math.log(q) + here))


def distance(inside: F64, outside: F64) -> float:
    """Difference of the means over the standard deviation."""
    return float((inside.mean() - outside.mean()) / math.sqrt((inside.var() + outside.var()) / 2))


def accounted(q: float, sigma: float) -> float:
    """The same of one step, by numeric integration."""
    s = np.linspace(-12.0, 1.0 / sigma + 12.0, 200_001)
    absent = np.exp(-0.5 * s**2)
    present = (1.0 - q) * absent + q * np.exp(-0.5 * (s - 1.0 / sigma) ** 2)
    value = ratio(s, q, sigma)
    moments = []
    for density in (present, absent):
        weight = density / density.sum()
        mean = float(weight @ value)
        moments.append((mean, float(weight @ (value - mean) ** 2)))
    (mean_in, var_in), (mean_out, var_out) = moments
    return (mean_in - mean_out) / math.sqrt((var_in + var_out) / 2)


class _Watched:
    """What the adversary sees of one run: the real stepper and the real loss, looked at."""

    def __init__(self, plan: AutoregressivePlan, canary: int | None) -> None:
        self.scores: list[float] = []
        self._recipe = plan.recipe
        self._canary = canary
        self._seen: list[tuple[Network, ArOptions, IntArray]] = []
        self._batches: list[UnitBatch] = []

    def losses(self, network: Network, rows: IntArray, batch: UnitBatch, options: ArOptions) -> torch.Tensor:
        """In place of `unit_losses`: the same, noted."""
        assert np.array_equal(
            rows, CODES[: len(rows)]
        )  # the base merged no levels: the canary's codes are what they are
        self._seen[:] = [(network, options, rows)]
        self._batches.append(batch)
        return REAL_LOSSES(network, rows, batch, options)

    def stepper(
        self, module: torch.nn.Module, optimizer: torch.optim.Optimizer, *rest: Any, **named: Any
    ) -> Any:
        """In place of `PrivateStepper`: the same, whose optimiser is looked at before each step."""
        made = stepper.PrivateStepper(module, optimizer, *rest, **named)
        others, own = stepper.ClippedSum(module, self._recipe.clip), ClippedSum(module, self._recipe.clip)
        optimizer.register_step_pre_hook(lambda *_: self._look(others, own, made._expected))
        return made

    def _look(self, others: ClippedSum, own: ClippedSum, expected: float) -> None:
        ((network, options, rows),) = self._seen
        others.clear()
        own.clear()
        for batch in self._batches:
            kept = batch.rows[:, 0] != self._canary
            part = UnitBatch(batch.rows[kept], batch.present[kept])
            if len(part):
                others.add(lambda part=part: REAL_LOSSES(network, rows, part, options))
        self._batches.clear()
        alone = UnitBatch(np.zeros((1, 1), dtype=np.int64), np.ones((1, 1), dtype=np.bool_))
        norm = own.add(lambda: REAL_LOSSES(network, CODES[-1:], alone, options))
        assert norm.item() > self._recipe.clip
        scale = self._recipe.clip**2 * self._recipe.multiplier
        self.scores.append(
            sum(
                float(((p.grad.double() * expected - others.sums[p]) * own.sums[p]).sum())
                for p in own.sums
                if p.grad is not None
            )
            / scale
        )
