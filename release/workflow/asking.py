"""What a requester asks for: propose, submit, withdraw."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from release.data.mix import require_weights
from release.data.schema import Schema
from release.errors import InputError, RefusedError
from release.records import Budget, DatasetId, Person, Purpose, ReleaseId, Request, Task
from release.workflow.dossier import dossier
from release.workflow.moves import move
from release.workflow.offices import Dataset, require_dataset, require_policy, schema_of
from release.workflow.people import Role, require_role
from release.workflow.store import Store
from release.workflow.transitions import Action, State


class Asking:
    """The registry's steps before anything is made."""

    _store: Store

    def propose(
        self,
        *,
        dataset: DatasetId,
        generator: str,
        budget: Budget,
        policy: str,
        partner: str,
        purpose: Purpose,
        rows: int,
        by: Person,
        options: Mapping[str, Any] | None = None,
        task: Task | None = None,
        answers: Mapping[str, str] | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> Request:
        """A new release in state draft; its id is the dataset's name and a number.

        Raises NotAuthorisedError (not a requester), InputError (no such dataset or policy, a budget, number of rows,
        task or mix that makes no sense), RefusedError (ε above
        the policy's limit; a baseline may ask for what it likes).
        """
        with self._store.step("propose", by) as step:
            require_role(step.member(by), by, Role.REQUESTER, "ask for a release")
            source, source_digest = require_dataset(step, dataset)
            terms = require_policy(step, policy).terms
            if purpose is not Purpose.BASELINE and not budget.epsilon <= terms.max_epsilon:
                raise RefusedError(
                    f'ε = {budget.epsilon:g} is above the {terms.max_epsilon:g} that "{policy}" allows',
                    mend="ask for a smaller ε or under another policy; nothing was charged",
                )
            _require_sensible(schema_of(source), budget, rows, task)
            require_weights(schema_of(source), weights or {}, rows)
            _require_public_rows(source, rows)
            number = 1 + sum(found.record.dataset == dataset for found in step.all(Request, "request"))
            request = Request(
                release=ReleaseId(f"{dataset}-{number}"),
                dataset=dataset,
                dataset_digest=source_digest,
                schema=source.schema_digest,
                generator=generator,
                options=dict(options or {}),
                budget=budget,
                policy=policy,
                partner=partner,
                purpose=purpose,
                task=task,
                rows=rows,
                answers=dict(answers or {}),
                requested_by=by,
                requested_at=step.now,
                weights={name: float(weight) for name, weight in (weights or {}).items()},
            )
            step.put("request", request.release, request, request.release)
            step.open(request.release, State.DRAFT)
            step.note(release=request.release)
        return request

    def submit(self, release: ReleaseId, *, by: Person) -> None:
        """The requester says that the draft is what they want: draft → submitted."""
        with self._store.step(Action.SUBMIT, by, release) as step:
            move(step, dossier(step, release), Action.SUBMIT, State.SUBMITTED, by)

    def withdraw(self, release: ReleaseId, *, by: Person) -> None:
        """The requester takes the request back. What was charged stays charged."""
        with self._store.step(Action.WITHDRAW, by, release) as step:
            move(step, dossier(step, release), Action.WITHDRAW, State.WITHDRAWN, by, review=0)


def _require_sensible(schema: Schema, budget: Budget, rows: int, task: Task | None) -> None:
    if not (math.isfinite(budget.epsilon) and budget.epsilon > 0.0):
        raise InputError(
            f"ε = {budget.epsilon} is not a positive, finite number", mend="ask for an ε such as 1"
        )
    if not 0.0 < budget.delta <= schema.largest_delta:
        raise InputError(
            f"δ = {budget.delta:g} is not in (0, {schema.largest_delta:g}] = min(1e-6, 1/(100 × population_size))",
            mend="ask for a smaller δ",
        )
    if rows < 1:
        raise InputError(f"{rows} rows cannot be sampled", mend="ask for at least one")
    known = {column.name for column in schema.released}
    unknown = [] if task is None else [name for name in (task.target, *task.features) if name not in known]
    if unknown:
        raise InputError(
            f"the task speaks of {unknown}, which this dataset does not release", mend="correct the task"
        )


def _require_public_rows(dataset: Dataset, rows: int) -> None:
    """The number of synthetic rows is published, so it may not be one of the private counts of the real table."""
    private = {dataset.report.get(name) for name in ("rows_read", "rows", "units")}
    declared = dataset.schema["population_size"]
    if rows in private and rows != declared:
        raise InputError(
            f"{rows:,} is an exact count of the real table, and the number of synthetic rows is published",
            mend=f"ask for a round number, or for the declared population size ({declared:,})",
        )
