"""Private-PGM inference: the maximum-entropy distribution that fits noisy marginals (1901.09136).

The model is a Markov random field over a junction tree, p(x) ∝ exp(Σ λ_i[x_i]), one vector λ_i for each measured
marginal. Mirror descent (`core.descent`) minimises Σ ‖N·M_i(p) − y_i‖² / (2σ_i²): in rounds from the λ of the round before and with larger
variances (`refine`), at the end from 0 and not all the way (`settle`).
Everything here is post-processing of measured values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from generators.core.descent import Descent, beliefs, potentials
from generators.core.domain import Clique, FloatTable, StructuralZeros
from generators.core.junction import JunctionTree, build
from generators.core.routes import plan_routes
from generators.core.views import View, Views

IMPOSSIBLE = -1e30
"""The log-potential of a structural zero: finite, so that no kernel meets an infinity."""

EXCESS = 0.2
"""What the last fit leaves of the loss, as a share of the noise level: more forgets small cells, less fits noise (docs/generators.md)."""

ROUND_LOSS, ROUND_STEPS = 0.7, 120
"""A fit between rounds ends at this share of the noise level, or after so many steps: the scores of the next round need no more."""

_ROUND_CELLS, _LEAST_ROUND_STEPS = 2e7, 60
"""And it makes no more steps than go through so many cells of the tree, but 60: as near as scores need, and no command here repeats what told so."""

_ROUND_SPREAD = 0.3
"""Between rounds a cell of n people weighs as if its variance were σ² + 0.3 n: full cells do not dictate the step, and descent takes a half
of the steps. The last fit weighs by σ² alone, which is what the measurements say."""

_STRETCH, _MOST_STRETCHES, _FLAT = 20, 30, 0.005
"""The last descent is looked at every 20 steps, 30 times at most, and is at its end where 20 steps gain less than 0.5 %."""


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """One noisy marginal.

    Attributes:
        view: its attributes, and the resolution of each.
        counts: noisy counts, int64, shape = the view's.
        sigma: standard deviation of the noise on each measured cell.
        merged: how many measured cells each cell is the sum of, shape as `counts`; None: one each.
    """

    view: View
    counts: npt.NDArray[np.int64]
    sigma: float
    merged: npt.NDArray[np.int64] | None = None

    @property
    def clique(self) -> Clique:
        """Its attributes."""
        return self.view.clique

    @property
    def precision(self) -> FloatTable:
        """1 / variance of each cell, shape as `counts`."""
        cells = np.ones(self.counts.shape) if self.merged is None else self.merged
        return 1.0 / (self.sigma**2 * cells)


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A distribution over the attributes.

    Attributes:
        tree: the junction tree.
        theta: flat log-potentials over the tree's cliques.
        total: estimated number of rows (noisy, never the exact one).
        views: what the multipliers' resolutions mean.
        multipliers: for each measured view its λ, for warm starts and saved models.
        loss: Σ (residual / σ)² / 2 at the end, half the number of measured cells being the noise level; of fits between rounds with
            larger variances (`refine`).
        step: the line search's last step.
    """

    tree: JunctionTree
    theta: FloatTable
    total: float
    views: Views
    multipliers: dict[View, FloatTable]
    loss: float
    step: float

    def beliefs(self) -> FloatTable:
        """Flat clique marginals; each clique sums to 1."""
        return propagate(self.tree, self.theta)

    def marginal(self, clique: Clique) -> FloatTable | None:
        """The marginal (sums to 1) of a clique inside one tree clique; None where no tree clique holds it."""
        home = self.tree.home(clique)
        if home is None:
            return None
        flat = self.beliefs()[self.tree.offset[home] : self.tree.offset[home + 1]]
        table = np.bincount(
            self.tree.onto(home, clique), weights=flat, minlength=self.tree.domain.cells(clique)
        )
        return np.asarray(table, dtype=np.float64).reshape(self.tree.domain.shape(clique))

    def one_way(self) -> list[FloatTable]:
        """Every attribute's marginal, each summing to 1. Raises ValueError where an attribute is in no tree clique."""
        beliefs = self.beliefs()
        domain = self.tree.domain
        result: list[FloatTable] = []
        for attribute in range(len(domain)):
            home = self.tree.home((attribute,))
            if home is None:
                raise ValueError("an attribute is in no tree clique")
            table = self.tree.table(beliefs, home)
            axes = tuple(k for k, a in enumerate(self.tree.layout[home]) if a != attribute)
            result.append(table.sum(axis=axes))
        return result


