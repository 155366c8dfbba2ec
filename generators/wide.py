"""Select once, allocate, measure once: for tables of many columns, where rounds of inference would take long.

One-way marginals; then pairs are chosen one after another by the exponential mechanism, all scored once against
independence: first those that join all attributes into a tree, then the most dependent of the others while the junction
tree stays small; then all are measured in one go, the budget shared by size (as PrivSyn, 2012.15128, allocates).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Self

import numpy as np

from generators.core import junction
from generators.core.domain import Clique, FloatTable, StructuralZeros
from generators.core.inference import settle
from generators.core.measurer import Measurer, exponential_epsilon, gaussian_sigma
from generators.core.spanning import choose_tree
from generators.core.stages import measure_one_way
from generators.core.views import NOISE_L1, full_view
from generators.fitter import Assignment, Outcome
from release.protocols import Progress
from release.records import DpEvent, Mechanism

_ONE_WAY, _CHOOSE = 0.15, 0.05
"""Shares of ρ; the rest measures pairs. Chosen on public tables (docs/generators.md)."""

_MORE = 0.5
"""Further pairs, as a share of the tree's."""

_SIZE_POWER = 0.67
"""A pair of c cells gets a share of ρ ∝ c^0.67: what minimises the sum of L1 errors."""

_MOST_PAIRS = 4_000
"""With more pairs than this each further choice looks at a share of them: exact choices take time for each score."""

_MOST_CELLS = 2e5
"""Cells of the junction tree that further pairs may make: inference stays in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WideFitter:
    """Attributes: what it is planned for."""

    assignment: Assignment

    @classmethod
    def plan(cls, assignment: Assignment, _options: Mapping[str, Any]) -> Self:
        """There is nothing to choose: the generator declares no options of its own."""
        return cls(assignment=assignment)

    def _more(self) -> int:
        """Further pairs beside the tree's."""
        d = self.assignment.attributes
        return min(math.ceil(_MORE * (d - 1)), d * (d - 1) // 2 - (d - 1))

    def _sigma_one(self) -> float:
        d = self.assignment.attributes
        share = _ONE_WAY if d > 1 else 1.0
        return gaussian_sigma(share * self.assignment.rho / d, self.assignment.max_rows)

    def _epsilon(self) -> float:
        return exponential_epsilon(
            _CHOOSE * self.assignment.rho / (self.assignment.attributes - 1 + self._more())
        )

    @property
    def events(self) -> tuple[DpEvent, ...]:
        """The pairs' σ follow from their sizes, which may be learnt: one Gaussian of their whole ρ stands for them."""
        assignment = self.assignment
        one = DpEvent(
            label="measure 1-way",
            mechanism=Mechanism.DISCRETE_GAUSSIAN,
            parameter=self._sigma_one() / assignment.max_rows,
            count=assignment.attributes,
        )
        if assignment.attributes == 1:
            return (one,)
        return (
            one,
            DpEvent(
                label="choose pairs",
                mechanism=Mechanism.EXPONENTIAL,
                parameter=self._epsilon(),
                count=assignment.attributes - 1 + self._more(),
            ),
            DpEvent(
                label="measure pairs (ρ filter)",
                mechanism=Mechanism.DISCRETE_GAUSSIAN,
                parameter=gaussian_sigma((1.0 - _ONE_WAY - _CHOOSE) * assignment.rho, 1),
            ),
        )

    def describe(self) -> dict[str, Any]:
        return {
            "structure": "tree of pairs and the most dependent others, chosen once, measured once",
            "sigma_1way": self._sigma_one(),
            "further_pairs": self._more(),
        }

    def fit(self, measurer: Measurer, zeros: Sequence[StructuralZeros], progress: Progress) -> Outcome:
        assignment = self.assignment
        begin = measure_one_way(
            measurer, [self._sigma_one()] * len(measurer.domain), zeros, most_cells=assignment.most_cells
        )
        measurer, domain = begin.measurer, begin.measurer.domain
        measurements, fitted = begin.measurements, begin.fitted
        if len(domain) > 1:
            tree = choose_tree(
                measurer, fitted, self._epsilon(), most_cells=assignment.most_cells / len(domain)
            )
            progress(0.3, f"tree of {len(tree)} pairs chosen")
            chosen = [view.clique for view in tree]
            sigma = gaussian_sigma(
                (1.0 - _ONE_WAY - _CHOOSE) * assignment.rho / (len(tree) + self._more()), measurer.max_rows
            )
            affordable = fitted.total / (NOISE_L1 * sigma)
            pairs = [
                pair
                for pair in combinations(range(len(domain)), 2)
                if pair not in chosen and domain.cells(pair) <= affordable
            ]
            one_way = fitted.one_way()
            estimates: dict[Clique, FloatTable] = {
                (a, b): fitted.total * np.multiply.outer(one_way[a], one_way[b]) for a, b in pairs
            }
            penalties = NOISE_L1 * sigma * np.array([float(domain.cells(pair)) for pair in pairs])
            contest = measurer.contest([full_view(pair) for pair in pairs], estimates, penalties=penalties)
            cap = min(_MOST_CELLS, assignment.most_cells)
            forced = [factor.clique for factor in zeros]
            for batch in _batches(len(pairs), self._more(), measurer.generator()):
                best = contest.choose(batch, self._epsilon(), "choose pairs")
                batch.remove(best)
                # Asked of the winner alone: asking it of every pair would take longer than all the rest.
                if junction.tree_cells(domain, [*chosen, *forced, pairs[best]]) <= cap:
                    chosen.append(pairs[best])
            shares = np.array([float(domain.cells(pair)) ** _SIZE_POWER for pair in chosen])
            rho = (1.0 - _ONE_WAY - _CHOOSE) * assignment.rho * (1.0 - 1e-9)
            for pair, share in zip(chosen, shares / shares.sum(), strict=True):
                sigma = gaussian_sigma(rho * share, measurer.max_rows)
                measurements.append(measurer.measure(full_view(pair), sigma, "measure pairs"))
            progress(0.6, f"{len(chosen)} pairs measured")
            fitted = settle(begin.views, measurements, zeros, between=lambda: progress(0.8, "inference"))
        progress(1.0, f"{len(measurements)} marginals fitted")
        return Outcome(
            fitted=fitted,
            compression=begin.compression,
            measurements=tuple(measurements),
            zeros=tuple(zeros),
        )


def _batches(pairs: int, choices: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """The pairs that each choice looks at: all that are left, or, of very many, a share drawn beforehand.

    The caller removes the winner from the list it is given.
    """
    if pairs > _MOST_PAIRS:
        for part in np.array_split(rng.permutation(pairs), choices):
            yield part.tolist()
        return
    left = list(range(pairs))
    for _ in range(min(choices, pairs)):
        yield left
