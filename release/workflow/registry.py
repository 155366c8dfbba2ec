"""The registry: every step of a release, from request to export, and what has happened.

    registry = Registry(database)            # Database(url, key=…, clock=…), after database.upgrade()
    registry.people      add, get, all
    registry.policies    install, propose, confirm, current, waiting, all, by_digest
    registry.datasets    add, get, all, set_cap
    registry.ledger      balance, quote, populations, verify

    propose → submit → begin_generation → record_candidate → record_evidence → record_verdict
            → vote (or send_back) → begin_export → record_export          also: fail, fail_export, withdraw,
              record_sweep, expire_due, revoke, supersede, show, all, current_approval, audit_log, verify_audit

Rules: each method is one transaction that checks who, from which state and on which records, writes, and leaves an
audit line; anything that fails leaves nothing. Nothing stored as a "yes" is trusted at export: the whole registry is
checked against its log, the evidence is judged again, the votes are counted again. `by` is who acts; roles are in
`release.workflow.transitions`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from release.canonical import KeyedDigest, Sha256, digest, keyed_digest
from release.data.mix import require_weights
from release.data.schema import Schema
from release.database import Database
from release.errors import GateError, InputError, IntegrityError, PlanError, RefusedError, TransitionError
from release.privacy.ledger import Ledger, charge_in
from release.protocols import Judge
from release.records import (
    Approval,
    Budget,
    Candidate,
    DatasetId,
    Decision,
    EvidenceSet,
    Person,
    PrivacyCost,
    Purpose,
    ReleaseId,
    Request,
    Task,
    Verdict,
    Vote,
)
from release.workflow import audit
from release.workflow.audit import AuditLine, AuditReport
from release.workflow.dossier import (
    Bundled,
    Clearance,
    Dossier,
    ReleaseView,
    Remark,
    Sweep,
    Turn,
    dossier,
    require_current_verdict,
    require_seen,
    require_sweep,
)
from release.workflow.offices import (
    Dataset,
    Datasets,
    People,
    Policies,
    require_dataset,
    require_policy,
    schema_of,
)
from release.workflow.people import SYSTEM, Role, require_role
from release.workflow.store import Step, Store
from release.workflow.transitions import (
    Action,
    State,
    may_enter_review,
    require_do,
    require_enter_review,
    require_move,
)
from release.workflow.votes import Binding

_SLACK = 1.0 + 1e-9
"""A plan's ε may exceed what was asked for by rounding, and by no more."""


