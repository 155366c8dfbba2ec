"""The default: connect first, explore cheaply, then consolidate.

One-way marginals, a spanning tree of pairs (so that no attribute is left alone), then rounds of AIM (2201.12677): the
marginal that the model fits worst is chosen and measured, at a small price. When nothing is left that would rise above the
noise, all that remains of the budget goes into measuring every chosen marginal once more, shared by size. Early
measurements are not lost: inference weighs all of them by their precision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from generators.core import junction
from generators.core.domain import Domain, StructuralZeros
from generators.core.estimates import expected_counts
from generators.core.inference import Fitted, fit
from generators.core.measurer import Measurer, exponential_epsilon, gaussian_sigma
from generators.core.spanning import NOISE_L1, choose_tree
from generators.core.stages import Beginning, measure_one_way
from generators.core.views import View, full_view
from generators.fitter import Assignment, Outcome
from release.protocols import Progress
from release.records import DpEvent, Mechanism


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """How ρ is shared out, and how exploring goes. The defaults measured best on public tables (docs/generators.md).

    Attributes:
        one_way: one-way marginals.
        choice: choosing the tree's pairs.
        tree: measuring them.
        explore: choosing and measuring in rounds; the rest consolidates.
        select: of each round, what chooses; the rest measures.
        size_power: consolidation gives a marginal of c cells a share ∝ c^size_power.
        penalty: a candidate must promise this many times the noise that measuring it will leave.
        target: weight of candidates with the task's target.
        rounds: of exploring.
        coarse: whether marginals compete at coarser resolutions too (`core.views`).
    """

    one_way: float = 0.08
    choice: float = 0.03
    tree: float = 0.25
    explore: float = 0.25
    select: float = 0.2
    size_power: float = 0.67
    penalty: float = 1.0
    target: float = 1.5
    rounds: int = 20
    coarse: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoFitter:
    """Attributes: what it is planned for, and how ρ is shared out."""

    assignment: Assignment
    shares: Shares

    @classmethod
    def plan(cls, assignment: Assignment, _options: Mapping[str, Any]) -> Self:
        """Plan with the default shares."""
        return cls(assignment=assignment, shares=Shares())

    @property
    def events(self) -> tuple[DpEvent, ...]:
        """One-way marginals and tree as they will be; exploring and consolidating as one zCDP event of all the rest.

        What is chosen and measured there depends on noised answers; a ρ filter of that size guards it (2203.05481), so
        its whole is what one Gaussian of that ρ costs.
        """
        rho, d, k = self.assignment.rho, self.assignment.attributes, self.assignment.max_rows
        one = DpEvent(
            label="measure 1-way",
            mechanism=Mechanism.DISCRETE_GAUSSIAN,
            parameter=self._sigma_one() / k,
            count=d,
        )
        if d == 1:
            return (one,)
        pairs = d - 1
        adaptive = rho * (1.0 - self.shares.one_way - self.shares.choice - self.shares.tree)
        return (
            one,
            DpEvent(
                label="choose tree",
                mechanism=Mechanism.EXPONENTIAL,
                parameter=exponential_epsilon(rho * self.shares.choice / pairs),
                count=pairs,
            ),
            DpEvent(
                label="measure tree, explore, consolidate (ρ filter)",
                mechanism=Mechanism.DISCRETE_GAUSSIAN,
                parameter=gaussian_sigma(adaptive + rho * self.shares.tree, 1),
            ),
        )

    def _sigma_one(self) -> float:
        d = self.assignment.attributes
        share = self.shares.one_way if d > 1 else 1.0
        return gaussian_sigma(self.assignment.rho * share / d, self.assignment.max_rows)

    def describe(self) -> dict[str, Any]:
        return {
            "structure": "tree of pairs, refined by the worst-fitting marginals, all measured again at the end",
            "sigma_1way": self._sigma_one(),
            "shares": {name: getattr(self.shares, name) for name in self.shares.__slots__},
        }

    def fit(self, measurer: Measurer, zeros: Sequence[StructuralZeros], progress: Progress) -> Outcome:
        begin = measure_one_way(
            measurer,
            [self._sigma_one()] * len(measurer.domain),
            zeros,
            most_cells=self.assignment.most_cells,
        )
        progress(0.05, f"{len(begin.measurements)} one-way marginals measured")
        if len(measurer.domain) == 1:
            fitted = begin.fitted
        else:
            fitted = _Refinement(self, begin, zeros, progress).run()
        return Outcome(
            fitted=fitted,
            compression=begin.compression,
            measurements=tuple(begin.measurements),
            zeros=tuple(zeros),
        )


class _Refinement:
    """One run after the one-way stage. Holds noised values only, beside the measurer."""

    def __init__(
        self, plan: AutoFitter, begin: Beginning, zeros: Sequence[StructuralZeros], progress: Progress
    ) -> None:
        self.plan = plan
        self.shares = plan.shares
        self.rho = plan.assignment.rho
        self.measurer = begin.measurer
        self.domain: Domain = begin.compression.merged
        self.measurements = begin.measurements
        self.fitted: Fitted = begin.fitted
        self.zeros = zeros
        self.progress = progress
        self.chosen: list[View] = []
        self.rng = begin.measurer.generator()

    def run(self) -> Fitted:
        self._connect()
        self._explore()
        self._consolidate()
        return self.fitted

    def _connect(self) -> None:
        pairs = len(self.domain) - 1
        tree = choose_tree(
            self.measurer,
            self.fitted,
            exponential_epsilon(self.rho * self.shares.choice / (self.plan.assignment.attributes - 1)),
            sigma=gaussian_sigma(
                self.rho * (1.0 - self.shares.one_way - self.shares.choice) / (pairs + self.shares.rounds),
                self.measurer.max_rows,
            )
            if self.shares.coarse
            else 0.0,
            most_cells=self.plan.assignment.most_cells / pairs,
        )
        self._measure_all(tree, self.rho * self.shares.tree, "measure tree")
        self._fit(200)
        self.progress(0.15, f"tree of {len(tree)} pairs measured")

    def _explore(self) -> None:
        rounds = self.shares.rounds
        price = self.rho * self.shares.explore / rounds
        epsilon = exponential_epsilon(price * self.shares.select)
        sigma = gaussian_sigma(price * (1.0 - self.shares.select), self.measurer.max_rows)
        rest = self.rho * (1.0 - self.shares.one_way - self.shares.choice)
        final = gaussian_sigma(rest / (len(self.chosen) + rounds), self.measurer.max_rows)
        candidates, penalties = self._candidates(final)
        if not candidates:
            return
        weights = self._weights(candidates)
        self.measurer.prepare([view.clique for view in candidates])
        for turn in range(rounds):
            fitting = self._fitting(candidates)
            if not len(fitting):
                return
            here = [candidates[k] for k in fitting]
            cliques = list(dict.fromkeys(view.clique for view in here))
            estimates = dict(zip(cliques, expected_counts(self.fitted, cliques, self.rng), strict=True))
            contest = self.measurer.contest(
                here, estimates, weights=weights[fitting], penalties=penalties[fitting]
            )
            number = contest.choose(range(len(here)), epsilon, "explore: choose")
            view = here[number]
            self.measurements.append(self.measurer.measure(view, sigma, "explore: measure"))
            if view not in self.chosen:
                self.chosen.append(view)
            self._fit(60)
            spent = self.measurer.filter.spent / self.measurer.filter.limit
            self.progress(
                0.15 + 0.7 * (turn + 1) / rounds,
                f"round {turn + 1} of {rounds}, {len(self.chosen)} marginals, {spent:.0%} of ρ spent",
            )

    def _consolidate(self) -> None:
        self._measure_all(self.chosen, self.measurer.filter.left, "consolidate")
        self.progress(0.9, "last inference")
        self._fit(200)
        self.progress(1.0, f"{len(self.measurements)} measurements fitted, {self.fitted.tree.cells:,} cells")

    def _measure_all(self, chosen: Sequence[View], rho: float, label: str) -> None:
        """Share ρ by size, and measure."""
        views = self.measurer.views
        self.measurer.prepare([view.clique for view in chosen])
        sizes = np.array([float(views.cells(view)) ** self.shares.size_power for view in chosen])
        for view, part in zip(chosen, sizes / sizes.sum(), strict=True):
            sigma = gaussian_sigma(rho * part * (1.0 - 1e-12), self.measurer.max_rows)
            self.measurements.append(self.measurer.measure(view, sigma, label))
        self.chosen += [view for view in chosen if view not in self.chosen]

    def _candidates(self, sigma: float) -> tuple[list[View], npt.NDArray[np.float64]]:
        """Views of pairs and triples that could rise above the noise that measuring them leaves, with that noise."""
        views = self.measurer.views
        bound = self.fitted.total / (NOISE_L1 * sigma * self.shares.penalty)
        found = [
            view
            for size in (2, 3)
            for clique in combinations(range(len(self.domain)), size)
            for view in (views.resolutions(clique) if self.shares.coarse else [full_view(clique)])
            if views.cells(view) <= bound
        ]
        cells = np.array([float(views.cells(view)) for view in found])
        return found, NOISE_L1 * sigma * self.shares.penalty * cells

    def _weights(self, candidates: Sequence[View]) -> npt.NDArray[np.float64]:
        targets = set(self.plan.assignment.targets)
        return np.array([self.shares.target if targets.intersection(v.clique) else 1.0 for v in candidates])

    def _fitting(self, candidates: Sequence[View]) -> npt.NDArray[np.intp]:
        """Numbers of the candidates with which the junction tree stays inside the size cap."""
        model = [m.clique for m in self.measurements] + [factor.clique for factor in self.zeros]
        cliques = list(dict.fromkeys(view.clique for view in candidates))
        sizes = junction.candidate_cells(self.domain, model, cliques)
        fits = dict(zip(cliques, sizes <= self.plan.assignment.most_cells, strict=True))
        return np.flatnonzero([fits[view.clique] for view in candidates])

    def _fit(self, iterations: int) -> None:
        self.fitted = fit(
            self.measurer.views,
            self.measurements,
            self.zeros,
            start=self.fitted,
            iterations=iterations,
        )
