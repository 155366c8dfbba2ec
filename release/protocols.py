"""The seams: what each part may expect of the others. One level, no base classes.

Adding a generator, an attack or a rule is one file and one line in that package's literal registry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from release.records import (
    Budget,
    EvidenceSet,
    Finding,
    GateMode,
    Measured,
    PolicyTerms,
    PrivacyCost,
    ProbeReport,
    Purpose,
    Task,
    Verdict,
    Where,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from release.canonical import KeyedDigest, Sha256
    from release.data.schema import Schema
    from release.data.table import Table


class Progress(Protocol):
    """Where long work reports. Implementations must be cheap to call and may raise KeyboardInterrupt."""

    def __call__(self, done: float, what: str) -> None:
        """`done` in 0…1 of the whole step; `what` in a few plain words ("round 7 of 16, 31 cliques, ε 0.42")."""
        ...


def no_progress(done: float, what: str) -> None:
    """A `Progress` that says nothing."""


# ---------------------------------------------------------------------------------------------- generating


class NoiseSource(Protocol):
    """Privacy noise. The product's one implementation draws from the operating system and takes no seed.

    Only tests inject another.
    """

    def discrete_gaussian(self, counts: npt.NDArray[np.int64], sigma: float) -> npt.NDArray[np.int64]:
        """`counts` + discrete Gaussian noise of scale σ to each, exact integer sampling, same shape."""
        ...

    def discrete_laplace(self, counts: npt.NDArray[np.int64], scale: float) -> npt.NDArray[np.int64]:
        """`counts` + discrete Laplace noise of scale b to each, exact integer sampling, same shape."""
        ...

    def exponential(self, scores: npt.NDArray[np.float64], epsilon: float, sensitivity: float) -> int:
        """Index drawn by the exponential mechanism: P(i) ∝ exp(ε·score_i / (2·sensitivity))."""
        ...

    def generator(self) -> np.random.Generator:
        """Ordinary randomness seeded from this source: for sampling rows (post-processing), never for noise."""
        ...


@runtime_checkable
class Model(Protocol):
    """A fitted model: post-processing only; touches no data."""

    @property
    def published(self) -> tuple[tuple[str, ...], ...]:
        """The marginals it learnt from, as tuples of column names (the attacks use them)."""
        ...

    def sample(self, n: int, rng: np.random.Generator, where: Where | None = None) -> Table:
        """`n` rows; with `where`, rows that all satisfy it, by inference. PlanError where that is impossible."""
        ...

    def save(self, directory: Path) -> None:
        """Write to a new directory as JSON, NPZ or safetensors. Never pickle."""
        ...


@runtime_checkable
class Plan(Protocol):
    """A configured generator, bound to schema and budget. No data has been read."""

    @property
    def cost(self) -> PrivacyCost | None:
        """What running it costs; None for a non-private baseline."""
        ...

    def describe(self) -> dict[str, Any]:
        """The plan for people and digests, plain JSON: each part's share of the budget, options, versions."""
        ...

    def run(self, table: Table, noise: NoiseSource, progress: Progress = no_progress) -> Model:
        """Fit. Reads rows; must stay within `cost`. May raise KeyboardInterrupt; leaves nothing behind.

        Calls `release.data.table.require_read_under` with the plan's schema before it reads a cell or asks for noise: InputError
        for a table of another schema, or with more rows of a unit than that schema allows. The contract suite asks every
        registered generator for it.
        """
        ...


class Generator(Protocol):
    """One generator. A module-level instance stands in the registry."""

    @property
    def name(self) -> str:
        """As on the command line: "mst"."""
        ...

    @property
    def private(self) -> bool:
        """False for baselines, which no transition leads from to review."""
        ...

    @property
    def summary(self) -> str:
        """One line: what it is good for, cost, limits."""
        ...

    def plan(
        self,
        schema: Schema,
        budget: Budget,
        task: Task | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Plan:
        """Configure. Raises PlanError or SchemaError, with the mend, before anything is charged."""
        ...

    def load(self, directory: Path) -> Model:
        """The model that `Model.save` wrote. Raises IntegrityError."""
        ...


# ---------------------------------------------------------------------------------------------- attacking and measuring


@dataclass(frozen=True, slots=True, kw_only=True)
class Refit:
    """How an attack may refit the generator on data of its choice (never on the release's budget)."""

    plan: Plan
    noise: NoiseSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Arena:
    """What probes may see. All tables share one schema. Split by unit.

    Attributes:
        members: coin-in units: in the training set by a fair secret coin.
        controls: coin-out units: never seen by the generator.
        reference: further units, disjoint from both and from training, for attacks that need one; may be empty.
        training: everything the generator saw (members and the remainder); None where unknown.
        synthetic: the candidate.
        claim: the claimed cost; None where there is none (∞ or unknown).
        published: the marginals the candidate's model learnt from.
        task: the declared prediction task.
        randomised_split: True where membership of members ∪ controls was decided by secret fair coins, which the
            one-run ε bound needs; False for tables brought by hand.
        smallest_cell: smallest count that may be shown.
        refit: see `Refit`; None where refits are not possible.
        weights: the mix that was asked for (`Request.weights`): share of the synthetic rows by slice; {} for none.
        unweighted: as many rows of the candidate's model without that mix, to measure what the mix does; None where there is none.
    """

    members: Table
    controls: Table
    reference: Table | None
    training: Table | None
    synthetic: Table
    claim: PrivacyCost | None
    published: tuple[tuple[str, ...], ...] = ()
    task: Task | None = None
    randomised_split: bool = False
    smallest_cell: int = 11
    refit: Refit | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    unweighted: Table | None = None


class Probe(Protocol):
    """An attack or a quality measurement. A module-level instance stands in its package's registry."""

    @property
    def name(self) -> str:
        """As in evidence: "dcr"."""
        ...

    @property
    def summary(self) -> str:
        """Two sentences for a steward: what it does and what a bad result means."""
        ...

    def measure(
        self, arena: Arena, rng: np.random.Generator, progress: Progress = no_progress
    ) -> ProbeReport:
        """Measure. What cannot be measured is `NotMeasured(reason)`, never an exception for odd data."""
        ...


class Suite(Protocol):
    """Runs a named set of probes over one arena, sharing encodings and distances."""

    def __call__(
        self,
        arena: Arena,
        candidate: Sha256,
        suite: str,
        rng: np.random.Generator,
        progress: Progress = no_progress,
    ) -> EvidenceSet: ...


# ---------------------------------------------------------------------------------------------- judging


class Rule(Protocol):
    """One rule of a policy."""

    def judge(self, evidence: EvidenceSet, claim: PrivacyCost | None, purpose: Purpose) -> Sequence[Finding]:
        """At least one finding; missing evidence is `unproven`, never nothing."""
        ...


class Judge(Protocol):
    """The pure judge, bound to the policies package by `app/wiring.py` alone."""

    def terms(self, document: str) -> PolicyTerms:
        """What the workflow needs of a policy document (YAML text). Raises PolicyFormatError."""
        ...

    def judge(
        self,
        document: str,
        evidence: EvidenceSet,
        evidence_digest: KeyedDigest,
        claim: PrivacyCost | None,
        purpose: Purpose,
        mode: GateMode,
    ) -> Verdict:
        """The verdict. Deterministic: same document, same evidence, same verdict."""
        ...


__all__ = [
    "Arena",
    "Generator",
    "Judge",
    "Measured",
    "Model",
    "NoiseSource",
    "Plan",
    "Probe",
    "Progress",
    "Refit",
    "Rule",
    "Suite",
    "no_progress",
]
