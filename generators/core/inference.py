"""Private-PGM inference: the maximum-entropy distribution that fits noisy marginals (1901.09136).

The model is a Markov random field over a junction tree, p(x) ∝ exp(Σ λ_i[x_i]), one vector λ_i for each measured
marginal. Belief propagation runs in log space in float64 over flat tables (`junction.JunctionTree`), one exponential a
cell; mirror descent with a line search minimises Σ ‖N·M_i(p) − y_i‖² / (2σ_i²), starting from the λ of the round before.
Everything here is post-processing of measured values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from generators.core.domain import Clique, StructuralZeros
from generators.core.jit import fast_exp, kernel
from generators.core.junction import JunctionTree, build
from generators.core.views import View, Views

FloatTable = npt.NDArray[np.float64]

IMPOSSIBLE = -1e30
"""The log-potential of a structural zero: finite, so that no kernel meets an infinity."""


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


@kernel
def _propagate(
    theta: Any,
    parent: Any,
    offset: Any,
    separator_offset: Any,
    down: Any,
    down_offset: Any,
    belief: Any,
    message: Any,
    scale: Any,
) -> float:
    """Two-pass belief propagation: `belief` becomes the cliques' marginals, each summing to 1; returns log Z.

    theta, belief: flat (cells,). message, scale: flat (separator cells,) scratch. Upward, each clique keeps
    exp(belief - row maximum), so that downward only a factor per separator cell remains.
    """
    cliques = parent.shape[0]
    log_z = 0.0
    for i in range(theta.shape[0]):
        belief[i] = theta[i]
    for c in range(cliques - 1, -1, -1):
        groups = separator_offset[c + 1] - separator_offset[c]
        width = (offset[c + 1] - offset[c]) // groups
        for g in range(groups):
            row = belief[offset[c] + g * width : offset[c] + (g + 1) * width]
            top = row[0]
            for i in range(width):
                top = max(top, row[i])
            total = 0.0
            for i in range(width):
                value = fast_exp(row[i] - top)
                row[i] = value
                total += value
            message[separator_offset[c] + g] = top + np.log(total)
            scale[separator_offset[c] + g] = 1.0 / total
        p = parent[c]
        if p < 0:
            log_z += message[separator_offset[c]]
        if p >= 0:
            above = belief[offset[p] : offset[p + 1]]
            index = down[down_offset[c] : down_offset[c + 1]]
            incoming = message[separator_offset[c] : separator_offset[c + 1]]
            for i in range(above.shape[0]):
                above[i] += incoming[index[i]]
    for c in range(cliques):
        groups = separator_offset[c + 1] - separator_offset[c]
        width = (offset[c + 1] - offset[c]) // groups
        p = parent[c]
        mass = message[separator_offset[c] : separator_offset[c + 1]]
        if p < 0:
            mass[0] = 1.0
        else:
            for g in range(groups):
                mass[g] = 0.0
            above = belief[offset[p] : offset[p + 1]]
            index = down[down_offset[c] : down_offset[c + 1]]
            for i in range(above.shape[0]):
                mass[index[i]] += above[i]
        for g in range(groups):
            factor = mass[g] * scale[separator_offset[c] + g]
            row = belief[offset[c] + g * width : offset[c] + (g + 1) * width]
            for i in range(width):
                row[i] *= factor
    return log_z


@kernel
def _expand(
    values: Any, start: Any, home: Any, maps: Any, map_offset: Any, offset: Any, base: Any, theta: Any
) -> None:
    """Sum up theta = base + Σ_i λ_i expanded to the tree clique that holds marginal i."""
    for i in range(theta.shape[0]):
        theta[i] = base[i]
    for m in range(home.shape[0]):
        table = theta[offset[home[m]] : offset[home[m] + 1]]
        index = maps[map_offset[m] : map_offset[m + 1]]
        vector = values[start[m] : start[m + 1]]
        for i in range(table.shape[0]):
            table[i] += vector[index[i]]


@kernel
def _project(belief: Any, start: Any, home: Any, maps: Any, map_offset: Any, offset: Any, out: Any) -> None:
    """Write into `out` the marginals M_i of the beliefs."""
    for i in range(out.shape[0]):
        out[i] = 0.0
    for m in range(home.shape[0]):
        table = belief[offset[home[m]] : offset[home[m] + 1]]
        index = maps[map_offset[m] : map_offset[m + 1]]
        vector = out[start[m] : start[m + 1]]
        for i in range(table.shape[0]):
            vector[index[i]] += table[i]


@kernel
def _descend(
    values: Any,
    target: Any,
    weight: Any,
    rounds: int,
    step: float,
    tolerance: float,
    start: Any,
    home: Any,
    maps: Any,
    map_offset: Any,
    base: Any,
    parent: Any,
    offset: Any,
    separator_offset: Any,
    down: Any,
    down_offset: Any,
    report: Any,
) -> None:
    """Mirror descent with Armijo line search on L(p) = Σ weight · (M p − target)² / 2, in place on `values` = λ.

    report receives (loss, step, iterations, last relative decrease).
    """
    cells = base.shape[0]
    theta = np.empty(cells)
    belief = np.empty(cells)
    message = np.empty(separator_offset[-1])
    scale = np.empty(separator_offset[-1])
    m = values.shape[0]
    projected = np.empty(m)
    gradient = np.empty(m)
    trial = np.empty(m)
    fresh = np.empty(m)
    _expand(values, start, home, maps, map_offset, offset, base, theta)
    _propagate(theta, parent, offset, separator_offset, down, down_offset, belief, message, scale)
    _project(belief, start, home, maps, map_offset, offset, projected)
    loss = 0.0
    for i in range(m):
        gradient[i] = weight[i] * (projected[i] - target[i])
        loss += 0.5 * gradient[i] * (projected[i] - target[i])
    done = 0
    quiet = 0
    relative = 1.0
    while done < rounds:
        done += 1
        for i in range(m):
            trial[i] = values[i] - step * gradient[i]
        _expand(trial, start, home, maps, map_offset, offset, base, theta)
        _propagate(theta, parent, offset, separator_offset, down, down_offset, belief, message, scale)
        _project(belief, start, home, maps, map_offset, offset, fresh)
        now = 0.0
        slope = 0.0
        for i in range(m):
            d = fresh[i] - target[i]
            now += 0.5 * weight[i] * d * d
            slope += gradient[i] * (projected[i] - fresh[i])
        if loss - now >= 0.5 * slope:
            relative = (loss - now) / max(loss, 1e-12)
            for i in range(m):
                values[i] = trial[i]
                projected[i] = fresh[i]
                gradient[i] = weight[i] * (fresh[i] - target[i])
            loss = now
            step *= 1.4
            if relative < tolerance:
                quiet += 1
                if quiet >= 3:
                    break
            else:
                quiet = 0
        else:
            step *= 0.5
            if step < 1e-12:
                break
    report[0] = loss
    report[1] = step
    report[2] = done
    report[3] = relative


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A distribution over the attributes.

    Attributes:
        tree: the junction tree.
        theta: flat log-potentials over the tree's cliques.
        total: estimated number of rows (noisy, never the exact one).
        views: what the multipliers' resolutions mean.
        multipliers: for each measured view its λ, for warm starts and saved models.
        loss: Σ (residual / σ)² / 2 at the end; half the number of measured cells is the noise level.
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
    belief = np.empty_like(theta)
    message = np.empty(int(tree.separator_offset[-1]))
    _propagate(
        theta,
        tree.parent,
        tree.offset,
        tree.separator_offset,
        tree.down,
        tree.down_offset,
        belief,
        message,
        np.empty_like(message),
    )
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
    message = np.empty(int(tree.separator_offset[-1]))
    return float(
        _propagate(
            theta,
            tree.parent,
            tree.offset,
            tree.separator_offset,
            tree.down,
            tree.down_offset,
            np.empty_like(theta),
            message,
            np.empty_like(message),
        )
    )


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
        between: called every so often, so that Ctrl-C is heard.
    """
    combined = combine(measurements)
    total = total_of(measurements)
    tree = build(views.domain, [view.clique for view, _, _ in combined] + [factor.clique for factor in zeros])
    base = base_potentials(tree, zeros)
    home = np.array([_home(tree, view) for view, _, _ in combined], dtype=np.int64)
    maps = [views.cell_map(tree.layout[h], view) for h, (view, _, _) in zip(home, combined, strict=True)]
    map_offset = np.concatenate([[0], np.cumsum([len(index) for index in maps])]).astype(np.int64)
    lengths = np.concatenate([[0], np.cumsum([table.size for _, table, _ in combined])]).astype(np.int64)
    target = np.concatenate([table.reshape(-1) for _, table, _ in combined]) / total
    weight = np.concatenate([precision.reshape(-1) * total**2 for _, _, precision in combined])
    known = start.multipliers if start is not None else {}
    values = np.concatenate(
        [known[view].reshape(-1) if view in known else np.zeros(table.size) for view, table, _ in combined]
    )
    # The gradient is Lipschitz in the 1-norm of one clique's marginal with its largest weight.
    step = 1.0 / float(weight.max()) if start is None else start.step
    flat_maps = np.concatenate(maps)
    report = np.zeros(4)
    left = iterations
    while left > 0:
        share = max(1, min(left, int(5e7 / (tree.cells + len(flat_maps) + 1))))
        _descend(
            values,
            target,
            weight,
            share,
            step,
            tolerance,
            lengths,
            home,
            flat_maps,
            map_offset,
            base,
            tree.parent,
            tree.offset,
            tree.separator_offset,
            tree.down,
            tree.down_offset,
            report,
        )
        between()
        step = float(report[1])
        left -= share
        if report[2] < share:
            break
    theta = np.empty_like(base)
    _expand(values, lengths, home, flat_maps, map_offset, tree.offset, base, theta)
    multipliers = {
        view: values[lengths[k] : lengths[k + 1]].reshape(table.shape)
        for k, (view, table, _) in enumerate(combined)
    }
    return Fitted(
        tree, theta, total, views, multipliers, float(report[0]), max(step, 1e-9 * 1.0 / float(weight.max()))
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
    theta = base_potentials(tree, zeros)
    for view, values in multipliers.items():
        home = _home(tree, view)
        theta[tree.offset[home] : tree.offset[home + 1]] += values.reshape(-1)[
            views.cell_map(tree.layout[home], view)
        ]
    return Fitted(tree, theta, total, views, multipliers, loss, 0.0)


def _home(tree: JunctionTree, view: View) -> int:
    home = tree.home(view.clique)
    if home is None:
        raise ValueError("a view's clique is not in the tree")
    return home
