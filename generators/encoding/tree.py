"""An adaptive noisy tree of counts over the cells of one column.

Each level splits the nodes that looked full in the level above into `fan_out` children and counts these with discrete
Gaussian noise; counts of parents and children are then made consistent by weighted least squares (Hay et al. 2010,
"Boosting the accuracy of differentially private histograms", section 4, for irregular trees) and non-negative by a
top-down projection. Bins, spikes and the shape inside bins all come from this one measurement.

Privacy: the nodes of one level are disjoint, so one unit's k rows change one level's counts by at most k in L2 norm;
the levels are an adaptive composition of `depth` discrete Gaussian mechanisms. Which nodes are looked into follows
from noised counts only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from release.protocols import NoiseSource

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

MOST_OPEN_NODES = 64
"""Nodes of one level that are looked into at most (the fullest, by their noisy counts)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Leaves:
    """Disjoint intervals of cells that cover the grid, in order, with their estimated masses.

    Attributes:
        first: shape (m,), first cell of each.
        last: shape (m,), last cell of each, inclusive.
        mass: shape (m,), non-negative estimate of the number of rows.
    """

    first: IntArray
    last: IntArray
    mass: FloatArray


def depth_of(size: int, fan_out: int) -> int:
    """Levels that a tree over `size` cells has at most."""
    depth, reach = 1, fan_out
    while reach < size:
        depth, reach = depth + 1, reach * fan_out
    return depth


def grow(
    cells: IntArray,
    size: int,
    *,
    depth: int,
    fan_out: int,
    sigma: float,
    expand: float,
    noise: NoiseSource,
) -> Leaves:
    """Measure the tree. Reads `cells` (shape (n,), values 0 … size - 1) only through noised counts.

    Args:
        cells: the column's present values as cells.
        size: number of cells of the grid.
        depth: most levels that are measured.
        fan_out: children of a node.
        sigma: scale of the discrete Gaussian noise on every count.
        expand: a node is looked into where its noisy count is above `expand · sigma`.
        noise: the source of noise.
    """
    ordered = np.sort(cells)
    first, last = np.zeros(1, dtype=np.int64), np.full(1, size - 1, dtype=np.int64)
    parents = np.full(1, -1, dtype=np.int64)
    levels: list[tuple[IntArray, IntArray, IntArray, FloatArray]] = []
    for _ in range(depth):
        first, last, parents = _split(first, last, parents, fan_out)
        counts = np.searchsorted(ordered, last, side="right") - np.searchsorted(ordered, first, side="left")
        noisy = noise.discrete_gaussian(counts.astype(np.int64), sigma).astype(np.float64)
        levels.append((first, last, parents, noisy))
        candidates = np.flatnonzero((noisy > expand * sigma) & (last > first))
        fullest = candidates[np.argsort(-noisy[candidates], kind="stable")][:MOST_OPEN_NODES]
        opened = np.sort(fullest)
        if not len(opened):
            break
        first, last, parents = first[opened], last[opened], opened
    return _consistent(levels, sigma)


def _split(
    first: IntArray, last: IntArray, names: IntArray, fan_out: int
) -> tuple[IntArray, IntArray, IntArray]:
    """Children of each node: at most `fan_out`, of nearly equal width, at least one cell each."""
    starts, ends, parents = [], [], []
    for low, high, name in zip(first.tolist(), last.tolist(), names.tolist(), strict=True):
        width = high - low + 1
        pieces = min(fan_out, width)
        edges = low + (np.arange(pieces + 1, dtype=object) * width // pieces).astype(np.int64)
        starts.append(edges[:-1])
        ends.append(edges[1:] - 1)
        parents.append(np.full(pieces, name, dtype=np.int64))
    return np.concatenate(starts), np.concatenate(ends), np.concatenate(parents)


def _consistent(levels: list[tuple[IntArray, IntArray, IntArray, FloatArray]], sigma: float) -> Leaves:
    """Least squares up and down the tree, then a non-negative projection down; returns the leaves in order."""
    estimates = [noisy.copy() for *_, noisy in levels]
    variances = [np.full(len(noisy), sigma * sigma) for *_, noisy in levels]
    for upper in range(len(levels) - 2, -1, -1):
        parents = levels[upper + 1][2]
        total = np.bincount(parents, estimates[upper + 1], minlength=len(estimates[upper]))
        spread = np.bincount(parents, variances[upper + 1], minlength=len(estimates[upper]))
        inner = np.flatnonzero(spread > 0)
        share = spread[inner] / (spread[inner] + variances[upper][inner])
        estimates[upper][inner] = share * estimates[upper][inner] + (1 - share) * total[inner]
        variances[upper][inner] *= share
    grown = float(max(estimates[0].sum(), 0.0))
    masses = [project(estimates[0], grown)]
    for lower in range(1, len(levels)):
        parents = levels[lower][2]
        level = np.empty(len(parents))
        for parent in np.unique(parents).tolist():
            mine = parents == parent
            level[mine] = project(estimates[lower][mine], float(masses[lower - 1][parent]))
        masses.append(level)
    firsts, lasts, kept = [], [], []
    for index, (first, last, _, _) in enumerate(levels):
        inner_nodes = levels[index + 1][2] if index + 1 < len(levels) else np.empty(0, dtype=np.int64)
        leaf = ~np.isin(np.arange(len(first)), inner_nodes)
        firsts.append(first[leaf])
        lasts.append(last[leaf])
        kept.append(masses[index][leaf])
    order = np.argsort(np.concatenate(firsts), kind="stable")
    return Leaves(
        first=np.concatenate(firsts)[order],
        last=np.concatenate(lasts)[order],
        mass=np.concatenate(kept)[order],
    )


def project(estimates: FloatArray, total: float) -> FloatArray:
    """The nearest vector (L2) that is non-negative and sums to `total` ("norm-sub"); shape (m,)."""
    if total <= 0:
        return np.zeros(len(estimates))
    ordered = np.sort(estimates)[::-1]
    shifts = (np.cumsum(ordered) - total) / np.arange(1, len(ordered) + 1)
    used = int(np.flatnonzero(ordered > shifts)[-1])
    return np.asarray(np.maximum(estimates - shifts[used], 0.0))
