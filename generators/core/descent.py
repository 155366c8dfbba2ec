"""Accelerated mirror descent over a junction tree: the kernels of inference, and one descent that can be run in parts.

Belief propagation runs in log space in float64 over flat tables (`junction.JunctionTree`), one exponential a cell. Everything here
is post-processing of measured values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from generators.core.domain import FloatTable
from generators.core.folding import fold_down, spread_up
from generators.core.jit import fast_exp, fast_log, kernel
from generators.core.junction import JunctionTree
from generators.core.routes import Routes
from generators.core.views import View

_CELLS_A_CALL = 2.5e7
"""Cells that one call of the kernel may go through, some 0.1 s: between two calls Ctrl-C is heard."""

_FLOOR = 1e-9
"""A descent ends where no step of this share of the safe one lowers the loss: in it rounding is all that is left."""

_GROWTH, _LATER_GROWTH = 1.05, 1.001
"""A step is so many times as long as the one before: until one was taken back, and after that."""

_BACK = 0.9
"""Where the loss would rise, momentum starts anew with steps so many times as long; it is the step more often than the momentum."""


@kernel
def expand(
    base: Any,
    values: Any,
    offset: Any,
    first: Any,
    start: Any,
    source: Any,
    step: Any,
    groups: Any,
    sums: Any,
    theta: Any,
) -> None:
    """Sum up theta = base + Σ_i λ_i expanded to the tree's cliques; `sums` is scratch like `values`, the λ of all tables."""
    for i in range(theta.shape[0]):
        theta[i] = base[i]
    for i in range(sums.shape[0]):
        sums[i] = values[i]
    for c in range(offset.shape[0] - 1):
        spread_up(theta[offset[c] : offset[c + 1]], sums, first[c], first[c + 1], start, source, step, groups)


@kernel
def _rows_up(own: Any, top: Any, total: Any) -> None:
    """In place exp(own - the row's maximum); `top` and `total` get maximum and sum of each row of (rows, width)."""
    width = own.shape[0] // top.shape[0]
    for g in range(top.shape[0]):
        row = own[g * width : (g + 1) * width]
        most = row[0]
        for k in range(width):
            most = max(most, row[k])
        mass = 0.0
        for k in range(width):
            value = fast_exp(row[k] - most)
            row[k] = value
            mass += value
        top[g] = most
        total[g] = mass


