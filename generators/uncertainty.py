"""How far a fitted model may lie from the table it was fitted to: refits to measurements drawn anew.

A parametric bootstrap: the model's own marginals stand for the table's, noise of the same σ is drawn onto them, and the same
inference runs again. How much any figure moves between such refits is its standard error; rows sampled from several
refits are the several draws that multiple imputation asks for. Post-processing: no data, no budget.

What it does not tell: what was never measured. Where the model takes attributes as independent given others and they are not,
the error of that is not in the spread. Nor is the sampling of people into the table, which is the analyst's own business.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from generators.core import junction
from generators.core.domain import Clique, FloatTable, StructuralZeros
from generators.core.inference import Fitted, Measurement, restore, settle
from generators.model import MarginalModel
from release.errors import PlanError

DRAWS = 20
"""Refits that a standard error is taken from by default: it is then known to 16 %."""

MOST_CELLS = 5e6
"""Cells of the junction tree that a marginal outside the model's cliques may need."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimate:
    """A marginal by the model.

    Attributes:
        attributes: which, in the encoding's order.
        levels: for each attribute what its levels hold; levels that the model took as one stand together, "a or b".
        counts: expected rows in each cell; shape: the numbers of levels.
        standard_errors: of `counts`, from the noise of the measurements; the same shape.
    """

    attributes: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    counts: FloatTable
    standard_errors: FloatTable


def refits(model: MarginalModel, rng: np.random.Generator, draws: int = DRAWS) -> tuple[MarginalModel, ...]:
    """The model fitted anew to `draws` sets of measurements, each drawn from the model with the noise it was measured with.

    Each is a whole model: it samples, conditions, saves. Raises PlanError where `draws` is below 2.
    """
    if draws < 2:
        raise PlanError(f"{draws} draws show no spread", mend="ask for at least 2")
    beliefs = _beliefs(model)
    return tuple(_refit(model, beliefs, rng) for _ in range(draws))


def estimate(model: MarginalModel, columns: Sequence[str], again: Sequence[MarginalModel]) -> Estimate:
    """The marginal of these attributes with a standard error for each cell, measured or not.

    Args:
        model: fitted.
        columns: names of attributes (columns that the encoding models).
        again: `refits` of this very model.

    Raises:
        PlanError: an unknown name, fewer than two refits, or a marginal that would need too large a junction tree.
    """
    if len(again) < 2:
        raise PlanError(f"{len(again)} refits show no spread", mend="give at least 2")
    names = model.encoding.attributes
    if unknown := sorted(set(columns) - set(names)):
        raise PlanError(f"{unknown} are no modelled columns of {list(names)}", mend="name others")
    clique = tuple(sorted({names.index(name) for name in columns}))
    if not clique:
        raise PlanError("a marginal of no column", mend="name at least one")
    tables = [_counts(one, clique) for one in (model, *again)]
    return Estimate(
        attributes=tuple(names[a] for a in clique),
        levels=tuple(_levels(model, a) for a in clique),
        counts=tables[0],
        # About the model's own figure, not the refits' mean: what inference pulls to one side counts as error too.
        standard_errors=np.sqrt(np.mean([(table - tables[0]) ** 2 for table in tables[1:]], axis=0)),
    )


def combine(figures: Sequence[float]) -> tuple[float, float]:
    """One figure from the same figure of several draws, and its standard error with respect to the table.

    Each draw is rows sampled from one of `refits`. Their mean has the model's own error once more, divided by the number m of
    draws: the variance is (1 + 1/m) times the spread between draws (Raghunathan, Reiter & Rubin 2003, without their within-draw
    term, which stands for sampling the table from a population). Raises PlanError where there are fewer than two.
    """
    m = len(figures)
    if m < 2:
        raise PlanError(f"{m} draws show no spread", mend="give at least 2")
    return float(np.mean(figures)), math.sqrt((1.0 + 1.0 / m) * float(np.var(figures, ddof=1)))


def _beliefs(model: MarginalModel) -> list[FloatTable]:
    """What each measurement would be without noise, were the model the table."""
    found = []
    for measured in model.measurements:
        marginal = model.fitted.marginal(measured.clique)
        if marginal is None:
            raise PlanError(f"the model does not hold its own marginal {measured.clique}", mend="report this")
        found.append(model.fitted.views.fold(marginal * model.fitted.total, measured.view))
    return found


def _refit(model: MarginalModel, beliefs: Sequence[FloatTable], rng: np.random.Generator) -> MarginalModel:
    drawn = [
        Measurement(
            measured.view,
            np.rint(rng.normal(expected, 1.0 / np.sqrt(measured.precision))).astype(np.int64),
            measured.sigma,
            measured.merged,
        )
        for measured, expected in zip(model.measurements, beliefs, strict=True)
    ]
    fitted = settle(model.fitted.views, drawn, model.zeros)
    return dataclasses.replace(model, fitted=fitted, measurements=tuple(drawn))


def _counts(model: MarginalModel, clique: Clique) -> FloatTable:
    """Expected counts, by a larger junction tree where no clique of the model's holds these attributes."""
    fitted: Fitted = model.fitted
    table = fitted.marginal(clique)
    if table is None:
        domain = fitted.tree.domain
        need = junction.tree_cells(
            domain, [*(tuple(sorted(layout)) for layout in fitted.tree.layout), clique]
        )
        if need > MOST_CELLS:
            raise PlanError(
                f"this marginal needs a junction tree of {need:,.0f} cells, more than {MOST_CELLS:,.0f}",
                mend="ask for fewer columns at once, or count it in sampled rows",
            )
        free = StructuralZeros(clique, np.ones(domain.shape(clique), dtype=np.bool_))
        wider = restore(
            fitted.views, fitted.multipliers, [*model.zeros, free], total=fitted.total, loss=fitted.loss
        )
        table = wider.marginal(clique)
        if table is None:
            raise PlanError("the larger junction tree does not hold the marginal", mend="report this")
    return table * fitted.total


def _levels(model: MarginalModel, attribute: int) -> tuple[str, ...]:
    labels = model.encoding.labels(model.encoding.attributes[attribute])
    merged: dict[int, list[str]] = {}
    for label, level in zip(labels, model.compression.levels[attribute].tolist(), strict=True):
        merged.setdefault(level, []).append(label)
    return tuple(" or ".join(merged[level]) for level in sorted(merged))
