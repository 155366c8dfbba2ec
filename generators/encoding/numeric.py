"""Numeric columns (integer, real, date, datetime): public grid → noised bins → levels.

Rules: with few possible values every value is a level, at no cost; otherwise the bins, the spikes and the shape
inside the bins come from noised counts. Kinds of missing are levels after the bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from generators.encoding.bins import Bins, bins_from, identity_bins
from generators.encoding.grid import Grid, grid_of
from generators.encoding.options import EncodingOptions
from generators.encoding.tree import depth_of, grow
from release.data.schema import ColumnSpec, Range
from release.data.table import Column
from release.protocols import NoiseSource
from release.records import DpEvent, Mechanism

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericCode:
    """A numeric column as levels."""

    spec: ColumnSpec
    grid: Grid
    bins: Bins

    @property
    def size(self) -> int:
        """Bins, then kinds of missing."""
        return len(self.bins.starts) + len(self.spec.missing)

    def encode(self, column: Column) -> IntArray:
        """The level of each row, shape (n,)."""
        codes = self.bins.levels(self.grid.cells(column.values))
        absent = column.missing != 0
        codes[absent] = len(self.bins.starts) + column.missing[absent].astype(np.int64) - 1
        return codes

    def decode(self, codes: IntArray, rng: np.random.Generator) -> Column:
        """A column whose rows lie in these levels."""
        missing = np.maximum(codes - len(self.bins.starts) + 1, 0).astype(np.uint8)
        values = np.zeros(len(codes), dtype=np.int64 if self.grid.whole else np.float64)
        present = np.flatnonzero(missing == 0)
        values[present] = self.grid.values(self.bins.draw(codes[present], rng), rng)
        return Column(values, missing)

    def labels(self) -> tuple[str, ...]:
        """What each level holds, for people."""
        rng = np.random.default_rng(0)
        low = self.grid.values(self.bins.starts, rng).tolist()
        high = self.grid.values(self.bins.ends, rng).tolist()
        bins = [f"{a:g}" if a == b else f"{a:g} … {b:g}" for a, b in zip(low, high, strict=True)]
        return (*bins, *(f'missing "{code.code}"' for code in self.spec.missing))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"type": "numeric", "grid": self.grid.to_json()}

    def arrays(self) -> Mapping[str, npt.NDArray[np.generic]]:
        """The bins."""
        return {
            "starts": self.bins.starts,
            "first": self.bins.first,
            "last": self.bins.last,
            "mass": self.bins.mass,
        }

    @classmethod
    def read(
        cls, spec: ColumnSpec, data: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> NumericCode:
        """What `to_json` and `arrays` wrote."""
        grid = Grid(**data["grid"])
        return cls(spec=spec, grid=grid, bins=Bins(size=grid.size, **arrays))


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericPlan:
    """A numeric column between public bounds.

    Attributes:
        spec: the column.
        grid: its public grid.
        rho: what it may spend; 0 where it needs nothing.
        rows: the contribution bound k.
        options: see `EncodingOptions`.
    """

    spec: ColumnSpec
    grid: Grid
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

    def describe(self) -> dict[str, Any]:
        """For people and digests."""
        if self.rho == 0:
            return {"encoding": "every value a level", "levels": self.grid.size, "rho": 0.0}
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
            return NumericCode(spec=self.spec, grid=self.grid, bins=identity_bins(self.grid.size))
        sigma = self.multiplier * self.rows
        leaves = grow(
            self.grid.cells(column.values[column.present]),
            self.grid.size,
            fan_out=self.options.fan_out,
            sigma=sigma,
            expand=self.options.expand,
            noise=noise,
        )
        domain = self.spec.domain
        spikes = domain.spikes if isinstance(domain, Range) else ()
        bins = bins_from(
            leaves,
            self.grid.size,
            max_bins=self.options.max_bins,
            smallest=self.options.bin_mass * sigma,
            spikes=self.grid.cells(np.array(spikes, dtype=np.float64)).tolist(),
        )
        return NumericCode(spec=self.spec, grid=self.grid, bins=bins)


def plan_numeric(spec: ColumnSpec, *, rho: float, rows: int, options: EncodingOptions) -> NumericPlan:
    """Plan a numeric column with declared bounds. `rho` is ignored where nothing has to be measured."""
    if spec.bounds is None:
        from release.errors import PlanError

        raise PlanError(f'column "{spec.name}" has no declared bounds', mend="declare its min and max")
    grid = grid_of(spec, *spec.bounds)
    free = grid.size <= options.identity
    return NumericPlan(spec=spec, grid=grid, rho=0.0 if free else rho, rows=rows, options=options)
