"""Proposing a release: the plan and its cost are known, and shown, before any row is read.

Rules: everything that can be refused is refused here, uncharged: an unknown generator, a schema that a private plan
may not use, contradictions, ε above the tier, a cost that no longer fits under the lifetime cap. A proposal is two
registry steps (draft, submitted); one that was stopped between them is submitted when it is run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app import wiring
from app.intake import dataset_of
from release.errors import BudgetExceededError, InputError, RefusedError
from release.protocols import Plan
from release.records import Budget, Person, PrivacyCost, Purpose, Request, Task

if TYPE_CHECKING:
    from app.workspace import Workspace
    from release.data.schema import Schema
    from release.workflow.offices import Dataset

MAX_ROWS = 100_000_000
"""More rows than this are surely a slip of the keyboard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody asks for, before it is checked; fields as in `release.records.Request`.

    `delta` None takes the largest that the schema allows; `rows` None takes the population's declared size, capped at
    100,000 (never the private number of rows).
    """

    dataset: str
    generator: str
    epsilon: float
    policy: str
    partner: str
    purpose: Purpose
    delta: float | None = None
    target: str | None = None
    features: tuple[str, ...] = ()
    rows: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A registered request with its plan.

    Attributes:
        request: as registered.
        description: the plan for people: `Plan.describe()`.
        cost: what one run costs; None for a baseline.
        share: the part of the population's lifetime cap that one run takes; None for a baseline.
        left: the part of the cap that is unspent now.
        unanswered: questions that the partner's card should answer and this request does not.
    """

    request: Request
    description: dict[str, Any]
    cost: PrivacyCost | None
    share: float | None
    left: float | None
    unanswered: tuple[str, ...]


def propose(workspace: Workspace, wish: Wish, *, by: Person) -> Proposal:
    """Plan, check, register and submit. Raises PlanError, SchemaError, InputError, RefusedError; nothing is charged."""
    from release.data.mix import require_weights
    from release.workflow.offices import schema_of

    registry = workspace.registry
    dataset = dataset_of(workspace, wish.dataset)
    schema = schema_of(dataset)
    generator = wiring.generator(wish.generator)
    if not generator.private and wish.purpose is not Purpose.BASELINE:
        raise RefusedError(
            f"{generator.name} gives no privacy guarantee (ε = ∞), and this release is for {wish.purpose}",
            mend="choose a private generator, or propose it with --purpose baseline, which can never be exported",
        )
    budget = _budget(wish, schema)
    task = _task(wish, schema)
    unanswered = _unanswered(wish, schema)
    rows = wish.rows if wish.rows is not None else min(schema.population_size, 100_000)
    if not 1 <= rows <= MAX_ROWS:
        raise InputError(
            f"{rows:,} rows were asked for, from 1 to {MAX_ROWS:,} are possible", mend="give --rows"
        )
    require_weights(schema, wish.weights, rows)
    plan = generator.plan(schema, budget, task, wish.options)
    share, left = _quote(workspace, dataset, plan.cost)
    request = registry.propose(
        dataset=dataset.id,
        generator=generator.name,
        budget=budget,
        policy=wish.policy,
        partner=wish.partner,
        purpose=wish.purpose,
        rows=rows,
        by=by,
        options=wish.options,
        task=task,
        answers=wish.answers,
        weights=wish.weights,
    )
    registry.submit(request.release, by=by)
    return Proposal(
        request=request,
        description=plan.describe(),
        cost=plan.cost,
        share=share,
        left=left,
        unanswered=unanswered,
    )


def plan_of(request: Request, schema: Schema) -> Plan:
    """The plan of a registered request, made again. Raises PlanError, SchemaError."""
    return wiring.generator(request.generator).plan(schema, request.budget, request.task, request.options)


def _budget(wish: Wish, schema: Schema) -> Budget:
    delta = wish.delta if wish.delta is not None else schema.largest_delta
    if not (math.isfinite(wish.epsilon) and wish.epsilon > 0.0):
        raise InputError(f"ε = {wish.epsilon} is not a budget", mend="give --epsilon above 0, such as 1")
    if not 0.0 < delta <= schema.largest_delta:
        raise InputError(
            f"δ = {delta:g} is not in (0, {schema.largest_delta:g}] = min(1e-6, 1/(100 × population_size))",
            mend="give a smaller --delta, or leave it out",
        )
    return Budget(epsilon=wish.epsilon, delta=delta)


def _unanswered(wish: Wish, schema: Schema) -> tuple[str, ...]:
    """Texts of the required questions without an answer. Raises InputError for an answer that fits no question."""
    from release.quality.questions import LONGEST, QUESTIONS, required_of

    known = {question.key: question for question in QUESTIONS}
    for key, answer in wish.answers.items():
        if key not in known:
            raise InputError(f"{key!r} is no question", mend=f"the questions are {', '.join(known)}")
        choices = known[key].choices
        if choices and answer not in choices:
            raise InputError(f"{key!r} is answered {answer[:40]!r}", mend=f"answer {' or '.join(choices)}")
        if len(answer) > LONGEST:
            raise InputError(
                f"the answer to {key!r} has {len(answer):,} characters, at most {LONGEST:,}",
                mend="shorten it",
            )
    if wish.purpose is Purpose.BASELINE:
        return ()
    return tuple(
        f"{question.key}: {question.text}"
        for question in required_of(wish.purpose, schema.provenance)
        if not wish.answers.get(question.key, "").strip()
    )


def _task(wish: Wish, schema: Schema) -> Task | None:
    known = {column.name for column in schema.released}
    for name in (*([wish.target] if wish.target is not None else []), *wish.features):
        if name not in known:
            raise InputError("the schema releases no such column", column=name, mend="name a released column")
    if wish.target is None:
        if wish.features:
            raise InputError("features were named without a target", mend="give --target too")
        return None
    return Task(target=wish.target, features=wish.features)


def _quote(
    workspace: Workspace, dataset: Dataset, cost: PrivacyCost | None
) -> tuple[float | None, float | None]:
    """Share of the cap that the cost takes, and what is left. Raises BudgetExceededError where it does not fit."""
    if cost is None:
        return None, None
    ledger = workspace.registry.ledger
    share = ledger.quote(dataset.population, cost)
    left = ledger.balance(dataset.population).left
    if share > left:
        raise BudgetExceededError(
            f"this plan (ε = {cost.epsilon:.4g} at δ = {cost.delta:.3g}) takes {share:.1%} of the lifetime cap of "
            f'"{dataset.population}", of which {left:.1%} is left',
            mend="ask for less ε, or ask the budget owner; nothing was charged",
        )
    return share, left
