"""Planning and measuring a numeric column: where its levels come from.

Privacy: see `binning`; everything else here is post-processing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from generators.encoding.binning import Binning, Measured, plan_binning
from generators.encoding.bins import SPIKE, bins_from, identity_bins
from generators.encoding.grid import Grid
from generators.encoding.numeric import NumericCode
from generators.encoding.options import EncodingOptions
from generators.encoding.texture import Texture, TexturePlan
from generators.encoding.wanted import Wanted
from release.data.schema import ColumnSpec, Range
from release.data.table import Column
from release.privacy import accounting
from release.protocols import NoiseSource
from release.records import DpEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericPlan:
    """A numeric column between public bounds.

    Attributes:
        spec: the column.
        grid: its public grid.
        demands: public sets of values that must be unions of levels.
        binning: how its bins are found; None where every value is a level and nothing is measured.
        texture: how values inside bins are told apart; None as above.
        options: see `EncodingOptions`.
    """

    spec: ColumnSpec
    grid: Grid
    demands: tuple[Wanted, ...]
    binning: Binning | None
    texture: TexturePlan | None
    options: EncodingOptions

    @property
    def events(self) -> tuple[DpEvent, ...]:
        """What the binning runs."""
        bins = () if self.binning is None else self.binning.events(f"bins of {self.spec.name}")
        texture = () if self.texture is None else self.texture.events(f"texture of {self.spec.name}")
        return (*bins, *texture)

    @property
    def most_levels(self) -> int:
        """More levels than this cannot come out."""
        if self.binning is None:
            return self.grid.size + len(self.spec.missing)
        return min(self.grid.size, most_bins(self.spec, self.demands, self.options)) + len(self.spec.missing)

    def describe(self) -> dict[str, Any]:
        """For people and digests."""
        if self.binning is None:
            return {"encoding": "every value a level", "levels": self.most_levels, "rho": 0.0}
        return {
            "encoding": "bins",
            "cells": self.grid.size,
            **self.binning.describe(),
            "rho": accounting.rho_of(self.events),
        }

    def fit(self, column: Column, noise: NoiseSource) -> NumericCode:
        """Measure, and build the code from what was measured."""
        if self.binning is None:
            bins = identity_bins(self.grid.size)
            return NumericCode(spec=self.spec, grid=self.grid, bins=bins, texture=None, points={})
        cells = self.grid.cells(column.values[column.present])
        measured = self.binning.measure(cells, self.grid, noise)
        texture = None if self.texture is None else self.texture.measure(cells, self.grid, noise)
        return code_from(self.spec, self.grid, self.demands, measured, texture, self.options)


def plan_numeric(
    spec: ColumnSpec,
    grid: Grid,
    demands: tuple[Wanted, ...],
    *,
    rho: float,
    rows: int,
    options: EncodingOptions,
) -> NumericPlan:
    """Plan a column whose grid is known; `rho` stays unspent where every value becomes a level."""
    free = grid.size <= options.identity
    if free:
        return NumericPlan(spec=spec, grid=grid, demands=demands, binning=None, texture=None, options=options)
    texture = None
    if not grid.continuous and options.texture > 0:
        texture = TexturePlan(rho=rho * options.texture, rows=rows, kind=spec.kind)
        rho *= 1.0 - options.texture
    binning = plan_binning(grid.size, rho=rho, rows=rows, options=options)
    return NumericPlan(
        spec=spec, grid=grid, demands=demands, binning=binning, texture=texture, options=options
    )


def code_from(
    spec: ColumnSpec,
    grid: Grid,
    demands: tuple[Wanted, ...],
    measured: Measured,
    texture: Texture | None,
    options: EncodingOptions,
) -> NumericCode:
    """The code that follows from what was measured; reads no data."""
    points = [*_spikes(spec), *(low for w in demands for low, high in w.ranges if low == high)]
    at = grid.cells(np.array(points, dtype=np.float64)).tolist()
    bins = bins_from(
        measured.leaves,
        grid.size,
        max_bins=options.max_bins,
        smallest=options.bin_mass * measured.sigma,
        cuts=_cuts(grid, demands),
        spikes=at,
        chosen=measured.starts,
    )
    exact: dict[int, float] = {}
    if grid.continuous:
        single = bins.starts[bins.starts == bins.ends].tolist()
        exact = {cell: _roundest(grid, cell) for cell in single}
        exact |= dict(zip(at, points, strict=True))
    return NumericCode(spec=spec, grid=grid, bins=bins, texture=texture, points=exact)


def most_bins(spec: ColumnSpec, demands: Sequence[Wanted], options: EncodingOptions) -> int:
    """Bins, spikes that were found with the bins that they cut, and what rules and declared spikes cut off."""
    edges = 2 * sum(len(wanted.ranges) for wanted in demands) + 2 * len(_spikes(spec))
    return math.ceil((1 + 2 * SPIKE) * options.max_bins) + edges + 1


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
