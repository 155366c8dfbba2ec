"""Running a release: charge, generate, store, attack, measure, judge. Each step is recorded, so a run resumes.

    submitted, blocked, returned, failed   prepare (table, split) → charge → mechanism → store candidate
    generating                             a run that was killed: what it charged stays charged, the turn failed
    evaluating                             attack and measure the stored candidate, judge (a new turn gives it up)
    re_review_required                     judge the same evidence under the policy now in force

Rules: everything that can fail without reading data through the mechanism is done before the charge; the mechanism
runs once for each charge, whatever happens to the process; the attacks' randomness is an HMAC of the candidate, so a
resumed evaluation gives the same evidence; the gate mode is `uncovered`, because the gate looks at real data outside
the accounted mechanism. A second turn is charged again, so it must be asked for.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from app import wiring
from app.evaluation import aligned, evidence_of, rng_of
from app.intake import table_of
from app.proposing import plan_of
from release.canonical import Sha256, canonical_bytes, digest, keyed_digest
from release.errors import IntegrityError, ReleaseError, TransitionError
from release.protocols import Arena, Model, Plan, Progress, Refit, no_progress
from release.records import Candidate, GateMode, Person, ReleaseId

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from app.workspace import Workspace
    from release.data.split import Split
    from release.data.table import Table
    from release.workflow.dossier import ReleaseView, Turn

GATE_MODE = GateMode.UNCOVERED

MOST_COIN_SHARE = 0.45
"""The coin set's largest share of units: more would leave the generator too few to learn from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a turn needs before it is charged.

    Attributes:
        plan: the generator's plan.
        table: the whole real table.
        split: the secret split.
        stored_split: the stored split's name, which is its keyed digest.
    """

    plan: Plan
    table: Table
    split: Split
    stored_split: str


def run(
    workspace: Workspace,
    release: ReleaseId,
    *,
    by: Person,
    new_turn: bool = False,
    progress: Progress = no_progress,
) -> ReleaseView:
    """Bring a release to its verdict from wherever it stands. The view of where that led.

    Raises:
        TransitionError: nothing can be run from its state, or a further turn (a further charge) was not asked for.
        BudgetExceededError: the lifetime cap would be passed; nothing was charged.
        RefusedError: another process runs it.
        KeyboardInterrupt: with a message that says what was charged and what can be resumed.
    """
    from release.workflow.transitions import State, steps_from

    with workspace.lock(release):
        view = workspace.registry.show(release)
        if view.state is State.DRAFT:
            workspace.registry.submit(release, by=by)
            view = workspace.registry.show(release)
        if view.state is State.GENERATING:
            workspace.registry.fail(release, reason="the run ended before its candidate was stored", by=by)
            view = workspace.registry.show(release)
        if view.state is State.EVALUATING and view.evidence is None and new_turn:
            # The way out of an evaluation that cannot come to its end; the candidate is given up unseen.
            workspace.registry.fail(release, reason="given up before it was evaluated", by=by)
            view = workspace.registry.show(release)
        if view.state in {State.SUBMITTED, State.BLOCKED, State.RETURNED, State.FAILED}:
            _require_new_turn(view, new_turn=new_turn)
            generate(workspace, release, by=by, progress=_part(progress, 0.0, 0.4))
            view = workspace.registry.show(release)
        if view.state is State.EVALUATING and view.evidence is None:
            _measure(workspace, view, by=by, progress=_part(progress, 0.4, 0.98))
            view = workspace.registry.show(release)
        if view.state in {State.EVALUATING, State.RE_REVIEW_REQUIRED} and view.evidence is not None:
            _judge(workspace, view, by=by)
            view = workspace.registry.show(release)
            progress(1.0, "judged")
            return view
    raise TransitionError(
        f"{release} is {view.state}, and there is nothing to run",
        mend=f"possible now: {', '.join(steps_from(view.state, release)) or 'nothing'}",
    )


def generate(
    workspace: Workspace, release: ReleaseId, *, by: Person, progress: Progress = no_progress
) -> Candidate:
    """One turn: prepare, charge, run the mechanism, store the candidate. What was charged stays charged."""
    view = workspace.registry.show(release)
    progress(0.0, "reading the table")
    prepared = _prepare(workspace, view)
    turn = workspace.registry.begin_generation(release, cost=prepared.plan.cost, by=by)
    try:
        candidate = _candidate(workspace, view, turn, prepared, progress)
        workspace.registry.record_candidate(candidate, by=by)
    except BaseException as error:
        _give_up(workspace, release, turn, error, by=by)
        raise
    return candidate


def arena_of(workspace: Workspace, view: ReleaseView) -> Arena:
    """The arena of a release's present candidate, every stored part checked. Raises IntegrityError."""
    from release.workflow.offices import schema_of

    candidate = view.candidate
    if candidate is None:
        raise TransitionError(f"{view.release} has no candidate", mend="run it first")
    schema = schema_of(view.dataset)
    table, split = table_of(workspace, view.dataset), _split_of(workspace, candidate)
    synthetic = synthetic_of(workspace, view)
    parts = [split.members(table), split.controls(table), split.reference(table), split.training(table)]
    if view.request.weights:
        # Drawn anew from the stored model, the same each time: what the release would be without its mix.
        rng = rng_of(digest(candidate), workspace.keys.digest_key, "unweighted")
        parts.append(model_of(workspace, view).sample(len(synthetic), rng))
    members, controls, reference, training, *unweighted, synthetic = aligned([*parts, synthetic])
    return Arena(
        members=members,
        controls=controls,
        reference=reference if len(reference) else None,
        training=training,
        synthetic=synthetic,
        claim=candidate.claim,
        published=candidate.published,
        task=view.request.task,
        randomised_split=True,
        smallest_cell=view.terms.smallest_cell,
        refit=Refit(plan=plan_of(view.request, schema), noise=wiring.noise()),
        weights=view.request.weights,
        unweighted=unweighted[0] if unweighted else None,
    )


