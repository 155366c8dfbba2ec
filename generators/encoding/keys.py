"""Coded columns whose categories are not public: learnt by thresholding noised counts, which costs δ.

How (Korolova et al. 2009; Wilson et al. 2020, "Differentially private SQL with bounded user contribution", section 4):
each value that occurs is counted, discrete Gaussian noise is added, and it is kept where the noisy count reaches a
threshold T. Values that are not kept go to `OUTSIDE_LEVEL`, or to the node of a public tree that holds them.

Privacy: on the values that other units have too, k rows change the counts by at most k in L2 norm. Values that only
one unit has would betray it if kept: let it have j of them with counts c_1 + … + c_j ≤ k, c_i ≥ 1. The chance that
any is kept is at most Σ P(noise ≥ T - c_i). Bounding P(noise ≥ m) by the normal tail at m - 1 (2004.00010,
proposition 25), which is convex there, the sum is largest at an extreme point: one count k - j + 1, the others 1.
T is the smallest whole number for which this is at most δ for every j.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from generators.encoding.coded import CodedCode
from generators.encoding.hierarchy import Hierarchy
from generators.encoding.tree import project
from generators.encoding.wanted import Wanted
from release.data.schema import OUTSIDE_LEVEL, ColumnSpec
from release.data.table import Column, recode
from release.protocols import NoiseSource
from release.records import DpEvent, Mechanism

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

KEPT_SIGMAS = 4.0
"""A declared value of a column with too many keeps its own level where its noisy count is above so many σ."""


def leak(threshold: int, sigma: float, rows: int) -> float:
    """Upper bound on the chance that a value is kept which only one unit has; see the module's proof."""
    from scipy.stats import norm

    if threshold <= rows + 1:
        return 1.0
    others = np.arange(rows, dtype=np.float64)
    lone = norm.sf((threshold - (rows - others) - 1.0) / sigma)
    return float(np.max(lone + others * norm.sf((threshold - 2.0) / sigma)))


