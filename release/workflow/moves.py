"""Moving a release along an arrow of the table, for the registry's steps."""

from __future__ import annotations

from release.records import Person
from release.workflow.dossier import Dossier
from release.workflow.store import Step
from release.workflow.transitions import Action, State, require_do, require_move


def move(
    step: Step,
    case: Dossier,
    action: Action,
    target: State,
    by: Person,
    *,
    turn: int | None = None,
    review: int | None = None,
) -> None:
    """Move the release, if the table has this arrow and this person may take it.

    Args:
        step: what is being written.
        case: the release.
        action: what is done.
        target: where that leads.
        by: who does it.
        turn: the new turn; None: as before.
        review: audit line that opens a review, 0 where none is open any more; None: as before.

    Raises TransitionError, NotAuthorisedError.
    """
    require_open(step, case, action, target, by)
    step.move(case.place, target, turn=turn, review=review)


def require_open(step: Step, case: Dossier, action: Action, target: State, by: Person) -> None:
    """Raise what `move` would raise, and move nothing."""
    row = require_move(case.place.state, action, target, case.place.release)
    require_do(row, step.member(by), by, case.request.requested_by)