def sampler_of(view: ReleaseView, model: Model) -> Callable[[int, np.random.Generator], Table]:
    """(rows, rng) → rows of the model at the mix that the request asks for. It reads no real row."""
    from release.quality.rebalance import rebalanced
    from release.workflow.offices import schema_of

    schema, weights = schema_of(view.dataset), view.request.weights
    return lambda rows, rng: rebalanced(schema, rows, weights, model.sample, rng)


def model_of(workspace: Workspace, view: ReleaseView) -> Model:
    """The present candidate's fitted model: sampling from it reads no real row. Raises IntegrityError."""
    if view.candidate is None:
        raise TransitionError(f"{view.release} has no candidate", mend="run it first")
    return wiring.generator(view.request.generator).load(workspace.objects.folder(view.candidate.model))


def synthetic_of(workspace: Workspace, view: ReleaseView) -> Table:
    """The present candidate's table. Raises IntegrityError."""
    from release.data.table_file import read_table_file
    from release.workflow.offices import schema_of

    if view.candidate is None:
        raise TransitionError(f"{view.release} has no candidate", mend="run it first")
    path = workspace.objects.path(view.candidate.table, keyed=False)
    return read_table_file(path, schema_of(view.dataset))


# ---------------------------------------------------------------------------------------------- inside


def _require_new_turn(view: ReleaseView, *, new_turn: bool) -> None:
    if view.turn and not new_turn:
        cost = view.opened.cost if view.opened else None
        again = f"and charged ε = {cost.epsilon:.4g} again" if cost else "anew"
        raise TransitionError(
            f"turn {view.turn} of {view.release} ended {view.state}; a further turn is made {again}",
            mend="ask for it with --new-turn, or propose another plan",
        )


def _prepare(workspace: Workspace, view: ReleaseView) -> Prepared:
    from release.data.split import SplitSizes, coin_units_needed, draw_split
    from release.workflow.offices import schema_of

    schema = schema_of(view.dataset)
    plan = plan_of(view.request, schema)
    table = table_of(workspace, view.dataset)
    default = SplitSizes()
    needed = coin_units_needed(max(view.terms.arena_units, 1))
    sizes = SplitSizes(
        coin_units=max(default.coin_units, needed),
        # A table that is just too small for the policy's arena gives a little more of itself; the sizes stay inside.
        coin_share=max(default.coin_share, min(MOST_COIN_SHARE, needed / table.n_units)),
        reference_share=default.reference_share,
    )
    split = draw_split(table.n_units, sizes, secrets.token_bytes(32))
    stored = workspace.objects.put_bytes(canonical_bytes(split.to_json()), keyed=True)
    if stored != split.digest(workspace.keys.digest_key):
        raise IntegrityError("the split was not stored as it was drawn", mend="run sluice doctor")
    return Prepared(plan=plan, table=table, split=split, stored_split=stored)


