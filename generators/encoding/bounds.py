"""Numeric columns without public bounds: bounds, and the decimals of reals, learnt under the budget.

How: rows are counted in the public universe of signs and powers of two, with discrete Gaussian noise; the bounds are
the outer ends of the outermost powers whose noisy count is above a level that noise alone passes with probability
`FALSE_ALARM` over the whole universe (as in Google's differential-privacy library, "approximate bounds"). For reals a
second histogram counts how many decimals the values need. The universe is public, so no δ is spent. Values beyond
the learnt bounds are moved to them, as with declared ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from generators.encoding.binning import Binning, plan_binning
from generators.encoding.bounded import code_from, most_bins
from generators.encoding.grid import LARGEST_GRID, grid_of
from generators.encoding.numeric import NumericCode
from generators.encoding.options import EncodingOptions
from generators.encoding.texture import TexturePlan
from generators.encoding.wanted import Wanted
from release.data.lattice import exact
from release.data.schema import ColumnKind, ColumnSpec, DomainSource, Increment, Range
from release.data.table import Column
from release.privacy import accounting
from release.protocols import NoiseSource
from release.records import DpEvent, Mechanism

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

FALSE_ALARM = 0.01
"""Probability that noise alone makes some empty power of two look occupied."""

LARGEST_POWER = 40
"""Magnitudes of 2^40 and more count as 2^40: dates up to 30 centuries, seconds up to 30 millennia, amounts up to 1e12."""

SMALLEST_POWER = -20
"""Reals nearer to zero than 2^-20 count as zero."""

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
    def looks(self) -> int:
        """How many histograms are taken before the bins: powers and, of reals without increments, decimals."""
        return 2 if self.needs_decimals else 1

    @property
    def needs_decimals(self) -> bool:
        """Whether decimals are learnt: of reals, unless an increment says already where values lie."""
        return self.spec.kind is ColumnKind.REAL and self.increment is None

    @property
    def multiplier(self) -> float:
        """σ / k of these histograms."""
        return math.sqrt(self.looks / (2.0 * self.rho * self.options.bounds))

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
        looks = DpEvent(
            label=f"bounds of {self.spec.name}",
            mechanism=Mechanism.DISCRETE_GAUSSIAN,
            parameter=self.multiplier,
            count=self.looks,
        )
        texture = () if self.texture is None else self.texture.events(f"texture of {self.spec.name}")
        return (looks, *self.binning.events(f"bins of {self.spec.name}"), *texture)

    @property
    def most_levels(self) -> int:
        """More levels than this cannot come out."""
        return most_bins(self.spec, self.demands, self.options) + len(self.spec.missing)

    def describe(self) -> dict[str, Any]:
        """For people and digests."""
        return {
            "encoding": "bins, bounds learnt",
            "bounds sigma": self.multiplier * self.rows,
            **self.binning.describe(),
            "rho": accounting.rho_of(self.events),
        }

    def fit(self, column: Column, noise: NoiseSource) -> NumericCode:
        """Learn the bounds, then the bins between them."""
        values = column.values[column.present].astype(np.float64)
        sigma = self.multiplier * self.rows
        smallest = SMALLEST_POWER if self.spec.kind is ColumnKind.REAL else 0
        universe = 2 * (LARGEST_POWER - smallest + 1) + 1
        powers = np.bincount(_power(values, smallest), minlength=universe).astype(np.int64)
        low, high = self._widened(*_ends(noise.discrete_gaussian(powers, sigma), sigma, smallest))
        spec = self.spec
        if self.needs_decimals:
            needed = np.bincount(_decimals(values), minlength=MOST_DECIMALS + 2).astype(np.int64)
            decimals = _usual(noise.discrete_gaussian(needed, sigma), sigma)
            while decimals and (high - low) * 10.0**decimals > LARGEST_GRID / 4:
                decimals -= 1
            if decimals is not None:
                scale = 10.0**decimals
                low, high = math.floor(low * scale) / scale, math.ceil(high * scale) / scale
            domain = Range(min=low, max=high, decimals=decimals)
            spec = replace_domain(self.spec, domain)
        grid = grid_of(spec, low, high, self.increment)
        cells = grid.cells(values)
        measured = self.binning.measure(cells, grid, noise)
        texture = None if self.texture is None else self.texture.measure(cells, grid, noise)
        return code_from(self.spec, grid, self.demands, measured, texture, self.options)

    def _widened(self, low: float, high: float) -> tuple[float, float]:
        """Bounds on the increment's grid around these, no further from its start than floats carry."""
        if self.increment is None:
            return low, high
        step, start = exact(self.increment.step), exact(self.increment.start)
        binary = step == Fraction(self.increment.step) and start == Fraction(self.increment.start)
        most = MOST_STEPS if binary else MOST_ROUNDED_STEPS
        first, last = math.floor((exact(low) - start) / step), math.ceil((exact(high) - start) / step)
        first, last = (min(max(k, -most), most) for k in (first, last))
        return float(start + first * step), float(start + last * step)


def replace_domain(spec: ColumnSpec, domain: Range) -> ColumnSpec:
    """The column with this domain, to make a grid of; the schema itself never changes."""
    return spec.model_copy(update={"domain": domain, "domain_source": DomainSource.CODEBOOK})


def _power(values: FloatArray, smallest: int) -> IntArray:
    """Place in the universe: the middle one is zero; middle ± (1 + p - smallest) holds ±[2^p, 2^(p+1))."""
    size = np.abs(values)
    zero = size < 2.0**smallest
    power = np.floor(np.log2(np.where(zero, 1.0, size)))
    place = np.clip(power, smallest, LARGEST_POWER) - smallest + 1
    middle = LARGEST_POWER - smallest + 1
    return np.asarray(middle + np.where(zero, 0, np.sign(values) * place), dtype=np.int64)


def _ends(noisy: IntArray, sigma: float, smallest: int) -> tuple[float, float]:
    """The outer ends of the outermost powers that stand out of the noise; of the fullest one where none does."""
    from scipy.stats import norm

    level = sigma * float(norm.isf(FALSE_ALARM / len(noisy)))
    found = np.flatnonzero(noisy > level)
    if not len(found):
        found = np.array([int(np.argmax(noisy))])
    middle = len(noisy) // 2
    low, high = int(found[0]) - middle, int(found[-1]) - middle
    return _outer(low, smallest, lower=True), _outer(high, smallest, lower=False)


def _outer(place: int, smallest: int, *, lower: bool) -> float:
    """The lower or upper end of a power."""
    if place == 0:
        return 0.0
    power = abs(place) - 1 + smallest
    outward = (place < 0) == lower
    return math.copysign(2.0 ** (power + 1 if outward else power), place)


def _decimals(values: FloatArray) -> IntArray:
    """How many decimals each value needs: 0 … MOST_DECIMALS, one more where that is not enough."""
    needed = np.full(len(values), MOST_DECIMALS + 1, dtype=np.int64)
    for decimals in range(MOST_DECIMALS, -1, -1):
        scaled = values * 10.0**decimals
        near = np.abs(scaled - np.rint(scaled)) <= RESOLUTION * np.maximum(np.abs(scaled), 1.0)
        needed[near] = decimals
    return needed


def _usual(noisy: IntArray, sigma: float) -> int | None:
    """The most decimals that stand out of the noise; None: continuous."""
    from scipy.stats import norm

    level = sigma * float(norm.isf(FALSE_ALARM / len(noisy)))
    found = np.flatnonzero(noisy > level)
    most = int(found[-1]) if len(found) else int(np.argmax(noisy))
    return None if most > MOST_DECIMALS else most
