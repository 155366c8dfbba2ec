"""Accelerated mirror descent over a junction tree: the kernels of inference, and one descent that can be run in parts.

Belief propagation runs in log space in float64 over flat tables (`junction.JunctionTree`), one exponential a cell. Everything here
is post-processing of measured values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from generators.core.domain import FloatTable
from generators.core.jit import fast_exp, kernel
from generators.core.junction import JunctionTree
from generators.core.routes import Routes

_CELLS_A_CALL = 2.5e7
"""Cells that one call of the kernel may go through, some 0.1 s: between two calls Ctrl-C is heard."""

_FLOOR = 1e-9
"""A descent ends where no step of this share of the safe one lowers the loss: in it rounding is all that is left."""


@kernel
def propagate(
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
def expand(
    values: Any,
    start: Any,
    source: Any,
    maps: Any,
    map_offset: Any,
    offset: Any,
    base: Any,
    summed: Any,
    theta: Any,
) -> None:
    """Sum up theta = base + Σ_i λ_i expanded to the tree's cliques, on the way of `routes.Routes`; `summed` is scratch like `values`."""
    for i in range(theta.shape[0]):
        theta[i] = base[i]
    for i in range(summed.shape[0]):
        summed[i] = values[i]
    for m in range(source.shape[0] - 1, -1, -1):
        vector = summed[start[m] : start[m + 1]]
        index = maps[map_offset[m] : map_offset[m + 1]]
        if source[m] >= 0:
            table = theta[offset[source[m]] : offset[source[m] + 1]]
        else:
            table = summed[start[-1 - source[m]] : start[-source[m]]]
        for i in range(table.shape[0]):
            table[i] += vector[index[i]]


@kernel
def project(belief: Any, start: Any, source: Any, maps: Any, map_offset: Any, offset: Any, out: Any) -> None:
    """Write into `out` the marginals M_i of the beliefs, on the same way."""
    for i in range(out.shape[0]):
        out[i] = 0.0
    for m in range(source.shape[0]):
        vector = out[start[m] : start[m + 1]]
        index = maps[map_offset[m] : map_offset[m + 1]]
        if source[m] >= 0:
            table = belief[offset[source[m]] : offset[source[m] + 1]]
        else:
            table = out[start[-1 - source[m]] : start[-source[m]]]
        for i in range(table.shape[0]):
            vector[index[i]] += table[i]


@kernel
def _descend(
    values: Any,
    before: Any,
    target: Any,
    weight: Any,
    rounds: int,
    tolerance: float,
    enough: float,
    floor: float,
    start: Any,
    source: Any,
    maps: Any,
    map_offset: Any,
    base: Any,
    parent: Any,
    offset: Any,
    separator_offset: Any,
    down: Any,
    down_offset: Any,
    state: Any,
) -> None:
    """Accelerated mirror descent on L(p) = Σ weight · (M p − target)² / 2, in place on `values` = λ and `before`, λ a step ago.

    Nesterov's momentum in λ, given up where the loss would rise (O'Donoghue & Candès 2015); step length by Armijo. state holds (step,
    momentum's t) and receives them, the loss, the steps taken and 1.0 where it is done; one more call goes on where this one stopped.
    """
    cells = base.shape[0]
    theta = np.empty(cells)
    belief = np.empty(cells)
    message = np.empty(separator_offset[-1])
    scale = np.empty(separator_offset[-1])
    m = values.shape[0]
    projected = np.empty(m)
    gradient = np.empty(m)
    look = values.copy()
    trial = np.empty(m)
    fresh = np.empty(m)
    summed = np.empty(m)
    step, t = state[0], state[1]
    expand(values, start, source, maps, map_offset, offset, base, summed, theta)
    propagate(theta, parent, offset, separator_offset, down, down_offset, belief, message, scale)
    project(belief, start, source, maps, map_offset, offset, projected)
    loss = 0.0
    for i in range(m):
        gradient[i] = weight[i] * (projected[i] - target[i])
        loss += 0.5 * gradient[i] * (projected[i] - target[i])
    here = loss
    quiet = 0
    done = 0
    state[4] = 0.0
    beta = 0.0
    if t > 1.0:
        beta = (t - 1.0) / (0.5 + 0.5 * np.sqrt(1.0 + 4.0 * t * t))
    if loss <= enough:
        state[4] = 1.0
        rounds = 0
    known = beta == 0.0  # the slope at `look`
    while done < rounds:
        if not known:
            for i in range(m):
                look[i] = values[i] + beta * (values[i] - before[i])
            expand(look, start, source, maps, map_offset, offset, base, summed, theta)
            propagate(theta, parent, offset, separator_offset, down, down_offset, belief, message, scale)
            project(belief, start, source, maps, map_offset, offset, projected)
            here = 0.0
            for i in range(m):
                gradient[i] = weight[i] * (projected[i] - target[i])
                here += 0.5 * gradient[i] * (projected[i] - target[i])
        known = False
        while done < rounds:
            done += 1
            for i in range(m):
                trial[i] = look[i] - step * gradient[i]
            expand(trial, start, source, maps, map_offset, offset, base, summed, theta)
            propagate(theta, parent, offset, separator_offset, down, down_offset, belief, message, scale)
            project(belief, start, source, maps, map_offset, offset, fresh)
            now = 0.0
            slope = 0.0
            for i in range(m):
                d = fresh[i] - target[i]
                now += 0.5 * weight[i] * d * d
                slope += gradient[i] * (projected[i] - fresh[i])
            if here - now >= 0.5 * slope or step < floor:
                break
            step *= 0.5
        if step < floor:
            state[4] = 1.0
            break
        if now <= loss:
            relative = (loss - now) / max(loss, 1e-12)
            loss = now
            step *= 1.1
            t = 0.5 + 0.5 * np.sqrt(1.0 + 4.0 * t * t)
            beta = (t - 1.0) / (0.5 + 0.5 * np.sqrt(1.0 + 4.0 * t * t))
            for i in range(m):
                before[i] = values[i]
                values[i] = trial[i]
            quiet = quiet + 1 if relative < tolerance else 0
            if quiet >= 3 or loss <= enough:
                state[4] = 1.0
                break
        else:
            t = 1.0
            beta = 0.0
    state[0] = step
    state[1] = t
    state[2] = loss
    state[3] = done


