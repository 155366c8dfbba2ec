"""The stages that the members of the family share: one-way marginals first, then a spanning tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from generators.core.compress import Compression
from generators.core.domain import StructuralZeros
from generators.core.inference import Fitted, Measurement, fit
from generators.core.measurer import Measurer
from release.errors import PlanError

RARE = 3.0
"""Levels below so many σ of a one-way count are merged (2108.04978; docs/generators.md has what other values gave)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Beginning:
    """What the one-way stage leaves: a measurer of merged levels, and a model of independent attributes."""

    measurer: Measurer
    compression: Compression
    measurements: list[Measurement]
    fitted: Fitted


def measure_one_way(
    measurer: Measurer,
    sigmas: Sequence[float],
    zeros: Sequence[StructuralZeros],
    *,
    most_cells: float,
    rare: float = RARE,
) -> Beginning:
    """Measure every attribute's marginal, merge rare levels, and fit the independent model.

    Args:
        measurer: of the full domain.
        sigmas: of each attribute's counts.
        zeros: structural zeros; their attributes are not merged.
        most_cells: cells that the junction tree may have.
        rare: threshold for merging, in σ; 0 merges nothing.

    Raises:
        PlanError: one-way marginals and structural zeros alone do not fit; nothing was measured yet.
    """
    full = measurer.domain
    need = max(sum(full.sizes), sum(full.cells(factor.clique) for factor in zeros))
    if need > most_cells:
        raise PlanError(
            f"one-way marginals and structural zeros need {need:,} cells, the size cap allows {most_cells:,.0f}",
            mend="raise memory_mib, or declare smaller domains",
        )
    measurer.prepare([(a,) for a in range(len(full))])
    measured = [measurer.measure((a,), sigma, "measure 1-way") for a, sigma in enumerate(sigmas)]
    independent = fit(full, measured)
    kept = frozenset(a for factor in zeros for a in factor.clique)
    compression = Compression.of(measured, independent.one_way(), full, kept, rare)
    folded = [compression.fold(m) for m in measured]
    if compression.merged == full:
        return Beginning(measurer=measurer, compression=compression, measurements=folded, fitted=independent)
    return Beginning(
        measurer=measurer.recoded(compression),
        compression=compression,
        measurements=folded,
        fitted=fit(compression.merged, folded),
    )
