"""What reviewers decide: vote, or send back. The counting of votes is in `release.workflow.votes`."""

from __future__ import annotations

from release.errors import RefusedError
from release.records import Approval, Decision, Person, ReleaseId, Vote
from release.workflow.dossier import (
    Remark,
    dossier,
    require_current_verdict,
    require_seen,
    require_sweep,
)
from release.workflow.moves import move, require_open
from release.workflow.store import Store
from release.workflow.transitions import Action, State, require_enter_review
from release.workflow.votes import Binding


class Reviewing:
    """The registry's steps of a review."""

    _store: Store

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
            ending = State.APPROVED if decision is Decision.APPROVE else State.REJECTED
            require_open(step, case, action, ending, by)
            require_seen(case, seen, case.binding)
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
            move(step, case, action, target, by)
            if result.approval is not None:
                step.put_next("approval", f"{release}/{binding.turn}", result.approval, release)
        return target

    def send_back(self, release: ReleaseId, *, comment: str, by: Person, seen: Binding | None = None) -> None:
        """A reviewer wants something changed, or takes an approval back: → returned. The requester may run a new turn.

        With `seen`, what the person had on the screen: refused (TransitionError) where that is no longer what is up for
        review. A comment on one candidate must not send back another, nor void the votes that it has got since.
        """
        with self._store.step(Action.RETURN, by, release) as step:
            case = dossier(step, release)
            move(step, case, Action.RETURN, State.RETURNED, by, review=0)
            # A verdict that is outdated must not keep a release from going back: that is how it gets a new one.
            require_seen(case, seen, case.view(step.now).binding)
            remark = Remark(by=by, comment=comment, about=case.binding)
            step.put_next("remark", f"{release}/{case.place.turn}", remark, release)

    def current_approval(self, release: ReleaseId) -> Approval | None:
        """The approval that holds at this moment, counted anew from the votes; None where none does."""
        with self._store.look() as reader:
            return dossier(reader, release).current_approval(reader.now)
