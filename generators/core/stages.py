"""The stages that the members of the family share: one-way marginals first, then a spanning tree."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from generators.core import junction
from generators.core.compress import Compression
from generators.core.domain import Domain, StructuralZeros
from generators.core.inference import Fitted, Measurement, combine, fit, total_of
from generators.core.measurer import Measurer, gaussian_rho, gaussian_sigma
from generators.core.shrinking import shrunk
from generators.core.views import NOISE_L1, Views, full_view
from release.errors import PlanError

_WITH_ZEROS = 200
"""Steps of the first inference with structural zeros, whose cliques may be large; later ones go on from there."""

RARE = 3.0
"""Levels below so many σ of a one-way count are merged (2108.04978; docs/generators.md has what other values gave)."""

_ONE_WAY_ERROR = 0.0115
"""Total variation distance from noise that one-way marginals may have before they are measured again."""

_MOST, _MOST_LOUD = 0.35, 0.5
"""Shares of ρ that one-way marginals may have in all for that; and that they get where even the whole of ρ would not do."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Beginning:
    """What the one-way stage leaves: a measurer of merged levels, and a model of one-way marginals and structural zeros."""

    measurer: Measurer
    compression: Compression
    views: Views
    measurements: list[Measurement]
    fitted: Fitted


def measure_one_way(
    measurer: Measurer,
    sigmas: Sequence[float],
    zeros: Sequence[StructuralZeros],
    *,
    most_cells: float,
    rare: Callable[[Domain, float], float] = lambda _domain, _total: RARE,
    rho: float = 0.0,
) -> Beginning:
    """Measure every attribute's marginal, draw blurred counts to their mean, merge rare levels, and fit the model of these and the structural zeros.

    Args:
        measurer: of the full domain.
        sigmas: of each attribute's counts.
        zeros: structural zeros; their attributes are not merged.
        most_cells: cells that the junction tree may have.
        rare: given the domain and the noisy total, the threshold for merging, in σ; 0 merges nothing.
        rho: of the whole fit: one-way marginals get a larger share of it where the first noise turns out to be large; 0: they do not.

    Raises:
        PlanError: one-way marginals and structural zeros alone do not fit; nothing was measured yet.
    """
    full = measurer.domain
    need = junction.tree_cells(full, [factor.clique for factor in zeros])
    if need > most_cells:
        raise PlanError(
            f"one-way marginals and structural zeros need {need:,.0f} cells, the size cap allows {most_cells:,.0f}",
            mend="raise memory_mib, or declare smaller domains",
        )
    full_views = Views.full(full)
    measurer.prepare([(a,) for a in range(len(full))])
    measured = [measurer.measure(full_view((a,)), sigma, "measure 1-way") for a, sigma in enumerate(sigmas)]
    total = total_of(measured)
    if (second := _second_sigma(measurer, sigmas, total, rho)) is not None:
        measured += [measurer.measure(m.view, second, "measure 1-way again") for m in measured]
    # What is rare is asked of the counts as they were measured: drawn to their mean, all levels of a blurred column could be rare, or none.
    means = [(mean, 1.0 / math.sqrt(float(precision.flat[0]))) for _, mean, precision in combine(measured)]
    measured = shrunk(measured)
    independent = fit(full_views, measured)
    kept = frozenset(a for factor in zeros for a in factor.clique)
    one_way = independent.one_way()
    compression = Compression.of(means, one_way, full, kept, rare(full, total))
    folded = [compression.fold(m) for m in measured]
    views = Views.of(
        compression.merged,
        [
            np.bincount(m, weights=p).astype(np.float64)
            for m, p in zip(compression.levels, one_way, strict=True)
        ],
    )
    return Beginning(
        measurer=measurer.recoded(compression, views),
        compression=compression,
        views=views,
        measurements=folded,
        fitted=fit(views, folded, zeros, iterations=_WITH_ZEROS) if zeros else fit(views, folded),
    )


def _second_sigma(measurer: Measurer, sigmas: Sequence[float], total: float, rho: float) -> float | None:
    """σ of a second measurement of all one-way marginals; None where the first is quiet enough, or took what it may."""
    first = sum(gaussian_rho(sigma, measurer.max_rows) for sigma in sigmas)
    cells = float(np.mean([s * n for s, n in zip(sigmas, measurer.domain.sizes, strict=True)]))
    wanted = first * (NOISE_L1 * cells / (2.0 * total) / _ONE_WAY_ERROR) ** 2
    more = min(wanted, (_MOST if wanted <= rho else _MOST_LOUD) * rho) - first
    return gaussian_sigma(more / len(sigmas), measurer.max_rows) if more > first / 8.0 else None
