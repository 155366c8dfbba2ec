"""How much memory a network may take: refused when planned where it might not fit, and rows in parts that do.

Option `memory_mib` bounds the base's junction tree (`generators.family`) and, by itself, the network in training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from generators.encoding import EncodingPlan
from generators.family import memory_mib
from release.errors import PlanError

BYTES_PER_WEIGHT = 56
"""In training: weight, mask, gradient, Adam's two and the average in float32; sum, noise, noised sum and its mean in float64."""

MOST_HIDDEN = 4096
"""Width of the widest layer that is planned or loaded."""

CELLS_AT_ONCE = 1 << 24
"""One-hot cells of one pass through a network: 64 MiB for the input, a few times that for the pass."""

LEVELS_AT_ONCE = 1 << 25
"""Logits of one attribute that are held at a time when rows are drawn: 256 MiB each in float64."""


def require_network_room(
    encoding: EncodingPlan, options: Mapping[str, Any], *, hidden: int, layers: int
) -> None:
    """Raise PlanError where a network might not fit, whatever domains are learnt.

    Args:
        encoding: says how many levels there can be.
        options: `memory_mib`.
        hidden: width of the widest layer.
        layers: how many layers have a side as long as all levels together.
    """
    memory = memory_mib(options)
    levels = sum(encoding.most_levels)
    weights = hidden * (layers * levels + hidden)
    need = weights * BYTES_PER_WEIGHT / 2**20
    if need > memory:
        largest = max(zip(encoding.most_levels, encoding.attributes, strict=True))
        raise PlanError(
            f"the network may have {weights:,} weights (hidden = {hidden}, {levels:,} levels of all columns, {largest[0]:,} of them of"
            f' "{largest[1]}") and need {need:,.0f} MiB; memory_mib is {memory}',
            mend="raise memory_mib, lower hidden or the encoding's max_levels or max_bins, or declare smaller domains",
        )


def rows_at_once(levels: int, most: int, cells: int = CELLS_AT_ONCE) -> int:
    """How many rows of so many levels one pass takes; `most` where they are few."""
    return max(1, min(most, cells // max(levels, 1)))