def _candidate(
    workspace: Workspace, view: ReleaseView, turn: Turn, prepared: Prepared, progress: Progress
) -> Candidate:
    """Run the mechanism on what the split trains on, sample, store. The one place that calls `Plan.run`."""
    from app.workspace import now
    from release.canonical import KeyedDigest
    from release.data.table_file import write_table

    noise = wiring.noise()
    progress(0.05, f"charged; fitting {view.request.generator}")
    model = prepared.plan.run(prepared.split.training(prepared.table), noise, _part(progress, 0.05, 0.9))
    progress(0.9, f"sampling {view.request.rows:,} rows")
    synthetic = sampler_of(view, model)(view.request.rows, noise.generator())
    progress(0.97, "storing the candidate")
    return Candidate(
        release=view.release,
        turn=turn.turn,
        request=digest(view.request),
        dataset=view.request.dataset_digest,
        split=KeyedDigest(prepared.stored_split),
        generator=view.request.generator,
        generator_version=metadata.version("sluicegate"),
        plan=digest(prepared.plan.describe()),
        claim=prepared.plan.cost,
        charge=turn.charge,
        table=Sha256(workspace.objects.put(lambda path: write_table(synthetic, path), keyed=False)),
        model=workspace.objects.put_folder(model.save),
        rows=len(synthetic),
        published=model.published,
        made_at=now(),
    )


def _give_up(
    workspace: Workspace, release: ReleaseId, turn: Turn, error: BaseException, *, by: Person
) -> None:
    """Record that the turn failed; where even that cannot be written, the next run finds it and does."""
    reason = type(error).__name__
    try:
        workspace.registry.fail(release, reason=reason, by=by)
    except ReleaseError as second:
        error.add_note(f"the turn could not be recorded as failed: {second}")
    if isinstance(error, KeyboardInterrupt):
        raise KeyboardInterrupt(f"{charged(turn)}; its candidate was not kept") from error


def charged(turn: Turn) -> str:
    """What a turn cost, in words."""
    if turn.cost is None:
        return f"turn {turn.turn} of {turn.release} cost nothing (baseline)"
    return (
        f"turn {turn.turn} of {turn.release} was charged ε = {turn.cost.epsilon:.4g} at "
        f"δ = {turn.cost.delta:.3g} ({turn.charge}) and stays charged"
    )


def _measure(workspace: Workspace, view: ReleaseView, *, by: Person, progress: Progress) -> None:
    if view.candidate is None or view.opened is None:
        raise IntegrityError(f"{view.release} is {view.state} without a candidate", mend="run sluice doctor")
    candidate = digest(view.candidate)
    try:
        evidence = evidence_of(
            arena_of(workspace, view), candidate, view.terms.suite, workspace.keys.digest_key, progress
        )
        workspace.registry.record_evidence(view.release, evidence, by=by)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(
            f"{charged(view.opened)}; its candidate is stored, and sluice release run {view.release} goes on from there"
        ) from error


def _judge(workspace: Workspace, view: ReleaseView, *, by: Person) -> None:
    if view.evidence is None or view.candidate is None:
        raise IntegrityError(f"{view.release} has no evidence", mend="run sluice doctor")
    policy = workspace.registry.policies.by_digest(view.terms.digest)
    verdict = wiring.judge().judge(
        policy.document,
        view.evidence,
        keyed_digest(view.evidence, workspace.keys.digest_key),
        view.candidate.claim,
        view.request.purpose,
        GATE_MODE,
    )
    workspace.registry.record_verdict(view.release, verdict, by=by)


def _split_of(workspace: Workspace, candidate: Candidate) -> Split:
    from release.data.split import split_from_json

    return split_from_json(json.loads(workspace.objects.read(candidate.split, keyed=True)))


def _part(progress: Progress, start: float, end: float) -> Progress:
    """A step's own 0…1 as a part of the whole."""
    return lambda done, what: progress(start + (end - start) * done, what)
