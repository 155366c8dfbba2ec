"""An adaptive noisy tree of counts over the cells of one column.

The first level divides the grid, by powers of two away from zero where the grid is wide (amounts are skewed), evenly
where it is not. Each further level divides the nodes that looked full into as many children as their noisy count
pays for, and counts these; where none is, it counts the same nodes once more. Counts of parents and children are then made consistent by weighted least squares (Hay et
al. 2010, "Boosting the accuracy of differentially private histograms", section 4, for irregular trees) and
non-negative by a top-down projection. Bins, spikes and the shape inside bins all come from this one measurement.

Privacy: the nodes of one level are disjoint, so one unit's k rows change one level's counts by at most k in L2 norm;
the levels are an adaptive composition of discrete Gaussian mechanisms. Which nodes are divided, and into how many,
follows from noised counts only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from release.protocols import NoiseSource

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

PAYS = 3.0
"""A child is expected to hold at least so many σ of the level that counts it."""

FEWEST_CHILDREN = 3
MOST_CHILDREN = 64
"""A node is divided into so many, or not at all."""

SEARCHED = 8.0
STANDS_OUT = 3.0
"""A node of so many σ, and so many times denser than those beside it, is divided into `MOST_CHILDREN`."""

MOST_OPEN_NODES = 256
"""Nodes of one level that are divided at most (the fullest, by their noisy counts)."""

GROWTH = 8
"""How much finer each level is counted on to make the grid, when the number of levels is planned."""


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Level:
    """One level's nodes: intervals, the place of each one's parent in the level above, estimates and variances."""

    first: IntArray
    last: IntArray
    parent: IntArray
    estimate: FloatArray
    variance: FloatArray


def depth_of(size: int, fan_out: int) -> int:
    """Levels after which a tree over `size` cells is expected to have come down to single cells."""
    depth, reach = 1, fan_out
    while reach < size:
        depth, reach = depth + 1, reach * GROWTH
    return depth


def grow(
    cells: IntArray, size: int, *, zero: int, fan_out: int, sigmas: Sequence[float], noise: NoiseSource
) -> Leaves:
    """Measure the tree. Reads `cells` (shape (n,), values 0 … size - 1) only through noised counts.

    Args:
        cells: the column's present values as cells.
        size: number of cells of the grid.
        zero: the public cell away from which a wide grid is divided by powers of two.
        fan_out: most children of the root.
        sigmas: scale of the discrete Gaussian noise on every count, level by level.
        noise: the source of noise.
    """
    ordered = np.sort(cells)
    edges = _root(size, zero, fan_out)
    first, last = edges[:-1], edges[1:] - 1
    parent = np.zeros(len(first), dtype=np.int64)
    levels: list[_Level] = []
    for sigma in sigmas:
        if levels:
            opened, pieces = _worth_dividing(levels[-1], sigma)
            if len(opened):
                first, last, parent = _split(
                    levels[-1].first[opened], levels[-1].last[opened], opened, pieces
                )
        counts = np.searchsorted(ordered, last, side="right") - np.searchsorted(ordered, first, side="left")
        noisy = noise.discrete_gaussian(counts.astype(np.int64), sigma).astype(np.float64)
        variance = np.full(len(noisy), sigma * sigma)
        if (
            levels and first is levels[-1].first
        ):  # nothing was worth dividing: look at the same nodes once more
            before = levels.pop()
            share = variance / (variance + before.variance)
            noisy = share * before.estimate + (1.0 - share) * noisy
            variance = share * before.variance
        levels.append(_Level(first=first, last=last, parent=parent, estimate=noisy, variance=variance))
    return _consistent(levels)


def _worth_dividing(level: _Level, sigma: float) -> tuple[IntArray, IntArray]:
    """Places of the nodes that are divided, and into how many pieces; `sigma` is the noise of their counts."""
    affordable = np.floor(level.estimate / (PAYS * sigma)).astype(np.int64)
    candidates = np.flatnonzero((affordable >= 2) & (level.last > level.first))
    fullest = candidates[np.argsort(-level.estimate[candidates], kind="stable")][:MOST_OPEN_NODES]
    opened = np.sort(fullest)
    pieces = np.clip(affordable[opened], FEWEST_CHILDREN, MOST_CHILDREN)
    pieces[_stands_out(level, sigma)[opened]] = MOST_CHILDREN
    return opened, pieces


def _stands_out(level: _Level, sigma: float) -> npt.NDArray[np.bool_]:
    """Nodes that look like they hold one heavy value, which is worth a search: far denser than those beside them."""
    density = np.maximum(level.estimate, 0.0) / (level.last - level.first + 1)
    around = np.maximum(np.append(0.0, density[:-1]), np.append(density[1:], 0.0))
    return np.asarray((level.estimate > SEARCHED * sigma) & (density > STANDS_OUT * around))


def _root(size: int, zero: int, fan_out: int) -> IntArray:
    """Edges of the first level, from 0 to `size`: at most `fan_out` + 1 nodes."""
    if size <= fan_out * fan_out:
        pieces = min(fan_out, size)
        return np.asarray(np.arange(pieces + 1) * size // pieces, dtype=np.int64)
    sides = [side for side in (zero, size - zero) if side > 0]
    steps = fan_out // len(sides)
    distances = [[max(side >> step, 1) for step in range(steps)] for side in sides]
    below = [zero - distance for distance in distances[0]] if zero > 0 else []
    above = [zero + distance for distance in distances[-1]] if size > zero else []
    return np.unique(np.array([0, *below, zero, *above, size], dtype=np.int64))


def _split(
    first: IntArray, last: IntArray, names: IntArray, pieces: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Children of each node: `pieces` of nearly equal width, or one for each cell where it has fewer."""
    starts, ends, parents = [], [], []
    for low, high, name, wanted in zip(
        first.tolist(), last.tolist(), names.tolist(), pieces.tolist(), strict=True
    ):
        count = min(wanted, high - low + 1)
        edges = np.array([low + place * (high - low + 1) // count for place in range(count + 1)])
        starts.append(edges[:-1])
        ends.append(edges[1:] - 1)
        parents.append(np.full(count, name, dtype=np.int64))
    return np.concatenate(starts), np.concatenate(ends), np.concatenate(parents)


def _consistent(levels: Sequence[_Level]) -> Leaves:
    """Least squares up and down the tree, then a non-negative projection down; returns the leaves in order."""
    for upper, lower in zip(reversed(levels[:-1]), reversed(levels[1:]), strict=True):
        total = np.bincount(lower.parent, lower.estimate, minlength=len(upper.first))
        spread = np.bincount(lower.parent, lower.variance, minlength=len(upper.first))
        inner = np.flatnonzero(spread > 0)
        share = spread[inner] / (spread[inner] + upper.variance[inner])
        upper.estimate[inner] = share * upper.estimate[inner] + (1 - share) * total[inner]
        upper.variance[inner] *= share
    masses = [project(levels[0].estimate, float(max(levels[0].estimate.sum(), 0.0)))]
    for level in levels[1:]:
        mass = np.empty(len(level.first))
        for parent in np.unique(level.parent).tolist():
            mine = level.parent == parent
            mass[mine] = project(level.estimate[mine], float(masses[-1][parent]))
        masses.append(mass)
    kept = []
    for depth, level in enumerate(levels):
        inner = levels[depth + 1].parent if depth + 1 < len(levels) else np.empty(0, dtype=np.int64)
        leaf = ~np.isin(np.arange(len(level.first)), inner)
        kept.append((level.first[leaf], level.last[leaf], masses[depth][leaf]))
    first, last, mass = (np.concatenate(part) for part in zip(*kept, strict=True))
    order = np.argsort(first, kind="stable")
    return Leaves(first=first[order], last=last[order], mass=mass[order])


def project(estimates: FloatArray, total: float) -> FloatArray:
    """The nearest vector (L2) that is non-negative and sums to `total` ("norm-sub"); shape (m,)."""
    if total <= 0:
        return np.zeros(len(estimates))
    ordered = np.sort(estimates)[::-1]
    shifts = (np.cumsum(ordered) - total) / np.arange(1, len(ordered) + 1)
    used = int(np.flatnonzero(ordered >= shifts)[-1])  # the first always is, however small the total
    return np.asarray(np.maximum(estimates - shifts[used], 0.0))
