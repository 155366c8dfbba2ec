"""The one holder of private rows in a run, and the filter that keeps it inside its budget.

Rules: rows go in coded; only noised counts and choices by the exponential mechanism come out; every spending passes the
filter first. A unit's k rows may all fall in one cell: the L2 sensitivity of a marginal's counts is k, and so is
the sensitivity of an L1 score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from generators.core.compress import Compression
from generators.core.counting import Rows, count_blocks
from generators.core.covering import Block, cover
from generators.core.domain import Clique, Domain
from generators.core.inference import Measurement
from generators.core.views import View, Views, distances
from release.errors import FaultError
from release.protocols import NoiseSource
from release.records import DpEvent, Mechanism

SLACK = 1e-9
"""Relative room for the rounding of sums of ρ."""

GRID = 2.0**-12
"""What is public in a score is rounded to multiples of this: sums and products are then exact in float64 (below 2^29 rows), so that
one unit moves a score by no more than its sensitivity, to the last bit."""


class RhoFilter:
    """A zCDP filter: refuses what would pass the limit fixed before the data was read.

    Adaptively chosen zCDP mechanisms whose ρ never sum above the limit are together limit-zCDP (2203.05481).
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.spent = 0.0

    @property
    def left(self) -> float:
        """ρ that may still be spent."""
        return max(0.0, self.limit - self.spent)

    def spend(self, rho: float) -> None:
        """Record ρ, before the mechanism runs. Raises FaultError (a fault of the program: plans fit their budget)."""
        if not rho > 0.0 or self.spent + rho > self.limit * (1.0 + SLACK):
            raise FaultError(
                f"a mechanism of ρ = {rho:g} would pass the run's ρ = {self.limit:g} (spent {self.spent:g})",
                mend="report this: the plan promised less than the run asks for",
            )
        self.spent += rho


def gaussian_rho(sigma: float, max_rows: int) -> float:
    """ρ of one marginal with discrete Gaussian noise σ where a unit has at most `max_rows` rows."""
    return max_rows**2 / (2.0 * sigma**2)


def gaussian_sigma(rho: float, max_rows: int) -> float:
    """The σ that makes one marginal cost ρ."""
    return max_rows / math.sqrt(2.0 * rho)


def exponential_epsilon(rho: float) -> float:
    """The ε of an exponential mechanism that costs ρ = ε²/8 (2004.07223)."""
    return math.sqrt(8.0 * rho)


