"""Marginals at several resolutions: a view is a clique with, for each attribute, a grouping of its codes.

Measuring two attributes of 20 bins as 4 × 4 groups costs the same budget as 20 × 20 cells and leaves a twenty-fifth of
the noise, and most dependence between ordered attributes is in the coarse groups. Inference stays on full codes: a view
is a linear query on its clique. Groups are made from noisy one-way counts (post-processing).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from generators.core.domain import Clique, Domain
from generators.core.jit import kernel

GROUPS = (8, 4, 2)
"""Most groups of each coarser resolution; resolution 0 is the codes themselves."""

NOISE_L1 = math.sqrt(2.0 / math.pi)
"""E|noise| of a cell, in σ."""

IntVector = npt.NDArray[np.int64]


class View(NamedTuple):
    """Attributes, ascending, and the resolution of each (0: full)."""

    clique: Clique
    resolution: tuple[int, ...]


def full_view(clique: Clique) -> View:
    """The clique's marginal itself."""
    return View(clique, (0,) * len(clique))


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """The groupings of a domain's attributes.

    Attributes:
        domain: the attributes.
        groups: groups[a][r - 1] maps the codes of attribute a to the groups of resolution r ≥ 1.
    """

    domain: Domain
    groups: tuple[tuple[IntVector, ...], ...]

    @classmethod
    def full(cls, domain: Domain) -> Views:
        """No coarser resolutions."""
        return cls(domain, ((),) * len(domain))

    @classmethod
    def of(cls, domain: Domain, one_way: Sequence[npt.NDArray[np.float64]]) -> Views:
        """Groupings into at most 8, 4 and 2 groups of about equal mass, by estimated one-way marginals.

        Ordered attributes get runs of neighbouring codes; others keep their fullest codes and lump the rest.
        """
        groups: list[tuple[IntVector, ...]] = []
        for attribute, mass in enumerate(one_way):
            size = domain.sizes[attribute]
            make = _runs if domain.ordered[attribute] else _fullest
            made: list[IntVector] = []
            for most in GROUPS:
                if most < size:
                    grouping = make(mass, most)
                    if not made or grouping.max() < made[-1].max():
                        made.append(grouping)
            groups.append(tuple(made))
        return cls(domain, tuple(groups))

    def grouping(self, attribute: int, resolution: int) -> IntVector:
        """The group of each code."""
        return (
            self.groups[attribute][resolution - 1] if resolution else np.arange(self.domain.sizes[attribute])
        )

    def size(self, attribute: int, resolution: int) -> int:
        """Number of groups."""
        if not resolution:
            return self.domain.sizes[attribute]
        return int(self.groups[attribute][resolution - 1].max()) + 1

    def shape(self, view: View) -> tuple[int, ...]:
        """Sizes of the view's axes."""
        return tuple(self.size(a, r) for a, r in zip(view.clique, view.resolution, strict=True))

    def cells(self, view: View) -> int:
        """Number of cells of the view."""
        return math.prod(self.shape(view))

    def resolutions(self, clique: Clique) -> list[View]:
        """Every view of the clique."""
        choices = [range(len(self.groups[a]) + 1) for a in clique]
        return [View(clique, resolution) for resolution in product(*choices)]

    def fold(self, table: npt.NDArray[Any], view: View) -> npt.NDArray[Any]:
        """The view of a full table of its clique."""
        index = self.cell_map(view.clique, view)
        folded = np.zeros(self.cells(view), dtype=table.dtype)
        np.add.at(folded, index, table.reshape(-1))
        return folded.reshape(self.shape(view))

    def cell_map(self, layout: Clique, view: View) -> npt.NDArray[np.int32]:
        """For each cell of a full table in `layout` order the cell of the view that it adds to; int32, flat."""
        steps: dict[int, IntVector] = {}
        stride = 1
        for attribute, resolution in zip(reversed(view.clique), reversed(view.resolution), strict=True):
            steps[attribute] = self.grouping(attribute, resolution) * stride
            stride *= self.size(attribute, resolution)
        result = np.zeros((1,) * len(layout), dtype=np.int32)
        for axis, attribute in enumerate(layout):
            if attribute in steps:
                shape = [1] * len(layout)
                shape[axis] = self.domain.sizes[attribute]
                result = result + steps[attribute].astype(np.int32).reshape(shape)
        return np.ascontiguousarray(np.broadcast_to(result, self.domain.shape(layout))).reshape(-1)


