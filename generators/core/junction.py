"""Junction trees: triangulate a set of cliques, size them, lay their tables out for the inference kernels.

Layout: a tree clique's table has its separator's attributes on one side and the new ones on the other, so that messages are reductions
of rows or of columns. Reference: Koller & Friedman, Probabilistic Graphical Models, chapters 9-10.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from generators.core.domain import Clique, Domain
from generators.core.jit import kernel


@kernel
def _eliminate(adjacency: Any, log_sizes: Any, by_fill: bool, members: Any) -> float:
    """Eliminate all vertices greedily; the total number of cells of the maximal elimination cliques.

    adjacency: (d, d) bool, destroyed. members: (d, d) bool, row t becomes the t-th elimination clique.
    by_fill: choose the vertex with the fewest fill edges (then the smallest clique), else the smallest clique.
    """
    d = adjacency.shape[0]
    alive = np.ones(d, dtype=np.bool_)
    weight = np.empty(d)
    eliminated = np.empty(d, dtype=np.int64)
    absorbed_by = np.zeros(d, dtype=np.bool_)
    degree = np.zeros(d, dtype=np.int64)
    neighbours = np.empty(d, dtype=np.int64)
    for v in range(d):
        weight[v] = log_sizes[v]
        for u in range(d):
            if adjacency[v, u] and u != v:
                weight[v] += log_sizes[u]
    total = 0.0
    for step in range(d):
        best = -1
        best_fill = 1e300
        for v in range(d):
            if not alive[v]:
                continue
            fill = 0.0
            if by_fill:
                count = 0
                for u in range(d):
                    if alive[u] and u != v and adjacency[v, u]:
                        neighbours[count] = u
                        count += 1
                for i in range(count):
                    for j in range(i):
                        if not adjacency[neighbours[i], neighbours[j]]:
                            fill += 1.0
            if best < 0 or fill < best_fill or (fill == best_fill and weight[v] < weight[best]):
                best, best_fill = v, fill
        count = 0
        for u in range(d):
            members[step, u] = False
            if alive[u] and u != best and adjacency[best, u]:
                neighbours[count] = u
                count += 1
                members[step, u] = True
        members[step, best] = True
        eliminated[step] = best
        degree[step] = count
        alive[best] = False
        for i in range(count):
            a = neighbours[i]
            weight[a] -= log_sizes[best]
            for j in range(i):
                b = neighbours[j]
                if not adjacency[a, b]:
                    adjacency[a, b] = True
                    adjacency[b, a] = True
                    weight[a] += log_sizes[b]
                    weight[b] += log_sizes[a]
        # A clique inside an earlier one costs nothing. It is inside one exactly where an earlier clique, less its own
        # vertex, first meets the order here and has the same size.
        absorbed = False
        for earlier in range(step):
            if not absorbed_by[earlier] and members[earlier, best]:
                absorbed_by[earlier] = True
                if degree[earlier] == count + 1:
                    absorbed = True
        if not absorbed:
            size = log_sizes[best]
            for i in range(count):
                size += log_sizes[neighbours[i]]
            total += np.exp(size)
    return total


@kernel
def _candidate_sizes(adjacency: Any, log_sizes: Any, candidates: Any, out: Any) -> None:
    """For each candidate (row of attribute numbers, -1 padded) the tree's cells with it added."""
    d = adjacency.shape[0]
    members = np.empty((d, d), dtype=np.bool_)
    work = adjacency.copy()
    base = _eliminate(work, log_sizes, False, members)
    for row in range(candidates.shape[0]):
        work[:, :] = adjacency
        new = False
        for i in range(candidates.shape[1]):
            if candidates[row, i] < 0:
                break
            for j in range(i):
                a, b = candidates[row, i], candidates[row, j]
                if not work[a, b]:
                    new = True
                work[a, b] = True
                work[b, a] = True
        out[row] = _eliminate(work, log_sizes, False, members) if new else base


def graph(domain: Domain, cliques: Iterable[Clique]) -> npt.NDArray[np.bool_]:
    """Adjacency (d, d) of the attributes that share a clique."""
    adjacency = np.zeros((len(domain), len(domain)), dtype=np.bool_)
    for clique in cliques:
        for a in clique:
            for b in clique:
                if a != b:
                    adjacency[a, b] = True
    return adjacency


