"""The marginal family behind the `Generator` protocol: encode, measure, infer; one plan for all its members.

What a plan spends is fixed before data is read: the encoding's events, then the fitter's, composed in zCDP.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

from generators.core.counting import Rows
from generators.core.domain import Domain, StructuralZeros
from generators.core.measurer import Measurer, RhoFilter
from generators.encoding import Encoding, EncodingOptions, EncodingPlan, plan_encoding
from generators.fitter import Assignment, Fitter
from generators.model import MarginalModel, load_model
from release.data.schema import ColumnKind, Schema
from release.data.table import Table
from release.errors import PlanError
from release.privacy import accounting
from release.protocols import NoiseSource, Progress, no_progress
from release.records import Budget, PrivacyCost, Task

ENCODING_SHARE = 0.1
"""Share of ρ that the encoding may use; what it does not need goes to the marginals."""

THRESHOLD_SHARE = 0.1
"""Share of δ that thresholds on learnt categories may use."""

_BYTES_PER_CELL = 48
"""Tables, messages and index maps of inference, per cell of the junction tree, as measured."""


class FitterPlanner(Protocol):
    """How a member of the family is planned."""

    def __call__(self, assignment: Assignment, options: Mapping[str, Any], /) -> Fitter:
        """Raises PlanError for an option that makes no sense."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginalPlan:
    """A plan of the family. No data has been read.

    Attributes:
        generator: registered name.
        encoding: how columns become attributes.
        fitter: how attributes are measured.
        cost: of both.
        options: as asked for.
        memory_mib: the size cap of the junction tree.
    """

    generator: str
    encoding: EncodingPlan
    fitter: Fitter
    cost: PrivacyCost
    options: Mapping[str, Any]
    memory_mib: int

    def describe(self) -> dict[str, Any]:
        events = [(event.label, accounting.rho_of([event])) for event in self.cost.events]
        total = sum(rho for _, rho in events) or 1.0
        return {
            "generator": self.generator,
            "version": metadata.version("sluicegate"),
            "options": dict(self.options),
            "encoding": self.encoding.describe(),
            "structure": self.fitter.describe(),
            "memory_mib": self.memory_mib,
            "shares_of_rho": {label: rho / total for label, rho in events},
        }

    def run(self, table: Table, noise: NoiseSource, progress: Progress = no_progress) -> MarginalModel:
        progress(0.0, "encoding")
        encoding = self.encoding.fit(table, noise)
        domain = Domain(
            names=encoding.attributes,
            sizes=encoding.sizes,
            ordered=tuple(_ordered(encoding, name) for name in encoding.attributes),
        )
        rows = Rows.of(domain, encoding.encode(table))
        zeros = tuple(
            _ascending(tuple(domain.index(name) for name in names), allowed)
            for names, allowed in encoding.zeros
        )
        measurer = Measurer(
            rows,
            noise,
            budget=RhoFilter(accounting.rho_of(self.fitter.events)),
            max_rows=self.cost.max_rows_per_unit,
        )
        outcome = self.fitter.fit(measurer, zeros, lambda done, what: progress(0.05 + 0.95 * done, what))
        return MarginalModel(
            generator=self.generator,
            version=metadata.version("sluicegate"),
            cost=self.cost,
            encoding=encoding,
            compression=outcome.compression,
            fitted=outcome.fitted,
            measurements=outcome.measurements,
            zeros=outcome.zeros,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginalGenerator:
    """A member of the family, as it stands in the registry.

    Attributes:
        name: as on the command line.
        summary: one line.
        planner: plans its fitter.
        own_options: names of the options that the planner understands.
    """

    name: str
    summary: str
    planner: FitterPlanner
    own_options: frozenset[str] = frozenset()

    @property
    def private(self) -> bool:
        return True

    def plan(
        self,
        schema: Schema,
        budget: Budget,
        task: Task | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> MarginalPlan:
        options = dict(options or {})
        known = self.own_options | {"encoding", "encoding_share", "memory_mib"}
        if unknown := sorted(set(options) - known):
            raise PlanError(f"{self.name} has no option {unknown}; it has {sorted(known)}", mend="remove it")
        share = _number(options, "encoding_share", ENCODING_SHARE, 1e-6, 0.99)
        memory = int(_number(options, "memory_mib", default_memory_mib(), 1, 1 << 20))
        encoding = plan_encoding(
            schema,
            rho=share * accounting.rho_for(budget.epsilon, budget.delta),
            delta=budget.delta * THRESHOLD_SHARE,
            options=options.get("encoding"),
        )
        usable = budget.delta - accounting.threshold_delta(encoding.events)
        names = schema.names
        if task is not None and task.target not in [column.name for column in schema.released]:
            raise PlanError(
                f'the task\'s target "{task.target}" is not a released column of {list(names)}',
                mend="name another",
            )
        columns = list(encoding.attributes)
        assignment = Assignment(
            attributes=len(columns),
            rho=accounting.rho_for(budget.epsilon, usable) - accounting.rho_of(encoding.events),
            max_rows=schema.unit.max_rows,
            targets=tuple(k for k, name in enumerate(columns) if task is not None and name == task.target),
            most_cells=memory * 2**20 / _BYTES_PER_CELL,
        )
        most_levels = EncodingOptions.parse(options.get("encoding")).max_levels
        need = sum(min(len(c.spec.levels or ()), most_levels) for c in encoding.columns)
        if need > assignment.most_cells:
            raise PlanError(
                f"the columns' own marginals have {need:,} cells; memory_mib = {memory} holds "
                f"{assignment.most_cells:,.0f} of the junction tree",
                mend="raise memory_mib, lower the encoding's max_levels, or declare smaller domains",
            )
        own = {name: value for name, value in options.items() if name in self.own_options}
        fitter = self.planner(assignment, own)
        cost = accounting.cost(
            (*encoding.events, *fitter.events),
            budget.delta,
            unit=schema.unit.name,
            max_rows=schema.unit.max_rows,
        )
        return MarginalPlan(
            generator=self.name,
            encoding=encoding,
            fitter=fitter,
            cost=cost,
            options=options,
            memory_mib=memory,
        )

    def load(self, directory: Path) -> MarginalModel:
        return load_model(directory)


def default_memory_mib() -> int:
    """An eighth of the machine's memory, at most 512 MiB."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(16, min(512, pages // 8 // 2**20))


def _number(options: Mapping[str, Any], name: str, default: float, low: float, high: float) -> float:
    value = options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise PlanError(
            f"option {name} is {value!r}, not a number from {low:g} to {high:g}", mend="change it"
        )
    return float(value)


def _ascending(clique: tuple[int, ...], allowed: Any) -> StructuralZeros:
    order = sorted(range(len(clique)), key=lambda k: clique[k])
    return StructuralZeros(tuple(clique[k] for k in order), allowed.transpose(order))


def _ordered(encoding: Encoding, attribute: str) -> bool:
    """Whether the attribute's levels are bins of a number, a date or an ordinal (missing kinds come last)."""
    (column,) = encoding.columns_of(attribute)
    kind = encoding.schema.column(column).kind
    return kind.numeric or kind is ColumnKind.ORDINAL
