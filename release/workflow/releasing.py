"""What happens at the door and after it: export, expiry, revocation, a successor.

Rules: nothing stored as a "yes" is trusted: the whole registry is checked against its log, the evidence is judged again, the votes are
counted again, when an export begins and once more before it is recorded.
"""

from __future__ import annotations

from release.canonical import Sha256, digest, keyed_digest
from release.errors import GateError, RefusedError
from release.protocols import Judge
from release.records import Person, ReleaseId, Verdict
from release.workflow import audit
from release.workflow.dossier import (
    Bundled,
    Clearance,
    Dossier,
    dossier,
    require_current_verdict,
    require_sweep,
)
from release.workflow.moves import move
from release.workflow.people import SYSTEM
from release.workflow.store import Step, Store
from release.workflow.transitions import Action, State, require_enter_review


class Releasing:
    """The registry's steps from an approved release on."""

    _store: Store

    def begin_export(self, release: ReleaseId, *, judge: Judge, by: Person) -> Clearance:
        """Check everything anew, and open the export: approved → exporting. What the exporter may then write.

        Raises IntegrityError (anything stored was changed), GateError (the evidence judged again does not say yes, or no
        valid approval), TransitionError, NotAuthorisedError.
        """
        with self._store.step(Action.BEGIN_EXPORT, by, release) as step:
            audit.verify(step)
            case = dossier(step, release)
            move(step, case, Action.BEGIN_EXPORT, State.EXPORTING, by)
            return _clear(step, case, judge)

    def record_export(self, release: ReleaseId, *, manifest: Sha256, judge: Judge, by: Person) -> Bundled:
        """The bundle lies finished: exporting → released. Everything is checked once more."""
        with self._store.step(Action.RECORD_EXPORT, by, release) as step:
            audit.verify(step)
            case = dossier(step, release)
            move(step, case, Action.RECORD_EXPORT, State.RELEASED, by)
            clearance = _clear(step, case, judge)
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
            move(step, case, Action.FAIL_EXPORT, target, by, review=None if holds else 0)
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
                    move(step, case, Action.EXPIRE, State.EXPIRED, SYSTEM)
                else:
                    move(step, case, Action.LAPSE, State.RE_REVIEW_REQUIRED, SYSTEM, review=0)
                moved.append(place.release)
        return tuple(moved)

    def revoke(self, release: ReleaseId, *, reason: str, by: Person) -> None:
        """Take a released bundle back: released → revoked. The partner is told outside of this program."""
        with self._store.step(Action.REVOKE, by, release) as step:
            move(step, dossier(step, release), Action.REVOKE, State.REVOKED, by)
            step.note(reason=reason)

    def supersede(self, release: ReleaseId, *, successor: ReleaseId, by: Person) -> None:
        """A later release takes this one's place: released → superseded."""
        with self._store.step(Action.SUPERSEDE, by, release) as step:
            case = dossier(step, release)
            if successor == release or step.place(successor).state is not State.RELEASED:
                raise RefusedError(f"{successor} is not another release that is out", mend="export it first")
            move(step, case, Action.SUPERSEDE, State.SUPERSEDED, by)
            step.note(successor=successor)


def _clear(step: Step, case: Dossier, judge: Judge) -> Clearance:
    candidate, evidence = case.require_candidate(), case.require_evidence()
    require_enter_review(case.request.purpose, case.dataset.kind, private=candidate.record.claim is not None)
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
            f"judged again, the evidence of {case.place.release} gives {verdict.ruling}, not the stored verdict: "
            f"{_difference(stored, verdict)}",
            mend=f"find out why the judge changed (an upgrade?), then `sluice release return {case.place.release}`: "
            "it takes a new turn and new approvals",
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


def _difference(stored: Verdict, again: Verdict) -> str:
    """Where two verdicts on one evidence part, in words: the rules whose ruling changed, else those worded otherwise."""
    before = {(finding.rule, finding.subject): finding for finding in stored.findings}
    after = {(finding.rule, finding.subject): finding for finding in again.findings}
    ruled, worded = [], []
    for key in dict.fromkeys((*before, *after)):
        old, new = before.get(key), after.get(key)
        if old != new:
            name = " of ".join(part for part in key if part)
            rulings = [str(found.ruling) if found else "absent" for found in (old, new)]
            if len(set(rulings)) > 1:
                ruled.append(f"{name} was {rulings[0]} and is {rulings[1]}")
            else:
                worded.append(name)
    shown = ruled or [f"the same rulings, otherwise worded or limited, in {', '.join(worded)}"]
    return (
        "; ".join(shown) if ruled or worded else "the same findings, under another policy, mode or candidate"
    )