class Measurer:
    """Answers questions about private rows, noised, within ρ.

    Args:
        rows: the coded rows.
        noise: where noise comes from.
        budget: the filter that every spending passes.
        max_rows: the most rows a unit has; enforced when the table was read.
        events: what was run so far; appended to.
        views: what resolutions mean; only full ones where not given.
    """

    def __init__(
        self,
        rows: Rows,
        noise: NoiseSource,
        *,
        budget: RhoFilter,
        max_rows: int,
        events: list[DpEvent] | None = None,
        views: Views | None = None,
    ) -> None:
        self._rows = rows
        self._noise = noise
        self._max_rows = max_rows
        self._exact: dict[Clique, npt.NDArray[np.int64]] = {}
        self.views = views if views is not None else Views.full(rows.domain)
        self.filter = budget
        self.events: list[DpEvent] = events if events is not None else []

    @property
    def domain(self) -> Domain:
        """The attributes (public)."""
        return self._rows.domain

    @property
    def max_rows(self) -> int:
        """The unit's bound (public)."""
        return self._max_rows

    def recoded(self, compression: Compression, views: Views) -> Measurer:
        """The same rows, filter and record with levels merged; `views` are of the merged domain."""
        columns = [
            compression.levels[a].astype(np.int32)[self._rows.column(a)]
            if compression.touches(a)
            else self._rows.column(a)
            for a in range(len(self.domain))
        ]
        weights = self._rows.weights if len(self._rows.weights) > 1 else None
        rows = Rows.of(compression.merged, columns, weights).collapsed()
        return Measurer(
            rows, self._noise, budget=self.filter, max_rows=self._max_rows, events=self.events, views=views
        )

    def generator(self) -> np.random.Generator:
        """Ordinary randomness for post-processing."""
        return self._noise.generator()

    def prepare(self, cliques: Sequence[Clique], blocks: Sequence[Block] | None = None) -> None:
        """Count these marginals in one pass (by way of `blocks` that cover them) and keep them, so that later questions need no rows."""
        wanted = [clique for clique in dict.fromkeys(cliques) if clique not in self._exact]
        if wanted:
            blocks = cover(self.domain, wanted) if blocks is None else blocks
            self._exact.update(zip(wanted, count_blocks(self._rows, blocks, wanted), strict=True))

    def measure(self, view: View, sigma: float, label: str) -> Measurement:
        """The view's counts with discrete Gaussian noise of σ on each. Spends k²/(2σ²)."""
        self.filter.spend(gaussian_rho(sigma, self._max_rows))
        self.events.append(
            DpEvent(label=label, mechanism=Mechanism.DISCRETE_GAUSSIAN, parameter=sigma / self._max_rows)
        )
        self.prepare([view.clique])
        exact = self._exact[view.clique]
        counts = self.views.fold(exact, view) if any(view.resolution) else exact
        return Measurement(view, self._noise.discrete_gaussian(counts, sigma), sigma)

    def contest(
        self,
        candidates: Sequence[View],
        estimates: Mapping[Clique, npt.NDArray[np.float64]],
        *,
        weights: npt.NDArray[np.float64] | None = None,
        penalties: npt.NDArray[np.float64] | None = None,
    ) -> Contest:
        """Score candidates by how badly the estimates fit them; the scores stay inside.

        Score of candidate r: weight_r · (‖exact_r - estimate_r‖₁ - penalty_r); one unit moves it by at most
        weight_r · k, so the sensitivity is k times the largest weight.

        Args:
            candidates: views.
            estimates: for each clique its expected counts by the model so far, of the full marginal's shape.
            weights: shape (candidates,), public, positive; 1 where not given.
            penalties: shape (candidates,), of public or noised values only: the L1 error that measuring would leave.

        Estimates, weights and penalties are rounded to `GRID`.
        """
        cliques = list(dict.fromkeys(view.clique for view in candidates))
        self.prepare(cliques)
        differences = {clique: self._exact[clique] - _on_grid(estimates[clique]) for clique in cliques}
        scores = distances(self.views, candidates, [differences[view.clique] for view in candidates])
        if penalties is not None:
            scores -= _on_grid(penalties)
        if weights is not None:
            weights = np.maximum(_on_grid(weights), GRID)
            scores *= weights
        return Contest(self, scores, self._max_rows * (1.0 if weights is None else float(weights.max())))

    def _choose(self, scores: npt.NDArray[np.float64], epsilon: float, sensitivity: float, label: str) -> int:
        self.filter.spend(epsilon**2 / 8.0)
        self.events.append(DpEvent(label=label, mechanism=Mechanism.EXPONENTIAL, parameter=epsilon))
        return self._noise.exponential(scores, epsilon, sensitivity)


def _on_grid(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.rint(values / GRID) * GRID)


class Contest:
    """Candidates with private scores; only choices come out, each charged."""

    def __init__(self, measurer: Measurer, scores: npt.NDArray[np.float64], sensitivity: float) -> None:
        self._measurer = measurer
        self._scores = scores
        self._sensitivity = sensitivity

    def choose(self, among: Sequence[int], epsilon: float, label: str) -> int:
        """One of `among` (numbers of candidates), by the exponential mechanism. Spends ε²/8."""
        index = self._measurer._choose(self._scores[list(among)], epsilon, self._sensitivity, label)
        return among[index]
