"""Planning an encoding: every column's part, its share of the budget and its events, before any row is read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from generators.encoding.bounded import NumericPlan, plan_numeric
from generators.encoding.bounds import LearntNumericPlan
from generators.encoding.coded import CodedPlan
from generators.encoding.column import ColumnPlan
from generators.encoding.encoding import Encoding
from generators.encoding.grid import grid_of
from generators.encoding.hierarchy import hierarchy_of
from generators.encoding.keys import KeysPlan, PooledPlan
from generators.encoding.options import EncodingOptions
from generators.encoding.orders import Orders
from generators.encoding.rules import MOST_CELLS, Rules, compile_rules
from release.data.constraints import require_consistent
from release.data.schema import ColumnKind, ColumnSpec, Schema, require_plannable
from release.data.table import Table
from release.errors import PlanError
from release.protocols import NoiseSource
from release.records import DpEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodingPlan:
    """A configured encoding, bound to schema and budget. No data has been read.

    Attributes:
        schema: the table's schema.
        columns: the plan of each modelled column, in order (derived columns have none).
    """

    schema: Schema
    columns: tuple[ColumnPlan, ...]

    @property
    def events(self) -> tuple[DpEvent, ...]:
        """What fitting will run, in order, labelled by column."""
        return tuple(event for column in self.columns for event in column.events)

    def describe(self) -> dict[str, Any]:
        """Each column's encoding and its share of the budget, plain JSON values."""
        derived = {
            name: {"encoding": f"derived from {', '.join(derivation.determinants)}", "rho": 0.0}
            for name, derivation in compile_rules(self.schema).derivations.items()
        }
        return {column.spec.name: column.describe() for column in self.columns} | derived

    def fit(self, table: Table, noise: NoiseSource) -> Encoding:
        """Measure within `events`, and build the encoding from what was measured."""
        codes = {column.spec.name: column.fit(table[column.spec.name], noise) for column in self.columns}
        return Encoding.of(self.schema, codes)


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
    require_consistent(schema)
    chosen = options if isinstance(options, EncodingOptions) else EncodingOptions.parse(options)
    if unknown := sorted({name for name, _ in chosen.weights} - {spec.name for spec in schema.released}):
        raise PlanError(
            f"encoding option weights names {unknown}, which are no released columns", mend="remove them"
        )
    if not rho > 0:
        raise PlanError(f"the encoding's share of the budget is ρ = {rho:g}, not positive", mend="raise it")
    rules = compile_rules(schema)
    modelled = [spec for spec in schema.released if spec.name not in rules.derivations]
    draft = [_plan_column(spec, 1.0, delta, schema, rules, chosen) for spec in modelled]
    needing = {plan.spec.name: chosen.weight(plan.spec.name) for plan in draft if plan.events}
    total = sum(needing.values())
    keyed = sum(isinstance(plan, KeysPlan) for plan in draft)
    columns = tuple(
        _plan_column(spec, rho * needing[spec.name] / total, delta / max(keyed, 1), schema, rules, chosen)
        if spec.name in needing
        else plan
        for spec, plan in zip(modelled, draft, strict=True)
    )
    _require_representable(rules, columns)
    return EncodingPlan(schema=schema, columns=columns)


def _plan_column(
    spec: ColumnSpec, rho: float, delta: float, schema: Schema, rules: Rules, options: EncodingOptions
) -> ColumnPlan:
    rows, demands = schema.unit.max_rows, rules.demands.get(spec.name, ())
    if spec.kind.numeric:
        increment = rules.increments.get(spec.name)
        if spec.bounds is None:
            return LearntNumericPlan(
                spec=spec, demands=demands, increment=increment, rho=rho, rows=rows, options=options
            )
        grid = grid_of(spec, *spec.bounds, increment)
        return plan_numeric(spec, grid, demands, rho=rho, rows=rows, options=options)
    tree = None
    if spec.hierarchy is not None:
        tree = hierarchy_of(spec.hierarchy, {tree.name: tree for tree in options.hierarchies})
    if spec.levels is None:
        if demands:
            raise PlanError(
                f'a constraint names values of column "{spec.name}", whose domain is to be learnt',
                mend="declare its domain, or drop the constraint",
            )
        return KeysPlan(spec=spec, rho=rho, delta=delta, rows=rows, most=options.max_levels, hierarchy=tree)
    if len(spec.levels) > options.max_levels:
        return PooledPlan(
            spec=spec, demands=demands, rho=rho, rows=rows, most=options.max_levels, hierarchy=tree
        )
    return CodedPlan(spec=spec)


def _require_representable(rules: Rules, columns: tuple[ColumnPlan, ...]) -> None:
    """Refuse constraints whose structural zeros would not fit, or chains of orders that cannot be kept."""
    most = {column.spec.name: column.most_levels for column in columns}
    for zero in rules.zeros:
        cells = math.prod(most[name] for name in zero.columns)
        if cells > MOST_CELLS:
            raise PlanError(
                f"a constraint over {list(zero.columns)} spans up to {cells:,} combinations of levels,"
                f" more than {MOST_CELLS:,}",
                mend="split it, or set fewer max_bins",
            )
    if rules.orders:
        orders = Orders.of(rules.orders)
        grids = {column.spec.name: column.grid for column in columns if isinstance(column, NumericPlan)}
        if learnt := sorted(set(orders.columns) - set(grids)):
            raise PlanError(
                f"the constraints less-equal name {learnt}, whose bounds are to be learnt",
                mend="declare their min and max",
            )
        units = {
            column.spec.name: 86_400.0 if column.spec.kind is ColumnKind.DATE else 1.0 for column in columns
        }
        orders.require_kept(grids, units)