class Registry:
    """One workspace's registry. See the module's docstring for the order of calls."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._store = Store(database)
        self.people = People(self._store)
        self.policies = Policies(self._store)
        self.datasets = Datasets(self._store)
        self.ledger = Ledger(database)

    # ------------------------------------------------------------------------------------------ asking

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
            self._move(step, dossier(step, release), Action.SUBMIT, State.SUBMITTED, by)

    def withdraw(self, release: ReleaseId, *, by: Person) -> None:
        """The requester takes the request back. What was charged stays charged."""
        with self._store.step(Action.WITHDRAW, by, release) as step:
            self._move(step, dossier(step, release), Action.WITHDRAW, State.WITHDRAWN, by, review=0)

    # ------------------------------------------------------------------------------------------ making

    def begin_generation(self, release: ReleaseId, *, cost: PrivacyCost | None, by: Person) -> Turn:
        """Charge the plan's cost and open the next turn: → generating. Call this before the mechanism reads a row.

        Args:
            release: which release.
            cost: `Plan.cost`; None for a non-private baseline, which is charged nothing and can never be reviewed.
            by: who runs it.

        Raises:
            BudgetExceededError: the charge would pass the lifetime cap; nothing was charged or changed.
            PlanError: the plan costs more than was asked for, or counts other units.
            RefusedError: a non-private generator under another purpose than baseline; no lifetime cap is set.
        """
        with self._store.step(Action.BEGIN_GENERATION, by, release) as step:
            case = dossier(step, release)
            turn = case.place.turn + 1
            self._move(step, case, Action.BEGIN_GENERATION, State.GENERATING, by, turn=turn, review=0)
            charge = None
            if cost is None:
                if case.request.purpose is not Purpose.BASELINE:
                    raise RefusedError(
                        f"{case.request.generator} has no privacy cost, and {release} is for {case.request.purpose}",
                        mend="propose it with purpose baseline, for comparison only",
                    )
            else:
                _require_asked(case, cost)
                charge = charge_in(
                    step.transaction, case.dataset.population, cost, release=release, turn=turn, by=by
                )
                step.charged(charge.id)
            opened = Turn(release=release, turn=turn, charge=charge.id if charge else "", cost=cost)
            step.put("turn", f"{release}/{turn}", opened, release)
            step.note(turn=turn)
        return opened

    def record_candidate(self, candidate: Candidate, *, by: Person) -> Sha256:
        """The candidate of the open turn: generating → evaluating. Its digest.

        Raises IntegrityError where it does not follow from this release's request, dataset, turn and charge.
        """
        release = candidate.release
        with self._store.step(Action.RECORD_CANDIDATE, by, release) as step:
            case = dossier(step, release)
            self._move(step, case, Action.RECORD_CANDIDATE, State.EVALUATING, by)
            opened = case.require_turn()
            expected = {
                "turn": opened.turn,
                "request": digest(case.request),
                "dataset": case.request.dataset_digest,
                "charge": opened.charge,
                "claim": opened.cost,
                "generator": case.request.generator,
            }
            for field, value in expected.items():
                if getattr(candidate, field) != value:
                    raise IntegrityError(
                        f"the candidate's {field} is not that of turn {opened.turn} of {release}",
                        mend="make the candidate anew in a new turn",
                    )
            step.put("candidate", f"{release}/{opened.turn}", candidate, release)
        return digest(candidate)

    def record_evidence(self, release: ReleaseId, evidence: EvidenceSet, *, by: Person) -> KeyedDigest:
        """What was measured about the current candidate, once and for all. The evidence's keyed digest.

        Raises RefusedError for a second evaluation of a candidate, IntegrityError where it is about another one.
        """
        with self._store.step("record_evidence", by, release) as step:
            case = dossier(step, release)
            require_role(step.member(by), by, Role.REQUESTER, "run a release")
            candidate = case.require_candidate()
            if evidence.candidate != candidate.digest:
                raise IntegrityError(f"this evidence is not about the current candidate of {release}")
            if case.evidence is not None:
                raise RefusedError(
                    f"turn {case.place.turn} of {release} was already evaluated, and a candidate is evaluated once",
                    mend="begin a new turn: it makes and charges a new candidate",
                )
            if case.place.state is not State.EVALUATING:
                raise TransitionError(f"evidence is recorded while evaluating, not while {case.place.state}")
            step.put("evidence", candidate.digest, evidence, release)
            return keyed_digest(evidence, step.transaction.key)

    def record_verdict(self, release: ReleaseId, verdict: Verdict, *, by: Person) -> State:
        """The judge's verdict on the current candidate's evidence: → in_review, or blocked. Which of the two.

        Also ends `re_review_required`: the same evidence under the policy that is now in force. A baseline, a
        candidate without a cost, and augmented rows are blocked whatever the verdict says.
        """
        with self._store.step(Action.RECORD_VERDICT, by, release) as step:
            case = dossier(step, release)
            candidate, evidence = case.require_candidate(), case.require_evidence()
            binding = (verdict.candidate, verdict.evidence, verdict.policy)
            if binding != (candidate.digest, evidence.digest, case.policy.terms.digest):
                raise IntegrityError(
                    f"this verdict is not about {release}'s present candidate, evidence and policy",
                    mend="judge again",
                )
            allowed = verdict.releasable and may_enter_review(
                case.request.purpose, case.dataset.kind, private=candidate.record.claim is not None
            )
            target = State.IN_REVIEW if allowed else State.BLOCKED
            review = step.number if allowed else 0
            self._move(step, case, Action.RECORD_VERDICT, target, by, review=review)
            step.put_next("verdict", f"{release}/{case.place.turn}", verdict, release)
            step.note(ruling=verdict.ruling, mode=verdict.mode)
        return target

    def fail(self, release: ReleaseId, *, reason: str, by: Person) -> None:
        """A turn that did not come to its end: generating or evaluating → failed. What was charged stays charged.

        Args:
            release: which release.
            reason: for the log; no cell values.
            by: who ran it.
        """
        with self._store.step(Action.FAIL, by, release) as step:
            self._move(step, dossier(step, release), Action.FAIL, State.FAILED, by)
            step.note(reason=reason)

    def record_sweep(self, release: ReleaseId, *, mix: Sha256, result: dict[str, Any], by: Person) -> None:
        """Put a ratio sweep of the current candidate on file, under the digest of what was mixed."""
        with self._store.step("record_sweep", by, release) as step:
            case = dossier(step, release)
            require_role(step.member(by), by, Role.REQUESTER, "run a sweep")
            sweep = Sweep(
                release=release,
                turn=case.place.turn,
                candidate=case.require_candidate().digest,
                mix=mix,
                result=result,
                by=by,
                at=step.now,
            )
            step.put_next("sweep", f"{release}/{case.place.turn}", sweep, release)

    # ------------------------------------------------------------------------------------------ reviewing

    def vote(
        self,
        release: ReleaseId,
        decision: Decision,
        *,
        comment: str = "",
        by: Person,
        seen: Binding | None = None,
    ) -> State:
        """A reviewer's word on what is now up for review. The state that the votes leave it in.

        One vote a person; until the release is approved it can be changed. One reject ends the review. With `seen`, what
        the person had on the screen: the vote is refused (TransitionError) where that is no longer what is up for review.

        Raises NotAuthorisedError for the requester's own vote and for people who may not, TransitionError where nothing is up
        for review, RefusedError for the same vote twice, GateError where a required sweep is not on file.
        """
        action = Action.APPROVE if decision is Decision.APPROVE else Action.REJECT
        with self._store.step(action, by, release) as step:
            case = dossier(step, release)
            self._require_open(step, case, action, by)
            require_seen(case, seen)
            require_current_verdict(case)
            require_enter_review(
                case.request.purpose,
                case.dataset.kind,
                private=case.require_candidate().record.claim is not None,
            )
            if decision is Decision.APPROVE:
                if by in case.standing.approvers:
                    raise RefusedError(f"{by} has already approved {release}")
                require_sweep(case)
            binding = case.binding
            vote = Vote(
                release=release,
                turn=binding.turn,
                candidate=binding.candidate,
                evidence=binding.evidence,
                policy=binding.policy,
                person=by,
                decision=decision,
                comment=comment,
                cast_at=step.now,
            )
            step.put_next("vote", f"{release}/{binding.turn}", vote, release)
            result = case.standing_with(vote)
            target = State.REJECTED if decision is Decision.REJECT else result.state
            self._move(step, case, action, target, by)
            if target is State.APPROVED and result.approval is not None:
                step.put_next("approval", f"{release}/{binding.turn}", result.approval, release)
        return target

    def send_back(self, release: ReleaseId, *, comment: str, by: Person, seen: Binding | None = None) -> None:
        """A reviewer wants something changed, or takes an approval back: → returned. The requester may run a new turn.

        With `seen`, what the person had on the screen: refused (TransitionError) where that is no longer what is up for
        review. A comment on one candidate must not send back another, nor void the votes that it has got since.
        """
        with self._store.step(Action.RETURN, by, release) as step:
            case = dossier(step, release)
            self._move(step, case, Action.RETURN, State.RETURNED, by, review=0)
            require_seen(case, seen)
            remark = Remark(by=by, comment=comment, about=case.binding)
            step.put_next("remark", f"{release}/{case.place.turn}", remark, release)

    def current_approval(self, release: ReleaseId) -> Approval | None:
        """The approval that holds at this moment, counted anew from the votes; None where none does."""
        with self._store.look() as reader:
            return dossier(reader, release).current_approval(reader.now)

    # ------------------------------------------------------------------------------------------ releasing

    def begin_export(self, release: ReleaseId, *, judge: Judge, by: Person) -> Clearance:
        """Check everything anew, and open the export: approved → exporting. What the exporter may then write.

        Raises IntegrityError (anything stored was changed), GateError (the evidence judged again does not say yes, or no
        valid approval), TransitionError, NotAuthorisedError.
        """
        with self._store.step(Action.BEGIN_EXPORT, by, release) as step:
            audit.verify(step)
            case = dossier(step, release)
            self._move(step, case, Action.BEGIN_EXPORT, State.EXPORTING, by)
            return self._clear(step, case, judge)

    def record_export(self, release: ReleaseId, *, manifest: Sha256, judge: Judge, by: Person) -> Bundled:
        """The bundle lies finished: exporting → released. Everything is checked once more."""
        with self._store.step(Action.RECORD_EXPORT, by, release) as step:
            audit.verify(step)
            case = dossier(step, release)
            self._move(step, case, Action.RECORD_EXPORT, State.RELEASED, by)
            clearance = self._clear(step, case, judge)
            bundled = Bundled(
                release=release,
                turn=case.place.turn,
                candidate=digest(clearance.candidate),
                manifest=manifest,
                partner=case.request.partner,
                expires_at=clearance.approval.expires_at,
                by=by,
                at=step.now,
            )
            step.put("bundle", f"{release}/{case.place.turn}", bundled, release)
            step.note(manifest=manifest)
        return bundled

    def fail_export(self, release: ReleaseId, *, reason: str, by: Person) -> State:
        """An export that did not come to its end: exporting → approved, if the approval still holds, else re-review."""
        with self._store.step(Action.FAIL_EXPORT, by, release) as step:
            case = dossier(step, release)
            holds = case.current_approval(step.now) is not None
            target = State.APPROVED if holds else State.RE_REVIEW_REQUIRED
            self._move(step, case, Action.FAIL_EXPORT, target, by, review=None if holds else 0)
            step.note(reason=reason)
        return target

    def expire_due(self) -> tuple[ReleaseId, ...]:
        """What happens by itself with time: lapsed approvals go back to review, released bundles expire. Which did."""
        with self._store.look() as reader:
            if not any(dossier(reader, place.release).due(reader.now) for place in reader.places()):
                return ()
        moved = []
        with self._store.step("expire_due", SYSTEM) as step:
            for place in step.places():
                case = dossier(step, place.release)
                if not case.due(step.now):
                    continue
                if place.state is State.RELEASED:
                    self._move(step, case, Action.EXPIRE, State.EXPIRED, SYSTEM)
                else:
                    self._move(step, case, Action.LAPSE, State.RE_REVIEW_REQUIRED, SYSTEM, review=0)
                moved.append(place.release)
        return tuple(moved)

    def revoke(self, release: ReleaseId, *, reason: str, by: Person) -> None:
        """Take a released bundle back: released → revoked. The partner is told outside of this program."""
        with self._store.step(Action.REVOKE, by, release) as step:
            self._move(step, dossier(step, release), Action.REVOKE, State.REVOKED, by)
            step.note(reason=reason)

    def supersede(self, release: ReleaseId, *, successor: ReleaseId, by: Person) -> None:
        """A later release takes this one's place: released → superseded."""
        with self._store.step(Action.SUPERSEDE, by, release) as step:
            case = dossier(step, release)
            if successor == release or step.place(successor).state is not State.RELEASED:
                raise RefusedError(f"{successor} is not another release that is out", mend="export it first")
            self._move(step, case, Action.SUPERSEDE, State.SUPERSEDED, by)
            step.note(successor=successor)

    # ------------------------------------------------------------------------------------------ looking

    def show(self, release: ReleaseId) -> ReleaseView:
        """All there is to see about one release. InputError where there is none of that id."""
        with self._store.look() as reader:
            return dossier(reader, release).view(reader.now)

    def all(self) -> tuple[ReleaseView, ...]:
        """Every release, in order of id."""
        with self._store.look() as reader:
            return tuple(dossier(reader, place.release).view(reader.now) for place in reader.places())

    def audit_log(self, release: ReleaseId | None = None) -> tuple[AuditLine, ...]:
        """What happened, oldest first (to one release). IntegrityError where the log does not hold."""
        with self._store.look() as reader:
            return audit.lines(reader, release)

    def verify_audit(self) -> AuditReport:
        """Check everything stored against the log. IntegrityError names the first thing that does not hold."""
        with self._store.look() as reader:
            return audit.verify(reader)

    # ------------------------------------------------------------------------------------------ inside

    def _require_open(self, step: Step, case: Dossier, action: Action, by: Person) -> None:
        """The action is possible from here at all, and this person may do it."""
        target = State.REJECTED if action is Action.REJECT else State.APPROVED
        row = require_move(case.place.state, action, target)
        require_do(row, step.member(by), by, case.request.requested_by)

    def _move(
        self,
        step: Step,
        case: Dossier,
        action: Action,
        target: State,
        by: Person,
        *,
        turn: int | None = None,
        review: int | None = None,
    ) -> None:
        row = require_move(case.place.state, action, target)
        require_do(row, step.member(by), by, case.request.requested_by)
        step.move(case.place, target, turn=turn, review=review)

    def _clear(self, step: Step, case: Dossier, judge: Judge) -> Clearance:
        candidate, evidence = case.require_candidate(), case.require_evidence()
        require_enter_review(
            case.request.purpose, case.dataset.kind, private=candidate.record.claim is not None
        )
        stored = require_current_verdict(case)
        verdict = judge.judge(
            case.policy.document,
            evidence.record,
            keyed_digest(evidence.record, step.transaction.key),
            candidate.record.claim,
            case.request.purpose,
            stored.mode,
        )
        if verdict != stored or not verdict.releasable:
            raise GateError(
                f"judged again, the evidence of {case.place.release} gives {verdict.ruling}, not the stored verdict",
                mend="see which rule differs with `sluice release show`, and send it back",
            )
        require_sweep(case)
        approval = case.current_approval(step.now)
        if approval is None:
            raise GateError(
                f"{case.place.release} has no valid approval at {step.now.isoformat()}",
                mend="have it approved anew",
            )
        return Clearance(
            request=case.request,
            dataset=case.dataset,
            candidate=candidate.record,
            evidence=evidence.record,
            verdict=verdict,
            approval=approval,
            terms=case.policy.terms,
            document=case.policy.document,
            cleared_at=step.now,
        )


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


def _require_asked(case: Dossier, cost: PrivacyCost) -> None:
    asked = case.request.budget
    if not (cost.epsilon <= asked.epsilon * _SLACK and cost.delta <= asked.delta * _SLACK):
        raise PlanError(
            f"the plan costs (ε = {cost.epsilon:g}, δ = {cost.delta:g}), more than the "
            f"(ε = {asked.epsilon:g}, δ = {asked.delta:g}) asked for",
            mend="plan it within the request's budget; nothing was charged",
        )
    if (cost.unit, cost.max_rows_per_unit) != (case.dataset.unit, case.dataset.max_rows):
        raise PlanError(
            f"the plan counts {cost.unit} with {cost.max_rows_per_unit} rows, the dataset "
            f"{case.dataset.unit} with {case.dataset.max_rows}",
            mend="plan with the dataset's own schema; nothing was charged",
        )
