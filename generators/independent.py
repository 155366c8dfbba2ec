"""Independent: every attribute's one-way marginal, nothing else. The floor that any other generator must beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from generators.core.compress import Compression
from generators.core.domain import StructuralZeros
from generators.core.inference import fit
from generators.core.measurer import Measurer, gaussian_sigma
from generators.core.shrinking import shrunk
from generators.core.views import full_view
from generators.fitter import Assignment, Outcome
from release.protocols import Progress
from release.records import DpEvent, Mechanism


@dataclass(frozen=True, slots=True, kw_only=True)
class IndependentFitter:
    """All of ρ on the one-way marginals, in equal parts.

    Attributes:
        assignment: what it is planned for.
        sigma: of each marginal's counts.
    """

    assignment: Assignment
    sigma: float

    @classmethod
    def plan(cls, assignment: Assignment, _options: Mapping[str, Any]) -> Self:
        """There is nothing to choose: the generator declares no options of its own."""
        return cls(
            assignment=assignment,
            sigma=gaussian_sigma(assignment.rho / assignment.attributes, assignment.max_rows),
        )

    @property
    def events(self) -> tuple[DpEvent, ...]:
        return (
            DpEvent(
                label="measure 1-way",
                mechanism=Mechanism.DISCRETE_GAUSSIAN,
                parameter=self.sigma / self.assignment.max_rows,
                count=self.assignment.attributes,
            ),
        )

    def describe(self) -> dict[str, Any]:
        return {"structure": "independent", "sigma_1way": self.sigma}

    def fit(self, measurer: Measurer, zeros: Sequence[StructuralZeros], progress: Progress) -> Outcome:
        cliques = [(attribute,) for attribute in range(len(measurer.domain))]
        measurer.prepare(cliques)
        measured = [measurer.measure(full_view(clique), self.sigma, "measure 1-way") for clique in cliques]
        progress(0.5, f"{len(cliques)} one-way marginals measured")
        measurements = tuple(shrunk(measured))
        fitted = fit(measurer.views, measurements, zeros)
        progress(1.0, f"{len(measurements)} marginals fitted")
        return Outcome(
            fitted=fitted,
            compression=Compression.none(measurer.domain),
            measurements=measurements,
            zeros=tuple(zeros),
        )
