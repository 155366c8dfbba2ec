"""What a member of the marginal family is: a spending plan, and a fit within it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from generators.core.compress import Compression
from generators.core.domain import StructuralZeros
from generators.core.inference import Fitted, Measurement
from generators.core.measurer import Measurer
from release.protocols import Progress
from release.records import DpEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a fitter is planned for. All of it is public.

    Attributes:
        attributes: how many attributes there will be; their sizes may be learnt later.
        rho: what may be spent (zCDP).
        max_rows: the most rows of a unit.
        targets: numbers of the attributes of the task's target; cliques with one of them matter more.
        most_cells: the most cells that the junction tree may have (memory).
    """

    attributes: int
    rho: float
    max_rows: int
    targets: tuple[int, ...]
    most_cells: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What a fitter leaves: everything in it is post-processing of measured values.

    Attributes: the fit, the merging of rare levels that it and the measurements speak of, structural zeros.
    """

    fitted: Fitted
    compression: Compression
    measurements: tuple[Measurement, ...]
    zeros: tuple[StructuralZeros, ...]


class Fitter(Protocol):
    """A configured member of the family."""

    @property
    def events(self) -> tuple[DpEvent, ...]:
        """What it will spend at most, before any data is read."""
        ...

    def describe(self) -> dict[str, Any]:
        """Its parts' shares and options, plain JSON."""
        ...

    def fit(self, measurer: Measurer, zeros: Sequence[StructuralZeros], progress: Progress) -> Outcome:
        """Measure, choose and infer. Raises PlanError where the domain cannot fit in memory, before measuring."""
        ...
