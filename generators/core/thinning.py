"""Fewer, better rows: more are drawn than asked for, and halved so that every pair of attributes keeps its distribution.

n independent rows miss a fitted pair's cell of c rows by about √c, which on tables of some 10,000 rows is as much as a good
fit's own error. Halving by a self-balancing walk (Alweiss, Liu & Sawhney 2020, 2006.14009; for samples: Dwivedi & Mackey,
2105.05842) keeps one row of each two, the one that brings all pairs' counts nearer to half. Each row is kept with probability
one half, so no distribution moves; only the sampling error falls. Post-processing: it sees drawn rows only.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from generators.core.inference import Fitted
from generators.core.jit import kernel
from generators.core.sampling import sample

MOST_STEPS = 4e8
"""Cell updates that halving may take, all in all about a second; with more rows than that their sampling error is small."""

MOST_FACTOR = 16
"""More than so many rows for each one kept bring nothing that can be measured."""

MOST_CELLS = 5e7
"""Cells of all pairs together, 4 bytes each, that halving may hold."""


@kernel
def _halve(codes: Any, sizes: Any, begin: Any, balance: Any, kept: Any) -> None:
    """Keep one row of each two neighbours.

    codes: (m, d) int32. sizes: (d,) int64. begin: (d(d-1)/2,) int64, where each pair's cells begin in `balance`, which is int32 and
    all 0: kept less dropped rows of each cell. kept: (m // 2,) int64 row numbers.
    """
    m, d = codes.shape
    for i in range(m // 2):
        towards = 0
        pair = 0
        for a in range(d):
            for b in range(a + 1, d):
                first = begin[pair] + codes[2 * i, a] * sizes[b] + codes[2 * i, b]
                second = begin[pair] + codes[2 * i + 1, a] * sizes[b] + codes[2 * i + 1, b]
                towards += balance[first] - balance[second]
                pair += 1
        step = 1 if towards <= 0 else -1
        kept[i] = 2 * i if step == 1 else 2 * i + 1
        pair = 0
        for a in range(d):
            for b in range(a + 1, d):
                balance[begin[pair] + codes[2 * i, a] * sizes[b] + codes[2 * i, b]] += step
                balance[begin[pair] + codes[2 * i + 1, a] * sizes[b] + codes[2 * i + 1, b]] -= step
                pair += 1


def halve(
    codes: npt.NDArray[np.int32], sizes: tuple[int, ...], rng: np.random.Generator
) -> npt.NDArray[np.int32]:
    """Half of an even number of rows, shape (m, d), in random order: all pairs of attributes are balanced."""
    cells = [sizes[a] * sizes[b] for a, b in combinations(range(len(sizes)), 2)]
    begin = np.concatenate([[0], np.cumsum(cells)]).astype(np.int64)
    # A random order makes pairs of strangers, and which row of a pair stands first decides where nothing else does.
    shuffled = np.ascontiguousarray(codes[rng.permutation(len(codes))])
    kept = np.empty(len(codes) // 2, dtype=np.int64)
    balance = np.zeros(begin[-1], dtype=np.int32)
    _halve(shuffled, np.array(sizes, dtype=np.int64), begin, balance, kept)
    return shuffled[kept]


def factor(n: int, sizes: tuple[int, ...]) -> int:
    """How many rows to draw for each one kept: a power of two; 1 where halving would cost more than it brings."""
    d = len(sizes)
    total = float(sum(sizes))
    cells = (total**2 - sum(float(size) ** 2 for size in sizes)) / 2.0
    if d < 3 or n == 0 or cells > MOST_CELLS:
        return 1
    found = 1
    while found < MOST_FACTOR and 2 * found * n * d * (d - 1) <= MOST_STEPS:
        found *= 2
    return found


def draw(fitted: Fitted, n: int, rng: np.random.Generator) -> list[npt.NDArray[np.int32]]:
    """`n` rows of the fitted distribution, of low sampling error: one int32 vector of codes per attribute."""
    sizes = fitted.tree.domain.sizes
    times = factor(n, sizes)
    columns = sample(fitted.tree, fitted.theta, n * times, rng)
    if times == 1:
        return columns
    return thinned(np.stack(columns, axis=1), n, sizes, rng)


def thinned(
    codes: npt.NDArray[np.int32], n: int, sizes: tuple[int, ...], rng: np.random.Generator
) -> list[npt.NDArray[np.int32]]:
    """`n` of n · 2^k rows, shape (rows, d), by halving: one int32 vector of codes per attribute."""
    while len(codes) > n:
        codes = halve(codes, sizes, rng)
    return [np.ascontiguousarray(column) for column in codes.T]
