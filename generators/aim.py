"""AIM: measure, round by round, the marginal that the model fits worst (McKenna et al., 2201.12677, algorithms 1-3).

The workload is all triples. One-way marginals first, then rounds with annealing: where a measurement taught less than
its own noise, later ones get a quarter of the variance. Candidates' marginals are estimated on a sample of the model. What rounds
leave over, where nothing further is worth its noise, measures once more what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from generators.core.candidates import Candidates
from generators.core.domain import StructuralZeros
from generators.core.estimates import expected_counts
from generators.core.inference import Measurement, fit, settle
from generators.core.measurer import Measurer, exponential_epsilon, gaussian_rho, gaussian_sigma
from generators.core.stages import measure_one_way
from generators.core.views import NOISE_L1
from generators.fitter import Assignment, Outcome
from release.errors import PlanError
from release.protocols import Progress
from release.records import DpEvent, Mechanism

MOST_ATTRIBUTES = 80
"""With more, rounds over all pairs take minutes: `wide` serves."""

TREE_CELLS = 1e6
"""Of the junction tree: with more, each round takes seconds; the last ones brought nothing that was measured."""

_MEASURE = 0.9
"""Share of a round's ρ that measures; the rest chooses (the paper's)."""

_ROUND_STEPS = 40
"""Of inference between rounds, each from the fit before."""

_ROUNDS_PER_ATTRIBUTE = 3.5
"""The paper plans for 16; fewer and quieter rounds measured better on public tables (docs/generators.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AimFitter:
    """Attributes: what it is planned for, the number of rounds that the first σ is set for."""

    assignment: Assignment
    rounds: int

    @classmethod
    def plan(cls, assignment: Assignment, options: Mapping[str, Any]) -> Self:
        """Option `rounds`: whole, from the number of attributes + 1 to 10,000."""
        d = assignment.attributes
        if d > MOST_ATTRIBUTES:
            raise PlanError(
                f"aim would compare all pairs of {d} attributes round by round; it takes at most {MOST_ATTRIBUTES}",
                mend="use auto or wide",
            )
        rounds = options.get("rounds", math.ceil(_ROUNDS_PER_ATTRIBUTE * d) + 1)
        if isinstance(rounds, bool) or not isinstance(rounds, int) or not d < rounds <= 10_000:
            raise PlanError(
                f"option rounds is {rounds!r}, not a whole number from {d + 1} to 10,000", mend="change it"
            )
        return cls(assignment=assignment, rounds=rounds)

    @property
    def events(self) -> tuple[DpEvent, ...]:
        """One zCDP event of all of ρ: σ of later rounds depends on noised answers, and a ρ filter guards the whole."""
        return (
            DpEvent(
                label="one-way marginals and rounds (ρ filter)",
                mechanism=Mechanism.DISCRETE_GAUSSIAN,
                parameter=gaussian_sigma(self.assignment.rho, 1),
            ),
        )

    def _first_sigma(self) -> float:
        return gaussian_sigma(_MEASURE * self.assignment.rho / self.rounds, self.assignment.max_rows)

    def describe(self) -> dict[str, Any]:
        return {
            "structure": "worst-fitting marginals, round by round",
            "rounds": self.rounds,
            "first_sigma": self._first_sigma(),
        }

    def fit(self, measurer: Measurer, zeros: Sequence[StructuralZeros], progress: Progress) -> Outcome:
        d = len(measurer.domain)
        sigma = self._first_sigma() if d > 1 else gaussian_sigma(self.assignment.rho, measurer.max_rows)
        begin = measure_one_way(measurer, [sigma] * d, zeros, most_cells=self.assignment.most_cells)
        measurer, measurements, fitted = begin.measurer, begin.measurements, begin.fitted
        budget = measurer.filter
        epsilon = exponential_epsilon((1.0 - _MEASURE) * self.assignment.rho / self.rounds)
        candidates = Candidates.of(
            begin.views,
            self.assignment.targets,
            # The last rounds are the quietest; even these cannot afford more cells than this.
            most_cells=fitted.total * math.sqrt(2.0 * self.assignment.rho) / measurer.max_rows,
            weight=lambda clique: float(len(clique)),
        )
        measurer.prepare(candidates.cliques, candidates.blocks)
        rng = measurer.generator()
        least = float(fitted.tree.cells)
        turn = 0
        while d > 1 and budget.left > 1e-6 * budget.limit:
            turn += 1
            price = gaussian_rho(sigma, measurer.max_rows) + epsilon**2 / 8.0
            if budget.left < 2.0 * price:
                left = budget.left * (1.0 - 1e-9)
                sigma = gaussian_sigma(_MEASURE * left, measurer.max_rows)
                epsilon = exponential_epsilon((1.0 - _MEASURE) * left)
            # Structural zeros are there from the start; what is chosen may grow with the budget spent, as in the paper.
            most = max(least, min(TREE_CELLS, self.assignment.most_cells))
            for cap in (least + (most - least) * budget.spent / budget.limit, most):
                fitting = candidates.fitting(
                    measurer.domain, measurements, zeros, max(cap, float(fitted.tree.cells))
                )
                if len(fitting):
                    break
            else:
                break
            here = [candidates.views[k] for k in fitting]
            cliques = [view.clique for view in here]
            # Half of σ: annealing will make later rounds as quiet, and scores must not be coarser than these.
            counts = expected_counts(fitted, candidates.blocks, cliques, sigma / 2.0, rng)
            estimates = dict(zip(cliques, counts, strict=True))
            noise = NOISE_L1 * sigma * candidates.cells[fitting]
            contest = measurer.contest(here, estimates, weights=candidates.weights[fitting], penalties=noise)
            number = contest.choose(range(len(here)), epsilon, "choose marginal")
            view = here[number]
            measurements.append(measurer.measure(view, sigma, "measure marginal"))
            # Not ended at the noise level: annealing asks how much the measurement taught, and such a fit would say nothing.
            fitted = fit(begin.views, measurements, zeros, start=fitted, iterations=_ROUND_STEPS)
            found = fitted.marginal(view.clique)
            learnt = (
                0.0 if found is None else float(np.abs(found * fitted.total - estimates[view.clique]).sum())
            )
            if learnt <= noise[number]:
                sigma, epsilon = sigma / 2.0, epsilon * 2.0
            progress(
                0.05 + 0.9 * budget.spent / budget.limit,
                f"round {turn}, {len(measurements)} marginals",
            )
        if d > 1 and budget.left > 1e-6 * budget.limit:
            measurements += _again(measurer, measurements)
        fitted = settle(begin.views, measurements, zeros)
        progress(1.0, f"{len(measurements)} marginals fitted")
        return Outcome(
            fitted=fitted,
            compression=begin.compression,
            measurements=tuple(measurements),
            zeros=tuple(zeros),
        )


def _again(measurer: Measurer, measurements: Sequence[Measurement]) -> list[Measurement]:
    """Every measured view once more, with all that is left of ρ: shares ∝ cells^(2/3) make the sum of L1 errors least."""
    found = list(dict.fromkeys(m.view for m in measurements))
    sizes = np.array([float(measurer.views.cells(view)) ** (2.0 / 3.0) for view in found])
    left = measurer.filter.left * (1.0 - 1e-9)
    return [
        measurer.measure(view, gaussian_sigma(left * share, measurer.max_rows), "measure again")
        for view, share in zip(found, (sizes / sizes.sum()).tolist(), strict=True)
    ]
