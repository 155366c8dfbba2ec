"""What DP-SGD is going to do, and what it costs: fixed, and the noise solved for, before any row is read.

Accounting: the Poisson-sampled Gaussian's Rényi curve (1908.10530) added to the curves of what else the plan runs, by
`release.privacy.accounting`. PLD would give an ε 5 to 6 % smaller for the training alone (`docs/generators-deep.md`), but does not
cover the discrete Gaussians and exponential mechanisms in the same plan.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from release.errors import PlanError
from release.privacy import accounting
from release.records import Budget, DpEvent, Mechanism

LARGEST_MULTIPLIER = 1e4
_FIRST_GUESS = 3.0
_CLOSE = 1.0001
_SMALLEST_MULTIPLIER = 0.3
"""Below, the Rényi curve takes long to evaluate and the guarantee means little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SgdRecipe:
    """The accounted part of a training.

    Attributes:
        rate: probability of each unit to enter a step.
        steps: how many steps; never fewer noised sums are accounted than taken.
        clip: bound on the L2 norm of a unit's gradient.
        multiplier: σ of the noise on the summed gradient, over `clip`.
    """

    rate: float
    steps: int
    clip: float
    multiplier: float

    @property
    def event(self) -> DpEvent:
        """What training runs."""
        return self.event_of(self.steps)

    def event_of(self, steps: int) -> DpEvent:
        """The same for a number of steps, at least 1."""
        return DpEvent(
            label="train network",
            mechanism=Mechanism.POISSON_GAUSSIAN,
            parameter=self.multiplier,
            count=steps,
            sampling_rate=self.rate,
        )

    def epsilon_after(self, steps: int, others: Sequence[DpEvent], delta: float) -> float:
        """ε at δ of the other events and the first `steps` steps, for people who watch."""
        events = (*others, *([self.event_of(steps)] if steps else []))
        rest = delta - accounting.threshold_delta(events)
        return accounting.epsilon_of_curve(accounting.rdp_curve(events), rest)

    @classmethod
    def solve(
        cls, budget: Budget, others: Sequence[DpEvent], *, rate: float, steps: int, clip: float
    ) -> Self:
        """The least noise (to 0.01 %) with which everything costs at most the budget.

        Args:
            budget: of the whole plan.
            others: what else the plan runs.
            rate: in (0, 1].
            steps: at least 1.
            clip: positive.

        Raises:
            PlanError: the other events leave too little.
        """

        def cost(multiplier: float) -> float:
            recipe = cls(rate=rate, steps=steps, clip=clip, multiplier=multiplier)
            return recipe.epsilon_after(steps, others, budget.delta)

        target = budget.epsilon
        enough, cheap = _FIRST_GUESS, cost(_FIRST_GUESS)
        short, dear = enough, cheap
        while cheap > target:
            short, dear, enough = enough, cheap, enough * max(1.3, 1.05 * cheap / target)
            if enough > LARGEST_MULTIPLIER:
                raise PlanError(
                    f"training {steps} steps at sampling rate {rate:g} and the rest come to ε = {cheap:.3g} with the most"
                    f" noise, above the budget's {target:g}",
                    mend="ask for a larger ε (sampled steps are accounted from about 0.03 on), or lower the shares of the rest",
                )
            cheap = cost(enough)
        while dear <= target and short > _SMALLEST_MULTIPLIER:
            enough, cheap, short = (
                short,
                dear,
                max(_SMALLEST_MULTIPLIER, short / max(1.3, 1.05 * target / dear)),
            )
            dear = cost(short)
        turn = 0
        while dear > target and enough / short > _CLOSE:
            # ln ε is nearly linear in ln σ: interpolate, then try whether a hair less is short of the budget.
            line = math.log(dear / target) / math.log(dear / cheap) if cheap < dear else 0.5
            interpolated = short * (enough / short) ** line * (1.0 + (_CLOSE - 1.0) / 4.0)
            middle = (interpolated, enough / _CLOSE, math.sqrt(short * enough))[turn % 3]
            middle = min(max(middle, short * _CLOSE**0.5), enough / _CLOSE**0.5)
            turn += 1
            found = cost(middle)
            if found <= target:
                enough, cheap = middle, found
            else:
                short, dear = middle, found
        return cls(rate=rate, steps=steps, clip=clip, multiplier=enough)
