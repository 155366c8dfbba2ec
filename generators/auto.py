"""The default: connect first, explore cheaply, then consolidate.

One-way marginals, a spanning tree of pairs (so that no attribute is left alone), then rounds of AIM (2201.12677): the
marginal that the model fits worst is chosen and measured, at a small price; where the budget pays many rounds, several are chosen
of the same scores. Then all that remains of the budget goes into measuring every chosen marginal once more, shared by size.
Early measurements are not lost: inference weighs all of them by their precision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from generators.aim import MOST_ATTRIBUTES
from generators.core.candidates import Candidates
from generators.core.domain import Clique, Domain, StructuralZeros
from generators.core.estimates import expected_counts
from generators.core.inference import ROUND_STEPS, Fitted, refine, settle
from generators.core.measurer import Measurer, exponential_epsilon, gaussian_sigma
from generators.core.spanning import choose_tree
from generators.core.stages import RARE, Beginning, measure_one_way
from generators.core.views import NOISE_L1, View
from generators.fitter import Assignment, Fitter, Outcome
from generators.wide import WideFitter
from release.protocols import Progress
from release.records import DpEvent, Mechanism


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """How ρ is shared out, and how exploring goes. The defaults measured best on public tables (docs/generators.md).

    Attributes:
        one_way: one-way marginals at first; where they get more because of their noise (`stages`), all that follows shrinks alike.
        choice: choosing the tree's pairs.
        tree: measuring them.
        explore: choosing and measuring in rounds; the rest consolidates.
        select: of each round, what chooses; the rest measures.
        size_power: consolidation gives a marginal of c cells a share ∝ c^size_power.
        tree_penalty: a pair of the tree pays the L1 error that this many times the measurement's σ would leave.
        penalty: a candidate must promise this many times the noise that measuring it will leave.
        target: weight of candidates with the task's target.
        target_share: consolidation gives marginals with the task's target so many times the share.
        rounds: choices of exploring; 0: by how large the noise is beside the counts.
        turns: scores are computed about so many times, where columns are many enough: with more rounds several choices are made of the same scores.
        coarse: whether marginals compete at coarser resolutions too (`core.views`); None: by the noise.
        cells: of the junction tree that exploring may make: inference stays in seconds.
    """

    one_way: float = 0.08
    choice: float = 0.03
    tree: float = 0.18
    explore: float = 0.25
    select: float = 0.2
    size_power: float = 0.67
    penalty: float = 0.65
    tree_penalty: float = 0.5
    target: float = 1.8
    target_share: float = 1.2
    rounds: int = 0
    turns: int = 32
    coarse: bool | None = None
    cells: float = 6e5


COARSE_ERROR = 0.3
"""With more noise than this in an average pair, pairs and triples compete at coarser resolutions too."""

MOST_ROUNDS, MOST_HASTE = 60, 4.0
"""Choices of exploring. Where the budget would pay k times as many, k times (4 at most) as many are made of the same scores once the tree is
half as large as it may be: it is the tree that limits then, and what a choice tells the next one matters less."""

RARE_ERROR, RARE_QUIET = 0.1, 1.0
"""With less noise than this in an average pair only levels below 1 σ are merged, not those below 3 σ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoFitter:
    """Attributes: what it is planned for, and how ρ is shared out."""

    assignment: Assignment
    shares: Shares

    @property
    def events(self) -> tuple[DpEvent, ...]:
        """The first one-way marginals as they will be; all the rest as one zCDP event.

        What is chosen and measured, and how finely, depends on noised answers; a ρ filter of that size guards it (2203.05481), so
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
        return (
            one,
            DpEvent(
                label="tree, exploring, consolidating (ρ filter)",
                mechanism=Mechanism.DISCRETE_GAUSSIAN,
                parameter=gaussian_sigma(rho * (1.0 - self.shares.one_way), 1),
            ),
        )

    def _sigma_one(self) -> float:
        d = self.assignment.attributes
        share = self.shares.one_way if d > 1 else 1.0
        return gaussian_sigma(self.assignment.rho * share / d, self.assignment.max_rows)

    def _rare(self, domain: Domain, total: float) -> float:
        """Below how many σ levels are merged: where pairs can be measured well, few levels are better left alone."""
        return RARE if self.pair_error(domain, total) > RARE_ERROR else RARE_QUIET

    def pair_error(self, domain: Domain, total: float) -> float:
        """Total variation distance from noise that an average pair would have, were all measured alike."""
        sigma = gaussian_sigma(0.8 * self.assignment.rho / (len(domain) + 10), self.assignment.max_rows)
        return NOISE_L1 * sigma * float(np.mean(domain.sizes)) ** 2 / (2.0 * total)

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
            rare=self._rare,
            rho=self.assignment.rho,
        )
        progress(0.05, f"{len(measurer.domain)} one-way marginals measured")
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Search:
    """What exploring chooses among, at what price: ε of a choice, σ of its measurement, about σ of the one at the end; cells of the tree."""

    candidates: Candidates
    epsilon: float
    sigma: float
    final: float
    cap: float


class _Refinement:
    """One run after the one-way stage. Holds noised values only, beside the measurer."""

    def __init__(
        self, plan: AutoFitter, begin: Beginning, zeros: Sequence[StructuralZeros], progress: Progress
    ) -> None:
        self.plan = plan
        self.shares = plan.shares
        # What the shares below are parts of: they are smaller where one-way marginals took more.
        self.rho = begin.measurer.filter.left / (1.0 - plan.shares.one_way)
        self.measurer = begin.measurer
        self.domain: Domain = begin.compression.merged
        self.measurements = begin.measurements
        self.fitted: Fitted = begin.fitted
        self.zeros = zeros
        self.constrained = begin.fitted.tree.cells if zeros else 0
        self.progress = progress
        self.chosen: list[View] = []
        self.rounds, self.haste = 0, 1.0
        self.coarse = False
        self.rng = begin.measurer.generator()

    def run(self) -> Fitted:
        self._size_up()
        self._connect()
        self._explore()
        self._consolidate()
        return self.fitted

    def _size_up(self) -> None:
        """Rounds, haste and resolution, by how large the noise is beside the counts."""
        shares = self.shares
        noise = self.plan.pair_error(self.domain, self.fitted.total)
        self.coarse = noise > COARSE_ERROR if shares.coarse is None else shares.coarse
        # 14 rounds where an average pair's noise is 8 %, as Adult at ε = 1; fewer and quieter ones where it is more.
        power = 0.7 if noise < 0.08 else 0.5
        paid = 14.0 * (0.08 / noise) ** power
        self.rounds = shares.rounds or max(3, min(MOST_ROUNDS, round(paid)))
        self.haste = max(1.0, min(MOST_HASTE, paid / MOST_ROUNDS))

    def _connect(self) -> None:
        pairs = len(self.domain) - 1
        tree = choose_tree(
            self.measurer,
            self.fitted,
            exponential_epsilon(self.rho * self.shares.choice / (self.plan.assignment.attributes - 1)),
            sigma=self.shares.tree_penalty * self._final_sigma(pairs),
            coarse=self.coarse,
            most_cells=self.plan.assignment.most_cells / pairs,
        )
        self._measure_all(tree, self.rho * self.shares.tree, "measure tree")
        self._fit(200)
        self.progress(0.15, f"tree of {len(tree)} pairs measured")

    def _final_sigma(self, marginals: int) -> float:
        """About the σ that each of so many marginals, and of those that exploring will add, has at the end."""
        rest = self.rho * (1.0 - self.shares.one_way - self.shares.choice)
        return gaussian_sigma(rest / (marginals + self.rounds), self.measurer.max_rows)

    def _explore(self) -> None:
        rounds = self.rounds
        price = self.rho * self.shares.explore / rounds
        final = self._final_sigma(len(self.chosen))
        search = _Search(
            candidates=Candidates.of(
                self.measurer.views,
                self.plan.assignment.targets,
                most_cells=self.fitted.total / (NOISE_L1 * final * self.shares.penalty),
                weight=self._weight,
                coarse=self.coarse,
            ),
            epsilon=exponential_epsilon(price * self.shares.select),
            sigma=gaussian_sigma(price * (1.0 - self.shares.select), self.measurer.max_rows),
            final=final,
            cap=min(self.shares.cells + self.constrained, self.plan.assignment.most_cells),
        )
        self.measurer.prepare(search.candidates.cliques, search.candidates.blocks)
        batch = math.ceil(rounds / self.shares.turns)
        done = 0
        while done < rounds:
            large = self.fitted.tree.cells - self.constrained > (search.cap - self.constrained) / 2.0
            most = round(batch * self.haste) if large else batch
            taken = self._round(search, min(most, rounds - done))
            if not taken:
                break
            done += taken
            self._fit(ROUND_STEPS)
            self.progress(
                0.15 + 0.7 * done / rounds, f"round {done} of {rounds}, {len(self.chosen)} marginals"
            )

    def _round(self, search: _Search, most: int) -> int:
        """Score the candidates once, then choose and measure up to `most` of them, each choice charged; how many."""
        fitting = self._fitting(search)
        if not len(fitting):
            return 0
        here = [search.candidates.views[k] for k in fitting]
        cliques = list(dict.fromkeys(view.clique for view in here))
        counts = expected_counts(self.fitted, search.candidates.blocks, cliques, search.final, self.rng)
        contest = self.measurer.contest(
            here,
            dict(zip(cliques, counts, strict=True)),
            weights=search.candidates.weights[fitting],
            penalties=NOISE_L1 * search.final * self.shares.penalty * search.candidates.cells[fitting],
        )
        left = list(range(len(here)))
        taken = 0
        while left and taken < most:
            view = here[contest.choose(left, search.epsilon, "explore: choose")]
            self.measurements.append(self.measurer.measure(view, search.sigma, "explore: measure"))
            if view not in self.chosen:
                self.chosen.append(view)
            taken += 1
            if taken < most:
                # What shares two attributes with a winner was scored without knowing what the winner tells.
                still = set(self._fitting(search).tolist())
                left = [
                    k
                    for k in left
                    if len(set(here[k].clique).intersection(view.clique)) < 2 and int(fitting[k]) in still
                ]
        return taken

    def _fitting(self, search: _Search) -> npt.NDArray[np.intp]:
        """Candidates with which the junction tree stays below the cap, or no larger than it is."""
        cap = max(search.cap, float(self.fitted.tree.cells))
        return search.candidates.fitting(self.domain, self.measurements, self.zeros, cap)

    def _consolidate(self) -> None:
        self._measure_all(self.chosen, self.measurer.filter.left, "consolidate")
        self.fitted = settle(
            self.measurer.views,
            self.measurements,
            self.zeros,
            between=lambda: self.progress(0.9, "last inference"),
        )
        self.progress(1.0, f"{len(self.measurements)} measurements fitted, {self.fitted.tree.cells:,} cells")

    def _measure_all(self, chosen: Sequence[View], rho: float, label: str) -> None:
        """Share ρ by size, and measure."""
        views = self.measurer.views
        self.measurer.prepare([view.clique for view in chosen])
        sizes = np.array(
            [
                float(views.cells(view)) ** self.shares.size_power
                * (self.shares.target_share if self._with_target(view.clique) else 1.0)
                for view in chosen
            ]
        )
        for view, part in zip(chosen, sizes / sizes.sum(), strict=True):
            sigma = gaussian_sigma(rho * part * (1.0 - 1e-12), self.measurer.max_rows)
            self.measurements.append(self.measurer.measure(view, sigma, label))
        self.chosen += [view for view in chosen if view not in self.chosen]

    def _weight(self, clique: Clique) -> float:
        return self.shares.target if self._with_target(clique) else 1.0

    def _with_target(self, clique: Clique) -> bool:
        return bool(set(self.plan.assignment.targets).intersection(clique))

    def _fit(self, steps: int) -> None:
        self.fitted = refine(
            self.measurer.views, self.measurements, self.zeros, start=self.fitted, steps=steps
        )


def plan_auto(assignment: Assignment, options: Mapping[str, Any]) -> Fitter:
    """Connect, explore and consolidate, or `wide` where the attributes are many."""
    if assignment.attributes > MOST_ATTRIBUTES:
        return WideFitter.plan(assignment, options)
    return AutoFitter(assignment=assignment, shares=Shares())