class Descent:
    """One minimisation of L(p) = Σ weight · (M p - target)² / 2, from `values`.

    Args:
        tree: the junction tree.
        base: its flat log-potentials where all λ are 0.
        routes: to the measured marginals' tables.
        target: for each what its cells should be; the model's cells sum to 1.
        weight: for each how much.
        values: for each its λ at first.
        step: the first step's length; where it is shorter, the one that is safe for a marginal by itself.
        between: called every so often, so that Ctrl-C is heard.
    """

    def __init__(
        self,
        tree: JunctionTree,
        base: FloatTable,
        *,
        routes: Routes,
        target: Sequence[FloatTable],
        weight: Sequence[FloatTable],
        values: Sequence[FloatTable],
        step: float = 0.0,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        self._tree = tree
        self._base = base
        self._places = routes.places
        self._source = np.array(routes.sources, dtype=np.int64)
        self._maps = np.concatenate(routes.maps)
        self._map_offset = _offsets([len(index) for index in routes.maps])
        self._start = _offsets(routes.cells)
        self._target = self._spread(target)
        # Tables that are on the way only weigh nothing, so that their λ stay 0.
        self._weight = self._spread(weight)
        self.values = self._spread(values)
        self._before = self.values.copy()
        # The gradient is Lipschitz in the 1-norm of one clique's marginal with its largest weight; where several overlap, Armijo halves it.
        self._safe = 1.0 / float(self._weight.max())
        self._state = np.array([max(step, self._safe), 1.0, np.inf, 0.0, 0.0])
        self._between = between

    @property
    def loss(self) -> float:
        """L where the descent stands; infinite before the first step."""
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
        tree, left = self._tree, steps
        most = max(1, int(_CELLS_A_CALL / (tree.cells + len(self._maps) + 1)))
        while left > 0:
            _descend(
                self.values,
                self._before,
                self._target,
                self._weight,
                min(left, most),
                tolerance,
                enough,
                _FLOOR * self._safe,
                self._start,
                self._source,
                self._maps,
                self._map_offset,
                self._base,
                tree.parent,
                tree.offset,
                tree.separator_offset,
                tree.down,
                tree.down_offset,
                self._state,
            )
            self._between()
            if self._state[4]:
                return True
            left -= most
        return False

    def potentials(self) -> FloatTable:
        """Flat log-potentials over the tree's cliques where the descent stands."""
        theta = np.empty_like(self._base)
        expand(
            self.values,
            self._start,
            self._source,
            self._maps,
            self._map_offset,
            self._tree.offset,
            self._base,
            np.empty_like(self.values),
            theta,
        )
        return theta

    def parts(self) -> list[FloatTable]:
        """λ of each measured marginal, flat."""
        return [self.values[self._start[n] : self._start[n + 1]].copy() for n in self._places]

    def _spread(self, tables: Sequence[FloatTable]) -> FloatTable:
        """One flat vector over all tables of the routes, 0 in those that are on the way only."""
        flat = np.zeros(int(self._start[-1]))
        for place, table in zip(self._places, tables, strict=True):
            flat[self._start[place] : self._start[place + 1]] = table.reshape(-1)
        return flat


def _offsets(lengths: Sequence[int]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
