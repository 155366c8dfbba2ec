"""MST: one-way marginals, then a privately chosen spanning tree of pairs (McKenna, Miklau & Sheldon, 2108.04978).

Beyond the paper: a pair pays for the noise that measuring it will leave, pairs with the task's target count more, and
larger pairs get a larger share of ρ. docs/generators.md has what each brought.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from generators.core.domain import StructuralZeros
from generators.core.inference import settle
from generators.core.measurer import Measurer, exponential_epsilon, gaussian_sigma
from generators.core.spanning import choose_tree
from generators.core.stages import measure_one_way
from generators.fitter import Assignment, Outcome
from release.protocols import Progress
from release.records import DpEvent, Mechanism

_ONE_WAY, _TREE_CHOICE = 0.3, 0.1
"""Shares of ρ: one-way marginals, which get more where they are noisy (`stages`), and choosing the tree; the rest measures it. Chosen on public tables."""

_PENALTY = 0.5
"""σ of this many times the measurement's: the L1 error that it would leave is taken off a pair's score."""

_TARGET = 1.5
"""Weight of the score of a pair with the task's target."""

_SIZE_POWER = 0.4
"""A pair of c cells gets a share of the tree's ρ ∝ c^0.4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MstFitter:
    """Attributes: what it is planned for, σ of the first one-way counts, ρ of all that is measured after them, ε of each choice of a pair."""

    assignment: Assignment
    sigma_one: float
    rho_rest: float
    epsilon: float

    @classmethod
    def plan(cls, assignment: Assignment, _options: Mapping[str, Any]) -> Self:
        """There is nothing to choose: the generator declares no options of its own."""
        rho, d, k = assignment.rho, assignment.attributes, assignment.max_rows
        if d == 1:
            return cls(assignment=assignment, sigma_one=gaussian_sigma(rho, k), rho_rest=0.0, epsilon=0.0)
        pairs = d - 1
        return cls(
            assignment=assignment,
            sigma_one=gaussian_sigma(rho * _ONE_WAY / d, k),
            rho_rest=rho * (1.0 - _ONE_WAY - _TREE_CHOICE),
            epsilon=exponential_epsilon(rho * _TREE_CHOICE / pairs),
        )

    @property
    def events(self) -> tuple[DpEvent, ...]:
        """One Gaussian of their whole ρ stands for the pairs, and for one-way marginals measured again: sizes may be learnt, and whether they are is."""
        d, k = self.assignment.attributes, self.assignment.max_rows
        one = DpEvent(
            label="measure 1-way",
            mechanism=Mechanism.DISCRETE_GAUSSIAN,
            parameter=self.sigma_one / k,
            count=d,
        )
        if d == 1:
            return (one,)
        return (
            one,
            DpEvent(
                label="choose tree", mechanism=Mechanism.EXPONENTIAL, parameter=self.epsilon, count=d - 1
            ),
            DpEvent(
                label="measure tree, one-way again (ρ filter)",
                mechanism=Mechanism.DISCRETE_GAUSSIAN,
                parameter=gaussian_sigma(self.rho_rest, 1),
            ),
        )

    def describe(self) -> dict[str, Any]:
        return {
            "structure": "spanning tree of pairs",
            "sigma_1way": self.sigma_one,
            "rho_after": self.rho_rest,
            "epsilon_per_choice": self.epsilon,
        }

    def fit(self, measurer: Measurer, zeros: Sequence[StructuralZeros], progress: Progress) -> Outcome:
        assignment = self.assignment
        begin = measure_one_way(
            measurer,
            [self.sigma_one] * len(measurer.domain),
            zeros,
            most_cells=assignment.most_cells,
            rho=assignment.rho,
        )
        progress(0.2, f"{len(measurer.domain)} one-way marginals measured")
        measurements = begin.measurements
        if len(measurer.domain) > 1:
            rho = measurer.filter.left - assignment.rho * _TREE_CHOICE
            tree = choose_tree(
                begin.measurer,
                begin.fitted,
                self.epsilon,
                sigma=_PENALTY * gaussian_sigma(rho / (assignment.attributes - 1), assignment.max_rows),
                most_cells=assignment.most_cells,
                weight=lambda pair: _TARGET if set(pair).intersection(assignment.targets) else 1.0,
            )
            progress(0.4, f"tree of {len(tree)} pairs chosen")
            begin.measurer.prepare([view.clique for view in tree])
            sizes = np.array([float(begin.views.cells(view)) ** _SIZE_POWER for view in tree])
            for view, share in zip(tree, sizes / sizes.sum(), strict=True):
                sigma = gaussian_sigma(rho * share * (1.0 - 1e-9), assignment.max_rows)
                measurements.append(begin.measurer.measure(view, sigma, "measure tree"))
        fitted = settle(begin.views, measurements, zeros, between=lambda: progress(0.6, "inference"))
        progress(1.0, f"{len(measurements)} marginals fitted")
        return Outcome(
            fitted=fitted,
            compression=begin.compression,
            measurements=tuple(measurements),
            zeros=tuple(zeros),
        )
