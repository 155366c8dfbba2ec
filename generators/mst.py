"""MST: one-way marginals, then a privately chosen spanning tree of pairs (McKenna, Miklau & Sheldon, 2108.04978)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from generators.core.domain import StructuralZeros
from generators.core.inference import fit
from generators.core.measurer import Measurer, exponential_epsilon, gaussian_sigma
from generators.core.spanning import choose_tree
from generators.core.stages import measure_one_way
from generators.fitter import Assignment, Outcome
from release.protocols import Progress
from release.records import DpEvent, Mechanism

_ONE_WAY, _TREE_CHOICE = 0.3, 0.1
"""Shares of ρ; the rest measures the tree. Chosen on public tables (docs/generators.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MstFitter:
    """Attributes: what it is planned for, σ of one-way and of pair counts, ε of each choice of a pair."""

    assignment: Assignment
    sigma_one: float
    sigma_two: float
    epsilon: float

    @classmethod
    def plan(cls, assignment: Assignment, _options: Mapping[str, Any]) -> Self:
        """There is nothing to choose: the generator declares no options of its own."""
        rho, d, k = assignment.rho, assignment.attributes, assignment.max_rows
        if d == 1:
            return cls(assignment=assignment, sigma_one=gaussian_sigma(rho, k), sigma_two=0.0, epsilon=0.0)
        pairs = d - 1
        return cls(
            assignment=assignment,
            sigma_one=gaussian_sigma(rho * _ONE_WAY / d, k),
            sigma_two=gaussian_sigma(rho * (1.0 - _ONE_WAY - _TREE_CHOICE) / pairs, k),
            epsilon=exponential_epsilon(rho * _TREE_CHOICE / pairs),
        )

    @property
    def events(self) -> tuple[DpEvent, ...]:
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
                label="measure tree",
                mechanism=Mechanism.DISCRETE_GAUSSIAN,
                parameter=self.sigma_two / k,
                count=d - 1,
            ),
        )

    def describe(self) -> dict[str, Any]:
        return {
            "structure": "spanning tree of pairs",
            "sigma_1way": self.sigma_one,
            "sigma_2way": self.sigma_two,
            "epsilon_per_choice": self.epsilon,
        }

    def fit(self, measurer: Measurer, zeros: Sequence[StructuralZeros], progress: Progress) -> Outcome:
        assignment = self.assignment
        begin = measure_one_way(
            measurer, [self.sigma_one] * len(measurer.domain), zeros, most_cells=assignment.most_cells
        )
        progress(0.2, f"{len(begin.measurements)} one-way marginals measured")
        measurements = begin.measurements
        if len(measurer.domain) > 1:
            tree = choose_tree(begin.measurer, begin.fitted, self.epsilon, most_cells=assignment.most_cells)
            progress(0.4, f"tree of {len(tree)} pairs chosen")
            begin.measurer.prepare([view.clique for view in tree])
            measurements += [begin.measurer.measure(view, self.sigma_two, "measure tree") for view in tree]
        fitted = fit(
            begin.views,
            measurements,
            zeros,
            start=begin.fitted,
            between=lambda: progress(0.6, "inference"),
        )
        progress(1.0, f"{len(measurements)} marginals fitted")
        return Outcome(
            fitted=fitted,
            compression=begin.compression,
            measurements=tuple(measurements),
            zeros=tuple(zeros),
        )