def log_sizes(domain: Domain) -> npt.NDArray[np.float64]:
    """Natural logarithms of the sizes."""
    return np.log(np.asarray(domain.sizes, dtype=np.float64))


def maximal_cliques(domain: Domain, cliques: Iterable[Clique]) -> list[Clique]:
    """The maximal cliques of the triangulated graph; every attribute is in at least one."""
    adjacency = graph(domain, cliques)
    best: list[Clique] = []
    best_total = np.inf
    for by_fill in (False, True):
        members = np.zeros_like(adjacency)
        total = _eliminate(adjacency.copy(), log_sizes(domain), by_fill, members)
        if total < best_total:
            best_total = total
            bits = [
                int.from_bytes(np.packbits(row, bitorder="little").tobytes(), "little") for row in members
            ]
            kept = [
                k
                for k, b in enumerate(bits)
                if not any(
                    (b & other) == b and (b != other or j < k) for j, other in enumerate(bits) if j != k
                )
            ]
            best = [tuple(int(a) for a in np.flatnonzero(members[k])) for k in kept]
    return best


def tree_cells(domain: Domain, cliques: Iterable[Clique]) -> float:
    """Total cells of the junction tree's maximal cliques (a float: it may be astronomically large)."""
    adjacency = graph(domain, cliques)
    return float(_eliminate(adjacency, log_sizes(domain), False, np.zeros_like(adjacency)))


def candidate_cells(
    domain: Domain, cliques: Iterable[Clique], candidates: Sequence[Clique]
) -> npt.NDArray[np.float64]:
    """For each candidate the total cells of the junction tree of `cliques` with it added."""
    width = max((len(candidate) for candidate in candidates), default=1)
    padded = np.full((len(candidates), width), -1, dtype=np.int64)
    for row, candidate in enumerate(candidates):
        padded[row, : len(candidate)] = candidate
    out = np.zeros(len(candidates))
    _candidate_sizes(graph(domain, cliques), log_sizes(domain), padded, out)
    return out


@dataclass(frozen=True, slots=True, eq=False)
class JunctionTree:
    """Maximal cliques in preorder, laid out in one flat vector.

    Attributes:
        domain: the attributes.
        layout: for each clique its attributes in table order: those of its separator as they stand in its parent's, and the others, small
            ones first.
        separators: how many of them are the separator's.
        behind: whether these stand behind the others; they do where they have more cells, as loops run over the longer side.
        parent: (c,) int64, -1 for a root.
        offset: (c + 1,) int64 into the flat vector of tables.
        separator_offset: (c + 1,) int64 into the flat vector of messages; a root's separator has one cell.
    """

    domain: Domain
    layout: tuple[Clique, ...]
    separators: tuple[int, ...]
    behind: tuple[bool, ...]
    parent: npt.NDArray[np.int64]
    offset: npt.NDArray[np.int64]
    separator_offset: npt.NDArray[np.int64]

    @property
    def cells(self) -> int:
        """Length of the flat vector."""
        return int(self.offset[-1])

    def table(self, flat: npt.NDArray[np.float64], clique: int) -> npt.NDArray[np.float64]:
        """The table of one clique in its layout."""
        return flat[self.offset[clique] : self.offset[clique + 1]].reshape(
            self.domain.shape(self.layout[clique])
        )

    def separator(self, clique: int) -> Clique:
        """The attributes that one clique shares with its parent, in table order."""
        layout, n = self.layout[clique], self.separators[clique]
        return layout[len(layout) - n :] if self.behind[clique] else layout[:n]

    def fresh(self, clique: int) -> Clique:
        """The others of its attributes, in table order."""
        layout, n = self.layout[clique], self.separators[clique]
        return layout[: len(layout) - n] if self.behind[clique] else layout[n:]

    def rows(self, flat: npt.NDArray[np.float64], clique: int) -> npt.NDArray[np.float64]:
        """The table of one clique, shape (cells of its separator, cells of the others)."""
        table = flat[self.offset[clique] : self.offset[clique + 1]]
        groups = self.domain.cells(self.separator(clique))
        return (
            np.ascontiguousarray(table.reshape(-1, groups).T)
            if self.behind[clique]
            else table.reshape(groups, -1)
        )

    def home(self, clique: Iterable[int]) -> int | None:
        """The smallest tree clique that contains these attributes; None where none does."""
        wanted = set(clique)
        inside = [k for k, layout in enumerate(self.layout) if wanted.issubset(layout)]
        return min(inside, key=lambda k: self.offset[k + 1] - self.offset[k], default=None)

    def onto(self, tree_clique: int, clique: Clique) -> npt.NDArray[np.int32]:
        """The map from the cells of a tree clique to the cells of a marginal inside it (C order of `clique`)."""
        return cell_map(self.domain, self.layout[tree_clique], clique)


