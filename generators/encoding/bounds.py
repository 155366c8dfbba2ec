"""Numeric columns without public bounds: bounds, and the decimals of reals, learnt under the budget.

How: one discrete Gaussian histogram over a public universe gives the bounds (`interval`), and for reals a second, small
one how many decimals the values need. Where nothing stands out from the noise the bounds are the public default of the
universe, with public bins, and the code says so (`BoundsSource.DEFAULT`); so with decimals. Values beyond learnt bounds are not
counted for the bins, so they make no spike at the bound; rows that hold them go to the end bins, and are drawn as
the others there are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from generators.encoding.binning import Binning, plan_binning
from generators.encoding.bounded import code_from, most_bins
from generators.encoding.grid import LARGEST_GRID, grid_of
from generators.encoding.interval import Universe, universe_of
from generators.encoding.numeric import BoundsSource, NumericCode
from generators.encoding.options import EncodingOptions
from generators.encoding.texture import TexturePlan
from generators.encoding.wanted import Wanted, written
from release.data.lattice import exact
from release.data.schema import ColumnKind, ColumnSpec, DomainSource, Increment, Range
from release.data.table import Column
from release.privacy import accounting
from release.protocols import NoiseSource
from release.records import DpEvent, Mechanism

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

FALSE_ALARM = 0.01
"""Probability that noise alone makes the values seem to need more decimals than they do."""

FOR_DECIMALS = 0.2
"""Share of the bounds' budget that goes to the decimals, where these are learnt."""

LEAST_DECIMALS = 2
LEAST_STEPS = 1_000.0
"""Where decimals cannot be told: so many, or as many as make so many steps of the range."""

MOST_DECIMALS = 6
"""Reals that need more decimals than this are taken as continuous."""


RESOLUTION = 2.0**-50
"""Relative: a number this near to one of so many decimals is that one; four times the spacing of floats."""

