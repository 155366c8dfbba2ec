"""Planning an encoding: every column's part, its share of the budget and its events, before any row is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from generators.encoding.coded import CodedPlan
from generators.encoding.column import ColumnPlan
from generators.encoding.encoding import Encoding
from generators.encoding.numeric import plan_numeric
from generators.encoding.options import EncodingOptions
from release.data.schema import ColumnSpec, Schema, require_plannable
from release.data.table import Table
from release.errors import PlanError
from release.protocols import NoiseSource
from release.records import DpEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodingPlan:
    """A configured encoding, bound to schema and budget. No data has been read.

    Attributes:
        schema: the table's schema.
        columns: each released column's plan, in order.
    """

    schema: Schema
    columns: tuple[ColumnPlan, ...]

    @property
    def events(self) -> tuple[DpEvent, ...]:
        """What fitting will run, in order, labelled by column."""
        return tuple(event for column in self.columns for event in column.events)

    def describe(self) -> dict[str, Any]:
        """Each column's encoding and its share of the budget, plain JSON values."""
        return {column.spec.name: column.describe() for column in self.columns}

    def fit(self, table: Table, noise: NoiseSource) -> Encoding:
        """Measure within `events`, and build the encoding from what was measured."""
        codes = {column.spec.name: column.fit(table[column.spec.name], noise) for column in self.columns}
        return Encoding(schema=self.schema, codes=codes)


def plan_encoding(
    schema: Schema, *, rho: float, delta: float, options: Mapping[str, Any] | EncodingOptions | None = None
) -> EncodingPlan:
    """Plan the encoding of a table.

    Args:
        schema: the table's schema; raises `PlanError` where it may not be planned on.
        rho: what all columns together may spend (zCDP). Unspent where every domain is public and small.
        delta: what thresholds on learnt categories may spend; the schema's δ limit applies.
        options: see `EncodingOptions`.

    Raises:
        PlanError: the schema or an option cannot be planned with; nothing was charged.
    """
    require_plannable(schema, delta)
    chosen = options if isinstance(options, EncodingOptions) else EncodingOptions.parse(options)
    if unknown := sorted({name for name, _ in chosen.weights} - {spec.name for spec in schema.released}):
        raise PlanError(
            f"encoding option weights names {unknown}, which are no released columns", mend="remove them"
        )
    if not rho > 0:
        raise PlanError(f"the encoding's share of the budget is ρ = {rho:g}, not positive", mend="raise it")
    draft = [_plan_column(spec, 1.0, schema, chosen) for spec in schema.released]
    needing = {plan.spec.name: chosen.weight(plan.spec.name) for plan in draft if plan.events}
    total = sum(needing.values())
    columns = tuple(
        _plan_column(spec, rho * needing[spec.name] / total, schema, chosen) if spec.name in needing else plan
        for spec, plan in zip(schema.released, draft, strict=True)
    )
    return EncodingPlan(schema=schema, columns=columns)


def _plan_column(spec: ColumnSpec, rho: float, schema: Schema, options: EncodingOptions) -> ColumnPlan:
    if spec.kind.numeric:
        return plan_numeric(spec, rho=rho, rows=schema.unit.max_rows, options=options)
    if spec.levels is None:
        raise PlanError(f'column "{spec.name}" has no declared values', mend="declare its domain")
    return CodedPlan(spec=spec)
