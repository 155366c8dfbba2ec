"""Three ways to find the bins of a numeric column under differential privacy.

Each is planned with a budget ρ, states its events, and then measures: disjoint intervals with estimated masses, and
for the two published ones the edges of the bins that they chose. k (`rows`) is the contribution bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from generators.encoding.grid import Grid
from generators.encoding.options import Binner, EncodingOptions
from generators.encoding.tree import Leaves, depth_of, grow, project
from release.protocols import NoiseSource
from release.records import DpEvent, Mechanism

IntArray = npt.NDArray[np.int64]

SHAPE_PIECES = 8
"""Pieces of equal width inside each bin of PrivTree and the quantiles."""

CANDIDATES = 2_048
"""Public candidate edges among which the quantiles choose at most."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """What a binning measured; post-processing from here on.

    Attributes:
        leaves: intervals with masses.
        sigma: noise of one count.
        starts: first cells of the bins, where the binning chose them; else None.
    """

    leaves: Leaves
    sigma: float
    starts: IntArray | None


class Binning(Protocol):
    """A planned way to find bins."""

    def events(self, label: str) -> tuple[DpEvent, ...]: ...

    def describe(self) -> dict[str, Any]: ...

    def measure(self, cells: IntArray, grid: Grid, noise: NoiseSource) -> Measured:
        """Reads `cells` (shape (n,), of this grid) through noise only."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeBinning:
    """The adaptive noisy tree of `tree.py`. Δ₂ of one level is k, so a level of share s costs s·ρ = 1 / (2 m²).

    Attributes:
        rho: what it spends.
        rows: k.
        shares: of ρ, level by level, summing to 1.
        fan_out: children of the root.
    """

    rho: float
    rows: int
    shares: tuple[float, ...]
    fan_out: int

    @property
    def multipliers(self) -> tuple[float, ...]:
        """M = σ / k of the counts of each level."""
        return tuple(math.sqrt(1.0 / (2.0 * self.rho * share)) for share in self.shares)

    def events(self, label: str) -> tuple[DpEvent, ...]:
        """One discrete Gaussian histogram a level."""
        return tuple(
            DpEvent(label=label, mechanism=Mechanism.DISCRETE_GAUSSIAN, parameter=multiplier)
            for multiplier in self.multipliers
        )

    def describe(self) -> dict[str, Any]:
        """For people and digests."""
        return {"binner": Binner.TREE.value, "sigmas": [m * self.rows for m in self.multipliers]}

    def measure(self, cells: IntArray, grid: Grid, noise: NoiseSource) -> Measured:
        """The tree's leaves; the bins are left to `bins_from`."""
        sigmas = [multiplier * self.rows for multiplier in self.multipliers]
        zero = int(grid.cells(np.zeros(1))[0])
        leaves = grow(cells, grid.size, zero=zero, fan_out=self.fan_out, sigmas=sigmas, noise=noise)
        return Measured(leaves=leaves, sigma=min(sigmas), starts=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivTreeBinning:
    """PrivTree (Zhang, Xiao, Xie 2016, 1601.03229, algorithm 2) with fan-out β = 2 and θ = 0, then a histogram.

    A node at depth d with count c is split where max(c - d·δ, -δ) + noise > 0. The noise is discrete Laplace of scale
    λ = k · (2β - 1)/(β - 1) / ε = 3k/ε and δ is λ·ln β rounded up to a whole number. The theorem (3.1) is for the
    continuous Laplace; its two facts hold for the discrete one too: with α = exp(-1/λ), m = c - d·δ ≥ 1 and
    P(noise ≤ -m) = α^m / (1 + α), the log-ratio of splitting with m and m - 1 is convex in α^(m-1) and so at most
    α^(m-1)/λ, which summed over a path whose m falls by δ ≥ λ·ln β a step is at most (1/λ)(1 + 1/(1 - 1/β)).
    A unit's k rows are k single rows in a group, hence the factor k.
    """

    rho: float
    rows: int
    max_bins: int
    shape: float

    @property
    def epsilon(self) -> float:
        """ε of the tree: ε²/2 is its part of ρ."""
        return math.sqrt(2.0 * self.rho * (1.0 - self.shape))

    @property
    def shape_multiplier(self) -> float:
        """σ / k of the histogram."""
        return math.sqrt(1.0 / (2.0 * self.rho * self.shape))

    def events(self, label: str) -> tuple[DpEvent, ...]:
        """The tree, then the histogram."""
        return (
            DpEvent(label=label, mechanism=Mechanism.PURE, parameter=self.epsilon),
            _histogram(label, self.shape_multiplier),
        )

    def describe(self) -> dict[str, Any]:
        """For people and digests."""
        return {
            "binner": Binner.PRIVTREE.value,
            "lambda": 3.0 * self.rows / self.epsilon,
            "sigma": self.shape_multiplier * self.rows,
        }

    def measure(self, cells: IntArray, grid: Grid, noise: NoiseSource) -> Measured:
        """Split, then count inside the bins."""
        scale = 3.0 * self.rows / self.epsilon
        decay = math.ceil(scale * math.log(2.0))
        ordered = np.sort(cells)
        first, last = np.zeros(1, dtype=np.int64), np.full(1, grid.size - 1, dtype=np.int64)
        done = []
        depth = 0
        while len(first):
            counts = _count(ordered, first, last)
            biased = np.maximum(counts - depth * decay, -decay)
            split = (noise.discrete_laplace(biased, scale) > 0) & (last > first)
            done.append(first[~split])
            low, high = first[split], last[split]
            middle = low + (high - low) // 2
            first, last = np.concatenate([low, middle + 1]), np.concatenate([middle, high])
            depth += 1
        starts = np.sort(np.concatenate(done))
        return _shaped(ordered, starts, grid.size, self.shape_multiplier * self.rows, self.max_bins, noise)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantileBinning:
    """Quantiles by recursive private medians (Kaplan, Schnapp, Stemmer 2022, 2110.05429), then a histogram.

    Each level halves the rows at a median drawn by the exponential mechanism among public edges, with utility
    -|rows below - rows above| / 2, which k rows change by at most k/2. The parts of one level are disjoint: if k_j of a
    unit's rows lie in part j, that part costs (ε·k_j/k)²/8, and the parts together at most ε²/8.
    """

    rho: float
    rows: int
    max_bins: int
    shape: float

    @property
    def depth(self) -> int:
        """Levels of halving."""
        return max(1, math.floor(math.log2(self.max_bins)))

    @property
    def epsilon(self) -> float:
        """ε of one level: ε²/8 is its ρ."""
        return math.sqrt(8.0 * self.rho * (1.0 - self.shape) / self.depth)

    @property
    def shape_multiplier(self) -> float:
        """σ / k of the histogram."""
        return math.sqrt(1.0 / (2.0 * self.rho * self.shape))

    def events(self, label: str) -> tuple[DpEvent, ...]:
        """One exponential mechanism a level, then the histogram."""
        return (
            DpEvent(label=label, mechanism=Mechanism.EXPONENTIAL, parameter=self.epsilon, count=self.depth),
            _histogram(label, self.shape_multiplier),
        )

    def describe(self) -> dict[str, Any]:
        """For people and digests."""
        return {
            "binner": Binner.QUANTILES.value,
            "depth": self.depth,
            "epsilon": self.epsilon,
            "sigma": self.shape_multiplier * self.rows,
        }

    def measure(self, cells: IntArray, grid: Grid, noise: NoiseSource) -> Measured:
        """Halve, then count inside the bins."""
        ordered = np.sort(cells)
        parts = [(0, grid.size - 1)]
        for _ in range(self.depth):
            halves = []
            for low, high in parts:
                if low == high:
                    halves.append((low, high))
                    continue
                edges = np.unique(np.linspace(low + 1, high, min(CANDIDATES, high - low)).astype(np.int64))
                first = np.searchsorted(ordered, low, side="left")
                last = np.searchsorted(ordered, high, side="right")
                below = np.searchsorted(ordered, edges, side="left") - first
                utility = -np.abs(2.0 * below - (last - first)) / 2.0
                cut = int(edges[noise.exponential(utility, self.epsilon, self.rows / 2.0)])
                halves += [(low, cut - 1), (cut, high)]
            parts = halves
        starts = np.array([low for low, _ in parts], dtype=np.int64)
        return _shaped(ordered, starts, grid.size, self.shape_multiplier * self.rows, self.max_bins, noise)


def plan_binning(size: int | None, *, rho: float, rows: int, options: EncodingOptions) -> Binning:
    """The binning that the options ask for; `size` None where the grid is still to be learnt."""
    match options.binner:
        case Binner.TREE:
            depth = len(options.shares)
            if size is not None:
                depth = min(depth, depth_of(size, options.fan_out))
            used = sum(options.shares[:depth])
            return TreeBinning(
                rho=rho,
                rows=rows,
                shares=tuple(share / used for share in options.shares[:depth]),
                fan_out=options.fan_out,
            )
        case Binner.PRIVTREE:
            return PrivTreeBinning(rho=rho, rows=rows, max_bins=options.max_bins, shape=options.shape)
        case Binner.QUANTILES:
            return QuantileBinning(rho=rho, rows=rows, max_bins=options.max_bins, shape=options.shape)


def _histogram(label: str, multiplier: float) -> DpEvent:
    return DpEvent(
        label=label.replace("bins of", "shape of"),
        mechanism=Mechanism.DISCRETE_GAUSSIAN,
        parameter=multiplier,
    )


def _count(ordered: IntArray, first: IntArray, last: IntArray) -> IntArray:
    above = np.searchsorted(ordered, last, side="right")
    return np.asarray(above - np.searchsorted(ordered, first, side="left"), dtype=np.int64)


def _shaped(
    ordered: IntArray, starts: IntArray, size: int, sigma: float, max_bins: int, noise: NoiseSource
) -> Measured:
    """One histogram over pieces of the bins; the lightest neighbouring bins are merged down to `max_bins`."""
    ends = np.append(starts[1:] - 1, size - 1)
    pieces = [
        np.unique(np.linspace(low, high + 1, SHAPE_PIECES + 1).astype(np.int64)[:-1])
        for low, high in zip(starts.tolist(), ends.tolist(), strict=True)
    ]
    first = np.concatenate(pieces)
    last = np.append(first[1:] - 1, size - 1)
    noisy = noise.discrete_gaussian(_count(ordered, first, last), sigma).astype(np.float64)
    bin_of = np.repeat(np.arange(len(starts)), [len(piece) for piece in pieces])
    totals = project(np.bincount(bin_of, noisy).astype(np.float64), float(max(noisy.sum(), 0.0)))
    mass = np.concatenate(
        [project(noisy[bin_of == number], float(total)) for number, total in enumerate(totals)]
    )
    kept = starts
    while len(kept) > max_bins:
        pairs = totals[1:] + totals[:-1]
        lightest = int(np.argmin(pairs))
        totals = np.concatenate([totals[:lightest], pairs[lightest : lightest + 1], totals[lightest + 2 :]])
        kept = np.delete(kept, lightest + 1)
    return Measured(leaves=Leaves(first=first, last=last, mass=mass), sigma=sigma, starts=kept)