@kernel
def _columns_up(own: Any, top: Any, total: Any) -> None:
    """The same for the columns of (width, columns)."""
    columns = top.shape[0]
    for g in range(columns):
        top[g] = own[g]
        total[g] = 0.0
    for k in range(1, own.shape[0] // columns):
        row = own[k * columns : (k + 1) * columns]
        for g in range(columns):
            top[g] = max(top[g], row[g])
    for k in range(own.shape[0] // columns):
        row = own[k * columns : (k + 1) * columns]
        for g in range(columns):
            value = fast_exp(row[g] - top[g])
            row[g] = value
            total[g] += value


@kernel
def calibrate(
    base: Any,
    values: Any,
    offset: Any,
    separator_offset: Any,
    behind: Any,
    first: Any,
    joint: Any,
    start: Any,
    source: Any,
    step: Any,
    groups: Any,
    sums: Any,
    belief: Any,
    top: Any,
    scale: Any,
) -> float:
    """Two-pass belief propagation from log-potentials base + Σ λ; returns log Z.

    base, belief: flat (cells,); `belief` becomes the cliques' marginals, each summing to 1. values, sums: flat over the tables of
    `routes.Routes`: the λ of each; `sums` becomes their marginals. top, scale: scratch, (separator cells,).
    Upward, each clique keeps exp(belief - maximum of the separator's cell), so that downward only a factor per separator cell remains.
    """
    cliques = joint.shape[0]
    log_z = 0.0
    for i in range(base.shape[0]):
        belief[i] = base[i]
    for i in range(sums.shape[0]):
        sums[i] = values[i]
    for c in range(cliques - 1, -1, -1):
        own = belief[offset[c] : offset[c + 1]]
        spread_up(own, sums, first[c], first[c + 1], start, source, step, groups)
        cells = separator_offset[c + 1] - separator_offset[c]
        message = top[separator_offset[c] : separator_offset[c + 1]]
        factor = scale[separator_offset[c] : separator_offset[c + 1]]
        if behind[c]:
            _columns_up(own, message, factor)
        else:
            _rows_up(own, message, factor)
        for g in range(cells):
            message[g] += fast_log(factor[g])
            factor[g] = 1.0 / factor[g]
        if joint[c] < 0:
            log_z += message[0]
        else:
            above = sums[start[joint[c]] : start[joint[c] + 1]]
            for g in range(cells):
                above[g] += message[g]
    for c in range(cliques):
        own = belief[offset[c] : offset[c + 1]]
        factor = scale[separator_offset[c] : separator_offset[c + 1]]
        if joint[c] >= 0:
            mass = sums[start[joint[c]] : start[joint[c] + 1]]
            for g in range(factor.shape[0]):
                factor[g] *= mass[g]
        if behind[c]:
            for k in range(own.shape[0] // factor.shape[0]):
                row = own[k * factor.shape[0] : (k + 1) * factor.shape[0]]
                for g in range(factor.shape[0]):
                    row[g] *= factor[g]
        else:
            width = own.shape[0] // factor.shape[0]
            for g in range(factor.shape[0]):
                row = own[g * width : (g + 1) * width]
                for k in range(width):
                    row[k] *= factor[g]
        fold_down(own, sums, first[c], first[c + 1], start, source, step, groups)
    return log_z


@kernel
def _descend(
    look: Any,
    plain: Any,
    marginal: Any,
    target: Any,
    weight: Any,
    rounds: int,
    tolerance: float,
    enough: float,
    floor: float,
    spans: Any,
    base: Any,
    offset: Any,
    separator_offset: Any,
    behind: Any,
    first: Any,
    joint: Any,
    start: Any,
    source: Any,
    step: Any,
    groups: Any,
    state: Any,
) -> None:
    """Accelerated mirror descent on L(p) = Σ weight · (M p − target)² / 2, in place on `look` = λ where it stands.

    Nesterov's momentum in λ, with one look at the model a step: the gradient is taken where momentum leads, `plain` is the λ without it.
    Momentum is given up where the loss would rise (O'Donoghue & Candès 2015), and the step is no longer than what Armijo's
    condition allows along the way gone last. marginal: M p at `look`. state holds (step, momentum's t, loss, growth of steps, 1.0 where it is done)
    and receives them; one more call goes on where this one stopped. A loss below 0 is one not known yet.
    """
    belief = np.empty(base.shape[0])
    top = np.empty(separator_offset[-1])
    scale = np.empty(separator_offset[-1])
    ahead = np.zeros_like(look)
    descended = np.empty_like(look)
    fresh = np.empty_like(look)
    length, t, loss, growth = state[0], state[1], state[2], state[3]
    if loss < 0.0:
        calibrate(
            base,
            look,
            offset,
            separator_offset,
            behind,
            first,
            joint,
            start,
            source,
            step,
            groups,
            marginal,
            belief,
            top,
            scale,
        )
        loss = 0.0
        for n in range(spans.shape[0]):
            for i in range(spans[n, 0], spans[n, 1]):
                loss += 0.5 * weight[i] * (marginal[i] - target[i]) ** 2
    quiet = 0
    done = 0
    state[4] = 1.0 if loss <= enough else 0.0
    while done < rounds and state[4] == 0.0:
        done += 1
        later = 0.5 + 0.5 * np.sqrt(1.0 + 4.0 * t * t)
        beta = (t - 1.0) / later
        for n in range(spans.shape[0]):
            for i in range(spans[n, 0], spans[n, 1]):
                descended[i] = look[i] - length * weight[i] * (marginal[i] - target[i])
                ahead[i] = descended[i] + beta * (descended[i] - plain[i])
        calibrate(
            base,
            ahead,
            offset,
            separator_offset,
            behind,
            first,
            joint,
            start,
            source,
            step,
            groups,
            fresh,
            belief,
            top,
            scale,
        )
        now = 0.0
        along = 0.0
        bend = 0.0
        for n in range(spans.shape[0]):
            for i in range(spans[n, 0], spans[n, 1]):
                change = fresh[i] - marginal[i]
                now += 0.5 * weight[i] * (fresh[i] - target[i]) ** 2
                along += (ahead[i] - look[i]) * change
                bend += weight[i] * change * change
        safe = along / bend if bend > 0.0 else 2.0 * length
        if length > safe or (now > loss and beta == 0.0):
            length = max(0.5 * length, _BACK * safe) if length > safe else 0.5 * length
            growth = _LATER_GROWTH
            state[4] = 1.0 if length < floor else 0.0
        elif now > loss:
            length *= _BACK
            growth = _LATER_GROWTH
            t = 1.0
            for n in range(spans.shape[0]):
                plain[spans[n, 0] : spans[n, 1]] = look[spans[n, 0] : spans[n, 1]]
        else:
            quiet = quiet + 1 if loss - now < tolerance * loss else 0
            loss = now
            length *= growth
            t = later
            for n in range(spans.shape[0]):
                for i in range(spans[n, 0], spans[n, 1]):
                    look[i] = ahead[i]
                    plain[i] = descended[i]
                    marginal[i] = fresh[i]
            state[4] = 1.0 if quiet >= 3 or loss <= enough else 0.0
    state[0] = length
    state[1] = t
    state[2] = loss
    state[3] = growth


class Descent:
    """One minimisation of L(p) = Σ weight · (M p - target)² / 2, from `values`.

    Args:
        tree: the junction tree.
        base: its flat log-potentials where all λ are 0.
        routes: to the measured marginals' tables.
        views: the measured marginals.
        target: for each what its cells should be, of the view's shape; the model's cells sum to 1.
        weight: for each how much, likewise.
        values: for each its λ at first, likewise.
        step: the first step's length; where it is shorter, the one that is safe for a marginal by itself.
        between: called every so often, so that Ctrl-C is heard.
    """

    def __init__(
        self,
        tree: JunctionTree,
        base: FloatTable,
        *,
        routes: Routes,
        views: Sequence[View],
        target: Sequence[FloatTable],
        weight: Sequence[FloatTable],
        values: Sequence[FloatTable],
        step: float = 0.0,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        self._tree = tree
        self._base = base
        self._routes = routes
        self._target = routes.spread(views, target)
        # Tables that are on the way only weigh nothing, so that their λ stay 0.
        self._weight = routes.spread(views, weight)
        self.values = routes.spread(views, values)
        self._plain = self.values.copy()
        self._marginal = np.empty_like(self.values)
        # The gradient is Lipschitz in the 1-norm of one clique's marginal with its largest weight; where several overlap, the step is shortened.
        self._safe = 1.0 / float(self._weight.max())
        self._state = np.array([max(step, self._safe), 1.0, -1.0, _GROWTH, 0.0])
        self._between = between

    @property
    def loss(self) -> float:
        """L where the descent stands; below 0 before the first step."""
        return float(self._state[2])

    @property
    def step(self) -> float:
        """The last step's length, for a later descent on more measurements."""
        return float(self._state[0])

    def run(self, steps: int, *, tolerance: float, enough: float) -> bool:
        """Go on for at most `steps`; whether it ended before.

        Args:
            steps: at most.
            tolerance: end after three successive steps that lower the loss by less than this share of it.
            enough: end where the loss is no larger.
        """
        tree, routes, left = self._tree, self._routes, steps
        most = max(1, int(_CELLS_A_CALL / (tree.cells + routes.cells)))
        while left > 0:
            _descend(
                self.values,
                self._plain,
                self._marginal,
                self._target,
                self._weight,
                min(left, most),
                tolerance,
                enough,
                _FLOOR * self._safe,
                routes.spans,
                self._base,
                tree.offset,
                tree.separator_offset,
                np.array(tree.behind),
                routes.first,
                routes.joint,
                routes.start,
                routes.source,
                routes.step,
                routes.groups,
                self._state,
            )
            self._between()
            if self._state[4]:
                return True
            left -= most
        return False

    def potentials(self) -> FloatTable:
        """Flat log-potentials over the tree's cliques where the descent stands."""
        return potentials(self._tree, self._base, self._routes, self.values)


def potentials(tree: JunctionTree, base: FloatTable, routes: Routes, values: FloatTable) -> FloatTable:
    """Flat log-potentials over the tree's cliques: base + Σ λ, the λ of all tables of the routes flat in `values`."""
    theta = np.empty_like(base)
    expand(
        base,
        values,
        tree.offset,
        routes.first,
        routes.start,
        routes.source,
        routes.step,
        routes.groups,
        np.empty_like(values),
        theta,
    )
    return theta


def beliefs(tree: JunctionTree, theta: FloatTable, routes: Routes) -> tuple[FloatTable, FloatTable, float]:
    """Of the distribution with these log-potentials the flat clique marginals, each summing to 1, those of all tables of the routes, and log Z."""
    sums = np.zeros(int(routes.start[-1]))
    belief = np.empty_like(theta)
    separators = int(tree.separator_offset[-1])
    log_z = calibrate(
        theta,
        sums,
        tree.offset,
        tree.separator_offset,
        np.array(tree.behind),
        routes.first,
        routes.joint,
        routes.start,
        routes.source,
        routes.step,
        routes.groups,
        sums,
        belief,
        np.empty(separators),
        np.empty(separators),
    )
    return belief, sums, float(log_z)
