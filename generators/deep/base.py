"""The base that networks of the deep family stand on: `auto`, at a share of ρ, and its rows as the network sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from generators.auto import plan_auto
from generators.core.counting import Rows
from generators.core.measurer import Measurer, RhoFilter
from generators.family import assignment_of, model_of
from generators.fitter import Fitter
from generators.groundwork import Groundwork
from generators.model import MarginalModel
from release.data.table import Table
from release.privacy import accounting
from release.protocols import NoiseSource, Progress
from release.records import PrivacyCost


def plan_base(groundwork: Groundwork, share: float, options: Mapping[str, Any]) -> Fitter:
    """`auto` at `share` of the ρ that the encoding leaves. Option `memory_mib`. Raises PlanError."""
    return plan_auto(assignment_of(groundwork, options, share=share), {})


def fit_base(
    name: str,
    groundwork: Groundwork,
    fitter: Fitter,
    cost: PrivacyCost,
    table: Table,
    noise: NoiseSource,
    progress: Progress,
) -> tuple[MarginalModel, npt.NDArray[np.int64]]:
    """Fit the base, within the first tenth of `progress`.

    Args:
        name: of the generator that stands on it.
        groundwork: its encoding.
        fitter: what `plan_base` planned.
        cost: of the whole plan.
        table: the real rows.
        noise: for the encoding and the base.
        progress: told what is done.

    Returns:
        The base, and the private rows as codes of its merged domain, shape (rows, attributes).
    """
    progress(0.0, "encoding")
    encoded = groundwork.encode(table, noise)
    measurer = Measurer(
        Rows.of(encoded.domain, encoded.codes),
        noise,
        budget=RhoFilter(accounting.rho_of(fitter.events)),
        max_rows=cost.max_rows_per_unit,
    )
    outcome = fitter.fit(
        measurer, encoded.zeros, lambda done, what: progress(0.02 + 0.08 * done, f"base: {what}")
    )
    merged = [levels[codes] for levels, codes in zip(outcome.compression.levels, encoded.codes, strict=True)]
    return model_of(name, cost, encoded, outcome), np.stack(merged, axis=1).astype(np.int64)