def cell_map(domain: Domain, layout: Clique, onto: Clique) -> npt.NDArray[np.int32]:
    """For each cell of a table in `layout` order the cell of the marginal `onto` that it adds to; int32, flat."""
    strides = dict(zip(onto, _strides(domain.shape(onto)), strict=True))
    result = np.zeros((1,) * len(layout), dtype=np.int32)
    for axis, attribute in enumerate(layout):
        if attribute in strides:
            shape = [1] * len(layout)
            shape[axis] = domain.sizes[attribute]
            result = result + (np.arange(shape[axis], dtype=np.int32) * np.int32(strides[attribute])).reshape(
                shape
            )
    return np.ascontiguousarray(np.broadcast_to(result, domain.shape(layout))).reshape(-1)


def build(domain: Domain, cliques: Iterable[Clique]) -> JunctionTree:
    """The junction tree of these cliques: a maximum spanning forest of its maximal cliques by separator size."""
    maximal = maximal_cliques(domain, cliques)
    order, parent = _spanning_forest(domain, maximal)
    position = {clique: k for k, clique in enumerate(order)}
    layout: list[Clique] = []
    separators: list[int] = []
    behind: list[bool] = []
    parents = np.array([-1 if p is None else position[p] for p in parent], dtype=np.int64)
    offset = np.zeros(len(order) + 1, dtype=np.int64)
    separator_offset = np.zeros(len(order) + 1, dtype=np.int64)
    for k, clique in enumerate(order):
        shared = tuple(a for a in layout[parents[k]] if a in clique) if parents[k] >= 0 else ()
        fresh = sorted((a for a in clique if a not in shared), key=lambda a: domain.sizes[a])
        behind.append(domain.cells(shared) > domain.cells(fresh))
        layout.append((*fresh, *shared) if behind[-1] else (*shared, *fresh))
        separators.append(len(shared))
        offset[k + 1] = offset[k] + domain.cells(clique)
        separator_offset[k + 1] = separator_offset[k] + domain.cells(shared)
    return JunctionTree(
        domain, tuple(layout), tuple(separators), tuple(behind), parents, offset, separator_offset
    )


def _spanning_forest(domain: Domain, cliques: list[Clique]) -> tuple[list[Clique], list[Clique | None]]:
    """Prim's algorithm from the largest clique of each component; preorder with parents."""
    waiting = sorted(cliques, key=lambda clique: (-domain.cells(clique), clique))
    bits = {clique: sum(1 << a for a in clique) for clique in cliques}
    order: list[Clique] = []
    parent: list[Clique | None] = []
    best: dict[Clique, tuple[int, Clique | None]] = dict.fromkeys(waiting, (0, None))
    while waiting:
        chosen = max(waiting, key=lambda clique: best[clique][0])
        waiting.remove(chosen)
        order.append(chosen)
        parent.append(best.pop(chosen)[1])
        for clique in waiting:
            shared = (bits[chosen] & bits[clique]).bit_count()
            if shared > best[clique][0]:
                best[clique] = (shared, chosen)
    return order, parent


def _strides(shape: tuple[int, ...]) -> list[int]:
    steps, step = [], 1
    for size in reversed(shape):
        steps.append(step)
        step *= size
    return steps[::-1]
