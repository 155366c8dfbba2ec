"""The same parts for Python: plan and run a generator on a DataFrame, evaluate a table, judge.

For notebooks and benchmarks. Nothing here has a workspace: nothing is charged to a ledger, nothing is recorded, and
nothing may be exported. Whoever runs a plan here on real people's rows keeps the account of ε. `docs/python.md` shows
it in use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from app import wiring
from app.evaluation import Evaluation, evaluate_tables, policy_document
from release.protocols import Model, Plan, Progress, no_progress
from release.records import Budget, PrivacyCost, Purpose, Task, Where

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from release.data.schema import Schema
    from release.data.table import Table

    Rows: TypeAlias = Path | pd.DataFrame | pa.Table | Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A generator bound to a schema and a budget; no row has been read.

    Attributes:
        schema: the table's public description.
        plan: the generator's plan.
    """

    schema: Schema
    plan: Plan

    @property
    def cost(self) -> PrivacyCost | None:
        """What one run costs; None for a non-private baseline."""
        return self.plan.cost

    def run(self, rows: Rows, progress: Progress = no_progress) -> Fitted:
        """Fit on rows, with privacy noise from the operating system. Each call costs `cost` once more."""
        return Fitted(model=self.plan.run(read(rows, self.schema), wiring.noise(), progress))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A fitted model; sampling from it touches no data and costs nothing."""

    model: Model

    def sample(
        self, n: int, *, where: Where | None = None, rng: np.random.Generator | None = None
    ) -> pd.DataFrame:
        """`n` rows as a DataFrame; with `where`, rows that all satisfy it."""
        return self.model.sample(n, rng if rng is not None else wiring.noise().generator(), where).to_frame()


def schema(path: Path | str) -> Schema:
    """The schema of a `schema.yaml`. Raises SchemaError."""
    from release.data.schema_file import load_schema

    return load_schema(Path(path))


def read(rows: Rows, schema: Schema) -> Table:
    """A file, DataFrame or Arrow table as a typed table. Raises SourceError (file, row, column, mend)."""
    from release.data.sources import read_table
    from release.data.table import Table

    return rows if isinstance(rows, Table) else read_table(rows, schema).table


def plan(
    schema: Schema,
    generator: str,
    *,
    epsilon: float,
    delta: float,
    target: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Planned:
    """Configure a generator. Raises PlanError or SchemaError with the mend; reads no row."""
    budget = Budget(epsilon=epsilon, delta=delta)
    task = Task(target=target) if target is not None else None
    return Planned(
        schema=schema, plan=wiring.generator(generator).plan(schema, budget, task, dict(options or {}))
    )


def evaluate(
    *,
    members: Rows,
    controls: Rows,
    synthetic: Rows,
    schema: Schema,
    reference: Rows | None = None,
    claim: PrivacyCost | None = None,
    suite: str = "standard",
    policy: str | None = None,
    purpose: Purpose = Purpose.ANALYSIS,
    target: str | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Attack and measure a synthetic table; with `policy` (a tier's name or a policy file) also judge it.

    Args:
        members: rows that the generator saw.
        controls: like rows that it never saw.
        synthetic: its output.
        schema: of all tables.
        reference: further rows, in none of them, for attacks that use some.
        claim: the generator's claimed cost, if any.
        suite: name of the suite of attacks.
        policy: what to judge by.
        purpose: what the table is for.
        target: the column that its users will predict.
        progress: where to report.
    """
    return evaluate_tables(
        members=read(members, schema),
        controls=read(controls, schema),
        synthetic=read(synthetic, schema),
        reference=read(reference, schema) if reference is not None else None,
        claim=claim,
        suite=suite,
        policy=policy_document(policy) if policy is not None else None,
        purpose=purpose,
        task=Task(target=target) if target is not None else None,
        progress=progress,
    )


__all__ = ["Evaluation", "Fitted", "Planned", "evaluate", "plan", "read", "schema"]