def distances(
    views: Views,
    wanted: Sequence[View],
    differences: Sequence[npt.NDArray[np.float64]],
    *,
    most: float = np.inf,
) -> npt.NDArray[np.float64]:
    """Σ min(|cell|, most) over the cells of each wanted view; without `most`, its L1 norm.

    `differences` are full tables of their cliques, one for each view; views of one clique may share one array.
    """
    out = np.zeros(len(wanted))
    offsets: dict[tuple[int, int], int] = {}
    flat: list[npt.NDArray[np.int32]] = []
    length = 0
    for attribute in range(len(views.domain)):
        for resolution in range(len(views.groups[attribute]) + 1):
            offsets[attribute, resolution] = length
            flat.append(views.grouping(attribute, resolution).astype(np.int32))
            length += len(flat[-1])
    maps = np.concatenate(flat)
    for k, (view, difference) in enumerate(zip(wanted, differences, strict=True)):
        if not any(view.resolution):
            out[k] = float(np.minimum(np.abs(difference), most).sum())
            continue
        shape = (1,) * (3 - difference.ndim) + difference.shape
        if difference.ndim > 3:
            out[k] = float(np.minimum(np.abs(views.fold(difference, view)), most).sum())
            continue
        start = np.zeros(3, dtype=np.int64)
        width = np.ones(3, dtype=np.int64)
        for axis, (a, r) in enumerate(
            zip(view.clique, view.resolution, strict=True), start=3 - difference.ndim
        ):
            start[axis] = offsets[a, r]
            width[axis] = views.size(a, r)
        for axis in range(3 - difference.ndim):
            start[axis] = -1
        out[k] = _distance(difference.reshape(shape), maps, start, width, most)
    return out


def left_by_noise(
    views: Views, wanted: Sequence[View], estimates: Mapping[Clique, npt.NDArray[np.float64]], sigma: float
) -> npt.NDArray[np.float64]:
    """The L1 error that measuring each view with `sigma` would leave in a fit: E|noise| a cell, but no more than the cell is thought to hold.

    A fit never gives a cell less than nothing, and noise on the thousands of cells of two wide attributes that hold hardly
    anybody is not taken for people.

    Args:
        views: of the domain.
        wanted: some of them.
        estimates: expected counts of each clique's full table.
        sigma: of the measurement.
    """
    tables = [estimates[view.clique] for view in wanted]
    return distances(views, wanted, tables, most=NOISE_L1 * sigma)


@kernel
def _distance(difference: Any, maps: Any, start: Any, width: Any, most: float) -> float:
    """Σ min(|cell|, most) of a (a, b, c) table summed over groups; start[axis] = -1 for an axis of length 1 without a grouping."""
    sums = np.zeros(width[0] * width[1] * width[2])
    for i in range(difference.shape[0]):
        x = maps[start[0] + i] if start[0] >= 0 else 0
        for j in range(difference.shape[1]):
            y = maps[start[1] + j] if start[1] >= 0 else 0
            base = (x * width[1] + y) * width[2]
            for k in range(difference.shape[2]):
                sums[base + maps[start[2] + k]] += difference[i, j, k]
    total = 0.0
    for i in range(sums.shape[0]):
        total += min(abs(sums[i]), most)
    return total


def _runs(mass: npt.NDArray[np.float64], most: int) -> IntVector:
    """Runs of neighbouring codes, cut where the cumulated mass passes each next 1/most."""
    share = np.maximum(mass, 0.0) / max(float(np.maximum(mass, 0.0).sum()), 1e-300)
    middle = np.cumsum(share) - share / 2.0
    runs = np.unique(np.minimum((middle * most).astype(np.int64), most - 1), return_inverse=True)[1]
    return np.asarray(runs, dtype=np.int64)


def _fullest(mass: npt.NDArray[np.float64], most: int) -> IntVector:
    """The fullest most - 1 codes by themselves, the others together."""
    order = np.argsort(-mass, kind="stable")
    grouping = np.full(len(mass), most - 1, dtype=np.int64)
    grouping[order[: most - 1]] = np.arange(most - 1)
    return grouping
