"""Planning an encoding: every column's part, its share of the budget and its events, before any row is read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
from generators.encoding.learnt import MapPlan, require_learnable
from generators.encoding.options import EncodingOptions
from generators.encoding.orders import Orders
from generators.encoding.rules import MOST_CELLS, Rules, compile_rules
from release.data.constraints import require_consistent
from release.data.schema import ColumnKind, ColumnSpec, Schema, columns_of, require_plannable
from release.data.table import Table, require_read_under
from release.errors import PlanError
from release.protocols import NoiseSource
from release.records import DpEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodingPlan:
    """A configured encoding, bound to schema and budget. No data has been read.

    Attributes:
        schema: the table's schema.
        columns: the plan of each column that is encoded, in order (columns that follow from public maps have none).
        maps: functional dependencies whose map is learnt; their dependents are encoded, but not modelled.
    """

    schema: Schema
    columns: tuple[ColumnPlan, ...]
    maps: tuple[MapPlan, ...]

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attributes that the encoding will have."""
        follow = {plan.rule.dependent for plan in self.maps}
        return tuple(column.spec.name for column in self.columns if column.spec.name not in follow)

    @property
    def most_levels(self) -> tuple[int, ...]:
        """For each attribute: more levels than this cannot come out."""
        most = {column.spec.name: column.most_levels for column in self.columns}
        return tuple(most[name] for name in self.attributes)

    @property
    def together(self) -> tuple[tuple[str, ...], ...]:
        """Attributes that the inference core will have to keep in one clique each (`Encoding.zeros`), known beforehand."""
        rules = compile_rules(self.schema)
        place = {name: number for number, name in enumerate(self.attributes)}
        found = [zero.columns for zero in rules.zeros]
        found += list(Orders.of(rules.orders).closure()) if rules.orders else []
        follow = {plan.rule.dependent for plan in self.maps}
        found += [d.determinants for d in rules.derivations.values() if not follow & set(d.determinants)]
        found += [plan.rule.determinants for plan in self.maps]
        return tuple(tuple(sorted(names, key=place.__getitem__)) for names in dict.fromkeys(found))

    @property
    def events(self) -> tuple[DpEvent, ...]:
        """What fitting will run, in order, labelled by column."""
        columns = [event for column in self.columns for event in column.events]
        return (*columns, *(event for plan in self.maps for event in plan.events))

    def describe(self) -> dict[str, Any]:
        """Each column's encoding and its share of the budget, plain JSON values."""
        derived = {
            name: {"encoding": f"derived from {', '.join(derivation.determinants)}", "rho": 0.0}
            for name, derivation in compile_rules(self.schema).derivations.items()
        }
        maps = {plan.name: plan.describe() for plan in self.maps}
        return {column.spec.name: column.describe() for column in self.columns} | maps | derived

    def fit(self, table: Table, noise: NoiseSource) -> Encoding:
        """Measure within `events`, and build the encoding from what was measured.

        Raises InputError, before it reads a cell, for a table that was not read under the plan's schema (`require_read_under`).
        """
        require_read_under(self.schema, table)
        codes = {column.spec.name: column.fit(table[column.spec.name], noise) for column in self.columns}
        learnt = [plan.fit(table, codes, noise) for plan in self.maps]
        return Encoding.of(self.schema, codes, learnt)


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
    _require_representable(rules, draft)
    needing = {plan.spec.name: chosen.weight(plan.spec.name) for plan in draft if plan.events}
    fed = {*needing, *(rule.dependent for rule in rules.unknown)}
    if idle := sorted({name for name, _ in chosen.weights} - fed):
        raise PlanError(
            f"encoding option weights names {idle}, which need no budget and would get none",
            mend=f"remove them; {sorted(fed) or 'no columns'} need some",
        )
    total = sum(needing.values()) + sum(chosen.weight(rule.dependent) for rule in rules.unknown)
    keyed = sum(isinstance(plan, KeysPlan) for plan in draft)
    columns = tuple(
        _plan_column(spec, rho * needing[spec.name] / total, delta / max(keyed, 1), schema, rules, chosen)
        if spec.name in needing
        else plan
        for spec, plan in zip(modelled, draft, strict=True)
    )
    maps = tuple(
        MapPlan(rule=rule, rho=rho * chosen.weight(rule.dependent) / total, rows=schema.unit.max_rows)
        for rule in rules.unknown
    )
    return EncodingPlan(schema=schema, columns=columns, maps=maps)


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
    return CodedPlan(spec=spec, hierarchy=tree)


def _require_representable(rules: Rules, columns: Sequence[ColumnPlan]) -> None:
    """Refuse constraints whose structural zeros would not fit, maps and chains of orders that cannot be kept."""
    most = {column.spec.name: column.most_levels for column in columns}
    for zero in rules.zeros:
        cells = math.prod(most[name] for name in zero.columns)
        if cells > MOST_CELLS:
            raise PlanError(
                f"a constraint over {list(zero.columns)} spans up to {cells:,} combinations of levels,"
                f" more than {MOST_CELLS:,}",
                mend="split it, or set fewer max_bins",
            )
    single = {
        column.spec.name: isinstance(column, CodedPlan | KeysPlan)
        or (isinstance(column, NumericPlan) and column.binning is None and not column.grid.continuous)
        for column in columns
    }
    bound = [name for rule in rules.unknown for name in rule.determinants]
    bound += [name for zero in rules.zeros for name in zero.columns]
    bound += [name for pair in rules.orders for name in (pair.left, pair.right)]
    several = [(d.spec.name, d.determinants) for d in rules.derivations.values() if len(d.determinants) > 1]
    for rule in rules.unknown:
        for name, determinants in several:
            if rule.dependent in determinants:
                raise PlanError(
                    f"the map to {name} builds on {list(determinants)}, and the map to {rule.dependent} is to be learnt",
                    mend=f"give the map to {rule.dependent} in the schema, or write that {name} is determined, without a table",
                )
        if missing := [name for name in columns_of(rule) if name not in most]:
            raise PlanError(
                f"the map to {rule.dependent} builds on {missing}, which follow from other columns",
                mend="let it build on those columns instead",
            )
        require_learnable(rule, most, single)
        if rule.dependent in bound or sum(other.dependent == rule.dependent for other in rules.unknown) > 1:
            raise PlanError(
                f"the map to {rule.dependent} is to be learnt, but a further constraint names that column",
                mend="give the map in the schema, or drop the other constraint",
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
