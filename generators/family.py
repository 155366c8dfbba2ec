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

from generators.core import junction
from generators.core.counting import Rows
from generators.core.domain import Domain
from generators.core.measurer import Measurer, RhoFilter
from generators.encoding import EncodingPlan
from generators.fitter import Assignment, Fitter, Outcome
from generators.groundwork import Encoded, Groundwork, number, require_known
from generators.model import MarginalModel, load_model
from generators.pace import Pace
from release.data.schema import Schema
from release.data.table import Table
from release.errors import PlanError
from release.privacy import accounting
from release.protocols import NoiseSource, Progress, no_progress
from release.records import Budget, PrivacyCost, Task

BYTES_PER_CELL = 48
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
        groundwork: how columns become attributes.
        fitter: how attributes are measured.
        cost: of both.
        options: as asked for.
        memory_mib: the size cap of the junction tree.
    """

    generator: str
    groundwork: Groundwork
    fitter: Fitter
    cost: PrivacyCost
    options: Mapping[str, Any]
    memory_mib: int

    def describe(self) -> dict[str, Any]:
        spent: dict[str, float] = {}
        for event in self.cost.events:  # labels repeat: a column's tree is several events
            spent[event.label] = spent.get(event.label, 0.0) + accounting.rho_of([event])
        total = sum(spent.values()) or 1.0
        return {
            "generator": self.generator,
            "version": metadata.version("sluicegate"),
            "options": dict(self.options),
            "encoding": self.groundwork.encoding.describe(),
            "structure": self.fitter.describe(),
            "memory_mib": self.memory_mib,
            "shares_of_rho": {label: rho / total for label, rho in spent.items()},
        }

    def run(self, table: Table, noise: NoiseSource, progress: Progress = no_progress) -> MarginalModel:
        progress(0.0, "encoding")
        encoded = self.groundwork.encode(table, noise)
        measurer = Measurer(
            Rows.of(encoded.domain, encoded.codes).collapsed(),
            noise,
            budget=RhoFilter(accounting.rho_of(self.fitter.events)),
            max_rows=self.cost.max_rows_per_unit,
        )
        before = self.groundwork.encoding.events
        pace = Pace(
            progress,
            measurer.filter,
            before=accounting.rho_of(before),
            delta=self.cost.delta - accounting.threshold_delta(before),
            limit=self.cost.epsilon,
            begin=0.05,
        )
        outcome = self.fitter.fit(measurer, encoded.zeros, pace)
        return model_of(self.generator, self.cost, encoded, outcome)


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
        require_known(self.name, options, self.own_options | {"encoding", "encoding_share", "memory_mib"})
        groundwork = Groundwork.plan(schema, budget, task, options)
        assignment = assignment_of(groundwork, options)
        own = {name: value for name, value in options.items() if name in self.own_options}
        fitter = self.planner(assignment, own)
        return MarginalPlan(
            generator=self.name,
            groundwork=groundwork,
            fitter=fitter,
            cost=groundwork.cost(fitter.events),
            options=options,
            memory_mib=memory_mib(options),
        )

    def load(self, directory: Path) -> MarginalModel:
        return load_model(directory)


def model_of(generator: str, cost: PrivacyCost, encoded: Encoded, outcome: Outcome) -> MarginalModel:
    """What a fitter found, as a model of the encoding's columns."""
    return MarginalModel(
        generator=generator,
        version=metadata.version("sluicegate"),
        cost=cost,
        encoding=encoded.encoding,
        compression=outcome.compression,
        fitted=outcome.fitted,
        measurements=outcome.measurements,
        zeros=outcome.zeros,
    )


def assignment_of(groundwork: Groundwork, options: Mapping[str, Any], *, share: float = 1.0) -> Assignment:
    """What a fitter on this groundwork is planned for: `share` of the ρ that the encoding leaves.

    Option `memory_mib`. Raises PlanError where the table might not fit, before anything is charged.
    """
    memory = memory_mib(options)
    most_cells = memory * 2**20 / BYTES_PER_CELL
    _require_room(groundwork.encoding, most_cells, memory)
    return Assignment(
        attributes=len(groundwork.encoding.attributes),
        rho=share * groundwork.rho,
        max_rows=groundwork.schema.unit.max_rows,
        targets=groundwork.targets,
        most_cells=most_cells,
    )


def memory_mib(options: Mapping[str, Any]) -> int:
    """Option `memory_mib`; where not given an eighth of the machine's memory, at most 512 MiB. Raises PlanError."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(number(options, "memory_mib", max(16, min(512, pages // 8 // 2**20)), 1, 1 << 20))


def _require_room(encoding: EncodingPlan, most_cells: float, memory_mib: int) -> None:
    """Raise PlanError where one-way marginals and structural zeros might not fit, whatever domains are learnt.

    Checked before anything is charged, on the most levels that each attribute can get. Everything else that is measured is
    chosen among what still fits.
    """
    names = encoding.attributes
    most = Domain(names=names, sizes=encoding.most_levels)
    place = {name: k for k, name in enumerate(names)}
    cliques = [tuple(place[name] for name in columns) for columns in encoding.together]
    need = junction.tree_cells(most, cliques)
    if need > most_cells:
        largest = max(junction.maximal_cliques(most, cliques), key=most.cells)
        raise PlanError(
            f"one-way marginals and the constraints' combinations may need {need:,.0f} cells, most of them for"
            f" {[names[a] for a in largest]}; memory_mib = {memory_mib} holds {most_cells:,.0f} of the junction tree",
            mend="raise memory_mib, lower the encoding's max_levels or max_bins, or declare smaller domains",
        )
