"""What every generator behind the encoder does first: plan the encoding, see what it leaves, encode the rows.

The marginal family and the deep family stand on it alike, so that numbers, dates, missing levels and constraints are theirs alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from generators.core.domain import Domain, StructuralZeros
from generators.core.support import empty
from generators.encoding import Encoding, EncodingPlan, plan_encoding
from generators.model import contradictory
from release.data.schema import ColumnKind, Schema
from release.data.table import Table
from release.errors import PlanError
from release.privacy import accounting
from release.protocols import NoiseSource
from release.records import Budget, DpEvent, PrivacyCost, Task

ENCODING_SHARE = 0.1
"""Share of ρ that the encoding may use; what it does not need goes to the rest."""

THRESHOLD_SHARE = 0.1
"""Share of δ that thresholds on learnt categories may use."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoded:
    """A table's rows as codes.

    Attributes:
        encoding: fitted; post-processing from here on.
        domain: its attributes.
        codes: private: one array for each attribute, shape (rows,).
        zeros: structural zeros, which are public.
    """

    encoding: Encoding
    domain: Domain
    codes: tuple[npt.NDArray[np.unsignedinteger[Any]], ...]
    zeros: tuple[StructuralZeros, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Groundwork:
    """A planned encoding and what it leaves of the budget. No data has been read.

    Attributes:
        schema, budget: as asked for.
        encoding: how columns become attributes.
        rho: what is left for the rest (zCDP).
        targets: numbers of the attributes of the task's target.
    """

    schema: Schema
    budget: Budget
    encoding: EncodingPlan
    rho: float
    targets: tuple[int, ...]

    @classmethod
    def plan(
        cls, schema: Schema, budget: Budget, task: Task | None, options: Mapping[str, Any]
    ) -> Groundwork:
        """Options: `encoding` and `encoding_share`. Raises PlanError before anything is charged."""
        share = number(options, "encoding_share", ENCODING_SHARE, 1e-6, 0.99)
        encoding = plan_encoding(
            schema,
            rho=share * accounting.rho_for(budget.epsilon, budget.delta),
            delta=budget.delta * THRESHOLD_SHARE,
            options=options.get("encoding"),
        )
        usable = budget.delta - accounting.threshold_delta(encoding.events)
        if task is not None and task.target not in [column.name for column in schema.released]:
            raise PlanError(
                f'the task\'s target "{task.target}" is not a released column of {list(schema.names)}',
                mend="name another",
            )
        return cls(
            schema=schema,
            budget=budget,
            encoding=encoding,
            rho=accounting.rho_for(budget.epsilon, usable) - accounting.rho_of(encoding.events),
            targets=tuple(
                k for k, name in enumerate(encoding.attributes) if task is not None and name == task.target
            ),
        )

    def cost(self, events: tuple[DpEvent, ...]) -> PrivacyCost:
        """Of the encoding and these events."""
        unit = self.schema.unit
        return accounting.cost(
            (*self.encoding.events, *events), self.budget.delta, unit=unit.name, max_rows=unit.max_rows
        )

    def encode(self, table: Table, noise: NoiseSource) -> Encoded:
        """Measure the encoding within its events, and encode the rows.

        Raises InputError for a table of another schema, SchemaError where no row inside what was learnt can keep the constraints.
        """
        encoding = self.encoding.fit(table, noise)
        domain = Domain(
            names=encoding.attributes,
            sizes=encoding.sizes,
            ordered=tuple(_ordered(encoding, name) for name in encoding.attributes),
        )
        for names, allowed in encoding.zeros:
            if not allowed.any():
                raise contradictory(names)
        zeros = tuple(
            _ascending(tuple(domain.index(name) for name in names), allowed)
            for names, allowed in encoding.zeros
        )
        if nothing_left := empty(domain, zeros):
            raise contradictory([domain.names[attribute] for attribute in nothing_left])
        return Encoded(encoding=encoding, domain=domain, codes=encoding.encode(table), zeros=zeros)


def require_known(name: str, options: Mapping[str, Any], known: frozenset[str]) -> None:
    """Raise PlanError for options that a generator does not have."""
    if unknown := sorted(set(options) - known):
        raise PlanError(f"{name} has no option {unknown}; it has {sorted(known)}", mend="remove it")


def number(options: Mapping[str, Any], name: str, default: float, low: float, high: float) -> float:
    """An option that is a number in [low, high]. Raises PlanError."""
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