def propagate(tree: JunctionTree, theta: FloatTable) -> FloatTable:
    """Clique marginals (flat, each clique sums to 1) of the distribution with these log-potentials."""
    belief, _, _ = beliefs(tree, theta, plan_routes(tree, Views.full(tree.domain), []))
    return belief


def condition(
    fitted: Fitted, evidence: Sequence[tuple[Clique, FloatTable]], zeros: Sequence[StructuralZeros]
) -> Fitted:
    """The distribution given evidence: each factor is a likelihood for each combination of its attributes' codes.

    Evidence over attributes that no tree clique holds enlarges the tree. Raises ValueError where it is impossible.
    """
    homeless = [
        StructuralZeros(clique, np.ones(likelihood.shape, dtype=np.bool_))
        for clique, likelihood in evidence
        if fitted.tree.home(clique) is None
    ]
    if homeless:
        fitted = restore(
            fitted.views, fitted.multipliers, [*zeros, *homeless], total=fitted.total, loss=fitted.loss
        )
    tree = fitted.tree
    theta = fitted.theta.copy()
    for clique, likelihood in evidence:
        home = tree.home(clique)
        if home is None:
            raise ValueError("the evidence's clique is not in the tree")
        flat = np.asarray(likelihood, dtype=np.float64).reshape(-1)
        logs = np.where(flat > 0.0, np.log(np.maximum(flat, 1e-300)), IMPOSSIBLE)
        theta[tree.offset[home] : tree.offset[home + 1]] += logs[tree.onto(home, clique)]
    if log_partition(tree, theta) - log_partition(tree, fitted.theta) < IMPOSSIBLE / 2:
        raise ValueError("the evidence has probability 0")
    return Fitted(tree, theta, fitted.total, fitted.views, fitted.multipliers, fitted.loss, fitted.step)


def log_partition(tree: JunctionTree, theta: FloatTable) -> float:
    """Log Z of the distribution with these log-potentials."""
    _, _, log_z = beliefs(tree, theta, plan_routes(tree, Views.full(tree.domain), []))
    return log_z


def total_of(measurements: Sequence[Measurement]) -> float:
    """The minimum-variance estimate of the number of rows from the noisy marginals' sums; at least 1."""
    variances = np.array([float((1.0 / m.precision).sum()) for m in measurements])
    sums = np.array([float(m.counts.sum()) for m in measurements])
    return max(1.0, float((sums / variances).sum() / (1.0 / variances).sum()))


def combine(measurements: Sequence[Measurement]) -> list[tuple[View, FloatTable, FloatTable]]:
    """One (view, mean counts, 1/variances) for each view: repeated measurements averaged by their precision."""
    grouped: dict[View, list[Measurement]] = {}
    for measurement in measurements:
        grouped.setdefault(measurement.view, []).append(measurement)
    result = []
    for view, several in grouped.items():
        precision = np.sum([m.precision for m in several], axis=0)
        mean = np.sum([m.precision * m.counts for m in several], axis=0) / precision
        result.append((view, mean, precision))
    return result


def base_potentials(tree: JunctionTree, zeros: Sequence[StructuralZeros]) -> FloatTable:
    """Flat log-potentials that forbid the structural zeros. Every factor's clique must lie in a tree clique."""
    base = np.zeros(tree.cells)
    for factor in zeros:
        home = tree.home(factor.clique)
        if home is None:
            raise ValueError("a structural zero's clique is not in the tree")
        forbidden = ~factor.allowed.reshape(-1)[tree.onto(home, factor.clique)]
        base[tree.offset[home] : tree.offset[home + 1]][forbidden] = IMPOSSIBLE
    return base


def fit(
    views: Views,
    measurements: Sequence[Measurement],
    zeros: Sequence[StructuralZeros] = (),
    *,
    start: Fitted | None = None,
    iterations: int = 1000,
    tolerance: float = 1e-5,
    enough: float = 0.0,
    between: Callable[[], None] = lambda: None,
) -> Fitted:
    """Fit to the measurements.

    Args:
        views: the attributes, and what the measurements' resolutions mean.
        measurements: noisy marginals; at least one.
        zeros: structural zeros.
        start: an earlier fit whose multipliers to start from.
        iterations: at most so many mirror-descent steps.
        tolerance: stop after three successive steps that lower the loss by less than this share of it.
        enough: stop where the loss is no larger than this many times half the number of measured cells, which is what the noise
            alone makes it; 0: go on.
        between: called every so often, so that Ctrl-C is heard.
    """
    problem = _Problem(views, measurements, zeros)
    descent = problem.descent(start, between)
    descent.run(iterations, tolerance=tolerance, enough=enough * problem.noise_level)
    return problem.fitted(descent)


