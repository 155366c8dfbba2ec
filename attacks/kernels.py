"""Compiled loops over pairs of records. Shapes: tables are column-major, (d columns, n rows).

Rules: every function is a plain loop that the tests compare with a slow, obvious NumPy one; none allocates in
proportion to pairs; ties go to the lowest row number, so that results do not depend on threads or blocks. They hold
no Python lock, and `attacks.distances` runs them in threads over slices of the targets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from numba import njit

from release import compiling

F = TypeVar("F", bound=Callable[..., Any])
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

BLOCK = 4096
"""Rows of the searched side per block: 15 float32 columns of a block fit the second-level cache."""


_REORDERED = frozenset({"reassoc", "contract", "arcp", "nsz"})


def compiled(function: F) -> F:
    """Compile without the interpreter lock, keep the machine code on disk; sums may be reordered (float32)."""
    return compiling.compiled(function, _REORDERED)


@njit(inline="always")
def _distances(
    targets: F32, base: F32, columns: I64, t: int, start: int, size: int, accumulated: F32
) -> None:
    """Σ over `columns` of min(|x − s|, 1) between target t and each row of the block, into `accumulated`."""
    for j in range(size):
        accumulated[j] = 0.0
    for c in columns:
        x = targets[c, t]
        row = base[c, start : start + size]
        for j in range(size):
            accumulated[j] += min(abs(row[j] - x), np.float32(1.0))


@compiled
def nearest(targets: F32, base: F32, columns: I64, k: int, distance: F32, index: I64) -> None:
    """The k nearest rows of `base` to each target, by Σ over `columns` of min(|x − s|, 1).

    Args:
        targets: (d, m).
        base: (d, n).
        columns: which rows of both to use.
        k: how many, ≤ n.
        distance: (m, k) out, ascending; must come filled with infinity.
        index: (m, k) out.
    """
    m, n = targets.shape[1], base.shape[1]
    accumulated = np.empty(BLOCK, np.float32)
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        for t in range(m):
            _distances(targets, base, columns, t, start, size, accumulated)
            worst = distance[t, k - 1]
            for j in range(size):
                d = accumulated[j]
                if d < worst:
                    place = k - 1
                    while place > 0 and distance[t, place - 1] > d:
                        distance[t, place] = distance[t, place - 1]
                        index[t, place] = index[t, place - 1]
                        place -= 1
                    distance[t, place] = d
                    index[t, place] = start + j
                    worst = distance[t, k - 1]


@compiled
def nearest_without(targets: F32, base: F32, columns: I64, left_out: I64, distance: F32, index: I64) -> None:
    """For each target and each column that is left out: the nearest row by all the other columns.

    The distance without one column is the shared sum less that column's part, so that all of them cost little more
    than two ordinary searches.

    Args:
        targets: (d, m).
        base: (d, n).
        columns: all columns of the sum.
        left_out: (q,) columns, each left out once.
        distance: (q, m) out, must come filled with infinity.
        index: (q, m) out.
    """
    m, n = targets.shape[1], base.shape[1]
    accumulated = np.empty(BLOCK, np.float32)
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        for t in range(m):
            _distances(targets, base, columns, t, start, size, accumulated)
            for q in range(len(left_out)):
                x = targets[left_out[q], t]
                row = base[left_out[q], start : start + size]
                smallest = np.float32(np.inf)
                for j in range(size):
                    smallest = min(smallest, accumulated[j] - min(abs(row[j] - x), np.float32(1.0)))
                # 1e-5 of a column absorbs the float32 rounding of "sum less part", so that exact ties stay ties.
                if smallest < distance[q, t] - np.float32(1e-5):
                    for j in range(size):
                        d = accumulated[j] - min(abs(row[j] - x), np.float32(1.0))
                        if d <= smallest:
                            index[q, t] = start + j
                            break
                    distance[q, t] = smallest


@compiled
def best_match(targets: I32, base: I32, weights: F32, score: F32, index: I64) -> None:
    """The row of `base` that shares the greatest weight of equal cells with each target.

    Args:
        targets: (d, m) codes.
        base: (d, n) codes.
        weights: (d, m) weight of each target's cell.
        score: (m,) out, must come filled with -1.
        index: (m,) out.
    """
    d, m = targets.shape
    n = base.shape[1]
    accumulated = np.empty(BLOCK, np.float32)
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        for t in range(m):
            for j in range(size):
                accumulated[j] = 0.0
            for c in range(d):
                x = targets[c, t]
                w = weights[c, t]
                row = base[c, start : start + size]
                for j in range(size):
                    accumulated[j] += w if row[j] == x else np.float32(0.0)
            best = score[t]
            for j in range(size):
                if accumulated[j] > best:
                    best = accumulated[j]
                    index[t] = start + j
            score[t] = best


@compiled
def tree_bits(
    match: npt.NDArray[np.bool_],
    bins: I32,
    within: F32,
    number: I64,
    information: F64,
    offsets: I64,
    sizes: I64,
    log_joint: F32,
    log_single: F32,
    single_offsets: I64,
    bits: F64,
) -> None:
    """−log₂ of the probability of each target's matched cells under a tree over just those columns.

    Prim's algorithm on the mutual information joins the matched columns; each is then conditioned on its neighbour.

    Args:
        match: (d, m) which cells count.
        bins: (d, m) coarse code of each cell.
        within: (d, m) log₂ p(cell | bin).
        number: (d, m) an id of the number in the cell, the same across columns; -1 for categories and missing.
        information: (d, d) mutual information.
        offsets: (d, d) start of the pair's table in `log_joint`.
        sizes: (d,) bins per column; a table is row-major with `sizes[j]` columns for the pair (i, j).
        log_joint: log₂ of joint probabilities.
        log_single: log₂ of single ones.
        single_offsets: (d,) where each column's begin.
        bits: (m,) out.
    """
    d, m = match.shape
    for t in range(m):
        linked = np.full(d, -1, np.int64)
        gain = np.full(d, -1.0)
        done = np.zeros(d, np.bool_)
        total = 0.0
        for _ in range(d):
            best = -1
            for c in range(d):
                if match[c, t] and not done[c] and (best < 0 or gain[c] > gain[best]):
                    best = c
            if best < 0:
                break
            repeated = False
            for c in range(d):
                if done[c] and number[c, t] >= 0 and number[c, t] == number[best, t]:
                    repeated = True
            done[best] = True
            b = bins[best, t]
            if not repeated:
                total -= within[best, t]
            if repeated:
                pass  # The same amount in bill after bill is one coincidence, not twelve.
            elif linked[best] < 0:
                total -= log_single[single_offsets[best] + b]
            else:
                p = linked[best]
                pb = bins[p, t]
                total -= log_joint[offsets[best, p] + b * sizes[p] + pb] - log_single[single_offsets[p] + pb]
            for c in range(d):
                if match[c, t] and not done[c] and information[best, c] > gain[c]:
                    gain[c] = information[best, c]
                    linked[c] = best
        bits[t] = total


@compiled
def isolation(
    numbers: F32,
    codes: I32,
    share: float,
    unit: I64,
    pool_numbers: F32,
    pool_codes: I32,
    pool_unit: I64,
    k: int,
    mean: F64,
) -> None:
    """Mean distance to the k most similar pool rows of other units: 1 − cosine, numbers and categories by their share.

    Args:
        numbers: (a, m) of unit norm per row.
        codes: (b, m).
        share: of numeric columns among all.
        unit: (m,).
        pool_numbers: the same of the pool, n rows.
        pool_codes: the same.
        pool_unit: (n,).
        k: neighbours.
        mean: (m,) out.
    """
    m, n = len(unit), len(pool_unit)
    accumulated = np.empty(BLOCK, np.float32)
    best = np.full((m, k), np.float32(2.0))
    per_code = np.float32((1.0 - share) / max(codes.shape[0], 1))
    per_number = np.float32(share)
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        for t in range(m):
            for j in range(size):
                accumulated[j] = 1.0
            for c in range(numbers.shape[0]):
                x = numbers[c, t] * per_number
                row = pool_numbers[c, start : start + size]
                for j in range(size):
                    accumulated[j] -= row[j] * x
            for c in range(codes.shape[0]):
                y = codes[c, t]
                code_row = pool_codes[c, start : start + size]
                for j in range(size):
                    accumulated[j] -= per_code if code_row[j] == y else np.float32(0.0)
            for j in range(size):
                d = accumulated[j]
                if d < best[t, k - 1] and pool_unit[start + j] != unit[t]:
                    place = k - 1
                    while place > 0 and best[t, place - 1] > d:
                        best[t, place] = best[t, place - 1]
                        place -= 1
                    best[t, place] = d
    for t in range(m):
        mean[t] = best[t].mean()


@compiled
def only_unit(
    codes: I32, unit: I64, order: I32, ordered: I32, columns: I64, lows: I32, highs: I32, who: I64
) -> None:
    """The one unit in which each conjunction holds; -1 where it holds in none, or in several.

    Of each query's conditions the most selective one is looked up in its sorted column, and only those rows are read.

    Args:
        codes: (d, n).
        unit: (n,) rows of one unit share a number.
        order: (d, n) row numbers that sort each column.
        ordered: (d, n) the sorted columns.
        columns: (q, c) the columns of each query's conditions; -1 where it has fewer.
        lows: (q, c) a condition is low ≤ code ≤ high.
        highs: (q, c).
        who: (q,) out.
    """
    n = codes.shape[1]
    for q in range(len(who)):
        best, start, stop = -1, 0, n
        for c in range(columns.shape[1]):
            column = columns[q, c]
            if column < 0:
                break
            first = np.searchsorted(ordered[column], lows[q, c])
            last = np.searchsorted(ordered[column], highs[q, c], side="right")
            if best < 0 or last - first < stop - start:
                best, start, stop = column, first, last
        found = 0
        seen = np.int64(-1)
        for place in range(start, stop):
            j = order[best, place] if best >= 0 else place
            fits = True
            for c in range(columns.shape[1]):
                column = columns[q, c]
                if column < 0:
                    break
                code = codes[column, j]
                if code < lows[q, c] or code > highs[q, c]:
                    fits = False
                    break
            if fits and unit[j] != seen:
                found += 1
                if found == 2:
                    break
                seen = unit[j]
        who[q] = seen if found == 1 else -1


@compiled
def graded_match(targets: F32, base: F32, reach: F32, weights: F32, score: F32) -> None:
    """The greatest weights of near cells that rows of `base` share with each target: a cell gives the weight of the narrowest reach it is in.

    Args:
        targets: (d, m) values.
        base: (d, n) values.
        reach: (g, d) distances, ascending in g.
        weights: (g, d, m) what a cell of a target is worth inside each reach, descending in g.
        score: (m, k) out, descending, must come filled with -1.
    """
    d, m = targets.shape
    n, k = base.shape[1], score.shape[1]
    grades = reach.shape[0]
    accumulated = np.empty(BLOCK, np.float32)
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        for t in range(m):
            for j in range(size):
                accumulated[j] = 0.0
            for c in range(d):
                x = targets[c, t]
                row = base[c, start : start + size]
                for g in range(grades):
                    # Each grade adds what it is worth beyond the next wider one, so that the loop has no branches.
                    extra = weights[g, c, t] - (weights[g + 1, c, t] if g + 1 < grades else np.float32(0.0))
                    if extra > 0:
                        r = reach[g, c]
                        for j in range(size):
                            accumulated[j] += extra if abs(row[j] - x) <= r else np.float32(0.0)
            worst = score[t, k - 1]
            for j in range(size):
                if accumulated[j] > worst:
                    place = k - 1
                    while place > 0 and score[t, place - 1] < accumulated[j]:
                        score[t, place] = score[t, place - 1]
                        place -= 1
                    score[t, place] = accumulated[j]
                    worst = score[t, k - 1]


@compiled
def kernel_sum(targets: F32, base: F32, inverse: float, total: F64) -> None:
    """Σ over rows of `base` of exp(−(d·inverse)²/2), d the truncated Gower distance.

    Args:
        targets: (d, m).
        base: (d, n).
        inverse: 1 / bandwidth.
        total: (m,) out.
    """
    m, n = targets.shape[1], base.shape[1]
    columns = np.arange(targets.shape[0])
    accumulated = np.empty(BLOCK, np.float32)
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        for t in range(m):
            _distances(targets, base, columns, t, start, size, accumulated)
            for j in range(size):
                z = accumulated[j] * inverse
                if z < 8.0:
                    total[t] += np.exp(-0.5 * z * z)
