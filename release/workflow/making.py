"""What a run writes down: the charge and its turn, the candidate, the evidence, the verdict, a sweep, a failure."""

from __future__ import annotations

from typing import Any

from release.canonical import KeyedDigest, Sha256, digest, keyed_digest
from release.errors import IntegrityError, PlanError, RefusedError, TransitionError
from release.privacy.ledger import charge_in
from release.records import Candidate, EvidenceSet, Person, PrivacyCost, Purpose, ReleaseId, Verdict
from release.workflow.dossier import Dossier, Sweep, Turn, dossier
from release.workflow.moves import move
from release.workflow.people import Role, require_role
from release.workflow.store import Store
from release.workflow.transitions import Action, State, may_enter_review

_SLACK = 1.0 + 1e-9
"""A plan's ε may exceed what was asked for by rounding, and by no more."""


class Making:
    """The registry's steps from the charge to the verdict."""

    _store: Store

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
            move(step, case, Action.BEGIN_GENERATION, State.GENERATING, by, turn=turn, review=0)
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
            move(step, case, Action.RECORD_CANDIDATE, State.EVALUATING, by)
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
            judged = {"candidate": verdict.candidate, "evidence": verdict.evidence, "policy": verdict.policy}
            present = {
                "candidate": candidate.digest,
                "evidence": evidence.digest,
                "policy": case.policy.terms.digest,
            }
            others = [name for name in present if judged[name] != present[name]]
            if others:
                name = case.policy.terms.name
                raise IntegrityError(
                    f"this verdict is not about the present {' and '.join(others)} of {release}",
                    mend=f"`sluice release run {release}` judges again; if that ends here too, this version of the program reads "
                    f"the policy in another way than the one that put it into force: `sluice policy propose {name}`",
                )
            allowed = verdict.releasable and may_enter_review(
                case.request.purpose, case.dataset.kind, private=candidate.record.claim is not None
            )
            target = State.IN_REVIEW if allowed else State.BLOCKED
            review = step.number if allowed else 0
            move(step, case, Action.RECORD_VERDICT, target, by, review=review)
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
            move(step, dossier(step, release), Action.FAIL, State.FAILED, by)
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