def refine(
    views: Views,
    measurements: Sequence[Measurement],
    zeros: Sequence[StructuralZeros] = (),
    *,
    start: Fitted,
    steps: int = ROUND_STEPS,
) -> Fitted:
    """A fit between rounds: from the one before, until the loss is below what noise makes it, or for `steps`, fewer in a large tree."""
    problem = _Problem(views, measurements, zeros, spread=_ROUND_SPREAD)
    descent = problem.descent(start, lambda: None)
    most = min(steps, max(_LEAST_ROUND_STEPS, int(_ROUND_CELLS / problem.tree.cells)))
    descent.run(most, tolerance=1e-5, enough=ROUND_LOSS * problem.noise_level)
    return problem.fitted(descent)


def settle(
    views: Views,
    measurements: Sequence[Measurement],
    zeros: Sequence[StructuralZeros] = (),
    *,
    between: Callable[[], None] = lambda: None,
) -> Fitted:
    """The last fit of a run: from the maximum-entropy distribution on, ended before it takes the noise for the table.

    Descent fits a marginal's large cells first and those that are noise last. It is followed to its end, or for 600 steps, and the point is taken where
    the loss was still EXCESS of the noise level above that of the end. One-way marginals alone are fitted to the end.
    """
    if all(len(m.clique) == 1 for m in measurements):
        return fit(views, measurements, zeros, between=between)
    problem = _Problem(views, measurements, zeros)
    descent = problem.descent(None, between)
    excess = EXCESS * problem.noise_level
    trail: list[tuple[float, FloatTable]] = []
    for _ in range(_MOST_STRETCHES):
        ended = descent.run(_STRETCH, tolerance=1e-5, enough=0.0)
        flat = bool(trail) and descent.loss > (1.0 - _FLAT) * trail[-1][0]
        trail = [point for point in trail if point[0] <= descent.loss + excess]
        trail.append((descent.loss, descent.values.copy()))
        if ended or flat:
            break
    loss, values = trail[0]
    descent.values[:] = values
    return problem.fitted(descent, loss)


class _Problem:
    """Measurements over their junction tree. The loss is Σ residual² / (σ² + spread · count) / 2, the noise level what noise alone makes it."""

    def __init__(
        self,
        views: Views,
        measurements: Sequence[Measurement],
        zeros: Sequence[StructuralZeros],
        *,
        spread: float = 0.0,
    ) -> None:
        self.views = views
        self.parts = combine(measurements)
        self.total = total_of(measurements)
        self.tree = build(
            views.domain, [view.clique for view, _, _ in self.parts] + [factor.clique for factor in zeros]
        )
        self.base = base_potentials(self.tree, zeros)
        self.routes = plan_routes(self.tree, views, [view for view, _, _ in self.parts])
        shares = [
            1.0 / (1.0 + spread * precision * np.maximum(mean, 0.0)) for _, mean, precision in self.parts
        ]
        self.weights = [
            share * precision for share, (_, _, precision) in zip(shares, self.parts, strict=True)
        ]
        self.noise_level = sum(float(share.sum()) for share in shares) / 2.0

    def descent(self, start: Fitted | None, between: Callable[[], None]) -> Descent:
        """From an earlier fit's multipliers, or from 0."""
        known = start.multipliers if start is not None else {}
        return Descent(
            self.tree,
            self.base,
            routes=self.routes,
            views=[view for view, _, _ in self.parts],
            target=[table / self.total for _, table, _ in self.parts],
            weight=[weight * self.total**2 for weight in self.weights],
            values=[known.get(view, np.zeros(table.shape)) for view, table, _ in self.parts],
            step=start.step if start is not None else 0.0,
            between=between,
        )

    def fitted(self, descent: Descent, loss: float | None = None) -> Fitted:
        """Where the descent stands."""
        several = [view for view, _, _ in self.parts]
        multipliers = dict(zip(several, self.routes.gather(self.views, several, descent.values), strict=True))
        return Fitted(
            self.tree,
            descent.potentials(),
            self.total,
            self.views,
            multipliers,
            descent.loss if loss is None else loss,
            descent.step,
        )


def restore(
    views: Views,
    multipliers: dict[View, FloatTable],
    zeros: Sequence[StructuralZeros],
    *,
    total: float,
    loss: float,
) -> Fitted:
    """The distribution with these multipliers, as `fit` left it."""
    tree = build(views.domain, [*(view.clique for view in multipliers), *(factor.clique for factor in zeros)])
    several = list(multipliers)
    routes = plan_routes(tree, views, several)
    values = routes.spread(several, list(multipliers.values()))
    theta = potentials(tree, base_potentials(tree, zeros), routes, values)
    return Fitted(tree, theta, total, views, multipliers, loss, 0.0)
