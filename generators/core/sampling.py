"""Rows from a fitted distribution: randomised rounding down the junction tree.

For each clique, the rows of one separator cell are dealt to the new attributes' cells in numbers that are the expected
ones rounded (systematic sampling of the remainders), and shuffled inside that group: dealing without shuffling would
make false correlations with attributes sampled earlier (generators.md tells of a peer that does).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from generators.core.domain import FloatTable
from generators.core.inference import propagate
from generators.core.jit import inlined, kernel
from generators.core.junction import JunctionTree


@inlined
def _mix(state: Any) -> Any:
    """SplitMix64's output function (Steele, Lea & Flood 2014): 64 well-mixed bits of a counter."""
    z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@kernel
def _deal(group: Any, groups: int, table: Any, seed: Any, out: Any) -> None:
    """For each row a cell of its group's distribution.

    group: (n,) int32 separator cell of each row. table: (groups, width) non-negative weights. out: (n,) int32 cell numbers
    0 … width - 1. Raises ValueError where a row is to be dealt from weights that are all zero: no cell of them is possible.
    """
    n = group.shape[0]
    width = table.shape[1]
    gamma = np.uint64(0x9E3779B97F4A7C15)
    state = np.uint64(seed)
    begin = np.zeros(groups + 1, dtype=np.int64)
    for i in range(n):
        begin[group[i] + 1] += 1
    for g in range(groups):
        begin[g + 1] += begin[g]
    place = begin[:groups].copy()
    rows = np.empty(n, dtype=np.int32)
    for i in range(n):
        g = group[i]
        rows[place[g]] = i
        place[g] += 1
    for g in range(groups):
        first, last = begin[g], begin[g + 1]
        m = last - first
        if m == 0:
            continue
        total = 0.0
        for w in range(width):
            total += table[g, w]
        if not total > 0.0:
            raise ValueError("a row is to be dealt where every cell is impossible")
        # Systematic sampling: one uniform offset, ticks at 1, 2, …; a cell gets floor or ceiling of what it expects.
        state += gamma
        tick = (_mix(state) >> np.uint64(11)) * (1.0 / 9007199254740992.0)
        reached = 0.0
        given = 0
        likely = 0
        for w in range(width):
            share = table[g, w] / total
            if table[g, w] > table[g, likely]:
                likely = w
            reached += share * m
            while given < m and given + tick < reached:
                out[rows[first + given]] = w
                given += 1
        while given < m:  # rounding of the sum
            out[rows[first + given]] = likely
            given += 1
        for k in range(m - 1, 0, -1):
            state += gamma
            j = np.int64(((_mix(state) >> np.uint64(32)) * np.uint64(k + 1)) >> np.uint64(32))
            a, b = rows[first + k], rows[first + j]
            kept = out[a]
            out[a] = out[b]
            out[b] = kept


def sample(
    tree: JunctionTree, theta: FloatTable, n: int, rng: np.random.Generator
) -> list[npt.NDArray[np.int32]]:
    """`n` rows: one int32 vector of codes per attribute."""
    belief = propagate(tree, theta)
    columns: list[npt.NDArray[np.int32]] = [np.zeros(0, dtype=np.int32)] * len(tree.domain)
    for c in range(len(tree.layout)):
        known, fresh = tree.separator(c), tree.fresh(c)
        group = np.zeros(n, dtype=np.int32)
        for attribute in known:
            group *= np.int32(tree.domain.sizes[attribute])
            group += columns[attribute]
        groups = tree.domain.cells(known)
        table = tree.rows(belief, c)
        cell = np.empty(n, dtype=np.int32)
        _deal(group, groups, table, np.uint64(rng.integers(0, 1 << 63)), cell)
        for attribute in reversed(fresh[1:]):
            quotient = cell // np.int32(tree.domain.sizes[attribute])
            columns[attribute] = cell - quotient * np.int32(tree.domain.sizes[attribute])
            cell = quotient
        columns[fresh[0]] = cell
    # A root deals its rows in blocks only within itself; the shuffles make rows exchangeable, no final one is needed.
    return columns
