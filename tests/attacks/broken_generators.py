"""Six generators that break their promise, each in one way, and the honest one they are made from.

All measure every column's one-way marginal with Gaussian noise, and claim one event per column.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from release.data.schema import Schema
from release.data.table import Table
from release.protocols import NoiseSource, no_progress
from release.records import Accountant, Adjacency, DpEvent, Mechanism, PrivacyCost
from tests.seeded_noise import SeededNoise


@dataclass(frozen=True, slots=True, kw_only=True)
class HonestPlan:
    """One-way marginals, σ = multiplier · rows per unit, √(columns) in the claim by one event a column."""

    schema: Schema
    multiplier: float

    @property
    def rows(self) -> int:
        return self.schema.unit.max_rows

    @property
    def cost(self) -> PrivacyCost:
        d = len(self.schema.released)
        rho = d / (2 * self.multiplier**2)
        return PrivacyCost(
            epsilon=rho + 2 * math.sqrt(rho * math.log(1e6)),
            delta=1e-6,
            unit=self.schema.unit.name,
            max_rows_per_unit=self.rows,
            adjacency=Adjacency.ADD_REMOVE_UNIT,
            accountant=Accountant.ZCDP,
            events=(
                DpEvent(
                    label="one-way", mechanism=Mechanism.DISCRETE_GAUSSIAN, parameter=self.multiplier, count=d
                ),
            ),
        )

    @property
    def sigma(self) -> float:
        return self.multiplier * self.rows

    def describe(self):
        return {"multiplier": self.multiplier}

    def counts(self, table: Table, name: str) -> np.ndarray:
        column = table.columns[name]
        return np.bincount(column.values[column.present], minlength=len(column.levels)).astype(np.int64)

    def run(self, table: Table, noise: NoiseSource, progress=no_progress):
        for name in table.columns:
            noise.discrete_gaussian(self.counts(table, name), self.sigma)


class ScalePlan(HonestPlan):
    """σ forgets the root: as if all columns together were one measurement."""

    @property
    def sigma(self) -> float:
        return self.multiplier * self.rows / math.sqrt(len(self.schema.released))


class ReusedBudgetPlan(HonestPlan):
    """Measures everything again for a "second sample", and claims it once."""

    def run(self, table, noise, progress=no_progress):
        for _ in range(2):
            HonestPlan.run(self, table, noise)


class DataDomainPlan(HonestPlan):
    """Lists the categories that occur."""

    def counts(self, table, name):
        column = table.columns[name]
        return np.unique(column.values[column.present], return_counts=True)[1].astype(np.int64)


class FixedSeedPlan(HonestPlan):
    """Draws "noise" from a seed of its own."""

    def run(self, table, noise, progress=no_progress):
        HonestPlan.run(self, table, SeededNoise(0))


class FixedSeedThroughSourcePlan(HonestPlan):
    """The same, but hands numbers that already have their seeded noise to the source at the smallest scale."""

    def run(self, table, noise, progress=no_progress):
        seeded = SeededNoise(0)
        for name in table.columns:
            noise.discrete_gaussian(seeded.discrete_gaussian(self.counts(table, name), self.sigma), 0.01)


class UnclippedPlan(HonestPlan):
    """Promises to count at most `max_rows` rows of a unit, and counts all of them."""

    def counts(self, table, name):
        return HonestPlan.counts(self, table, name)


class ClippedPlan(HonestPlan):
    """What `UnclippedPlan` promises: the first `max_rows` rows of each unit."""

    def run(self, table, noise, progress=no_progress):
        order = np.argsort(table.units, kind="stable")
        units = table.units[order]
        first = np.searchsorted(units, units)
        HonestPlan.run(self, table.take(np.sort(order[np.arange(len(units)) - first < self.rows])), noise)


class UnitIgnoredPlan(HonestPlan):
    """Noise for one row, though a unit may have several."""

    @property
    def sigma(self) -> float:
        return self.multiplier


BROKEN = {
    "scale": ScalePlan,
    "budget reuse": ReusedBudgetPlan,
    "data-derived domain": DataDomainPlan,
    "fixed seed": FixedSeedPlan,
    "fixed seed through the source": FixedSeedThroughSourcePlan,
    "no clipping": UnclippedPlan,
    "unit ignored": UnitIgnoredPlan,
}