def threshold_for(delta: float, sigma: float, rows: int) -> int:
    """The smallest T whose `leak` is at most δ."""
    low, high = rows + 1, rows + 2
    while leak(high, sigma, rows) > delta:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if leak(middle, sigma, rows) <= delta:
            high = middle
        else:
            low = middle
    return high


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysPlan:
    """A coded column whose categories are learnt.

    Attributes:
        spec: the column.
        rho: what its counts may spend.
        delta: what its threshold may spend.
        rows: the contribution bound k.
        most: most values that are kept.
        hierarchy: the public tree that values which are not kept roll up into; None: they go outside.
    """

    spec: ColumnSpec
    rho: float
    delta: float
    rows: int
    most: int
    hierarchy: Hierarchy | None

    @property
    def multiplier(self) -> float:
        """σ / k of every count."""
        return math.sqrt(1.0 / (2.0 * self.rho))

    @property
    def threshold(self) -> int:
        """A value is kept where its noisy count is at least this."""
        return threshold_for(self.delta, self.multiplier * self.rows, self.rows)

    @property
    def events(self) -> tuple[DpEvent, ...]:
        """The counts, and the threshold's δ."""
        label = f"categories of {self.spec.name}"
        return (
            DpEvent(label=label, mechanism=Mechanism.DISCRETE_GAUSSIAN, parameter=self.multiplier),
            DpEvent(label=label, mechanism=Mechanism.THRESHOLD, parameter=self.delta),
        )

    @property
    def most_levels(self) -> int:
        """Kept values, nodes of the tree, outside, kinds of missing."""
        nodes = 0 if self.hierarchy is None else len(self.hierarchy.nodes)
        return self.most + nodes + 1 + len(self.spec.missing)

    def describe(self) -> dict[str, Any]:
        """For people and digests."""
        return {
            "encoding": "learnt categories",
            "sigma": self.multiplier * self.rows,
            "threshold": self.threshold,
            "delta": self.delta,
            "hierarchy": None if self.hierarchy is None else self.hierarchy.name,
            "rho": self.rho,
        }

    def fit(self, column: Column, noise: NoiseSource) -> CodedCode:
        """Count the values that occur, keep what reaches the threshold."""
        found = column.values[column.present].astype(np.int64)
        counts = np.bincount(found[found >= 0], minlength=len(column.levels)).astype(np.int64)
        # By name: where noisy counts tie, the order in the file must not decide which are kept.
        named = sorted(np.flatnonzero(counts).tolist(), key=lambda code: column.levels[code])
        occurs = np.array(named, dtype=np.int64)
        noisy = noise.discrete_gaussian(counts[occurs], self.multiplier * self.rows)
        fullest = np.argsort(-noisy, kind="stable")[: self.most]
        threshold = self.threshold
        kept = [column.levels[occurs[k]] for k in fullest.tolist() if noisy[k] >= threshold]
        kept = sorted(set(kept) - {OUTSIDE_LEVEL})  # by name: the order must not tell the order in the file
        nodes = [] if self.hierarchy is None else [n for n in self.hierarchy.names if n not in kept]
        values = (*kept, *nodes, OUTSIDE_LEVEL)
        return CodedCode.plain(self.spec, values, self.hierarchy)


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledPlan:
    """A coded column with a public domain of more values than levels are wanted: rare values share levels.

    One discrete Gaussian histogram over the public values (Δ₂ = k). Values with much noisy mass keep their level; the
    others share one level per node of the public tree, or one level in all, and are told apart by the same counts.

    Attributes:
        spec: the column.
        demands: public sets of values that must be unions of levels.
        rho: what it spends.
        rows: the contribution bound k.
        most: most values that keep a level of their own, besides demanded ones.
        hierarchy: the public tree, or None.
    """

    spec: ColumnSpec
    demands: tuple[Wanted, ...]
    rho: float
    rows: int
    most: int
    hierarchy: Hierarchy | None

    @property
    def multiplier(self) -> float:
        """σ / k of every count."""
        return math.sqrt(1.0 / (2.0 * self.rho))

    @property
    def events(self) -> tuple[DpEvent, ...]:
        """One histogram."""
        return (
            DpEvent(
                label=f"levels of {self.spec.name}",
                mechanism=Mechanism.DISCRETE_GAUSSIAN,
                parameter=self.multiplier,
            ),
        )

    @property
    def alone(self) -> frozenset[str]:
        """Values that a constraint speaks of."""
        return frozenset(value for wanted in self.demands for value in wanted.values)

    @property
    def most_levels(self) -> int:
        """Kept and demanded values, pools, outside, kinds of missing."""
        pools = 1 if self.hierarchy is None else len(self.hierarchy.nodes) + 1
        return self.most + len(self.alone) + pools + 1 + len(self.spec.missing)

    def describe(self) -> dict[str, Any]:
        """For people and digests."""
        return {
            "encoding": "declared values, rare ones pooled",
            "values": len(self.spec.levels or ()),
            "sigma": self.multiplier * self.rows,
            "hierarchy": None if self.hierarchy is None else self.hierarchy.name,
            "rho": self.rho,
        }

    def fit(self, column: Column, noise: NoiseSource) -> CodedCode:
        """Count every public value, and pool what is rare."""
        values = (*(self.spec.levels or ()), OUTSIDE_LEVEL)
        found = (column.values if column.levels == values else recode(column, values))[column.present]
        counts = np.bincount(found.astype(np.int64), minlength=len(values)).astype(np.int64)
        sigma = self.multiplier * self.rows
        noisy = noise.discrete_gaussian(counts, sigma).astype(np.float64)
        fullest = np.argsort(-noisy, kind="stable")[: self.most]
        own = np.zeros(len(values), dtype=np.bool_)
        own[fullest] = noisy[fullest] > KEPT_SIGMAS * sigma
        own |= np.isin(np.array(values), [*self.alone, OUTSIDE_LEVEL])
        pool = [
            value if mine else "" if self.hierarchy is None else self.hierarchy.node_of(value)
            for value, mine in zip(values, own.tolist(), strict=True)
        ]
        return _pooled(self.spec, values, own, pool, noisy, self.hierarchy)


def _pooled(
    spec: ColumnSpec,
    values: tuple[str, ...],
    own: npt.NDArray[np.bool_],
    pool: Sequence[str],
    noisy: FloatArray,
    hierarchy: Hierarchy | None,
) -> CodedCode:
    """Levels: values with their own first, in the order of the domain, then pools in the order of their first value."""
    level = np.empty(len(values), dtype=np.int64)
    level[own] = np.arange(int(own.sum()))
    numbers: dict[str, int] = {}
    for place in np.flatnonzero(~own).tolist():
        level[place] = numbers.setdefault(pool[place], int(own.sum()) + len(numbers))
    weight = np.ones(len(values))
    for number in numbers.values():
        inside = np.flatnonzero(level == number)
        mass = project(noisy[inside], float(max(noisy[inside].sum(), 0.0)))
        even = 1.0 / len(inside)
        share = mass / mass.sum() if mass.sum() > 0 else np.full(len(inside), even)
        weight[inside] = (1.0 - POOL_FLOOR) * share + POOL_FLOOR * even
    return CodedCode(spec=spec, values=values, level=level, weight=weight, hierarchy=hierarchy)


POOL_FLOOR = 1e-3
"""Share of a pool that is spread evenly over its values, so that no public value is impossible."""