MOST_STEPS = LARGEST_GRID // 2 - 1
MOST_ROUNDED_STEPS = 1 << 32
"""Values are not learnt further than so many steps from an increment's start: they could not be told apart, or, where
step or start are no exact floats, not be told from values beside the increments (1e-6 of a step, `violations`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearntNumericPlan:
    """A numeric column whose bounds are learnt.

    Attributes:
        spec: the column.
        demands: public sets of values that must be unions of levels.
        increment: a constraint that fixes its grid.
        rho: what it may spend in all.
        rows: the contribution bound k.
        options: see `EncodingOptions`.
    """

    spec: ColumnSpec
    demands: tuple[Wanted, ...]
    increment: Increment | None
    rho: float
    rows: int
    options: EncodingOptions

    @property
    def needs_decimals(self) -> bool:
        """Whether decimals are learnt: of reals, unless an increment says already where values lie."""
        return self.spec.kind is ColumnKind.REAL and self.increment is None

    @property
    def universe(self) -> Universe:
        """Where bounds are looked for."""
        return universe_of(self.spec.kind)

    @property
    def multipliers(self) -> tuple[float, ...]:
        """σ / k of the histograms that are taken before the bins: the universe and, for some, decimals."""
        shares = (1.0 - FOR_DECIMALS, FOR_DECIMALS) if self.needs_decimals else (1.0,)
        return tuple(math.sqrt(1.0 / (2.0 * self.rho * self.options.bounds * share)) for share in shares)

    @property
    def texture(self) -> TexturePlan | None:
        """How values inside bins are told apart."""
        share = (1 - self.options.bounds) * self.options.texture
        return TexturePlan(rho=self.rho * share, rows=self.rows, kind=self.spec.kind) if share else None

    @property
    def binning(self) -> Binning:
        """How the bins are found once the bounds are known."""
        share = (1 - self.options.bounds) * (1 - self.options.texture)
        return plan_binning(None, rho=self.rho * share, rows=self.rows, options=self.options)

    @property
    def events(self) -> tuple[DpEvent, ...]:
        """Bounds (and decimals), then bins, then texture."""
        looks = (
            DpEvent(
                label=f"{what} of {self.spec.name}",
                mechanism=Mechanism.DISCRETE_GAUSSIAN,
                parameter=multiplier,
            )
            for what, multiplier in zip(("bounds", "decimals"), self.multipliers, strict=False)
        )
        texture = () if self.texture is None else self.texture.events(f"texture of {self.spec.name}")
        return (*looks, *self.binning.events(f"bins of {self.spec.name}"), *texture)

    @property
    def most_levels(self) -> int:
        """More levels than this cannot come out."""
        return most_bins(self.spec, self.demands, self.options) + len(self.spec.missing)

    def describe(self) -> dict[str, Any]:
        """For people and digests."""
        sigma = self.multipliers[0] * self.rows
        low, high = self.universe.default
        return {
            "encoding": "bins, bounds learnt",
            "bounds sigma": sigma,
            "rows that stand out": math.ceil(self.universe.deviations * sigma),
            "bounds where none do": f"{written(self.spec, low)} … {written(self.spec, high)}",
            **self.binning.describe(),
            "rho": accounting.rho_of(self.events),
        }

    def fit(self, column: Column, noise: NoiseSource) -> NumericCode:
        """Learn the bounds, then the bins between them."""
        values = column.values[column.present].astype(np.float64)
        sigma = self.multipliers[0] * self.rows
        noisy = noise.discrete_gaussian(self.universe.counts(values), sigma)
        found = self.universe.interval(noisy, sigma)
        low, high = self._on_increments(*(found or self.universe.default))
        spec = self.spec
        if self.needs_decimals:
            decimals = self._learn_decimals(values, high - low, noise)
            if decimals is not None:
                scale = 10.0**decimals
                low, high = math.floor(low * scale) / scale, math.ceil(high * scale) / scale
            spec = replace_domain(self.spec, Range(min=low, max=high, decimals=decimals))
        grid = grid_of(spec, low, high, self.increment)
        cells = grid.cells(values[(values >= low) & (values <= high)])
        measured = self.binning.measure(cells, grid, noise)
        if found is None:
            starts = grid.at_least(self.universe.default_starts(self.options.max_bins))
            starts = np.unique(np.append(0, starts[starts < grid.size]))
            measured = replace(measured, starts=starts)
        texture = None if self.texture is None else self.texture.measure(cells, grid, noise)
        code = code_from(self.spec, grid, self.demands, measured, texture, self.options)
        return replace(code, bounds=BoundsSource.LEARNT if found else BoundsSource.DEFAULT)

    def _learn_decimals(self, values: FloatArray, width: float, noise: NoiseSource) -> int | None:
        """How many decimals the values have; None: they lie anywhere."""
        sigma = self.multipliers[1] * self.rows
        needed = np.bincount(_decimals(values), minlength=MOST_DECIMALS + 2).astype(np.int64)
        decimals = _usual(noise.discrete_gaussian(needed, sigma), sigma)
        if decimals is None:
            fine = math.ceil(math.log10(LEAST_STEPS / max(width, LEAST_STEPS * 10.0**-MOST_DECIMALS)))
            decimals = max(LEAST_DECIMALS, fine)
        if decimals > MOST_DECIMALS:
            return None
        while decimals and width * 10.0**decimals > LARGEST_GRID / 4:
            decimals -= 1
        return decimals

    def _on_increments(self, low: float, high: float) -> tuple[float, float]:
        """Bounds on the increment's grid around these, no further from its start than floats (and years) carry."""
        if self.increment is None:
            return low, high
        step, start = exact(self.increment.step), exact(self.increment.start)
        binary = step == Fraction(self.increment.step) and start == Fraction(self.increment.start)
        most = MOST_STEPS if binary else MOST_ROUNDED_STEPS
        first, last = math.floor((exact(low) - start) / step), math.ceil((exact(high) - start) / step)
        if self.universe.zero is None:
            begin, end = exact(self.universe.edges[0]), exact(self.universe.edges[-1]) - 1
            first, last = (
                max(first, math.ceil((begin - start) / step)),
                min(last, math.floor((end - start) / step)),
            )
        first, last = (min(max(k, -most), most) for k in (first, last))
        return float(start + first * step), float(start + max(first, last) * step)


def replace_domain(spec: ColumnSpec, domain: Range) -> ColumnSpec:
    """The column with this domain, to make a grid of; the schema itself never changes."""
    return spec.model_copy(update={"domain": domain, "domain_source": DomainSource.CODEBOOK})


def _decimals(values: FloatArray) -> IntArray:
    """How many decimals each value needs: 0 … MOST_DECIMALS, one more where that is not enough."""
    needed = np.full(len(values), MOST_DECIMALS + 1, dtype=np.int64)
    for decimals in range(MOST_DECIMALS, -1, -1):
        scaled = values * 10.0**decimals
        near = np.abs(scaled - np.rint(scaled)) <= RESOLUTION * np.maximum(np.abs(scaled), 1.0)
        needed[near] = decimals
    return needed


def _usual(noisy: IntArray, sigma: float) -> int | None:
    """The most decimals that stand out of the noise; None: none does."""
    from scipy.stats import norm

    level = sigma * float(norm.isf(FALSE_ALARM / len(noisy)))
    found = np.flatnonzero(noisy > level)
    return int(found[-1]) if len(found) else None
