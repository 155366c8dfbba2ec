"""Planning and measuring a numeric column: where its levels come from.

Privacy: see `tree`; everything else here is post-processing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from generators.encoding.bins import bins_from, identity_bins
from generators.encoding.grid import Grid
from generators.encoding.numeric import NumericCode
from generators.encoding.options import EncodingOptions
from generators.encoding.tree import Leaves, depth_of, grow
from generators.encoding.wanted import Wanted
from release.data.schema import ColumnSpec, Range
from release.data.table import Column
from release.protocols import NoiseSource
from release.records import DpEvent, Mechanism


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericPlan:
    """A numeric column between public bounds.

    Attributes:
        spec: the column.
        grid: its public grid.
        demands: public sets of values that must be unions of levels.
        rho: what it may spend; 0 where it needs nothing.
        rows: the contribution bound k.
        options: see `EncodingOptions`.
    """

    spec: ColumnSpec
    grid: Grid
    demands: tuple[Wanted, ...]
    rho: float
    rows: int
    options: EncodingOptions

    @property
    def depth(self) -> int:
        """Levels of the tree."""
        return depth_of(self.grid.size, self.options.fan_out)

    @property
    def multiplier(self) -> float:
        """σ / Δ of one level: ρ = depth / (2 · multiplier²)."""
        return float(np.sqrt(self.depth / (2.0 * self.rho)))

    @property
    def events(self) -> tuple[DpEvent, ...]:
        """One discrete Gaussian histogram per level of the tree."""
        if self.rho == 0:
            return ()
        return (
            DpEvent(
                label=f"bins of {self.spec.name}",
                mechanism=Mechanism.DISCRETE_GAUSSIAN,
                parameter=self.multiplier,
                count=self.depth,
            ),
        )

    @property
    def most_levels(self) -> int:
        """More levels than this cannot come out."""
        if self.rho == 0:
            return self.grid.size + len(self.spec.missing)
        edges = 2 * sum(len(wanted.ranges) for wanted in self.demands) + 2 * len(_spikes(self.spec))
        return min(self.grid.size, 3 * self.options.max_bins + edges + 1) + len(self.spec.missing)

    def describe(self) -> dict[str, Any]:
        """For people and digests."""
        if self.rho == 0:
            return {"encoding": "every value a level", "levels": self.most_levels, "rho": 0.0}
        return {
            "encoding": f"bins ({self.options.binner})",
            "cells": self.grid.size,
            "tree levels": self.depth,
            "sigma": self.multiplier * self.rows,
            "rho": self.rho,
        }

    def fit(self, column: Column, noise: NoiseSource) -> NumericCode:
        """Measure, and build the code from what was measured."""
        if self.rho == 0:
            return NumericCode(spec=self.spec, grid=self.grid, bins=identity_bins(self.grid.size), points={})
        sigma = self.multiplier * self.rows
        leaves = grow(
            self.grid.cells(column.values[column.present]),
            self.grid.size,
            fan_out=self.options.fan_out,
            sigma=sigma,
            expand=self.options.expand,
            noise=noise,
        )
        return self.code(leaves, sigma)

    def code(self, leaves: Leaves, sigma: float) -> NumericCode:
        """The code that follows from noised leaves; reads no data."""
        points = [*_spikes(self.spec), *(low for w in self.demands for low, high in w.ranges if low == high)]
        at = self.grid.cells(np.array(points, dtype=np.float64)).tolist()
        bins = bins_from(
            leaves,
            self.grid.size,
            max_bins=self.options.max_bins,
            smallest=self.options.bin_mass * sigma,
            cuts=_cuts(self.grid, self.demands),
            spikes=at,
        )
        exact: dict[int, float] = {}
        if self.grid.continuous:
            single = bins.starts[bins.starts == bins.ends].tolist()
            exact = {cell: _roundest(self.grid, cell) for cell in single}
            exact |= dict(zip(at, points, strict=True))
        return NumericCode(spec=self.spec, grid=self.grid, bins=bins, points=exact)


def _spikes(spec: ColumnSpec) -> tuple[float, ...]:
    return spec.domain.spikes if isinstance(spec.domain, Range) else ()


def _cuts(grid: Grid, demands: Sequence[Wanted]) -> list[int]:
    """The cells at which a level must begin, so that each demanded interval is a union of levels."""
    lows = np.array([low for wanted in demands for low, _ in wanted.ranges], dtype=np.float64)
    highs = np.array([high for wanted in demands for _, high in wanted.ranges], dtype=np.float64)
    return [*grid.at_least(lows).tolist(), *(grid.at_most(highs) + 1).tolist()]


def _roundest(grid: Grid, cell: int) -> float:
    """The number with the fewest digits inside a cell of a continuous grid.

    A level of one such cell is a spike: so much mass on 2^-24 of the range is one value, most likely a round one.
    """
    low, high = grid.origin + grid.step * cell, grid.origin + grid.step * (cell + 1)
    if low <= 0 <= high:
        return 0.0
    for decimals in range(-18, 18):
        unit = 10.0**-decimals
        candidate = round(math.ceil(low / unit) * unit, max(decimals, 0))
        if low <= candidate <= high:
            return candidate
    return low
